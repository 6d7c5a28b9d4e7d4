"""Finds the constructs of extensions in a text: patterns and nested brackets. It knows no meaning.

Fences, locks and escapes are honoured here, once for all:
- text between triple backticks and locked text is never looked into;
- a backslash makes what follows literal, and is removed only where that would otherwise have acted;
- a bracket that is never closed is literal, with a warning.

Linear in the text, whatever it holds.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Literal, NamedTuple

Mode = Literal["safe", "full", "off"]
FENCE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
HIDDEN = "\0"  # stands for each character that is not looked into
MAX_DEPTH = 64  # of brackets that act in each other
MAX_WARNINGS = 10


@dataclass(frozen=True)
class Bracket:
    """A construct that begins and ends with one character each, and may hold others.

    inside   characters that mean something within it (":" or "|"): there a backslash makes them literal
    accepts  whether a pair acts: called with the text, where its content starts and ends in it, and the
             character before the pair ("" at the start). It must look at a bounded part of the text only
    """

    opening: str
    closing: str
    inside: str = ""
    accepts: Callable[[str, int, int, str], bool] = lambda text, start, end, before: True


@dataclass(frozen=True)
class Syntax:
    """The constructs of one extension, by name.

    patterns  regular expressions, for what does not nest. No expression may need quadratic time
    brackets  what nests; of several with the same characters the first that accepts a pair takes it
    full      names of those that act in the mode "full" only
    outside   brackets, as "()[]{}", within which no pattern acts and which stay as they are typed
    """

    patterns: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    brackets: Mapping[str, Bracket] = field(default_factory=lambda: MappingProxyType({}))
    full: frozenset[str] = frozenset()
    outside: str = ""


class Mark(NamedTuple):
    """Something that acts at text[start:end]: a whole pattern with its groups, an opening or closing bracket,
    or an escape: a backslash and the literal text after it."""

    kind: Literal["pattern", "opening", "closing", "escape"]
    start: int
    end: int
    name: str = ""
    groups: tuple[str | None, ...] = ()


def find(
    text: str, syntax: Syntax, mode: Mode = "full", locked: Iterable[tuple[int, int]] = ()
) -> tuple[list[Mark], list[tuple[int, str]]]:
    """What acts in the text, in its order and without overlaps; and (position, reason) of what does not.

    locked: the parts [start, end) of the text that are not looked into.
    """
    if mode == "off":
        return [], []
    patterns = {name: p for name, p in syntax.patterns.items() if mode == "full" or name not in syntax.full}
    brackets = {name: b for name, b in syntax.brackets.items() if mode == "full" or name not in syntax.full}
    visible = _hide(text, locked)
    visible = _hide(visible, (match.span() for match in FENCE.finditer(visible)))
    marks = list(_patterns(_hide(visible, _outermost(visible, syntax.outside)), patterns))
    more, warnings = _brackets(visible, brackets, [(mark.start, mark.end) for mark in marks])
    return sorted(marks + more, key=lambda mark: mark.start), warnings


def _patterns(text: str, patterns: Mapping[str, str]) -> Iterator[Mark]:
    """Every match of a pattern, or the escape of one, from left to right."""
    if not patterns:
        return
    expression, slots = _compiled(tuple(patterns.items()))
    last = 0
    for match in expression.finditer(text):
        if match.end() == match.start():
            continue
        if match.start() > last and text[match.start() - 1] == "\\":
            yield Mark("escape", match.start() - 1, match.end())
        else:
            name, first, count = slots[match.lastgroup or ""]
            yield Mark("pattern", *match.span(), name, match.groups()[first : first + count])
        last = match.end()


@lru_cache(maxsize=64)
def _compiled(
    patterns: tuple[tuple[str, str], ...],
) -> tuple[re.Pattern[str], dict[str, tuple[str, int, int]]]:
    """One expression for all patterns; for each group that is a whole pattern its name, the number of its
    first own group and how many it has."""
    parts = [f"(?P<pattern_{i}>{expression})" for i, (_, expression) in enumerate(patterns)]
    whole = re.compile("|".join(parts))
    slots = {
        f"pattern_{i}": (name, whole.groupindex[f"pattern_{i}"], re.compile(expression).groups)
        for i, (name, expression) in enumerate(patterns)
    }
    return whole, slots


def _brackets(
    text: str, brackets: Mapping[str, Bracket], taken: Sequence[tuple[int, int]]
) -> tuple[list[Mark], list[tuple[int, str]]]:
    """The pairs that act, as two marks each; the escapes of brackets; and those that are never closed.
    taken: the parts that are patterns."""
    if not brackets:
        return [], []
    closers = {bracket.closing: bracket.opening for bracket in brackets.values()}
    ends = "".join({*closers, *closers.values()})
    inside = "".join({*"".join(b.inside for b in brackets.values())}.difference(ends))
    looked = f"[{re.escape(ends)}]" + (rf"|(?<=\\)[{re.escape(inside)}]" if inside else "")
    found = [match.start() for match in re.finditer(looked, text)]
    found, escaped = _not_taken(found, text, taken)
    places = [at for at in found if text[at] in ends] if escaped or taken else found
    pairs, unclosed = _pairs([at for at in places if at not in escaped] if escaped else places, text, closers)

    def kind(start: int, end: int) -> str | None:
        """The name of the construct that takes this pair; its backslashes do not count."""
        first = start - 1 if start in escaped else start
        before = text[first - 1] if first else ""
        inner = end - 1 if end in escaped else end
        for name, bracket in brackets.items():
            if bracket.opening == text[start] and bracket.closing == text[end]:
                if bracket.accepts(text, start + 1, inner, before):
                    return name
        return None

    warnings = [(at, f'"{text[at]}" is never closed') for at in sorted(unclosed)[:MAX_WARNINGS]]
    marks: list[Mark] = []
    begin = dict(pairs)
    stack: list[tuple[int, str]] = []
    active: Counter[str] = Counter()  # what a backslash makes literal in the pairs around

    would: dict[int, list[tuple[int, int]]] | None = None  # pairs that an escaped bracket would be part of
    deep = False
    for at in found:
        while stack and stack[-1][0] < at:
            _leave(stack, active, brackets)
        if at in escaped:
            acts = active[text[at]] > 0
            if not acts:
                if would is None:
                    would = _by_escaped(_if_not_escaped(places, escaped, pairs, text, closers), escaped)
                acts = any(kind(*pair) is not None for pair in would.get(at, ()))
            if acts:
                marks.append(Mark("escape", at - 1, at + 1))
        elif at in begin:
            full = len(stack) >= MAX_DEPTH
            if full and deep:
                continue
            end = begin[at]
            name = kind(at, end)
            if name is None:
                continue
            if full:
                warnings.append((at, f"brackets are nested more than {MAX_DEPTH} deep"))
                deep = True
                continue
            bracket = brackets[name]
            stack.append((end, name))
            active.update(bracket.opening + bracket.closing + bracket.inside)
            marks += [Mark("opening", at, at + 1, name), Mark("closing", end, end + 1, name)]
    return marks, sorted(warnings)


def _by_escaped(pairs: Sequence[tuple[int, int]], escaped: set[int]) -> dict[int, list[tuple[int, int]]]:
    """The pairs of each escaped bracket."""
    found: dict[int, list[tuple[int, int]]] = {}
    for pair in pairs:
        for at in pair:
            if at in escaped:
                found.setdefault(at, []).append(pair)
    return found


def _not_taken(found: list[int], text: str, taken: Sequence[tuple[int, int]]) -> tuple[list[int], set[int]]:
    """Of these places those that are in no pattern, and which of them have a backslash before them that is in
    none either."""
    if not taken:
        return found, {at for at in found if at and text[at - 1] == "\\"} if "\\" in text else set()
    starts = [start for start, _ in taken]

    def is_taken(at: int) -> bool:
        i = bisect_right(starts, at) - 1
        return i >= 0 and at < taken[i][1]

    found = [at for at in found if not is_taken(at)]
    return found, {at for at in found if at and text[at - 1] == "\\" and not is_taken(at - 1)}


def _if_not_escaped(
    places: Sequence[int],
    escaped: set[int],
    pairs: Sequence[tuple[int, int]],
    text: str,
    closers: Mapping[str, str],
) -> list[tuple[int, int]]:
    """The pairs that escaped brackets would be part of: if no bracket were escaped, or only this one not.
    pairs: those of the brackets that are not escaped."""
    if not escaped:
        return []
    found = [pair for pair in _pairs(places, text, closers)[0] if pair[0] in escaped or pair[1] in escaped]
    partner = {end: start for start, end in pairs} | dict(pairs)
    for backwards in (False, True):
        waiting: dict[str, list[int]] = {opening: [] for opening in closers.values()}
        for at in reversed(places) if backwards else places:
            opens = text[at] in waiting
            mine = waiting[text[at] if opens else closers[text[at]]]
            if opens != backwards:  # one that a later place may belong to
                if at not in escaped:
                    mine.append(at)
            elif at in escaped:
                if mine:
                    found.append((at, mine[-1]) if backwards else (mine[-1], at))
            elif at in partner:
                for kind in waiting.values():  # what lies within the pair belongs to nothing outside
                    while kind and (kind[-1] <= partner[at] if backwards else kind[-1] >= partner[at]):
                        kind.pop()
    return found


def _leave(stack: list[tuple[int, str]], active: Counter[str], brackets: Mapping[str, Bracket]) -> None:
    bracket = brackets[stack.pop()[1]]
    active.subtract(bracket.opening + bracket.closing + bracket.inside)


def _pairs(
    places: Iterable[int], text: str, closers: Mapping[str, str]
) -> tuple[list[tuple[int, int]], list[int]]:
    """Brackets that belong together, and opening ones without an end. A closing one takes the nearest opening
    one of its kind; what was opened in between is not closed."""
    pairs: list[tuple[int, int]] = []
    unclosed: list[int] = []
    stack: list[int] = []
    if len(closers) == 1:
        (opening,) = closers.values()
        for at in places:
            if text[at] == opening:
                stack.append(at)
            elif stack:
                pairs.append((stack.pop(), at))
        return pairs, stack
    waiting = dict.fromkeys(closers.values(), 0)  # how many of each kind are in the stack
    for at in places:
        character = text[at]
        wanted = closers.get(character)
        if wanted is None:
            stack.append(at)
            waiting[character] += 1
        elif waiting[wanted]:
            while True:
                start = stack.pop()
                waiting[text[start]] -= 1
                if text[start] == wanted:
                    break
                unclosed.append(start)
            pairs.append((start, at))
    return pairs, unclosed + stack


def _outermost(text: str, brackets: str) -> Iterator[tuple[int, int]]:
    """The parts of the text within a pair of these brackets ("()[]"), the pair itself included."""
    if not brackets:
        return
    closers = dict(zip(brackets[1::2], brackets[::2], strict=True))
    found = re.finditer(rf"(?<!\\)[{re.escape(brackets)}]", text)
    pairs, _ = _pairs((match.start() for match in found), text, closers)
    last = 0
    for start, end in sorted(pairs):
        if start >= last:
            yield start, end + 1
            last = end + 1


def _hide(text: str, parts: Iterable[tuple[int, int]]) -> str:
    """The text with these parts, in order, made HIDDEN."""
    shown, last = [], 0
    for start, end in parts:
        shown += [text[last:start], HIDDEN * (end - start)]
        last = end
    return "".join(shown) + text[last:] if shown else text
