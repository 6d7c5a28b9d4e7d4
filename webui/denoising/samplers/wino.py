"""WINO, wide-in narrow-out (Hong et al. 2025, arXiv 2507.18578): drafts many tokens with a low threshold,
and masks those again that the model, not seeing them, would not have written.

Committed positions are active, unseen: their logits come from a column of their own that does not attend
to them. A step commits the masked positions above `threshold`, at most 20 and at most 70 % of what is
masked (but 5), at least the most confident. If it commits more than one, it masks the committed ones
below `threshold_back` again, fewer than the step before has committed, so that each step makes progress.
"""

from __future__ import annotations

import torch
from torch import Tensor

from webui.canvas import Canvas, Choice
from webui.denoising.samplers.plan import Plan
from webui.denoising.samplers.selections import rank

FIRST = 30  # commits that the step before a block's first one counts for
MOST, FEWEST, SHARE = 20, 5, 0.7  # of a step's commits


def select(canvas: Canvas, confidence: Tensor, plan: Plan) -> Tensor:
    """Wide in: what is above the threshold, or the schedule's number if that is more."""
    at = canvas.at
    rows, masked = at[0], canvas.masked[at]
    place = _place(canvas, confidence, masked)
    above = masked & (confidence > canvas.state.own["threshold"][rows].to(confidence.dtype))
    count = _per_row(canvas, masked)
    most = (count * SHARE).long().clamp(min=FEWEST, max=MOST)
    number = torch.minimum(_per_row(canvas, above).clamp(min=1), most)
    return masked & (place < torch.maximum(number, plan.count)[rows])


def remask(canvas: Canvas, plan: Plan, choice: Choice) -> Tensor:
    """Narrow out: what the model doubts, the most doubtful first. Never so many that more than the
    schedule allows would be masked after the step."""
    at = canvas.at
    rows, state = at[0], canvas.state
    masked = canvas.masked[at]
    doubted = ~masked & (choice.confidence < state.own["threshold_back"][rows].to(choice.confidence.dtype))
    accepted = _per_row(canvas, choice.commit)
    last = torch.where(canvas.step == state.block_begin, FIRST, state.changed)
    left = _per_row(canvas, masked) - accepted
    number = torch.minimum(_per_row(canvas, doubted), torch.minimum(last - 1, plan.after - left))
    number = torch.where(accepted > 1, number, 0)
    back = torch.zeros_like(canvas.active)
    back[at] = doubted & (_place(canvas, -choice.confidence, ~masked) < number[rows])
    return back


def _place(canvas: Canvas, value: Tensor, among: Tensor) -> Tensor:
    """(N,): place of each position in its row's order of `value` among some of them; the others come
    behind."""
    low = torch.finfo(value.dtype).min
    return rank(canvas, torch.where(among, value.clamp(min=low), -torch.inf))


def _per_row(canvas: Canvas, on: Tensor) -> Tensor:
    """(B,): how many of the active positions are `on` (N,)."""
    return torch.zeros_like(canvas.step).scatter_add_(0, canvas.at[0], on.long())
