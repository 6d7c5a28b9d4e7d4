"""Selections that commit as many positions as can be trusted together, never fewer than the schedule.

Each takes canvas, confidence (N,) and plan, and gives (N,) bool.
"""

from __future__ import annotations

import torch
from torch import Tensor

from webui.canvas import Canvas
from webui.denoising.samplers.plan import Plan
from webui.denoising.samplers.selections import rank

EARLY = ((1 / 3, 7.5), (2 / 3, 5.0))  # progress below, and the gap that Prophet needs then
LATE = 2.5  # the gap that it needs later


def factor(canvas: Canvas, confidence: Tensor, plan: Plan) -> Tensor:
    """With confidences in descending order the largest m with c_m >= 1 - factor / (m + 1) (Wu et al. 2025,
    Fast-dLLM, section 3.3)."""
    rows, place = canvas.at[0], rank(canvas, confidence)
    wanted = 1 - canvas.state.own["factor"].to(confidence.dtype)[rows] / (place + 2)
    reached = torch.where(confidence >= wanted, place + 1, 0)
    return place < torch.maximum(_most(canvas, reached), plan.count)[rows]


def entropy_bound(canvas: Canvas, confidence: Tensor, plan: Plan) -> Tensor:
    """In the order of confidence as long as the sum of the entropies less the largest of them is at most
    gamma (Ben-Hamu et al. 2025, EB-Sampler, arXiv 2505.24857)."""
    rows, place = canvas.at[0], rank(canvas, confidence)
    ordered = torch.zeros(canvas.tokens.shape, dtype=confidence.dtype, device=confidence.device)
    ordered[rows, place] = -plan.measured("entropy").to(confidence.dtype)
    risk = ordered.cumsum(1) - ordered.cummax(1).values
    gamma = canvas.state.own["gamma"].to(confidence.dtype)
    trusted = torch.where(risk[rows, place] <= gamma[rows], place + 1, 0)
    return place < torch.maximum(_most(canvas, trusted), plan.count)[rows]


def hierarchical(canvas: Canvas, confidence: Tensor, plan: Plan) -> Tensor:
    """The best position of each run of masked ones if it is above `low`, and all above `threshold` (dInfer,
    arXiv 2510.08666): masked runs are halved again and again."""
    rows, columns = canvas.at
    own = canvas.state.own
    low, high = (own[name].to(confidence.dtype)[rows] for name in ("low", "threshold"))
    run = (~canvas.masked).cumsum(1)[rows, columns]  # equal within a run
    full = torch.full(canvas.tokens.shape, -torch.inf, dtype=confidence.dtype, device=confidence.device)
    best = torch.cat([full, full[:, :1]], 1).view(-1).clone()
    key = rows * (full.shape[1] + 1) + run
    best = best.scatter_reduce(0, key, confidence, "amax")
    first = torch.full_like(best, full.shape[1], dtype=torch.long)
    is_best = confidence == best[key]
    first = first.scatter_reduce(0, key, torch.where(is_best, columns, full.shape[1]), "amin")
    leader = is_best & (columns == first[key]) & (confidence > low)
    return leader | (confidence > high) | (rank(canvas, confidence) < plan.count[rows])


def prophet(canvas: Canvas, confidence: Tensor, plan: Plan) -> Tensor:
    """As many as the schedule says, until the mean gap between the two highest logits of what is masked
    reaches a bound that falls with progress: then all (Li et al. 2025, Prophet, arXiv 2508.19982)."""
    rows = canvas.at[0]
    gap = plan.measured("logit_gap").to(torch.float64)
    masked = torch.zeros_like(canvas.step).scatter_add_(0, rows, torch.ones_like(rows))
    mean = torch.zeros(len(masked), dtype=gap.dtype, device=gap.device).scatter_add_(0, rows, gap) / masked
    progress = 1 - masked.double() / plan.size.clamp(min=1)
    needed = torch.full_like(mean, LATE)
    for below, bound in reversed(EARLY):
        needed = torch.where(progress < below, bound, needed)
    return (mean >= needed)[rows] | (rank(canvas, confidence) < plan.count[rows])


def _most(canvas: Canvas, value: Tensor) -> Tensor:
    """(B,): the largest of `value` (N,) in each row."""
    return torch.zeros_like(canvas.step).scatter_reduce(0, canvas.at[0], value, "amax")
