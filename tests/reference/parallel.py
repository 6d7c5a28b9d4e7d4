"""Samplers that commit many positions in a pass, written plainly after their pseudo-code: the yardsticks
for ours. It imports torch and nothing of the program.

factor        Fast-dLLM, arXiv:2505.22618, section 3.3: with confidences in descending order, the largest m with
              c_(m) >= 1 - f / (m + 1), at least 1
entropy_bound EB-Sampler, arXiv:2505.24857, algorithm 1: positions by an error proxy (entropy, ascending), the longest
              prefix whose sum of entropies less the largest of them is at most gamma, at least 1
hierarchical  dInfer, arXiv:2510.08666: the best position of every run of masks if it is above `low`, and all above
              `threshold`, at least the best one
prophet       Prophet, arXiv:2508.19982: one position a pass by confidence, until the mean gap of the two highest
              logits over what is masked reaches 7.5, 5 or 2.5 (progress below a third, below two thirds, later):
              then everything is committed
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tests.reference.llada import LogitsFn

Pick = Callable[[Tensor, Tensor], Tensor]  # logits (L, V), masked (L,) bool -> (L,) bool


def probability(logits: Tensor) -> Tensor:
    return logits.softmax(-1).amax(-1)


def entropies(logits: Tensor) -> Tensor:
    share = logits.softmax(-1)
    return -torch.where(share > 0, share * share.log(), 0.0).sum(-1)


def descending(value: Tensor, masked: Tensor) -> list[int]:
    """Columns of the masked positions, the highest value first; ties go left."""
    order = torch.argsort(torch.where(masked, value, -torch.inf), descending=True, stable=True)
    return order[: int(masked.sum())].tolist()


def _chosen(columns: Sequence[int], length: int) -> Tensor:
    chosen = torch.zeros(length, dtype=torch.bool)
    chosen[list(columns)] = True
    return chosen


def bound_of(factor: float, place: int) -> float:
    """What the place-th best (from 1) has to reach."""
    return 1 - factor / (place + 1)


def factor(logits: Tensor, masked: Tensor, f: float) -> Tensor:
    confidence = probability(logits)
    order = descending(confidence, masked)
    most = max(m for m in range(1, len(order) + 1) if m == 1 or confidence[order[m - 1]] >= bound_of(f, m))
    return _chosen(order[:most], len(masked))


def risk(prefix: list[float]) -> float:
    """Of committing these positions together."""
    return sum(prefix) - max(prefix)


def entropy_bound(logits: Tensor, masked: Tensor, gamma: float) -> Tensor:
    entropy = entropies(logits)
    order = descending(-entropy, masked)
    sizes = [m for m in range(1, len(order) + 1) if risk([float(entropy[i]) for i in order[:m]]) <= gamma]
    return _chosen(order[: max(sizes, default=1)], len(masked))


def runs(masked: Tensor) -> list[list[int]]:
    """Columns of each maximal run of masks."""
    found: list[list[int]] = []
    for column in masked.nonzero()[:, 0].tolist():
        if found and found[-1][-1] == column - 1:
            found[-1].append(column)
        else:
            found.append([column])
    return found


def hierarchical(logits: Tensor, masked: Tensor, threshold: float, low: float) -> Tensor:
    confidence = probability(logits)
    best = [max(run, key=lambda column: float(confidence[column])) for run in runs(masked)]
    columns = [column for column in best if confidence[column] > low]
    columns += (masked & (confidence > threshold)).nonzero()[:, 0].tolist()
    return _chosen(columns or descending(confidence, masked)[:1], len(masked))


def needed(progress: float) -> float:
    return 7.5 if progress < 1 / 3 else 5.0 if progress < 2 / 3 else 2.5


def gap(logits: Tensor, masked: Tensor) -> float:
    top = logits.topk(2, -1).values
    return float((top[:, 0] - top[:, 1])[masked].mean())


def prophet(logits: Tensor, masked: Tensor, progress: float) -> Tensor:
    if gap(logits, masked) >= needed(progress):
        return masked
    return _chosen(descending(probability(logits), masked)[:1], len(masked))


@torch.no_grad()
def sample(
    logits_fn: LogitsFn,
    canvas: Tensor,
    answer: int,
    *,
    block_length: int,
    mask_id: int,
    kind: str,
    options: dict,
    banned: Sequence[int] = (),
) -> Tensor:
    """Denoises `canvas` (B, L), row by row and block by block; the likeliest token is drawn."""
    rows = []
    for row in canvas:
        tokens = row.clone()
        for start in range(answer, len(row), block_length):
            inside = torch.zeros(len(row), dtype=torch.bool)
            inside[start : start + block_length] = True
            size = int((inside & (tokens == mask_id)).sum())
            while (masked := inside & (tokens == mask_id)).any():
                logits = logits_fn(tokens[None])[0].clone()
                logits[:, list(banned)] = -torch.inf
                if kind == "prophet":
                    come = prophet(logits, masked, 1 - int(masked.sum()) / size)
                else:
                    come = globals()[kind](logits, masked, **options)
                tokens = torch.where(come, logits.argmax(-1), tokens)
        rows.append(tokens)
    return torch.stack(rows)
