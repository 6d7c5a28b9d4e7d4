"""Remasking: which committed positions to mask again, so that the model may think better of them.

ReMDM (Wang et al. 2025, arXiv 2503.00307): in a step from alpha_t to alpha_s, the shares of the block that
are committed before and after it, every committed position is masked again with probability sigma, and every
masked one is committed with probability (alpha_s - (1 - sigma) alpha_t) / (1 - alpha_t), so that the expected
number of masked positions stays the schedule's. `ancestral` is the selection that goes with each sigma.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from webui.canvas import Canvas, Choice, noise
from webui.denoising.samplers.plan import MEMORY, Plan

Remask = Callable[[Canvas, Plan, Choice], Tensor]  # canvas, plan, choice -> (B, L) bool
Sigma = Callable[[Canvas, Plan], Tensor]  # (B, 1) or (B, L) double: the probability that a position is masked
Shares = Callable[[Plan], tuple[Tensor, Tensor]]  # alpha_t and alpha_s, (B, 1) double each


def scheduled(plan: Plan) -> tuple[Tensor, Tensor]:
    """The shares of the block that the schedule has committed before and after the step."""
    size = plan.size.clamp(min=1).double()
    return (1 - plan.before / size)[:, None], (1 - plan.after / size)[:, None]


def looped(plan: Plan) -> tuple[Tensor, Tensor]:
    """ReMDM-loop: time runs from 1 to 0; alpha grows to `alpha_on` until `t_on`, stays there until
    `t_off`, and grows to 1."""
    own, steps = plan.canvas.state.own, plan.canvas.state.block_steps
    on, off, alpha = (own[name].double() for name in ("t_on", "t_off", "alpha_on"))
    made = (plan.canvas.step - plan.canvas.state.block_begin).double()

    def share(time: Tensor) -> Tensor:
        rising = (1 - time) * alpha / (1 - on).clamp(min=1e-9)
        last = 1 - time * (1 - alpha) / off.clamp(min=1e-9)
        return torch.where(now > on, rising, torch.where(now <= off, last, alpha)).clamp(0, 1)[:, None]

    now = 1 - made / steps  # one step is of one part, whatever part it ends in
    return share(now), share(1 - (made + 1) / steps)


def rescaled(canvas: Canvas, plan: Plan) -> Tensor:
    """ReMDM-rescale: `eta` times the largest sigma there is, min(1, (1 - alpha_s) / alpha_t)."""
    return _eta(canvas) * _largest(plan)


def capped(canvas: Canvas, plan: Plan) -> Tensor:
    """ReMDM-cap: `eta`, or the largest sigma there is where that is less."""
    return torch.minimum(_eta(canvas), _largest(plan))


def confident(canvas: Canvas, plan: Plan) -> Tensor:
    """ReMDM-conf: the largest sigma there is, shared out over the committed positions by the softmax of
    minus the probabilities that their tokens had when they were committed. Needs `Sampler.remembers`."""
    free = _committed(canvas)
    doubt = torch.where(free, -canvas.state.own[MEMORY].double(), -torch.inf)
    share = torch.where(free.any(1, keepdim=True), doubt, 0.0).softmax(1)
    return torch.where(free, share, 0.0) * _largest(plan)


def in_the_loop(canvas: Canvas, plan: Plan) -> Tensor:
    """ReMDM-loop: `eta` between `t_on` and `t_off`, nothing before and after."""
    own = canvas.state.own
    now = 1 - (canvas.step - canvas.state.block_begin).double() / canvas.state.block_steps
    inside = (now <= own["t_on"].double()) & (now > own["t_off"].double())
    return torch.where(inside[:, None], _eta(canvas), 0.0)


def remdm(sigma: Sigma) -> Remask:
    """Masks committed positions of the current block again, each with probability `sigma`."""

    def remask(canvas: Canvas, plan: Plan, choice: Choice) -> Tensor:
        going = _uniform(canvas, noise.REMASK) < sigma(canvas, plan)
        return _committed(canvas) & going & ~_is_last(canvas)

    return remask


def ancestral(sigma: Sigma, shares: Shares = scheduled) -> Callable[[Canvas, Tensor, Plan], Tensor]:
    """The selection of ReMDM: each masked position by itself, whatever its confidence; all of them in a
    block's last step, late end-of-text only then."""

    def select(canvas: Canvas, confidence: Tensor, plan: Plan) -> Tensor:
        before, after = shares(plan)
        chance = (after - (1 - sigma(canvas, plan)) * before) / (1 - before).clamp(min=1e-9)
        last = ((after >= 1) | _is_last(canvas)).expand_as(canvas.tokens)
        come = canvas.masked & (_uniform(canvas, noise.COMMIT) < chance)
        return (come[canvas.at] & (confidence > -torch.inf)) | last[canvas.at]

    return select


def current_block(canvas: Canvas) -> Tensor:
    """(B, L) bool: the columns of the block that each row is working on."""
    return canvas.block == canvas.state.block[:, None]


def _committed(canvas: Canvas) -> Tensor:
    """(B, L) bool: the positions of the current block that can be masked again."""
    return current_block(canvas) & ~canvas.given & ~canvas.masked


def _is_last(canvas: Canvas) -> Tensor:
    """(B, 1) bool: rows in the last step of their block."""
    state = canvas.state
    return (canvas.step - state.block_begin + 1 >= state.block_steps)[:, None]


def _eta(canvas: Canvas) -> Tensor:
    return canvas.state.own["eta"].double()[:, None]


def _largest(plan: Plan) -> Tensor:
    before, after = scheduled(plan)
    return ((1 - after) / before.clamp(min=1e-9)).clamp(max=1.0)


def _uniform(canvas: Canvas, stream: int) -> Tensor:
    """(B, L) double in (0, 1): one number for each position in this step."""
    key = noise.counter(canvas.seed[:, None], stream, canvas.column, canvas.step[:, None])
    return noise.uniform(key).double()
