"""Schedules in a prompt as text: what they are made of, and the texts that a prompt has in turn. No torch."""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from webui import Bracket, Construct, Piece, Prompt, Syntax

WHEN = re.compile(r":[ \t]*(\d{1,9}\.\d{0,9}|\.\d{1,9}|\d{1,9})[ \t]*\Z")
# what looks like a time and is none
LIKE = r":[ \t]*(?i:-(?:\d+\.?\d*|\.\d+)|[+-]?(?:[\d.]+e[+-]?\d+|nan|inf(?:inity)?))[ \t]*"
NEARLY, ENDS = re.compile(rf"{LIKE}\Z"), re.compile(rf"{LIKE}\]")
BEGUN = re.compile(
    r"\[[^\[\]\n]{0,200}[^\W\d_][^\[\]\n:]{0,200}:[ \t]*\d*\.\d+(?=[\s,]|\Z)"
)  # without its end
LETTER = re.compile(r"[^\W\d_]")
LOOK = 1000  # characters of a pair of brackets that are looked at to find out whether it acts
LONGEST = 24  # characters of a `when` with its colon
MOST = 64  # different texts of one prompt
MOST_GROUPS = 256  # of one prompt
MOST_TIMES = 4096  # times at which something may change
NEAR = 1e-6  # equal shares of an answer may differ by rounding
OPENS = {")": "(", "}": "{", "]": "["}


def _scheduled(text: str, start: int, end: int, before: str) -> bool:
    """Whether text[start:end] ends in `:when`, a colon before it or not."""
    return WHEN.search(text[max(start, end - LONGEST) : end]) is not None


def _is_plain(text: str, start: int, end: int, before: str) -> bool:
    """The same in the mode safe: `when` has a decimal point, and there is a letter before it."""
    found = WHEN.search(text[max(start, end - LONGEST) : end])
    if found is None or "." not in found[1]:
        return False
    stop = max(start, end - LONGEST) + found.start()
    near = text[start : min(stop, start + LOOK)] + text[max(start, stop - LOOK) : stop]
    return LETTER.search(near) is not None


def _alternates(text: str, start: int, end: int, before: str) -> bool:
    return text.find("|", start, min(end, start + LOOK)) >= 0


def _is_refused(text: str, start: int, end: int, before: str) -> bool:
    """Whether it would be a schedule if its time were a number of at least 0: [a:b:-0.5], [a:b:nan]."""
    found = NEARLY.search(text[max(start, end - LONGEST) : end])
    return found is not None and LETTER.search(text, start, min(end, start + LOOK)) is not None


REFUSED = Syntax(brackets={"refused": Bracket("[", "]", inside=":", accepts=_is_refused)})
SYNTAX = Syntax(
    brackets={
        "schedule": Bracket("[", "]", inside=":", accepts=_is_plain),
        "any schedule": Bracket("[", "]", inside=":", accepts=_scheduled),
        "alternation": Bracket("[", "]", inside="|", accepts=_alternates),
    },
    full=frozenset({"any schedule", "alternation"}),
)


@dataclass(frozen=True)
class Change:
    """`before` up to a time, `after` from then on. `when`: a float is a share of the answer, an int a number
    of model calls."""

    before: tuple[Part, ...]
    after: tuple[Part, ...]
    when: float | int


@dataclass(frozen=True)
class Turns:
    """One of the options at each model call, in turn."""

    options: tuple[tuple[Part, ...], ...]


Part = Piece | Change | Turns


@dataclass(frozen=True)
class Timeline:
    """The texts of one prompt in time.

    shares  ascending, from 0: where a share of the answer changes the text
    calls   ascending, from 0: where a number of model calls does
    turns   after so many calls alternations begin anew
    texts   number of the text for each (share, call, turn), as places in these
    """

    shares: tuple[float, ...]
    calls: tuple[int, ...]
    turns: int
    texts: tuple[int, ...]

    def text(self, progress: float, call: int) -> int:
        """Number of the text when this share of the answer is committed, after so many model calls."""
        share = bisect_right(self.shares, progress + NEAR) - 1
        before = bisect_right(self.calls, call) - 1
        return self.texts[(share * len(self.calls) + before) * self.turns + call % self.turns]


def read(parts: Sequence[Piece | Construct]) -> tuple[Part, ...]:
    """What a prompt that was scanned for SYNTAX is made of; what does not fit the form is text again.
    ValueError if it has more than MOST_GROUPS constructs."""
    if sum(isinstance(part, Construct) for part in parts) > MOST_GROUPS:
        raise ValueError(f"the prompt has more than {MOST_GROUPS} schedules; use fewer.")
    return tuple(_read(parts))


def acts(found: Construct) -> bool:
    """Whether a construct has the form of a schedule or of an alternation."""
    return len(_split(found.parts, "|")) > 1 if found.name == "alternation" else _fields(found) is not None


def times(parts: Sequence[Part]) -> tuple[Timeline, tuple[Prompt, ...]]:
    """When the prompt changes, and its different texts, the first one first. ValueError if they are too
    many."""
    shares, calls, periods = {0.0}, {0}, {1}
    for number, node in enumerate(_nodes(parts)):
        if number >= MOST_GROUPS:
            raise ValueError(f"the prompt has more than {MOST_GROUPS} schedules; use fewer.")
        if isinstance(node, Turns):
            periods.add(len(node.options))
        elif isinstance(node.when, float):
            shares.add(node.when)
        else:
            calls.add(node.when)
    turns = math.lcm(*periods)
    if len(shares) * len(calls) * turns > MOST_TIMES:
        raise ValueError(
            f"the schedule changes the prompt at more than {MOST_TIMES} times; use fewer groups."
        )
    known: dict[tuple[Piece, ...], int] = {}
    texts: list[int] = []
    for share in sorted(shares):
        for call in sorted(calls):
            for turn in range(turns):
                text = tuple(_at(parts, share, call, turn))
                texts.append(known.setdefault(text, len(known)))
                if len(known) > MOST:
                    raise ValueError(
                        f"the schedule gives the prompt more than {MOST} different texts; use fewer groups."
                    )
    timeline = Timeline(tuple(sorted(shares)), tuple(sorted(calls)), turns, tuple(texts))
    return timeline, tuple(Prompt(text) for text in known)


def _read(parts: Sequence[Piece | Construct]) -> Iterator[Part]:
    for part in parts:
        if isinstance(part, Piece):
            yield part
        else:
            node = _node(part)
            yield from node if isinstance(node, list) else [node]


def _node(found: Construct) -> Change | Turns | list[Part]:
    """What a pair of brackets is; a list if it is text, with what acts within it."""
    if found.name == "alternation":
        options = _split(found.parts, "|")
        if len(options) > 1:
            return Turns(tuple(tuple(_read(option)) for option in options))
    elif fields := _fields(found):
        number = "".join(part.text for part in fields[-1] if isinstance(part, Piece)).strip()
        when = float(number) if "." in number else int(number)
        before = fields[0] if len(fields) == 3 else ()
        return Change(tuple(_read(before)), tuple(_read(fields[-2])), when)
    if all(isinstance(part, Piece) for part in found.parts):
        return list(found.pieces)
    whole = Prompt(found.pieces)
    return [*whole.cut(0, 1), *_read(found.parts), *whole.cut(len(whole.text) - 1, len(whole.text))]


def _fields(found: Construct) -> list[list[Piece | Construct]] | None:
    """What stands between the colons of a schedule: from, to and when, or to and when. None if it is none."""
    fields = _split(found.parts, ":")
    plain = all(isinstance(part, Piece) for part in fields[-1])
    return fields if len(fields) in (2, 3) and plain else None


def _split(parts: Sequence[Piece | Construct], mark: str) -> list[list[Piece | Construct]]:
    """The parts between the marks. Marks within a pair of brackets, and escaped ones, separate nothing."""
    text = "".join(
        part.text if isinstance(part, Piece) and not part.locked else "\0" * _length(part) for part in parts
    )
    found = _outside(text, mark)
    split: list[list[Piece | Construct]] = [[]]
    at = 0
    for part in parts:
        end = at + _length(part)
        if isinstance(part, Construct):
            split[-1].append(part)
        else:
            one, begin = Prompt((part,)), at
            while found and found[0] < end:
                split[-1] += one.cut(begin - at, found[0] - at)
                split.append([])
                begin = found.pop(0) + 1
            split[-1] += one.cut(begin - at, end - at)
        at = end
    return split


def _length(part: Piece | Construct) -> int:
    return len(part.text) if isinstance(part, Piece) else 1


def _outside(text: str, mark: str) -> list[int]:
    """Places of the mark outside every pair of brackets in the text."""
    waiting: list[tuple[str, int]] = []  # opening brackets, and how many marks there were before
    found: list[int] = []
    for match in re.finditer(rf"[(\[{{)\]}}{mark}]", text):
        character = match[0]
        if character == mark:
            found.append(match.start())
        elif (opening := OPENS.get(character)) is None:
            waiting.append((character, len(found)))
        elif waiting and waiting[-1][0] == opening:
            del found[waiting.pop()[1] :]
    return found


def _nodes(parts: Sequence[Part]) -> Iterator[Change | Turns]:
    for part in parts:
        if isinstance(part, Piece):
            continue
        yield part
        for inner in (part.before, part.after) if isinstance(part, Change) else part.options:
            yield from _nodes(inner)


def _at(parts: Sequence[Part], share: float, call: int, turn: int) -> Iterator[Piece]:
    """The pieces of the text at one time."""
    for part in parts:
        if isinstance(part, Piece):
            yield part
        elif isinstance(part, Turns):
            yield from _at(part.options[turn % len(part.options)], share, call, turn)
        else:
            now = share if isinstance(part.when, float) else call
            yield from _at(part.after if now >= part.when else part.before, share, call, turn)
