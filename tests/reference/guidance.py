"""Guidance of masked diffusion models, written plainly from the papers: the yardstick for ours. It
imports torch and nothing of the program.

- Scale: base + s (logits - base). Ho and Salimans, arXiv:2207.12598; Nie et al., arXiv:2502.09992, whose
weight is w = s - 1. - Composition: base + s * sum_i w_i (logits_i - base). Liu et al., arXiv:2206.01714,
conjunction, for logits. - Rescale: Lin et al., arXiv:2305.08891, section 3.4, equations 15 and 16. There
the standard deviation is that of an image; here it is that of the logits of a position over the
vocabulary, around their mean, which softmax does not see. - Adaptive: Li et al., arXiv:2505.20199
(A-CFG). In every step the logits of the canvas give each committed token of the answer a confidence, the
probability of the likeliest token at its position. The share `rho` of them with the lowest confidence,
rounded down but at least one, is masked for the base of this step. The prompt stays in the base.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tests.reference.llada import LogitsFn


def guided(base: Tensor, logits: Tensor, scale: float) -> Tensor:
    """The guided logits."""
    return base + scale * (logits - base)


def composed(base: Tensor, parts: Sequence[Tensor], weights: Sequence[float], scale: float) -> Tensor:
    """The guided logits of several prompts."""
    total = torch.zeros_like(base)
    for logits, weight in zip(parts, weights, strict=True):
        total = total + weight * (logits - base)
    return base + scale * total


def spread(logits: Tensor) -> Tensor:
    """Standard deviation over the vocabulary."""
    return (logits - logits.mean(-1, keepdim=True)).square().mean(-1, keepdim=True).sqrt()


def rescaled(result: Tensor, logits: Tensor, share: float) -> Tensor:
    """`result` with its deviations from the mean made as wide as those of `logits`, to this share."""
    middle = result.mean(-1, keepdim=True)
    as_wide = middle + (result - middle) * spread(logits) / spread(result)
    return share * as_wide + (1 - share) * result


def how_many(committed: int, rho: float) -> int:
    """How many committed tokens the base masks. The product is meant in decimals: 0.29 of 100 is 29."""
    return min(committed, max(1, int(committed * rho + 1e-6)))


def confidence(logits: Tensor) -> Tensor:
    """Probability of the likeliest token at each position."""
    return torch.softmax(logits, -1).amax(-1)


def lowest(values: Tensor, among: Tensor, count: int) -> Tensor:
    """The places of the lowest values among some places; of equal ones the leftmost first."""
    order = torch.argsort(torch.where(among, values, torch.inf), stable=True)
    return order[:count]


def weakened(tokens: Tensor, logits: Tensor, given: Tensor, rho: float, mask_id: int) -> Tensor:
    """One row (L,) with its least confident committed tokens masked: A-CFG's input without condition."""
    committed = ~given & (tokens != mask_id)
    changed = tokens.clone()
    if (n := int(committed.sum())) > 0:
        changed[lowest(confidence(logits), committed, how_many(n, rho))] = mask_id
    return changed


def adaptive(logits_fn: LogitsFn, given: Tensor, scale: float, rho: float, mask_id: int) -> LogitsFn:
    """The logits of A-CFG: `logits_fn` guided by itself on weakened canvases. given: (B, L), prompt
    included."""

    def both(tokens: Tensor) -> Tensor:
        logits = logits_fn(tokens)
        rows = [
            weakened(row, own, fixed, rho, mask_id)
            for row, own, fixed in zip(tokens, logits, given, strict=True)
        ]
        return guided(logits_fn(torch.stack(rows)), logits, scale)

    return both
