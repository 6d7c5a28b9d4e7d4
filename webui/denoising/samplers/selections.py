"""Selections: which of the N active positions to commit now."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from webui.canvas import Canvas, SamplerState
from webui.denoising.samplers.plan import Plan

# own: in rows that do as published programs do, the bits of the type they measure confidence in
REFERENCE = "reference"
DTYPES = {16: torch.bfloat16, 32: torch.float32, 64: torch.float64}
Select = Callable[[Canvas, Tensor, Plan], Tensor]  # canvas, confidence (N,), plan -> (N,) bool


def scheduled(canvas: Canvas, confidence: Tensor, plan: Plan) -> Tensor:
    """The top `count` positions of each row by confidence; ties go left, or where torch has them in rows that
    do as published."""
    if (dtype := published_dtype(canvas.state)) is not None:
        return _topk(canvas, confidence.to(dtype), plan.count)
    return rank(canvas, confidence) < plan.count[canvas.at[0]]


def over_threshold(canvas: Canvas, confidence: Tensor, plan: Plan) -> Tensor:
    """All positions whose confidence reaches the row's threshold, never fewer than the schedule's count (Wu
    et al. 2025, Fast-dLLM)."""
    threshold = canvas.state.own["threshold"].to(confidence.dtype)
    return scheduled(canvas, confidence, plan) | (confidence >= threshold[canvas.at[0]])


def edited(canvas: Canvas, confidence: Tensor, plan: Plan) -> Tensor:
    """Masked positions as `over_threshold` has them, and committed ones whose token now drawn reaches the
    row's threshold for edits: it replaces theirs (LLaDA2.1)."""
    masked = canvas.masked[canvas.at]
    # Committed positions come behind all masked ones, also behind late end-of-text, which has -inf too.
    above = confidence.clamp(min=torch.finfo(confidence.dtype).min)
    fresh = over_threshold(canvas, above.masked_fill(~masked, -torch.inf), plan) & masked
    threshold = canvas.state.own["edit_threshold"].to(confidence.dtype)
    return fresh | (~masked & (confidence >= threshold[canvas.at[0]]))


def published_dtype(state: SamplerState) -> torch.dtype | None:
    """The type that a published program measures confidence in, if the rows do as it does."""
    if REFERENCE not in state.own:
        return None
    return DTYPES[int(state.own[REFERENCE][0])]


def _topk(canvas: Canvas, confidence: Tensor, count: Tensor) -> Tensor:
    """(N,) bool: the top `count` (B,) of each row by `torch.topk` over the row without padding: which of
    equal ones it takes depends on how many positions there are. Reads from the device."""
    full = torch.full(canvas.tokens.shape, -torch.inf, dtype=confidence.dtype, device=confidence.device)
    full[canvas.at] = confidence
    taken = torch.zeros_like(canvas.active)
    for i, (start, number) in enumerate(torch.stack([canvas.start, count], 1).tolist()):
        taken[i, start + full[i, start:].topk(number).indices] = True
    return taken[canvas.at]


def rank(canvas: Canvas, confidence: Tensor) -> Tensor:
    """(N,): place of each active position in its row's order of confidence, 0 the highest; ties go left."""
    rows, order = canvas.at[0], confidence.argsort(descending=True, stable=True)
    places = torch.arange(len(order), device=order.device)
    if len(canvas.active) > 1:
        order = order[rows[order].argsort(stable=True)]  # row by row again
        active = canvas.active.sum(1)
        places = places - (active.cumsum(0) - active)[rows]
    return torch.empty_like(order).scatter_(0, order, places)
