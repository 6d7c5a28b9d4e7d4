"""ReMDM-loop on a confidence-ordered sampler, as LLaDA is sampled with it (Wang et al. 2025, arXiv
2503.00307, section on LLaDA): the canvas is filled by confidence to a share of `alpha_on`; in each of
`loops` steps the least likely `k` committed tokens are masked again and as many of the most confident
masked positions committed; then the rest is filled.

What a committed token's likelihood is says the option `judge`, see path_planning.py.
"""

from __future__ import annotations

import torch
from torch import Tensor

from webui.canvas import Canvas, Choice
from webui.denoising.samplers.plan import Plan
from webui.denoising.samplers.schedules import linear
from webui.denoising.samplers.selections import rank


def select(canvas: Canvas, confidence: Tensor, plan: Plan) -> Tensor:
    """The most confident masked positions: so many that what is masked again after this finds the plan's
    number."""
    at = canvas.at
    after, again = _plan(canvas, plan)
    masked = canvas.masked[at]
    count = torch.zeros_like(after).scatter_add_(0, at[0], masked.long()) - after + again
    low = torch.finfo(confidence.dtype).min  # late end-of-text comes before what is committed
    mine = torch.where(masked, confidence.clamp(min=low), -torch.inf)
    return masked & (rank(canvas, mine) < count[at[0]])


def remask(canvas: Canvas, plan: Plan, choice: Choice) -> Tensor:
    """The least likely committed positions."""
    at = canvas.at
    masked = canvas.masked[at]
    again = _plan(canvas, plan)[1]
    doubt = torch.where(masked, -torch.inf, -choice.confidence)
    back = torch.zeros_like(canvas.active)
    back[at] = ~masked & (rank(canvas, doubt) < again[at[0]])
    return back


def _plan(canvas: Canvas, plan: Plan) -> tuple[Tensor, Tensor]:
    """(B,) each: positions that are masked after the step, and how many of them are masked again in it."""
    state = canvas.state
    made = canvas.step - state.block_begin
    # Of several blocks each has its share of the loops, as it has of the steps.
    loops = torch.div(state.own["loops"].long() * state.block_steps, state.steps, rounding_mode="floor")
    loops = torch.minimum(loops, (state.block_steps - 2).clamp(min=0))
    filling = state.block_steps - loops
    first = torch.ceil(state.own["alpha_on"].double() * filling - 1e-9).long()
    first = torch.minimum(first, filling - 1).clamp(min=1)  # a step is left to fill the rest
    inside = (made >= first) & (made < first + loops)
    counted = torch.where(made < first, made, torch.where(inside, first - 1, made - loops))
    after = linear(plan.size, counted, filling, canvas)
    return after, torch.where(inside, torch.minimum(state.own["again"].long(), plan.size - after), 0)
