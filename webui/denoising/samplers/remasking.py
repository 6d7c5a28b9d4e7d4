"""Remasking: which committed positions to mask again, so that the model may think better of them.

ReMDM (Wang et al. 2025, arXiv 2503.00307): in a step from alpha_t to alpha_s, the shares of the block that
are committed before and after it, every committed position is masked again with probability sigma, and every
masked one is committed with probability (alpha_s - (1 - sigma) alpha_t) / (1 - alpha_t), so that the expected
number of masked positions stays the schedule's. `ancestral` is the selection that goes with both.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from webui.canvas import Canvas, Choice
from webui.denoising import noise
from webui.denoising.samplers.plan import Plan

Remask = Callable[[Canvas, Plan, Choice], Tensor]  # canvas, plan, choice -> (B, L) bool
Sigma = Callable[[Canvas, Plan], Tensor]  # (B,) double: the probability that a committed position is masked


def rescaled(canvas: Canvas, plan: Plan) -> Tensor:
    """ReMDM-rescale: `eta` times the largest sigma there is, min(1, (1 - alpha_s) / alpha_t)."""
    return canvas.state.own["eta"].double() * _largest(plan)


def capped(canvas: Canvas, plan: Plan) -> Tensor:
    """ReMDM-cap: `eta`, or the largest sigma there is where that is less."""
    return torch.minimum(canvas.state.own["eta"].double(), _largest(plan))


def remdm(sigma: Sigma) -> Remask:
    """Masks committed positions of the current block again, each with probability `sigma`."""

    def remask(canvas: Canvas, plan: Plan, choice: Choice) -> Tensor:
        uniform = _uniform(canvas, noise.REMASK)
        committed = current_block(canvas) & ~canvas.given & ~canvas.masked
        return committed & (uniform < sigma(canvas, plan)[:, None])

    return remask


def ancestral(sigma: Sigma) -> Callable[[Canvas, Tensor, Plan], Tensor]:
    """The selection of ReMDM: each masked position by itself, whatever its confidence; all of them in a
    block's last step."""

    def select(canvas: Canvas, confidence: Tensor, plan: Plan) -> Tensor:
        before, after = _committed(plan)
        chance = (after - (1 - sigma(canvas, plan)) * before) / (1 - before).clamp(min=1e-9)
        chance = torch.where(plan.after == 0, 1.0, chance)
        rows, columns = canvas.at
        return _uniform(canvas, noise.COMMIT)[rows, columns] < chance[rows]

    return select


def current_block(canvas: Canvas) -> Tensor:
    """(B, L) bool: the columns of the block that each row is working on."""
    return canvas.block == canvas.state.block[:, None]


def _committed(plan: Plan) -> tuple[Tensor, Tensor]:
    """alpha_t and alpha_s: the shares of the block that are committed before and after the step, (B,)
    double."""
    size = plan.size.clamp(min=1).double()
    return 1 - plan.before / size, 1 - plan.after / size


def _largest(plan: Plan) -> Tensor:
    before, after = _committed(plan)
    return ((1 - after) / before.clamp(min=1e-9)).clamp(max=1.0)


def _uniform(canvas: Canvas, stream: int) -> Tensor:
    """(B, L) double in (0, 1): one number for each position in this step."""
    key = noise.counter(canvas.seed[:, None], stream, canvas.column, canvas.step[:, None])
    return noise.uniform(key).double()
