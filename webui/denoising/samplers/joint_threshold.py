"""LLaDA2.x's joint threshold (LLaDA2.1, arXiv 2602.08676; SGLang: JointThreshold): commits and edits by a
threshold each, with a penalty on tokens that stand twice in a row.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from webui.canvas import Canvas

FULL = "joint.full"


def begin(canvas: Canvas) -> Mapping[str, Tensor]:
    """Since which of its steps nothing of a row's block is masked, (B,); -1: something is."""
    return {FULL: torch.full_like(canvas.step, -1)}


def penalized(canvas: Canvas, logits: Tensor) -> Tensor:
    """The logits (N, V) less the row's penalty at the token that stands before each position, masked or not,
    but for the first position of a block."""
    rows, columns = canvas.at
    state = canvas.state
    first = torch.remainder(columns - canvas.answer[rows] + state.lead[rows], state.block_length[rows]) == 0
    amount = torch.where(first, 0.0, -state.own["penalty"].to(logits.dtype)[rows])
    return logits.scatter_add(1, canvas.tokens[rows, columns - 1][:, None], amount[:, None])


def full_since(canvas: Canvas, masked: Tensor) -> Tensor:
    """(B,): `FULL` now; masked: (B,) bool: rows whose block has a masked position."""
    since = canvas.state.own[FULL]
    return torch.where(masked, -1, torch.where(since < 0, canvas.step, since))


def may_edit(canvas: Canvas, masked: Tensor) -> Tensor:
    """(B,) bool: rows whose sampler may make another step in their block: one without a limit, or fewer steps
    since the block is full."""
    limit = canvas.state.own["post_edit_steps"]
    since = full_since(canvas, masked)
    return (limit == 0) | (since < 0) | (canvas.step - since < limit - 1)
