"""Classifier-free guidance: two canvases in one forward pass, the answer pushed away from the negative
prompt (or from no prompt) and towards the prompt."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from webui import Extension, Options, Prompt, Row, field

if TYPE_CHECKING:
    from torch import Tensor

    from webui import Canvas, Link

NEAR = 1e-6  # equal shares of an answer may differ by rounding


class Guidance(Extension):
    """How strongly the prompt guides the text, and what the text should move away from.

    base + scale * (logits - base), as in Ho and Salimans 2022 and Nie et al. 2025 (whose w is scale - 1). The
    base is the negative prompt if there is one, else the empty branch: the prompt's content masked, the
    template's frame kept.
    """

    title = "Guidance"
    about = "base + scale x (prompt - base); the base is the negative prompt, or the prompt masked."
    order = 10
    replaces = MappingProxyType({"negative_prompt": MappingProxyType({"text": "negative_prompt"})})

    class Options(Options):
        negative_prompt: str = field(
            "",
            label="Negative prompt",
            help="What the text should move away from. Acts with a guidance scale above 1.",
            place="prompt",
            widget="lines",
            max_length=100_000,
        )
        scale: float | None = field(
            None,
            ge=0,
            le=20,
            step=0.1,
            label="Guidance scale",
            place="parameters",
            help="How strongly the prompt is followed: 1 is off and twice as fast, 1.5 to 4 is usual.",
        )
        start: float = field(
            0.0,
            ge=0,
            le=1,
            step=0.05,
            label="Guidance from",
            help="Share of the answer that is committed when guidance begins.",
        )
        end: float = field(
            1.0,
            ge=0,
            le=1,
            step=0.05,
            label="Guidance until",
            help="Share of the answer that is committed when guidance ends.",
        )

    @classmethod
    def prompt(cls, row: Row) -> Row:
        options = cls.options(row)
        if not options.negative_prompt:
            return row
        if cls.neutral(row):
            return row.note("The negative prompt does nothing at guidance scale 1; raise the scale.")
        return row.with_prompt("negative", Prompt.of(options.negative_prompt))

    @classmethod
    def neutral(cls, row: Row) -> bool:
        return cls.options(row).scale in (None, 1.0)

    def canvas(self, canvas: Canvas, model: Link) -> Canvas:
        self._template = model.template("negative")
        return canvas

    def denoise(self, canvas: Canvas, model: Link) -> Tensor:
        """base + scale * (logits - base) for the rows that guidance acts on now; the host knows which."""
        import torch

        counts = canvas.counts
        on = [self._acts(count.row, 1 - count.masked / max(count.length, 1)) for count in counts]
        if not any(on):
            return model(canvas)
        branch = canvas.take(on)
        logits, base = model(canvas, branch.with_prompt(self._template, "negative"))
        parts = logits.split([count.active for count in counts])
        prompted = torch.cat([part for part, acts in zip(parts, on, strict=True) if acts])
        guided = base + self.column("scale", branch, 1.0) * (prompted - base)
        rows = iter(guided.split([count.active for count, acts in zip(counts, on, strict=True) if acts]))
        return torch.cat([next(rows) if acts else part for part, acts in zip(parts, on, strict=True)])

    def _acts(self, number: int, progress: float) -> bool:
        """Whether row `number` of the batch is guided when this share of its answer is committed."""
        row = self.rows[number]
        if row is None:
            return False
        options = self.options(row)
        return options.start - NEAR <= progress <= options.end + NEAR
