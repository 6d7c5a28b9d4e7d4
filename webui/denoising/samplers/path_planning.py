"""P2, path planning (Peng et al. 2025, Path Planning for Masked Diffusion Model Sampling, arXiv
2502.03540), with the model as its own planner.

In each step all positions that are not given are ordered by their scores, masked ones by the confidence
of the token drawn, committed ones by their confidence to the power of `eta`; the schedule's number of the
lowest is masked again or stays masked, the others get the token drawn if they were masked. What a
committed position's confidence is says the option `judge`: that of the token drawn there anew (the
published program), the probability of the token that stands there (the paper), or this probability as if
the position were masked.
"""

from __future__ import annotations

import torch
from torch import Tensor

from webui.canvas import Canvas, Choice
from webui.denoising.samplers.plan import Plan
from webui.denoising.samplers.selections import rank


def select(canvas: Canvas, confidence: Tensor, plan: Plan) -> Tensor:
    """Masked positions among those that are kept."""
    return _kept(canvas, confidence, plan) & canvas.masked[canvas.at]


def remask(canvas: Canvas, plan: Plan, choice: Choice) -> Tensor:
    """Committed positions that are not kept."""
    low = torch.zeros_like(canvas.active)
    low[canvas.at] = ~_kept(canvas, choice.confidence, plan)
    return low & ~canvas.masked


def _kept(canvas: Canvas, confidence: Tensor, plan: Plan) -> Tensor:
    """(N,) bool: all but the lowest `plan.after` of each row."""
    rows = canvas.at[0]
    eta = canvas.state.own["eta"][rows].to(confidence.dtype)
    # Entropy is a logarithm already; minus infinity is late end-of-text, which stays last.
    powered = torch.where(confidence > 0, confidence**eta, confidence * eta)
    committed = ~canvas.masked[canvas.at] & (confidence > -torch.inf)
    score = torch.where(committed, powered, confidence)
    wanted = canvas.active.sum(1) - plan.after
    return rank(canvas, score) < wanted[rows]
