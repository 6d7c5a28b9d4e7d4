"""Prompts and drafts: pieces of text, and gaps the model fills."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from webui.core.syntax import Mode, Syntax, find

MAX_GAP = 32768  # tokens


@dataclass(frozen=True)
class Piece:
    """Literal text that reaches the model byte for byte.

    span    where it stood in what the user typed, if it did
    weight  its emphasis: 1 is none
    locked  nothing in it acts: it was escaped, or generated
    """

    text: str
    span: tuple[int, int] | None = None
    weight: float = 1.0
    locked: bool = False


@dataclass(frozen=True)
class Gap:
    """A run of `tokens` positions that start as mask tokens and are denoised.

    tokens  None, in one gap of a draft: what the given text leaves of the request's length
    lead    given text (a blank) that tokenizers write at the start of a word: it belongs to the given text,
            and the filling's first token may bring it along
    name    what the user calls it, for constraints
    """

    tokens: int | None
    lead: str = ""
    name: str = ""

    def __post_init__(self):
        if self.tokens is None:
            return
        if self.tokens < 1:
            raise ValueError("A gap needs at least one token.")
        if self.tokens > MAX_GAP:
            raise ValueError(f"A gap has at most {MAX_GAP} tokens.")


@dataclass(frozen=True)
class Construct:
    """What acts in a prompt: a pattern with its groups, or a pair of brackets with the parts between them.

    span    where it stood in what the user typed; None if what an extension put there is part of it
    pieces  what it was made of, as it stood there: an extension that does not take it puts these back
    """

    name: str
    span: tuple[int, int] | None
    groups: tuple[str | None, ...] = ()
    parts: tuple[Piece | Construct, ...] = ()
    pieces: tuple[Piece, ...] = ()


@dataclass(frozen=True)
class Scan:
    """A prompt taken apart: literal pieces and constructs in order, and sentences about what does not act.

    literals  (place in what the user typed, reason) of the same
    """

    parts: tuple[Piece | Construct, ...]
    warnings: tuple[str, ...] = ()
    literals: tuple[tuple[int, str], ...] = ()

    @property
    def acts(self) -> bool:
        """Whether there is any construct."""
        return any(isinstance(part, Construct) for part in self.parts)

    @property
    def literal(self) -> tuple[Piece, ...]:
        """The pieces that are no construct."""
        return tuple(part for part in self.parts if isinstance(part, Piece))


@dataclass(frozen=True)
class Prompt:
    """A text that conditions the model: pieces in order. `text` is what the tokenizer sees."""

    pieces: tuple[Piece, ...] = ()

    @classmethod
    def of(cls, text: str) -> Prompt:
        """The prompt that is one literal piece."""
        return cls((Piece(text, (0, len(text))),) if text else ())

    @cached_property
    def text(self) -> str:
        return "".join(piece.text for piece in self.pieces)

    @cached_property
    def weighted(self) -> bool:
        """Whether any piece has a weight other than 1."""
        return any(piece.weight != 1 for piece in self.pieces if piece.text)

    def weight_at(self, place: int) -> float:
        """The weight of text[place]; 1 for a negative place."""
        if place < 0 or not self.pieces:
            return 1.0
        return self.pieces[bisect_right(self._starts, place) - 1].weight

    @cached_property
    def _starts(self) -> tuple[int, ...]:
        """Where each piece starts in `text`."""
        return (0, *accumulate(len(piece.text) for piece in self.pieces))[:-1]

    def cut(self, start: int, end: int, locked: bool = False) -> tuple[Piece, ...]:
        """The pieces of text[start:end], each with its part of the span; all of them locked if `locked`."""
        if len(self.pieces) == 1 and 0 <= start < end <= len(self.pieces[0].text):
            return (_part(self.pieces[0], start, end, locked),)  # nearly always, once a mark
        found: list[Piece] = []
        i = max(0, bisect_right(self._starts, start) - 1)
        while i < len(self.pieces) and self._starts[i] < end:
            piece, first = self.pieces[i], self._starts[i]
            a, b = max(start - first, 0), min(end - first, len(piece.text))
            if a < b:
                found.append(_part(piece, a, b, locked))
            i += 1
        return tuple(found)

    def scan(self, syntax: Syntax, mode: Mode = "full") -> Scan:
        """The prompt with the constructs of `syntax` taken out. Looks into unlocked pieces only and keeps
        spans, weights and locks, so that several extensions can take theirs in turn; constructs may reach
        over pieces. What was escaped comes back without its backslash, locked."""
        locked = [
            (start, start + len(piece.text))
            for start, piece in zip(self._starts, self.pieces, strict=True)
            if piece.locked
        ]
        marks, warnings = find(self.text, syntax, mode, locked)
        parts: list[Piece | Construct] = []
        around: list[tuple[int, list[Piece | Construct]]] = []  # start and parts so far of the pairs around
        at = 0
        for mark in marks:
            if at < mark.start:
                parts += self.cut(at, mark.start)
            at = mark.end
            if mark.kind == "escape":
                parts += self.cut(mark.start + 1, mark.end, locked=True)
            elif mark.kind == "opening":
                around.append((mark.start, parts))
                parts = []
            else:
                start, inner = mark.start, ()
                if mark.kind == "closing":
                    start, outer = around.pop()
                    inner, parts = tuple(parts), outer
                pieces = self.cut(start, mark.end)
                parts.append(Construct(mark.name, _span(pieces), mark.groups, inner, pieces))
        parts += self.cut(at, len(self.text))
        literals = tuple((self._place(at), reason) for at, reason in warnings)
        return Scan(tuple(parts), tuple(f"Column {at + 1}: {reason}." for at, reason in literals), literals)

    def _place(self, at: int) -> int:
        """Where text[at] stood in what the user typed."""
        (piece,) = self.cut(at, at + 1)
        return piece.span[0] if piece.span else at


def _part(piece: Piece, start: int, end: int, locked: bool) -> Piece:
    """The part [start, end) of a piece, with its part of the span."""
    span = piece.span
    if span is not None and span[1] - span[0] == len(piece.text):
        span = (span[0] + start, span[0] + end)
    return Piece(piece.text[start:end], span, piece.weight, locked or piece.locked)


def _span(pieces: Sequence[Piece]) -> tuple[int, int] | None:
    """Where pieces that follow each other stood."""
    first, last = pieces[0].span, pieces[-1].span
    return None if first is None or last is None else (first[0], last[1])


@dataclass(frozen=True)
class Passage:
    """A part of an answer that is there at the start, as text or in tokens.

    locked  given: it stays as it is; otherwise it is committed, and the sampler may remask or replace it
    """

    text: str = ""
    tokens: tuple[int, ...] = ()
    locked: bool = False

    def __post_init__(self):
        if bool(self.text) == bool(self.tokens):
            raise ValueError("A passage is either a text or tokens.")


@dataclass(frozen=True)
class Draft:
    """What an answer starts from, in order: pieces of text that stay byte for byte, passages, and gaps."""

    parts: tuple[Piece | Passage | Gap, ...]

    @property
    def gaps(self) -> tuple[Gap, ...]:
        return tuple(part for part in self.parts if isinstance(part, Gap))

    def filled(self, fillings: Sequence[str]) -> str:
        """The whole text, the k-th gap or passage replaced by `fillings[k]`."""
        fills = iter(fillings)
        texts: list[str] = []
        for part in self.parts:
            if isinstance(part, Gap):
                texts.append(part.lead + next(fills).removeprefix(part.lead))
            else:
                texts.append(next(fills) if isinstance(part, Passage) else part.text)
        return "".join(texts)
