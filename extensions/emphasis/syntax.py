"""The grammar of emphasis: (text:1.5) weighs, and in the mode full (text) and [text] too; groups nest and
multiply."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal as One

from webui import Bracket, Construct, Piece, Prompt, Scan, Syntax

Mode = One["safe", "full", "off"]

NUMBER = re.compile(r"\s*:\s*([+-]?(?:\d+\.?\d*|\.\d+))\s*\Z")
# what looks like a weight; at the end of a group it may be no number: 1.5.2, 1e3, nan
LIKE = r":[ \t]*((?i:[+-]?(?:[\d.]+(?:e[+-]?\d+)?|nan\b|inf(?:inity)?\b)))"
NEARLY = re.compile(rf"{LIKE}\s*\Z")
ENDS = re.compile(rf"{LIKE}\s*\)")
BEGUN = re.compile(rf"\([^()\n]{{0,200}}[^()\d\s][ \t]*{LIKE}(?=[\s,]|\Z)")  # a group without its end
LONGEST = 24  # characters of a colon and a number
LOOK = 300  # characters at the end of a group that are looked at to find out whether it was meant as one
SHOWN = 40  # characters of a group in a sentence about it
STEP = 1.1  # what a bare bracket multiplies or divides by
MOST = 1000.0  # the largest weight
NEAR = 1e-9  # weights that differ by less are equal: [(text)] has the weight 1


def _is_weighted(text: str, start: int, end: int, before: str) -> bool:
    """Whether (text:number) is hardly meant literally, as it is in f(x:1), (at 10:30), (16:9)."""
    found = NUMBER.search(text, max(start, end - LONGEST), end)
    if found is None or found.start() == start or before.isalnum() or before == "_":
        return False
    return not text[found.start() - 1].isdigit() and 0 <= float(found[1]) <= 10


def _is_weight(number: str) -> bool:
    """Whether what looks like a number is one that weighs in the mode safe."""
    found = NUMBER.fullmatch(f":{number}")
    return found is not None and 0 <= float(found[1]) <= 10


def _is_refused(text: str, start: int, end: int, before: str) -> bool:
    """Whether (text:number) would weigh in the mode safe if its number were another: (owl:-2), (owl:nan)."""
    found = NEARLY.search(text, max(start, end - LOOK), end)
    if found is None or before.isalnum() or before == "_" or _is_weighted(text, start, end, before):
        return False
    words = text[start : found.start()].rstrip()
    return bool(words) and not words[-1].isdigit()


GAP = re.compile(r"(?:[\w-]+:)?(?:\.\.\.\d*|\d+)")  # what infill has between its double brackets


def _is_square(text: str, start: int, end: int, before: str) -> bool:
    """Whether [text] is none of the two pairs around a gap of infill, such as [[20]]."""
    if text[start : start + 1] == "[" and text[end - 1 : end] == "]":
        return GAP.fullmatch(text, start + 1, end - 1) is None
    doubled = before == "[" and text[end + 1 : end + 2] == "]"
    return not doubled or GAP.fullmatch(text, start, end) is None


SYNTAX = Syntax(
    brackets={
        "weighted": Bracket("(", ")", ":", _is_weighted),
        "round": Bracket("(", ")", ":"),
        "square": Bracket("[", "]", "", _is_square),
    },
    full=frozenset({"round", "square"}),
)


REFUSED = Syntax(brackets={"refused": Bracket("(", ")", ":", _is_refused)})


@dataclass(frozen=True)
class Literal:
    """What looks like a group and is text: one whose number is no weight in the mode safe, or a bracket that
    is never closed.

    construct  "outside" or "unclosed"
    text       as typed, at most SHOWN characters
    """

    span: tuple[int, int]
    construct: str
    text: str


def literals(prompt: Prompt, scan: Scan, mode: Mode, typed: str) -> Iterator[Literal]:
    """In the mode full every bracket that is never closed, in safe only those in which a weight was begun.
    scan: of the prompt for SYNTAX. typed: the text whose places the spans of the prompt are."""
    numbers = ENDS.finditer(prompt.text) if mode == "safe" else ()
    if any(not _is_weight(number[1]) for number in numbers):
        for part in prompt.scan(REFUSED, mode).parts:
            if isinstance(part, Construct) and part.span is not None:
                text = "".join(piece.text for piece in part.pieces)
                yield Literal(part.span, "outside", text if len(text) <= SHOWN else text[: SHOWN - 1] + "…")
    for at, reason in scan.literals:
        if reason.endswith("never closed") and (mode == "full" or BEGUN.match(typed, at)):
            yield Literal((at, at + 1), "unclosed", reason[1])


@dataclass(frozen=True)
class Group:
    """A pair of brackets that weighs.

    factor  what it multiplies the weight of everything in it by
    nearly  what stands at its end, looks like a number and is none
    """

    span: tuple[int, int] | None
    factor: float
    weight: float
    nearly: str = ""


def groups_of(parts: Sequence[Piece | Construct], weight: float = 1.0) -> Iterator[Group]:
    """Every group, each before those in it. `weight`: of what is around."""
    for part in parts:
        if isinstance(part, Construct):
            inner, factor, nearly = _content(part)
            yield Group(part.span, factor, weight * factor, nearly)
            yield from groups_of(inner, weight * factor)


def weighed(parts: Sequence[Piece | Construct]) -> Prompt:
    """The prompt without the brackets, each piece with its weight. ValueError with the column of a weight
    that is too large."""
    for group in groups_of(parts):
        if not math.isfinite(group.weight) or abs(group.weight) > MOST:
            column = group.span[0] + 1 if group.span else 1
            raise ValueError(f"column {column}: a weight is not above {MOST:g}.")
    return Prompt(tuple(_pieces(parts, 1.0, [])))


def _pieces(parts: Sequence[Piece | Construct], weight: float, found: list[Piece]) -> list[Piece]:
    """`found`, and the pieces of these parts, which are in a group of this weight."""
    for part in parts:
        if isinstance(part, Piece):
            whole = part.weight * weight
            whole = 1.0 if abs(whole - 1) < NEAR else whole
            same = whole == part.weight
            found.append(part if same else Piece(part.text, part.span, whole, part.locked))
        else:
            inner, factor, _ = _content(part)
            _pieces(inner, weight * factor, found)
    return found


def _content(group: Construct) -> tuple[list[Piece | Construct], float, str]:
    """What a group holds, its factor, and what looks like its number and is none."""
    inner = list(group.parts)
    if group.name == "square":
        return inner, 1 / STEP, ""
    last = inner[-1] if inner else None
    if not isinstance(last, Piece) or last.locked:
        return inner, STEP, ""
    if found := NUMBER.search(last.text, max(0, len(last.text) - 4 * LONGEST)):
        inner[-1:] = Prompt((last,)).cut(0, found.start())
        return inner, float(found[1]), ""
    nearly = NEARLY.search(last.text, max(0, len(last.text) - LONGEST))
    return inner, STEP, nearly[0].lstrip(": ") if nearly else ""
