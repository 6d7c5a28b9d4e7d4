"""Selections: which of the N active positions to commit now."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from webui.canvas import Canvas
from webui.denoising.samplers.plan import Plan

Select = Callable[[Canvas, Tensor, Plan], Tensor]  # canvas, confidence (N,), plan -> (N,) bool


def scheduled(canvas: Canvas, confidence: Tensor, plan: Plan) -> Tensor:
    """The top `count` positions of each row by confidence; ties go left."""
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


def rank(canvas: Canvas, confidence: Tensor) -> Tensor:
    """(N,): place of each active position in its row's order of confidence, 0 the highest; ties go left."""
    full = torch.full(canvas.tokens.shape, -torch.inf, dtype=confidence.dtype, device=confidence.device)
    full[canvas.at] = confidence
    order = full.argsort(dim=1, descending=True, stable=True)
    # Inactive positions hold minus infinity too, as late ones do: sorted once more, these come first.
    order = order.gather(1, (~canvas.active).to(torch.uint8).gather(1, order).argsort(dim=1, stable=True))
    places = torch.arange(order.shape[1], device=order.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, places)[canvas.at]
