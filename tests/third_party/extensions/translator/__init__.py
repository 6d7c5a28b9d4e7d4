"""Translates prompts word by word, from a list."""

import re
from dataclasses import replace
from pathlib import Path

from webui import Extension, Options, Prompt, field


class Translator(Extension):
    """Translates prompts word by word, from a list of lines such as Katze=cat."""

    after = {"prompt": ("infill",)}  # the text around gaps is answer, not prompt

    class Settings(Options):
        file: str = field(
            "",
            max_length=500,
            label="Words",
            help="A file with lines such as Katze=cat; empty: the one that comes with it.",
        )

    class Options(Options):
        on: bool = field(False, label="Translate", help="The prompt is translated word by word.")

    @classmethod
    def prompt(cls, row):
        if not cls.options(row).on:
            return row
        words = cls._words()
        for name, prompt in row.prompts.items():
            pieces = (
                piece if piece.locked else replace(piece, text=_translated(piece.text, words))
                for piece in prompt.pieces
            )
            row = row.with_prompt(name, Prompt(tuple(pieces)))
        return row.note(f"Translated: {row.prompts['main'].text}")

    @classmethod
    def _words(cls):
        path = Path(cls.settings().file or cls.folder / "words.txt")
        try:
            lines = path.read_text("utf-8").splitlines()
        except OSError as error:
            raise ValueError(f"the word list {path} cannot be read: {error.strerror}.") from None
        return dict(line.strip().split("=", 1) for line in lines if "=" in line)


def _translated(text, words):
    return re.sub(r"\w+", lambda found: words.get(found[0], found[0]), text)
