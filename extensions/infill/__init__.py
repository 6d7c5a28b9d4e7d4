"""Infill: a text with gaps, filled in place; what is given stays byte for byte."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from webui import Draft, Extension, Found, Gap, Options, Piece, Prompt, Row, field, scan

if TYPE_CHECKING:
    from torch import Tensor

    from webui import Canvas, Link

GAPS = {"blank": r"_{4,}", "passage": r"\[\[(?:\.\.\.|…|(\d{1,4}))\]\]"}
PER_TOKEN = 4  # underscores
TEXT, WORD, LED, CLOSED = range(
    4
)  # what is asked of a token: it has a text; is a word, a blank at most before it;
RULES = (
    r"(?s).",
    r"(?s)\A ?\S(.*\S)?\Z",
    r"\A \S",
    r"(?s)[^ ]\Z",
)  # brings the blank before the gap; leaves the one after it


@dataclass(frozen=True)
class Blank(Gap):
    """A ____: words."""


class Infill(Extension):
    """____ is a word to fill in (one token for each four underscores), [[...]] a passage, [[20]] one of 20
    tokens."""

    title = "Infill"
    order = 0

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
        text = row.prompts["main"].text
        found = scan(text, GAPS) if row.request.syntax != "off" else []
        if not any(isinstance(part, Found) for part in found):
            return (
                row.with_prompt("main", Prompt.of(found[0].text)) if found and found[0].text != text else row
            )
        options = cls.options(row)
        draft = Draft(tuple(cls._parts(found, options.passage)))
        return row.replace(draft=draft).with_prompt("main", Prompt.of(options.about))

    @classmethod
    def neutral(cls, row: Row) -> bool:
        return row.draft is None

    @staticmethod
    def _parts(found: list, passage: int) -> list[Piece | Gap]:
        """Given pieces and gaps. A blank before a gap is given, but tokens bring their blank along: it
        becomes the gap's lead."""
        parts: list[Piece | Gap] = []
        for part in found:
            if not isinstance(part, Found):
                parts.append(Piece(part.text, (part.start, part.end)))
                continue
            is_blank = part.name == "blank"
            tokens = (part.end - part.start) // PER_TOKEN if is_blank else int(part.groups[0] or passage)
            if tokens < 1:
                raise ValueError("a gap needs at least one token; [[0]] has none.")
            lead = ""
            if parts and isinstance(parts[-1], Piece) and parts[-1].text.endswith(" "):
                lead, given = " ", parts.pop()
                if given.text != " ":
                    parts.append(Piece(given.text[:-1], given.span))
            parts.append((Blank if is_blank else Gap)(tokens, lead))
        return parts

    def canvas(self, canvas: Canvas, model: Link) -> Canvas:
        import torch

        words = model.words()
        allowed = [[re.search(rule, word) is not None for word in words] for rule in RULES]
        allowed = [
            rule if any(rule) else [True] * len(words) for rule in allowed
        ]  # no token has its blank: nothing to ask
        self._barred = ~torch.tensor(allowed, device=model.device)
        width = max(len(model.answer(row)) for row in range(len(self.rows)))
        self._rules = torch.zeros(len(self.rows), width, len(RULES), device=model.device)
        for number, row in enumerate(self.rows):
            for position, rule in (
                self._ruled(row, model.answer(number), model.mask) if row is not None else ()
            ):
                self._rules[number, position, rule] = 1
        return canvas

    @staticmethod
    def _ruled(row: Row, answer: tuple[int, ...], mask: int) -> Iterator[tuple[int, int]]:
        """(position, rule) of everything that is asked of the tokens in the row's gaps."""
        starts = (i for i, token in enumerate(answer) if token == mask and (i == 0 or answer[i - 1] != mask))
        at, previous = 0, None
        for part, after in zip(row.draft.parts, (*row.draft.parts[1:], None), strict=True):
            if isinstance(part, Gap):
                at = (
                    at if isinstance(previous, Gap) else next(starts)
                )  # neighbouring gaps are one run of masks
                yield from ((at + i, WORD if isinstance(part, Blank) else TEXT) for i in range(part.tokens))
                if part.lead:
                    yield at, LED
                if after is not None and (
                    after.lead if isinstance(after, Gap) else after.text.startswith(" ")
                ):
                    yield at + part.tokens - 1, CLOSED
                at += part.tokens
            previous = part

    def ban(self, canvas: Canvas, model: Link) -> Tensor | None:
        """In gaps: no token without a text (as end-of-text is), and none that would double a blank or grow
        the word before."""
        rows, columns = canvas.at
        rules = self._rules[canvas.row[rows], columns - canvas.answer[rows]]
        return rules @ self._barred.float() > 0
