"""What acts: choices {red|blue} and wildcards __animal__."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType

from webui import Bracket, Construct, Piece, Prompt, Scan, Syntax

SPECIAL = re.compile(r"(?<!\\)[{}|]")
BLANK = re.compile(r"\s")
LOOK = 1000  # characters that are looked at to find out whether an escaped or unclosed bracket would act
# Between the underscores: no blank, no underscore at either end, so that ____ is none.
WILDCARD = r"(?<!\w)__([^\W_.][\w./-]{0,98}?[^\W_.]|[^\W_.]|[./][\w./-]{1,98}?[^\W_.])__(?!\w)"
COMMAND = re.compile(r"\\[A-Za-z]{1,40}\Z")  # of LaTeX, whose argument the bracket is
NAMED = re.compile(rf"(?<!\\){WILDCARD}")  # ... where it is not escaped


def _tight(text: str, start: int, end: int, before: str) -> bool:
    """A choice of the mode safe: no blank stands next to {, | and }, and it is none of what code writes like
    that: x_{a|b}, \\frac{a|b}, ${a|b}, {{a|filter}}, {"a":"b|c"}."""
    bar, blank = _inside(text, start, end)
    if not bar or blank or before in ("_", "^", "$", "#", "@", "%", "\\") or text[start] in "\"'":
        return False
    doubled = before == "{" and text[end + 1 : end + 2] == "}"
    return not doubled and COMMAND.search(text, max(0, start - 42), start - 1) is None


def _wide(text: str, start: int, end: int, before: str) -> bool:
    """A choice of the mode full: it has a |."""
    return _inside(text, start, end)[0]


SYNTAX = Syntax(
    patterns={"wildcard": WILDCARD},
    brackets={"choice": Bracket("{", "}", "|", _tight), "wide choice": Bracket("{", "}", "|", _wide)},
    full=frozenset({"wide choice"}),
)


def unclosed(scan: Scan, text: str) -> list[int]:
    """Where a {| in the text was begun that is never closed."""
    places = [at for at, reason in scan.literals if reason.endswith("never closed")]
    return [at for at in places if "|" in text[at : at + LOOK]]


def too_deep(scan: Scan) -> int | None:
    """Where choices are nested deeper than is looked into, if they are."""
    return next((at for at, reason in scan.literals if not reason.endswith("never closed")), None)


def options_of(choice: Construct) -> list[list[Piece | Construct]]:
    """What stands between the bars of a choice, each as parts; without the blanks around it if they may be
    there."""
    options: list[list[Piece | Construct]] = [[]]
    for part in choice.parts:
        if isinstance(part, Construct) or part.locked:
            options[-1].append(part)
            continue
        start = 0
        for end in [*(match.start() for match in re.finditer(r"\|", part.text)), len(part.text)]:
            options[-1] += Prompt((part,)).cut(start, end)
            if end < len(part.text):
                options.append([])
            start = end + 1
    return [_trimmed(option) for option in options] if choice.name == "wide choice" else options


def _trimmed(option: Sequence[Piece | Construct]) -> list[Piece | Construct]:
    parts = list(option)
    if parts and isinstance(first := parts[0], Piece):
        kept = len(first.text) - len(first.text.lstrip())
        parts[:1] = Prompt((first,)).cut(kept, len(first.text))
    if parts and isinstance(last := parts[-1], Piece):
        parts[-1:] = Prompt((last,)).cut(0, len(last.text.rstrip()))
    return parts


def _inside(text: str, start: int, end: int) -> tuple[bool, bool]:
    """Whether the content text[start:end] of a pair has a bar of its own, not of a pair within it; and
    whether a blank stands next to the pair's brackets or bars, on the inner side."""
    known = _pairs(text).get(start - 1)
    if known is not None and known[0] == end:
        return known[1:]
    if end - start > LOOK:  # one of the brackets is escaped
        return False, False
    depth, bar, blank = 0, False, _blank(text, start) or _blank(text, end - 1)
    for match in SPECIAL.finditer(text, start, end):
        at = match.start()
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if text[at] == "|" and depth <= 0:
            bar, blank = True, blank or _blank(text, at - 1) or _blank(text, at + 1)
    return bar, blank


@lru_cache(maxsize=2)
def _pairs(text: str) -> Mapping[int, tuple[int, bool, bool]]:
    """For every opening bracket that is not escaped and is closed: where it is closed, and what `_inside`
    says. Found in one pass, because pairs nest."""
    found: dict[int, tuple[int, bool, bool]] = {}
    stack: list[tuple[int, bool, bool]] = []
    for match in SPECIAL.finditer(text):
        at = match.start()
        if text[at] == "{":
            stack.append((at, False, _blank(text, at + 1)))
        elif stack:
            start, bar, blank = stack.pop()
            blank = blank or _blank(text, at - 1)
            if text[at] == "}":
                found[start] = (at, bar, blank)
            else:
                stack.append((start, True, blank or _blank(text, at + 1)))
    return MappingProxyType(found)


def _blank(text: str, at: int) -> bool:
    return BLANK.match(text, at) is not None if at >= 0 else False
