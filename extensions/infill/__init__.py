"""Infill: a text with gaps, filled in place; what is given stays byte for byte."""

from __future__ import annotations

from typing import TYPE_CHECKING

from webui import Draft, Extension, Found, Gap, Options, Piece, Prompt, Row, field, scan

if TYPE_CHECKING:
    from torch import Tensor

    from webui import Canvas, Link

GAPS = {"blank": r"_{4,}", "passage": r"\[\[(?:\.\.\.|…|(\d{1,4}))\]\]"}
PER_TOKEN = 4  # underscores


class Infill(Extension):
    """____ is a word to fill in (one token for each four underscores), [[...]] a passage, [[20]] one of 20 tokens."""

    title = "Infill"
    order = 0

    class Options(Options):
        about: str = field(
            "", label="What it is about", help="A prompt for the text with gaps; may stay empty.", max_length=100_000
        )
        passage: int = field(12, ge=1, le=4096, label="Passage length", help="Tokens of a [[...]] without a number.")

    @classmethod
    def prompt(cls, row: Row) -> Row:
        text = row.prompts["main"].text
        found = scan(text, GAPS) if row.request.syntax != "off" else []
        if not any(isinstance(part, Found) for part in found):
            return row.with_prompt("main", Prompt.of(found[0].text)) if found and found[0].text != text else row
        options = cls.options(row)
        draft = Draft(tuple(cls._parts(found, options.passage)))
        return row.replace(draft=draft).with_prompt("main", Prompt.of(options.about))

    @classmethod
    def neutral(cls, row: Row) -> bool:
        return row.draft is None

    @staticmethod
    def _parts(found: list, passage: int) -> list[Piece | Gap]:
        """Given pieces and gaps. A blank before a gap is given, but tokens bring their blank along: it becomes the gap's lead."""
        parts: list[Piece | Gap] = []
        for part in found:
            if not isinstance(part, Found):
                parts.append(Piece(part.text, (part.start, part.end)))
                continue
            tokens = (part.end - part.start) // PER_TOKEN if part.name == "blank" else int(part.groups[0] or passage)
            if tokens < 1:
                raise ValueError("a gap needs at least one token; [[0]] has none.")
            lead = ""
            if parts and isinstance(parts[-1], Piece) and parts[-1].text.endswith(" "):
                lead, given = " ", parts.pop()
                if given.text != " ":
                    parts.append(Piece(given.text[:-1], given.span))
            parts.append(Gap(tokens, lead))
        return parts

    def canvas(self, canvas: Canvas, model: Link) -> Canvas:
        import torch

        self._empty = torch.tensor([not word for word in model.words()], device=model.device)
        self._unled = torch.tensor([not word.startswith(" ") for word in model.words()], device=model.device)
        width = max(len(model.answer(row)) for row in range(len(self.rows)))
        self._first = torch.zeros(len(self.rows), width, dtype=torch.bool, device=model.device)
        for number, row in enumerate(self.rows):
            if row is not None:
                self._first[number, self._led(row, model.answer(number), model.mask)] = True
        return canvas

    @staticmethod
    def _led(row: Row, answer: tuple[int, ...], mask: int) -> list[int]:
        """Positions whose token must bring a blank along: the first of each gap that has a lead."""
        starts = [i for i, token in enumerate(answer) if token == mask and (i == 0 or answer[i - 1] != mask)]
        gaps, previous = [], None
        for part in row.draft.parts:
            if isinstance(part, Gap) and not isinstance(previous, Gap):
                gaps.append(part)
            previous = part
        return [start for start, gap in zip(starts, gaps, strict=True) if gap.lead]

    def ban(self, canvas: Canvas, model: Link) -> Tensor | None:
        """In gaps: no token without a text (end-of-text among them); after a blank, none that would grow the word before."""
        rows, columns = canvas.at
        row = canvas.row[rows]
        import torch

        filling = torch.tensor([r is not None for r in self.rows], device=rows.device)[row]
        first = self._first[row, columns - canvas.answer[rows]]
        return (filling[:, None] & self._empty) | (first[:, None] & self._unled)
