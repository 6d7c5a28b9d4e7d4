"""P2's sampler with the model as its own planner, written plainly: the yardstick for ours. It imports
torch and nothing of the program.

Path Planning for Masked Diffusion Model Sampling, arXiv:2502.03540, algorithm of the published program:
in step i of S every position that is not given gets a score, the log-probability of the token drawn
there, which is multiplied by eta where the position is committed; the floor((1 - i/S) N) lowest of the N
positions are masked, and what was masked and is not among them gets its token. `judge` says whose
log-probability counts at committed positions: "drawn" as in the published program, or "standing", the
token that is there, as in the paper.

Around that stand blocks, one after the other, each with the same number of steps.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tests.reference.llada import LogitsFn


def to_mask(total: int, step: int, steps: int) -> int:
    """How many stay masked after step 1, 2 ... of `steps`."""
    return total * (steps - step) // steps


def scores(drawn: Tensor, standing: Tensor, committed: Tensor, eta: float, judge: str) -> Tensor:
    """(L,) log-probabilities to order positions by."""
    theirs = standing if judge == "standing" else drawn
    return torch.where(committed, eta * theirs, drawn)


def lowest(score: Tensor, among: Tensor, count: int) -> Tensor:
    """(L,) bool: the `count` lowest; of equal ones those to the right."""
    order = torch.argsort(torch.where(among, score, torch.inf).flip(0), stable=True)[:count]
    chosen = torch.zeros_like(among)
    chosen[len(score) - 1 - order] = True
    return chosen


def written(masked: Tensor, low: Tensor) -> Tensor:
    """(L,) bool: where the token drawn is put."""
    return masked & ~low


@torch.no_grad()
def sample(
    logits_fn: LogitsFn,
    canvas: Tensor,
    answer: int,
    *,
    steps: int,
    block_length: int,
    mask_id: int,
    eta: float = 1.0,
    judge: str = "drawn",
    banned: Sequence[int] = (),
) -> Tensor:
    """Denoises `canvas` (B, L), row by row; the likeliest token is drawn. `steps` for all blocks together."""
    rows, blocks = [], (canvas.shape[1] - answer) // block_length
    for row in canvas:
        tokens, given = row.clone(), row != mask_id
        for block in range(blocks):
            inside = torch.zeros_like(given)
            inside[answer + block * block_length : answer + (block + 1) * block_length] = True
            free = inside & ~given
            for step in range(1, steps // blocks + 1):
                logits = logits_fn(tokens[None])[0].clone()
                logits[:, list(banned)] = -torch.inf
                logs = logits.log_softmax(-1)
                likely, proposal = logs.max(-1)
                masked = free & (tokens == mask_id)
                score = scores(likely, logs.gather(1, tokens[:, None])[:, 0], free & ~masked, eta, judge)
                low = lowest(score, free, to_mask(int(free.sum()), step, steps // blocks))
                tokens = torch.where(low, mask_id, torch.where(written(masked, low), proposal, tokens))
        rows.append(tokens)
    return torch.stack(rows)
