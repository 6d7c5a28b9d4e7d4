"""An extension for tests: round brackets weigh what stands in them, square ones take weight; they nest.

The grammar of emphasis, without an effect on the model: pieces get their weights, and a note lists them.
"""

import re

from webui import Bracket, Construct, Extension, Options, Piece, Prompt, Syntax, field

NUMBER = re.compile(r"\s*:\s*([+-]?(?:\d+\.?\d*|\.\d+))\s*\Z")
LONGEST = 24  # characters of a colon and a number


def _is_weighted(text, start, end, before):
    """(text:number) as it is hardly ever meant literally."""
    found = NUMBER.search(text, max(start, end - LONGEST), end)
    if found is None or before.isalnum() or before == "_" or text[found.start() - 1].isdigit():
        return False
    return 0 <= float(found[1]) <= 10


SYNTAX = Syntax(
    brackets={
        "weighted": Bracket("(", ")", ":", _is_weighted),
        "round": Bracket("(", ")", ":"),
        "square": Bracket("[", "]"),
    },
    full=frozenset({"round", "square"}),
)


class Weights(Extension):
    """Only for tests."""

    class Options(Options):
        on: bool = field(False, label="On", help="Reads the weights.")

    @classmethod
    def prompt(cls, row):
        if not cls.options(row).on:
            return row
        scan = row.prompts["main"].scan(SYNTAX, row.request.syntax)
        pieces = tuple(_weighed(scan.parts, 1.0))
        row = row.with_prompt("main", Prompt(pieces)).note(shown(pieces))
        for warning in scan.warnings:
            row = row.note(warning)
        return row


def _weighed(parts, weight):
    for part in parts:
        if isinstance(part, Piece):
            yield Piece(part.text, part.span, part.weight * weight, part.locked)
            continue
        inner, factor = list(part.parts), 1 / 1.1 if part.name == "square" else 1.1
        last = inner[-1] if inner else None
        if part.name != "square" and isinstance(last, Piece) and not last.locked:
            if found := NUMBER.search(last.text):
                factor = float(found[1])
                inner[-1:] = Prompt((last,)).cut(0, found.start())
        assert isinstance(part, Construct)
        yield from _weighed(inner, weight * factor)


def shown(pieces):
    """Runs of equal weight: text@weight, or only the text where it is 1."""
    runs = []
    for piece in pieces:
        if runs and abs(runs[-1][1] - piece.weight) < 1e-9:
            runs[-1][0] += piece.text
        elif piece.text:
            runs.append([piece.text, piece.weight])
    return "|".join(text if abs(weight - 1) < 1e-9 else f"{text}@{weight:.6g}" for text, weight in runs)
