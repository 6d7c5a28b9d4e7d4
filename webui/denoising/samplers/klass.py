"""KLASS, KL-adaptive stability sampling (Kim et al. 2025, arXiv 2511.05664): commits what is likely and has
been stable.

A position is ready if its token is likelier than `threshold` and the divergence KL(now || a step before)
of its distribution was below `kl_threshold` in each of the last `history` steps. All that are ready are
committed, or, if they are fewer than the schedule asks for, the most confident besides. What is remembered
of a position begins with its block: the published program computes and remembers those of later blocks too.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from webui.canvas import Canvas
from webui.denoising.samplers.plan import Plan
from webui.denoising.samplers.selections import rank

EPS = 1e-12  # added to probabilities before their logarithms are taken, as published
BEFORE, NEXT, STABLE = "klass.before", "klass.next", "klass.stable"


def begin(canvas: Canvas) -> Mapping[str, Tensor]:
    """Nothing is remembered: no distributions, and no position has been stable for a step. How long a block
    can be is known here, on the host, and how large the vocabulary is in the first step."""
    rows, length = canvas.tokens.shape
    device = canvas.tokens.device
    return {
        BEFORE: torch.zeros((rows, min(int(canvas.state.block_length.max()), length), 0), device=device),
        NEXT: torch.zeros_like(canvas.step) - 1,
        STABLE: torch.zeros((rows, length), device=device),
    }


def observe(canvas: Canvas, logits: Tensor) -> Mapping[str, Tensor]:
    """The distributions of this step, for the next one, and for how many steps each position has been
    stable: entries of `own`.

    Distributions are (B, S, V), S the longest block, at each position's place in its block. They are those of
    the step before if NEXT, (B,), is the row's step.
    """
    state, (rows, columns) = canvas.state, canvas.at
    place = torch.remainder(columns - canvas.answer[rows] + state.lead[rows], state.block_length[rows])
    now = logits.softmax(1)
    before = state.own[BEFORE]
    if before.shape[2]:
        before = before.clone()
    else:
        before = torch.zeros((*before.shape[:2], logits.shape[1]), dtype=now.dtype, device=now.device)
    known = (state.own[NEXT] == canvas.step) & (canvas.step > state.block_begin)
    change = (now * (torch.log(now + EPS) - torch.log(before[rows, place] + EPS))).sum(1)
    calm = known[rows] & (change < state.own["kl_threshold"].to(change.dtype)[rows])
    stable = state.own[STABLE].clone()
    stable[rows, columns] = torch.where(calm, stable[rows, columns] + 1, 0)
    before[rows, place] = now
    return {BEFORE: before, STABLE: stable, NEXT: canvas.step + 1}


def select(canvas: Canvas, confidence: Tensor, plan: Plan) -> Tensor:
    """All that are ready, and the most confident if the schedule asks for more."""
    rows, own = canvas.at[0], canvas.state.own
    stable = own[STABLE][canvas.at] >= own["history"][rows]
    ready = stable & (confidence > own["threshold"].to(confidence.dtype)[rows])
    number = torch.zeros_like(canvas.step).scatter_add_(0, rows, ready.long())
    short = (number < plan.count)[rows]
    return ready | (short & (rank(canvas, confidence) < plan.count[rows]))
