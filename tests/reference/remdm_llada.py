"""ReMDM-loop for samplers that order positions by confidence, written plainly: the yardstick for ours. It
imports torch and nothing of the program.

arXiv:2503.00307, as ported to LLaDA by others (PC-Sampler's program): positions are filled by confidence
until a share alpha_on of them is; then, `loops` times, the `again` least likely tokens are masked again
in the same pass in which as many of the most confident masked positions are filled; then the rest is
filled as before. The passes that fill are `steps - loops`, evenly: floor(n (1 - i/F)) are masked after
the i-th of F.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from tests.reference.llada import LogitsFn


def passes(steps: int, loops: int, alpha_on: float) -> list[tuple[int, bool]]:
    """For each pass how many filling passes are made after it, and whether it is one of the loop."""
    filling = steps - loops
    first = max(1, min(math.ceil(alpha_on * filling - 1e-9), filling - 1))
    before = [(i + 1, False) for i in range(first)]
    return before + [(first, True)] * loops + [(i + 1, False) for i in range(first, filling)]


def best(value: Tensor, among: Tensor, count: int) -> Tensor:
    chosen = torch.zeros_like(among)
    order = torch.argsort(torch.where(among, value, -torch.inf), descending=True, stable=True)[:count]
    chosen[order] = True
    return chosen & among


def doubted(standing: Tensor, committed: Tensor, count: int) -> Tensor:
    """(L,) bool: the least likely committed tokens."""
    return best(-standing, committed, count)


@torch.no_grad()
def sample(
    logits_fn: LogitsFn,
    canvas: Tensor,
    answer: int,
    *,
    steps: int,
    mask_id: int,
    loops: int,
    again: int,
    alpha_on: float,
    banned: Sequence[int] = (),
) -> Tensor:
    """Denoises `canvas` (B, L), row by row, as one block; the likeliest token is drawn."""
    rows = []
    for row in canvas:
        tokens, given = row.clone(), row != mask_id
        total = int((~given).sum())
        for filled, looping in passes(steps, loops, alpha_on):
            logits = logits_fn(tokens[None])[0].clone()
            logits[:, list(banned)] = -torch.inf
            share = logits.softmax(-1)
            likely, proposal = share.max(-1)
            masked = tokens == mask_id
            back = min(again, int((~masked & ~given).sum())) if looping else 0
            left = total * (steps - loops - filled) // (steps - loops)
            come = best(likely, masked, int(masked.sum()) - left + back)
            standing = share.gather(1, tokens[:, None])[:, 0]
            go = doubted(standing, ~masked & ~given, back)
            tokens = torch.where(go, mask_id, torch.where(come, proposal, tokens))
        rows.append(tokens)
    return torch.stack(rows)
