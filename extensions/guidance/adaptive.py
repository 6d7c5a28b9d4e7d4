"""A-CFG: which committed tokens the base of a step masks again. Li et al. 2025, arXiv:2505.20199."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from webui import Canvas

NEAR = 1e-4  # the share is meant in decimals: 0.29 of 100 is 29


def opened(canvas: Canvas) -> Canvas:
    """The canvas with every position of its answers active: what is committed has a confidence too."""
    whole = canvas.activate(canvas.column >= 0)
    return whole.counted([count._replace(active=count.length) for count in canvas.counts])


def narrowed(canvas: Canvas, logits: Tensor) -> list[Tensor]:
    """Of the logits of `opened(canvas)` those of the canvas's own active positions, row by row."""
    rows, columns = canvas.at
    places = (columns - canvas.answer[rows]).split([count.active for count in canvas.counts])
    whole = logits.split([count.length for count in canvas.counts])
    return [part[place] for part, place in zip(whole, places, strict=True)]


def doubted(canvas: Canvas, logits: Tensor, share: Tensor) -> Canvas:
    """The canvas with the share (B,) of its committed tokens masked that have the lowest confidence, rounded
    down, but at least one: the confidence is the probability of the likeliest token at the position, by the
    logits of `opened(canvas)`; of equal ones the leftmost comes first. Given tokens stay."""
    import torch

    whole = opened(canvas)
    likeliest = (logits.amax(1) - logits.logsumexp(1)).to(torch.float64)
    committed = (whole.column >= 0) & ~whole.given & ~whole.masked
    confidence = torch.full(committed.shape, torch.inf, dtype=torch.float64, device=logits.device)
    confidence[whole.at] = likeliest
    order = torch.where(committed, confidence, torch.inf).argsort(stable=True, dim=1)
    number = committed.sum(1)
    many = (number * share + NEAR).floor().clamp(min=1)
    first = torch.arange(order.shape[1], device=order.device) < many[:, None]
    low = torch.zeros_like(committed).scatter(1, order, first) & committed
    return canvas.remask(low).counted(canvas.counts)
