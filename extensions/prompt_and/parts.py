"""The parts of a prompt with AND, and their weights. No torch."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from webui import Construct, Piece, Prompt, Syntax

SYNTAX = Syntax(patterns={"and": r"(?<!\w)AND(?!\w)"}, outside="()[]{}")
WEIGHT = re.compile(r":[ \t]*([+-]?(?:\d{1,20}\.?\d{0,20}|\.\d{1,20}))\s*\Z")
NEARLY = re.compile(r"(?<!\w):[ \t]*(?i:[+-]?[\d.]+e[+-]?\d+|[+-]?nan|[+-]?inf(?:inity)?)\s*\Z")
LONGEST = 60  # characters at the end of a part that may be its weight
MOST = 16  # parts of one prompt; each is a row of every forward pass
LARGEST = 20.0  # a weight
BLANK = " \t\r\n"


@dataclass(frozen=True)
class Part:
    """One part of a prompt.

    separator  where the AND before it stands in what was typed
    written    where its weight stands there, if it has one
    refused    why it is refused: a name among the extension's explanations, or ""
    place      what is to be underlined if it is
    nearly     what stands at its end, looks like a weight and is none
    """

    prompt: Prompt
    weight: float = 1.0
    separator: tuple[int, int] | None = None
    written: tuple[int, int] | None = None
    refused: str = ""
    place: tuple[int, int] | None = None
    nearly: Piece | None = None

    @property
    def start(self) -> int:
        """Where what is refused stands, as a number of characters before it."""
        return self.place[0] if self.place else 0


def split(parts: Sequence[Piece | Construct], mode: Literal["safe", "full", "off"]) -> list[Part]:
    """The parts between the ANDs of a prompt that was scanned for SYNTAX, trimmed of blanks; if they are more
    than MOST, these and the first that is refused."""
    pieces: list[list[Piece]] = [[]]
    separators: list[Construct | None] = [None]
    for part in parts:
        if isinstance(part, Construct):
            pieces.append([])
            separators.append(part)
        else:
            pieces[-1].append(part)
    found = []
    for number, (some, before) in enumerate(zip(pieces[: MOST + 1], separators[: MOST + 1], strict=True)):
        after = separators[number + 1] if number + 1 < len(separators) else None
        one = _weighted(Prompt(tuple(some)), mode, before.span if before else None)
        if not one.prompt.text and not one.refused:
            beside = before or after
            one = Part(one.prompt, 1.0, one.separator, None, "empty", beside.span if beside else None)
        if number >= MOST:
            one = Part(one.prompt, 1.0, one.separator, None, "many", one.separator)
        found.append(one)
    return found


def _weighted(prompt: Prompt, mode: str, separator: tuple[int, int] | None) -> Part:
    """A part with its weight taken off its end. In the mode safe no weight follows a digit: 10:30 is text."""
    text = prompt.text
    found = WEIGHT.search(text, max(0, len(text) - LONGEST))
    if found is not None and mode == "safe" and text[: found.start()][-1:].isdigit():
        found = None
    if found is None:
        like = NEARLY.search(text, max(0, len(text) - LONGEST))
        pieces = prompt.cut(like.start(), len(text.rstrip(BLANK))) if like else ()
        nearly = pieces[0] if len(pieces) == 1 and not pieces[0].locked else None
        return Part(_trimmed(prompt, len(text)), 1.0, separator, nearly=nearly)
    pieces = prompt.cut(*found.span())
    if any(piece.locked for piece in pieces):
        return Part(_trimmed(prompt, len(text)), 1.0, separator)
    first, last = pieces[0].span, pieces[-1].span
    written = (first[0], first[0] + len(found[0].rstrip())) if first and last else None
    weight = float(found[1])
    refused = "large" if abs(weight) > LARGEST else ""
    return Part(_trimmed(prompt, found.start()), weight, separator, written, refused, written)


def _trimmed(prompt: Prompt, end: int) -> Prompt:
    """The prompt up to character `end` without the blanks around it."""
    text = prompt.text[:end]
    start = len(text) - len(text.lstrip(BLANK))
    return Prompt(prompt.cut(start, len(text.rstrip(BLANK))))
