"""LLaDA2.0's block refinement, which is SDAR's low_confidence_dynamic, written plainly: a yardstick for
ours. It imports torch and nothing of the program.

arXiv:2512.15745 and arXiv:2510.06303, their published programs: a block of n masks has S steps, of which
each has to commit n // S, the first n % S one more. If as many positions as that are above the threshold,
all of these are committed, else the most confident of all; a block ends when it is full. SDAR's other
strategies: the leftmost (sequential), and the most confident whatever the threshold (static).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tests.reference.llada import LogitsFn, even


def taken(confidence: Tensor, masked: Tensor, count: int, threshold: float, strategy: str) -> list[int]:
    """The columns that a step commits."""
    if strategy == "sequential":
        return masked.nonzero()[:count, 0].tolist()
    order = torch.argsort(torch.where(masked, confidence, -torch.inf), descending=True, stable=True)
    order = order[: int(masked.sum())].tolist()
    high = [column for column in order if confidence[column] > threshold]
    return high if strategy == "dynamic" and len(high) >= count else order[:count]


@torch.no_grad()
def sample(
    logits_fn: LogitsFn,
    canvas: Tensor,
    answer: int,
    *,
    block_length: int,
    steps: int,
    mask_id: int,
    threshold: float,
    strategy: str = "dynamic",
    banned: Sequence[int] = (),
) -> Tensor:
    """Denoises `canvas` (B, L), row by row, `steps` for each block; the likeliest token is drawn."""
    rows = []
    for row in canvas:
        tokens = row.clone()
        for start in range(answer, len(row), block_length):
            inside = torch.zeros(len(row), dtype=torch.bool)
            inside[start : start + block_length] = True
            counts = even(int((inside & (tokens == mask_id)).sum()), steps)
            for step in range(steps):
                masked = inside & (tokens == mask_id)
                if not masked.any():
                    break
                logits = logits_fn(tokens[None])[0].clone()
                logits[:, list(banned)] = -torch.inf
                likely, proposal = logits.softmax(-1).max(-1)
                columns = taken(likely, masked, max(counts[step], 1), threshold, strategy)
                tokens[columns] = proposal[columns]
        rows.append(tokens)
    return torch.stack(rows)
