"""Infill: a text with gaps, filled in place; what is given stays byte for byte."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from webui import (
    Completion,
    Construct,
    Draft,
    Extension,
    Gap,
    Options,
    Piece,
    Prompt,
    Row,
    Syntax,
    Typed,
    Underline,
    field,
)

if TYPE_CHECKING:
    from torch import Tensor

    from webui import Canvas, Link

NAME = r"(?:([A-Za-z_]\w{0,40}):)?"
SYNTAX = Syntax(
    patterns={
        "blank": r"(?<!\w)_{4,}(?!\w)",
        "passage": rf"\[\[{NAME}(?:\.\.\.|…)(\d+)?\]\]",
        "blank in a word": r"_{4,}",
        "counted": rf"\[\[{NAME}(\d+)\]\]",
    },
    full=frozenset({"blank in a word", "counted"}),
)
OPENINGS = re.compile(r"(?<!\\)\[\[(?:\.{0,3}\d{0,4})\Z")  # what begins a passage, up to the cursor
PASSAGES = ("[[...]]", "[[...20]]", "[[...60]]")
PER_TOKEN = 4  # underscores
MOST = 9999  # tokens of a gap
DIGITS = 100  # of a number that are looked at: leading zeros, and more than enough
SHOWN = 40  # characters of a gap in a sentence
# what is asked of a token in a gap: it has a text; is a word, at most with a blank before it; brings the
# blank before the gap along; leaves the one behind the gap; brings the blank along or is one, since a gap
# with a name may have to begin with what no token has together with its blank, such as a digit
TEXT, WORD, LED, CLOSED, LED_APART = range(5)
RULES = (r"(?s).", r"(?s)\A ?\S(.*\S)?\Z", r"\A \S", r"(?s)[^ ]\Z", r"\A (\S|\Z)")


@dataclass(frozen=True)
class Blank(Gap):
    """A ____: words."""


@dataclass(frozen=True)
class Stretch(Gap):
    """A [[...]]: text of any kind."""


class Infill(Extension):
    """____ is a word to fill in (one token for each four underscores), [[...]] a passage, [[...20]] one of 20
    tokens."""

    title = "Infill"
    order = 0
    explanations = MappingProxyType(
        {
            "blank": "A gap of {tokens} tokens: a word is written here, the text around it stays.",
            "passage": "A passage of {tokens} tokens is written here, the text around it stays.",
            "long": f"Column {{column}}: {{text}} is a gap of more than {MOST} tokens. For the text itself "
            "write \\{text}.",
            "empty": "Column {column}: {text} is a gap of no tokens. For the text itself write \\{text}.",
        }
    )

    class Options(Options):
        about: str = field(
            "",
            label="What it is about",
            help="A prompt for the text with gaps; may stay empty.",
            max_length=100_000,
        )
        passage: int = field(
            12, ge=1, le=4096, label="Passage length", help="Tokens of a [[...]] without a number."
        )

    @classmethod
    def prompt(cls, row: Row) -> Row:
        scan = row.prompts["main"].scan(SYNTAX, row.request.syntax)
        if not scan.acts:
            return row.with_prompt("main", Prompt(scan.literal))
        if row.draft is not None:
            raise ValueError(
                f"the answer already starts from a text of {row.source}, so the prompt can have no gaps."
            )
        options = cls.options(row)
        for part in scan.parts:
            if not isinstance(part, Construct):
                continue
            text = "".join(piece.text for piece in part.pieces)
            if refused := _refused(_tokens(part, text, options.passage)):
                values = {"column": part.span[0] + 1 if part.span else 1, "text": _short(text)}
                explanation = cls.explanations[refused].format_map(values)
                raise ValueError(explanation[:1].lower() + explanation[1:])
        draft = Draft(tuple(cls._parts(scan.parts, options.passage)))
        first = next(part for part in scan.parts if isinstance(part, Construct))
        text = _short("".join(piece.text for piece in first.pieces))
        gaps = f"{len(draft.gaps)} gaps, the first" if len(draft.gaps) > 1 else "a gap"
        row = row.note(
            f"Infill took the prompt as a text with {gaps} at {_where(first)}. "
            f"For {text} itself write \\{text}, or set the prompt syntax to off."
        )
        return row.replace(draft=draft).with_prompt("main", Prompt.of(options.about))

    @classmethod
    def marks(cls, typed: Typed) -> Iterator[Underline]:
        if not typed.main:
            return
        for part in typed.scan(SYNTAX).parts:
            if isinstance(part, Construct) and part.span is not None:
                text = typed.text[slice(*part.span)]
                tokens = _tokens(part, text, cls.options(typed.request).passage)
                if refused := _refused(tokens):
                    values = {"column": part.span[0] + 1, "text": _short(text)}
                    yield Underline(*part.span, refused, "refused", values)
                else:
                    yield Underline(
                        *part.span, "passage" if part.groups else "blank", values={"tokens": tokens}
                    )

    @classmethod
    def complete(cls, typed: Typed, cursor: int) -> Iterator[Completion]:
        begun = OPENINGS.search(typed.text, max(0, cursor - 12), cursor)
        if begun is None or not typed.main or typed.mode == "off":
            return
        end = cursor + 2 if typed.text.startswith("]]", cursor) else cursor
        for passage in PASSAGES:
            if passage.startswith(begun[0]):
                yield Completion(begun.start(), end, passage, "infill")

    @classmethod
    def neutral(cls, row: Row) -> bool:
        return row.draft is None or not any(isinstance(part, Blank | Stretch) for part in row.draft.parts)

    @staticmethod
    def _parts(parts: Sequence[Piece | Construct], passage: int) -> list[Piece | Gap]:
        """Given pieces and gaps. A blank before a gap is given, but tokens bring their blank along: it is the
        gap's lead."""
        found: list[Piece | Gap] = []
        given: list[Piece] = []
        for part in parts:
            if isinstance(part, Piece):
                given.append(part)
                continue
            text = "".join(piece.text for piece in given)
            lead = " " * text.endswith(" ")
            found += _given(given, len(text) - len(lead))
            found.append(_gap(part, passage, lead))
            given = []
        return [*found, *_given(given, None)]

    def canvas(self, canvas: Canvas, model: Link) -> Canvas:
        import torch

        self._barred = ~torch.tensor(_allowed(model.words()), device=model.device)
        width = max(len(model.answer(row)) for row in range(len(self.rows)))
        ruled = [
            (number, position, rule)
            for number, row in enumerate(self.rows)
            if row is not None
            for position, rule in self._ruled(row, model.spans(number))
        ]
        self._rules = torch.zeros(len(self.rows), width, len(RULES), device=model.device)
        self._rules[torch.tensor(ruled, device=model.device).unbind(1)] = 1
        resizes = [row is not None and row.request.sampler == "dreamon" for row in self.rows]
        self._resizes = torch.tensor(resizes, device=model.device)
        return canvas

    @staticmethod
    def _ruled(row: Row, spans: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
        """(position, rule) of everything that is asked of the tokens in the row's gaps, which lie at
        `spans`."""
        assert row.draft is not None
        places = iter(spans)
        for part, after in zip(row.draft.parts, (*row.draft.parts[1:], None), strict=True):
            if not isinstance(part, Gap):
                continue
            start, end = next(places)
            if not isinstance(part, Blank | Stretch):
                continue
            yield from ((at, WORD if isinstance(part, Blank) else TEXT) for at in range(start, end))
            if part.lead:
                yield start, LED_APART if part.name else LED
            if after is not None and (after.lead if isinstance(after, Gap) else after.text.startswith(" ")):
                yield end - 1, CLOSED

    def ban(self, canvas: Canvas, model: Link) -> Tensor | None:
        """In gaps: no token without a text (as end-of-text is), and none that would double a blank or grow
        the word before; but those by which a sampler makes gaps longer and shorter."""
        rows, columns = canvas.at
        rules = self._rules[canvas.row[rows], columns - canvas.answer[rows]]
        banned = rules @ self._barred.float() > 0
        if canvas.writes_nothing:
            resizes = self._resizes[canvas.row[rows]]
            for token in (*canvas.ends, canvas.nothing):
                banned.select(1, token).masked_fill_(resizes, False)
        return banned


def _given(pieces: Sequence[Piece], end: int | None) -> tuple[Piece, ...]:
    """The pieces up to character `end` of their text, as one; none if that is nothing."""
    kept = Prompt(tuple(pieces)).cut(0, sum(len(piece.text) for piece in pieces) if end is None else end)
    if not kept:
        return ()
    first, last = kept[0].span, kept[-1].span
    span = (first[0], last[1]) if first and last else None
    return (Piece("".join(piece.text for piece in kept), span),)


def _gap(found: Construct, passage: int, lead: str) -> Gap:
    """The gap that a construct stands for."""
    text = "".join(piece.text for piece in found.pieces)
    tokens = _tokens(found, text, passage)
    if not found.groups:
        return Blank(tokens, lead)
    return Stretch(tokens, lead, found.groups[0] or "")


def _tokens(found: Construct, text: str, passage: int) -> int:
    """The tokens of the gap that a construct stands for."""
    return int((found.groups[1] or "")[:DIGITS] or passage) if found.groups else len(text) // PER_TOKEN


def _refused(tokens: int) -> str:
    """Why a gap of so many tokens is refused: a name among the extension's explanations, or ""."""
    return "empty" if tokens < 1 else "long" if tokens > MOST else ""


def _short(text: str) -> str:
    """A gap in a sentence."""
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def _where(found: Construct) -> str:
    return f"column {found.span[0] + 1}" if found.span else "in what an extension wrote"


@lru_cache(maxsize=2)
def _allowed(words: tuple[str, ...]) -> list[list[bool]]:
    """For each rule, which tokens keep it; all of them where none does."""
    allowed = [[re.search(rule, word) is not None for word in words] for rule in RULES]
    return [rule if any(rule) else [True] * len(words) for rule in allowed]
