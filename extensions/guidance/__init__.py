"""Classifier-free guidance: the answer is pushed away from the negative prompt (or from no prompt) and
towards the prompt; two canvases in one forward pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from webui import Cost, Extension, Options, Prompt, Request, Row, field

from . import adaptive

if TYPE_CHECKING:
    from torch import Tensor

    from webui import Canvas, Count, Link

    Parts = dict[int, Tensor]  # logits of rows, by their places in a canvas

NEGATIVE_SCALE = 1.5  # of a negative prompt whose scale is left alone
NEAR = 1e-6  # equal shares of an answer may differ by rounding
TINY = 1e-12  # a spread that is none


class Guidance(Extension):
    """How strongly the prompt guides the text, and what the text should move away from.

    base + scale * (logits - base), as in Ho and Salimans 2022 and Nie et al. 2025 (whose w is scale - 1). The
    base is the negative prompt if there is one, else the empty branch: the prompt's content masked, the
    template's frame kept.

    rescale   Lin et al. 2023, arXiv:2305.08891, section 3.4, for logits: the guided logits of a position keep
              their mean over the vocabulary, and their deviations from it are multiplied by
              (1 - r) + r * deviation of the prompt's logits / deviation of the guided ones.
    adaptive  A-CFG, Li et al. 2025, arXiv:2505.20199: the base also masks this share of the committed tokens
              again, those at whose places the model's confidence is lowest now, at least one. Without a
              negative prompt it keeps the prompt. What it masks is known after the prompt's own logits, so
              the base is a second forward pass.
    """

    title = "Guidance"
    about = "base + scale x (prompt - base); the base is the negative prompt, or the prompt masked."
    order = MappingProxyType({"prompt": -50, "denoise": 10})
    replaces = MappingProxyType({"negative_prompt": MappingProxyType({"text": "negative_prompt"})})

    class Options(Options):
        negative_prompt: str = field(
            "",
            label="Negative prompt",
            help="What the text should move away from. A scale that is left alone becomes 1.5; at 1 it does "
            "nothing.",
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
            help="How strongly the prompt is followed: 1 is off and twice as fast, 1.5 to 4 is usual. Left "
            "alone it is off, or 1.5 with a negative prompt.",
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
        rescale: float = field(
            0.0,
            ge=0,
            le=1,
            step=0.05,
            label="Guidance rescale",
            help="How far guided logits get back the spread of unguided ones; 0 is off, 0.7 is usual.",
        )
        adaptive: float = field(
            0.0,
            ge=0,
            le=1,
            step=0.05,
            label="Adaptive guidance",
            help="Share of the committed tokens, the least certain ones, that guidance doubts; 0 is off.",
        )

        empty: Literal["frame", "published"] = field(
            "frame",
            label="Without a negative prompt",
            help="frame masks the prompt and keeps the template around it; published masks all given text, "
            "as LLaDA does.",
        )

    @classmethod
    def prompt(cls, row: Row) -> Row:
        options = cls.options(row)
        if options.start > options.end and options.scale != 1.0:
            row = row.note(
                f"Guidance acts nowhere: it begins at {options.start:g} of the answer and ends at "
                f"{options.end:g}."
            )
        if not options.negative_prompt:
            return row
        if options.scale == 1.0:
            return row.note("The negative prompt does nothing at guidance scale 1; raise the scale.")
        return row.with_prompt("negative", Prompt.of(options.negative_prompt))

    @classmethod
    def cost(cls, request: Request) -> Cost:
        """The base is a row of its own. Styles count that of a negative prompt which they bring."""
        options = cls.options(request)
        if options.scale == 1.0 or options.scale is None and not options.negative_prompt:
            return Cost()
        return Cost(rows=1 + max(0.0, options.end - options.start))

    @classmethod
    def neutral(cls, row: Row) -> bool:
        scale = cls.options(row).scale
        return scale == 1.0 or scale is None and "negative" not in row.prompts

    def canvas(self, canvas: Canvas, model: Link) -> Canvas:
        self._template = model.template("negative")
        self._published = replace(model.template("main"), name="negative", weights=None)  # to be masked
        for name, off in (("scale", NEGATIVE_SCALE), ("rescale", 0.0), ("adaptive", 0.0)):
            self.rows_column(name, canvas, off)  # sent to the device now, not when an interval begins
        return canvas

    def denoise(self, canvas: Canvas, model: Link) -> Tensor:
        """The guided logits of the rows that guidance acts on now, the others' as they are. The host knows
        which: branches have no rows that do not count."""
        import torch

        counts = canvas.counts
        on = [self._acts(count) for count in counts]
        if not any(on):
            return model(canvas)
        own, base = self._evaluated(canvas, model, on)
        branch = canvas.take(on)
        prompted = torch.cat([own[index] for index in _places(on)])
        based = torch.cat([base[index] for index in _places(on)])
        guided = based + self.column("scale", branch, NEGATIVE_SCALE) * (prompted - based)
        if any(row is not None and self.options(row).rescale > 0 for row in self.rows):
            guided = _rescaled(guided, prompted, self.column("rescale", branch))
        guided = iter(guided.split([count.active for count in branch.counts]))
        return torch.cat([next(guided) if acts else own[index] for index, acts in enumerate(on)])

    def _acts(self, count: Count) -> bool:
        """Whether a row is guided now."""
        row = self.rows[count.row]
        if row is None:
            return False
        options = self.options(row)
        if not options.start - NEAR <= count.progress <= options.end + NEAR:
            return False
        # Without a negative prompt adaptive guidance has nothing to doubt before anything is committed.
        return not options.adaptive or "negative" in row.prompts or count.masked < count.length

    def _evaluated(self, canvas: Canvas, model: Link, on: Sequence[bool]) -> tuple[Parts, Parts]:
        """The logits of every row, and of the base of those that are `on`, by their places in the canvas."""
        import torch

        rows = [self.rows[count.row] for count in canvas.counts]
        share = [0.0 if row is None else self.options(row).adaptive for row in rows]
        doubting = [acts and one > 0 for acts, one in zip(on, share, strict=True)]
        plain = [acts and not one for acts, one in zip(on, doubting, strict=True)]
        rest = [not one for one in doubting]
        canvases: list[tuple[Canvas, list[int]]] = []
        if any(rest):
            canvases.append((canvas.take(rest) if any(doubting) else canvas, _places(rest)))
        if any(doubting):
            canvases.append((adaptive.opened(canvas.take(doubting)), _places(doubting)))
        bases = self._bases(canvas, plain)
        made = _called(model, [*canvases, *bases])
        base: Parts = {}
        for _ in bases:
            base |= made.pop()
        if not any(doubting):
            return made[0], base
        some = canvas.take(doubting)
        own = made.pop()
        whole = torch.cat([own[index] for index in _places(doubting)])
        own = dict(zip(_places(doubting), adaptive.narrowed(some, whole), strict=True))
        weak = adaptive.doubted(some, whole, self.rows_column("adaptive", some))
        named = [row is not None and "negative" in row.prompts for row in rows]
        canvases = []
        for negative in (True, False):
            mine = [named[index] == negative for index in _places(doubting)]
            if any(mine):
                part = weak.take(mine)
                part = part.with_prompt(self._template, "negative") if negative else part
                canvases.append((part, [i for i, one in zip(_places(doubting), mine, strict=True) if one]))
        for part in _called(model, canvases):
            base |= part
        for part in made:
            own |= part
        return own, base

    def _bases(self, canvas: Canvas, plain: Sequence[bool]) -> list[tuple[Canvas, list[int]]]:
        """The base of the rows of the canvas that are `plain`, with their places: the negative prompt or the
        empty branch, as the row has it."""
        rows = [self.rows[count.row] for count in canvas.counts]
        published = [
            row is not None and "negative" not in row.prompts and self.options(row).empty == "published"
            for row in rows
        ]
        bases: list[tuple[Canvas, list[int]]] = []
        for whole in (False, True):
            some = [one and other == whole for one, other in zip(plain, published, strict=True)]
            if any(some):
                branch = canvas.take(some).with_prompt(
                    self._published if whole else self._template, "negative"
                )
                bases.append((_hidden(branch) if whole else branch, _places(some)))
        return bases


def _hidden(canvas: Canvas) -> Canvas:
    """The canvas with everything given masked: un_x[prompt_index] = mask_id in LLaDA's generate."""
    hidden = canvas.tokens.masked_fill(canvas.given & ~canvas.padding, canvas.mask)
    return replace(canvas, tokens=hidden).counted(canvas.counts)


def _called(model: Link, canvases: Sequence[tuple[Canvas, list[int]]]) -> list[Parts]:
    """The logits of canvases whose rows have these places, in one forward pass."""
    first, *others = (canvas for canvas, _ in canvases)
    made = model(first, *others) if others else (model(first),)
    return [
        dict(zip(places, logits.split([count.active for count in canvas.counts]), strict=True))
        for (canvas, places), logits in zip(canvases, made, strict=True)
    ]


def _places(some: Sequence[bool]) -> list[int]:
    """Where it is true."""
    return [index for index, one in enumerate(some) if one]


def _rescaled(guided: Tensor, prompted: Tensor, share: Tensor) -> Tensor:
    """The guided logits (N, V) with their deviations from the mean brought to the spread of the prompted
    ones, to the share (N, 1). Logits that are all equal have none and stay."""
    middle = guided.mean(1, keepdim=True)
    spread = (guided - middle).square().mean(1, keepdim=True).sqrt()
    wanted = (prompted - prompted.mean(1, keepdim=True)).square().mean(1, keepdim=True).sqrt()
    ratio = (wanted / spread.clamp(min=TINY)).where(spread > TINY, 1.0)
    return guided.where(share == 0, middle + (guided - middle) * (1 + share * (ratio - 1)))
