"""Text to tokens and back: chat templates, literal user text, pieces of a text token by token.

Prompts are made and texts encoded in the tokenizer process (see sandbox.py), which a call takes about a tenth
of a millisecond to reach; prompts are remembered here. Where tokens are bytes, one after the other, as in
most tokenizers, their table is fetched once and decoding needs no call.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from webui.checkpoints.files import printable
from webui.checkpoints.pieces import pieces
from webui.checkpoints.process import Process
from webui.core.errors import Refusal

REMEMBERED = 4096  # answers
TOGETHER = 4096  # texts in one call
SHORT = 2000  # characters or tokens of what is remembered

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Encoded:
    """A prompt in tokens.

    content  which of them are the user's text and not the template's frame
    places   for each of them, where in that text its first character that is no blank is; -1 for the frame
    """

    tokens: tuple[int, ...]
    content: tuple[bool, ...]
    places: tuple[int, ...] = ()

    def masked(self, mask: int) -> Encoded:
        """The empty branch of guidance: the content masked, the frame kept (Nie et al. 2025, 2.3)."""
        return Encoded(
            tuple(mask if inside else token for token, inside in zip(self.tokens, self.content, strict=True)),
            self.content,
        )


class Tokenizer:
    """The tokenizer and chat template of a checkpoint folder. Never runs remote code. Thread-safe.

    Making one starts its process and does not wait for it; everything else does, and raises Refusal, a
    ValueError, if the tokenizer cannot be read, or a call takes too long or too much memory.
    """

    def __init__(self, folder: Path):
        self._process = Process(folder)
        self.rows: int | None = None  # of the model's embedding, once it is known
        self._remembered: dict[Hashable, Any] = {}
        self._lock = threading.Lock()
        self._table: tuple[bytes, ...] | None = None  # of each token; None as well where there is none
        self._has_table: bool | None = None  # None: not fetched yet

    @classmethod
    def read(cls, folder: Path) -> Tokenizer:
        """The tokenizer of a checkpoint folder, read. Refusal if there is none that can be read without
        remote code."""
        tokenizer = cls(folder)
        tokenizer._process.facts()
        return tokenizer

    def close(self) -> None:
        """Ends the process. A later call starts another one."""
        self._process.close()

    def __len__(self) -> int:
        size = self._process.facts()["size"]
        return size if self.rows is None else min(size, self.rows)

    @property
    def last(self) -> int:
        """The highest id of a token that is not special."""
        return self._process.facts()["last"]

    @property
    def has_template(self) -> bool:
        return self._process.facts()["template"]

    @property
    def end(self) -> int | None:
        return self._process.facts()["end"]

    @property
    def declared_mask(self) -> int | None:
        return self._process.facts()["mask"]

    def id(self, token: str) -> int | None:
        """The id of exactly this token, or None."""
        return self._once(("id", token), lambda: self._process.call("ids", [token])[0])

    def encode(self, text: str) -> list[int]:
        """User text: nothing in it is a special token, whatever it spells."""
        return self.encode_all([text])[0]

    def encode_all(self, texts: Sequence[str]) -> list[list[int]]:
        """Many user texts at once, each as `encode` has it."""
        parts = (texts[i : i + TOGETHER] for i in range(0, len(texts), TOGETHER))  # a call has a time limit
        found = [tokens for part in parts for tokens in self._process.call("encode", list(part))]
        for tokens in found:
            self._check_rows(tokens)
        return found

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens, special ones left out."""
        table = self._bytes()
        if table is not None:
            return _joined(table, tokens)
        key = tuple(tokens)
        if len(key) > SHORT:
            return self.decode_all([key])[0]
        return self._once(("decode", key), lambda: self.decode_all([key])[0])

    def decode_all(self, rows: Sequence[Sequence[int]]) -> list[str]:
        """Many rows of tokens at once, each as `decode` has it."""
        table = self._bytes()
        if table is not None:
            return [_joined(table, row) for row in rows]
        return self._process.call("decode", [list(map(int, row)) for row in rows])

    def words(self, count: int) -> list[str]:
        """The text of each of the first `count` tokens by itself; special tokens, and numbers that are no
        token, are empty."""
        table = self._bytes()
        if table is not None:
            return [_joined(table, (token,)) for token in range(count)]
        return list(self._once(("words", count), lambda: tuple(self._process.call("words", count))))

    def token_bytes(self, count: int) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
        """The bytes that each of the first `count` tokens adds to a text: at its start, and behind others.
        Empty for special tokens, and for those whose bytes are not known.

        Where tokens are not bytes, one after the other, a token is decoded alone and behind a word: WordPiece
        and SentencePiece write blanks between tokens, but none at the start.
        """
        table = self._bytes()
        if table is not None:
            same = (*table[:count], *(b"" for _ in range(count - len(table))))
            return same, same
        word = self.encode("a")[-1:]
        before = self.decode(word)
        tokens = range(min(count, len(self)))
        rows = [[token] for token in tokens] + [[*word, token] for token in tokens]
        texts = [
            text
            for begin in range(0, len(rows), TOGETHER)
            for text in self.decode_all(rows[begin : begin + TOGETHER])
        ]
        first, behind = texts[: len(tokens)], texts[len(tokens) :]
        later = [text.removeprefix(before) if text.startswith(before) else "" for text in behind]
        none = (b"",) * (count - len(tokens))
        return tuple(_whole(text) for text in first) + none, tuple(_whole(text) for text in later) + none

    def prompt(self, text: str, system: str = "", template: str = "auto") -> Encoded:
        """A prompt in its chat template ("auto": if the checkpoint has one), tokenized. Refusal if "chat" has
        none."""
        if template == "chat" and not self.has_template:
            name = printable(self._process.folder.name)
            raise Refusal(f"{name} has no chat template; use template auto or raw.")

        def ask() -> Encoded:
            made = self._process.call("prompt", text, system, template)
            self._check_rows(made["tokens"])
            content = tuple(map(bool, made["content"]))
            return Encoded(tuple(made["tokens"]), content, tuple(made["places"]))

        if len(text) + len(system) > SHORT:
            return ask()
        return self._once(("prompt", text, system, template), ask)

    def pieces(self, tokens: Sequence[int | None]) -> list[str | None]:
        """The text of each token such that a run of them joins to the run's text; None stays None (a masked
        position).

        A character split over several tokens stands with the last of them; one that is cut off by a masked
        position is U+FFFD.
        """
        table = self._bytes()
        if table is not None:
            return pieces(tokens, lambda run: _joined(table, run))
        return self._process.call("pieces", list(tokens))

    def _check_rows(self, tokens: Sequence[int]) -> None:
        """Refuses tokens that the model has no embedding of."""
        if self.rows is not None and (last := max(tokens, default=0)) >= self.rows:
            name = printable(self._process.folder.name)
            raise Refusal(
                f"The tokenizer of {name} makes the token {last}, outside the {self.rows} embedding rows."
            )

    def _bytes(self) -> tuple[bytes, ...] | None:
        """The bytes of every token, if that is all there is to decoding."""
        if self._has_table is None:
            found = self._process.call("table")
            if found is not None:
                self._table = tuple((text or "").encode("latin-1") for text in found)
            self._has_table = found is not None
        return self._table

    def _once(self, key: Hashable, ask: Callable[[], Answer]) -> Answer:
        """The answer as remembered, or asked for now. No lock is held while the process is asked."""
        with self._lock:
            if key in self._remembered:
                return self._remembered[key]
        answer = ask()
        with self._lock:
            if len(self._remembered) >= REMEMBERED:
                del self._remembered[next(iter(self._remembered))]
            self._remembered[key] = answer
        return answer


def _whole(text: str) -> bytes:
    """The bytes of a token's text, none if it is a part of a character."""
    return b"" if "\ufffd" in text else text.encode("utf-8", "replace")


def _joined(table: Sequence[bytes], tokens: Sequence[int]) -> str:
    size = len(table)
    return b"".join([table[token] for token in tokens if 0 <= token < size]).decode("utf-8", "replace")
