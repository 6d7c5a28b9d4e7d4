"""KLASS, KL-adaptive stability sampling, written plainly after its paper and published program: the yardstick
for ours. It imports torch and nothing of the program.

Kim et al. 2025, arXiv:2511.05664, algorithm 1. In each pass over a block every mask is committed whose token is
likelier than `threshold` and whose distribution has been stable: KL(now || a pass before) was below
`kl_threshold` in each of the last `history` passes. If there is none, the schedule's number of the most
confident is committed. The distribution before the first pass is zero everywhere, so that its divergence is
large.

The published program keeps the distributions of all positions, also of those in later blocks. With
`forgets` what is known of a position begins with its block, which needs no logits outside of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tests.reference.llada import LogitsFn, even

EPS = 1e-12


def divergence(now: Tensor, before: Tensor) -> Tensor:
    """(L,): KL(now || before) of each position; both are (L, V) probabilities."""
    return (now * (torch.log(now + EPS) - torch.log(before + EPS))).sum(-1)


def stable(past: list[Tensor], kl_threshold: float, history: int) -> Tensor:
    """(L,) bool: whether the last `history` divergences are all below the threshold."""
    return torch.stack(past[-history:]).lt(kl_threshold).all(0)


def sure(confidence: Tensor, threshold: float) -> Tensor:
    return confidence > threshold


def fallback(confidence: Tensor, masked: Tensor, count: int) -> Tensor:
    """(L,) bool: the most confident of what is masked; ties go left."""
    chosen = torch.zeros_like(masked)
    order = torch.argsort(torch.where(masked, confidence, -torch.inf), descending=True, stable=True)
    chosen[order[:count]] = True
    return chosen & masked


@torch.no_grad()
def sample(
    logits_fn: LogitsFn,
    canvas: Tensor,
    answer: int,
    *,
    steps: int,
    block_length: int,
    mask_id: int,
    threshold: float = 0.9,
    kl_threshold: float = 0.01,
    history: int = 2,
    forgets: bool = False,
    banned: Sequence[int] = (),
) -> Tensor:
    """Denoises `canvas` (B, L), row by row, `steps` for each block; the likeliest token is drawn."""
    rows = []
    for row in canvas:
        tokens, past, before = row.clone(), list[Tensor](), None
        for start in range(answer, len(row), block_length):
            inside = torch.zeros(len(row), dtype=torch.bool)
            inside[start : start + block_length] = True
            if forgets:
                past, before = [], None
            counts = even(int((inside & (tokens == mask_id)).sum()), steps)
            for step in range(steps):
                masked = inside & (tokens == mask_id)
                if not masked.any():
                    break
                logits = logits_fn(tokens[None])[0].clone()
                logits[:, list(banned)] = -torch.inf
                now = logits.double().softmax(-1)
                confidence, proposal = now.max(-1)
                past.append(divergence(now, torch.zeros_like(now) if before is None else before))
                before = now
                ready = torch.zeros_like(masked)
                if step >= history - 1:
                    ready = stable(past, kl_threshold, history) & sure(confidence, threshold) & masked
                chosen = ready if ready.any() else fallback(confidence, masked, counts[step])
                tokens = torch.where(chosen, proposal, tokens)
        rows.append(tokens)
    return torch.stack(rows)
