"""WINO's sampler, written plainly: the yardstick for ours. It imports torch and nothing of the program.

Wide-In, Narrow-Out, arXiv:2507.18578, as the published program has it. A model call gives the logits of
the canvas and, for every committed position of the block, those of its shadow, which does not see the
token. Masked positions above `threshold` are committed, at most min(max(0.7 n, 5), 20) of n and at least
one; if it was more than one, committed positions whose token is less likely to its shadow than
`threshold_back` are masked again, always fewer than the step before has committed (before a block's first
step: 30).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tests.reference.llada import LogitsFn

FIRST = 30


def limit(masked: int) -> int:
    """Commits of a step at most."""
    return min(max(int(masked * 0.7), 5), 20)


def accepted(confidence: Tensor, threshold: float, most: int) -> Tensor:
    """(L,) bool: which masked positions are committed; `confidence` is minus infinity elsewhere."""
    chosen = confidence > threshold
    if chosen.sum() > most:
        chosen = best(confidence, most)
    return chosen if chosen.any() else best(confidence, 1)


def doubted(confidence: Tensor, threshold: float, last: int) -> Tensor:
    """(L,) bool: which committed positions are masked again; `confidence` is infinity elsewhere."""
    chosen = confidence < threshold
    return best(-confidence, last - 1) if chosen.sum() >= last else chosen


def verifies(number: int) -> bool:
    """Whether a step that commits so many masks anything again."""
    return number > 1


def best(value: Tensor, count: int) -> Tensor:
    chosen = torch.zeros(len(value), dtype=torch.bool)
    chosen[torch.argsort(value, descending=True, stable=True)[:count]] = True
    return chosen


@torch.no_grad()
def sample(
    logits_fn: LogitsFn,
    canvas: Tensor,
    answer: int,
    *,
    block_length: int,
    mask_id: int,
    threshold: float = 0.6,
    threshold_back: float = 0.9,
    shadow_fn: Callable[[Tensor, Tensor], Tensor],
    banned: Sequence[int] = (),
    trace: list | None = None,
) -> Tensor:
    """Denoises `canvas` (B, L), row by row; the likeliest token is drawn.

    shadow_fn  canvas (1, L) and the committed positions (L,) bool -> logits (L, V) of their shadows
    trace      gets how many positions each step committed and masked again
    """
    rows = []
    for row in canvas:
        tokens, given = row.clone(), row != mask_id
        for start in range(answer, len(row), block_length):
            inside = torch.zeros_like(given)
            inside[start : start + block_length] = True
            last = FIRST
            while (masked := inside & (tokens == mask_id)).any():
                committed = inside & ~given & ~masked
                logits = logits_fn(tokens[None])[0].clone()
                logits = torch.where(committed[:, None], shadow_fn(tokens[None], committed), logits)
                logits[:, list(banned)] = -torch.inf
                share = logits.softmax(-1)
                likely, proposal = share.max(-1)
                confidence = torch.where(masked, likely, -torch.inf)
                come = accepted(confidence, threshold, limit(int(masked.sum())))
                standing = share.gather(1, tokens[:, None])[:, 0]
                go = torch.zeros_like(come)
                if verifies(number := int(come.sum())):
                    go = doubted(torch.where(committed, standing, torch.inf), threshold_back, last)
                tokens = torch.where(go, mask_id, torch.where(come, proposal, tokens))
                last = number
                if trace is not None:
                    trace.append((number, int(go.sum())))
        rows.append(tokens)
    return torch.stack(rows)
