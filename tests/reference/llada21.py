"""LLaDA2.1's block sampler with token editing, written plainly after its published code. Imports torch
and nothing of the program.

In each pass over a block: every mask whose token is likely enough is committed, or the best one if none
is; and every committed token of the answer in the block is replaced where another one is likely enough. A
block ends when nothing is masked and nothing was replaced, or after `passes`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def accepted(confidence: Tensor, masked: Tensor, threshold: float) -> Tensor:
    """(L,) bool: which masks are committed."""
    chosen = masked & (confidence >= threshold)
    if masked.any() and not chosen.any():
        chosen[torch.where(masked, confidence, -torch.inf).argmax()] = True
    return chosen


def replaced(confidence: Tensor, changed: Tensor, own: Tensor, threshold: float) -> Tensor:
    """(L,) bool: which committed tokens are replaced; `own`: those that the sampler committed itself."""
    return own & changed & (confidence >= threshold)


@torch.no_grad()
def sample(
    logits_fn: Callable[[Tensor], Tensor],
    canvas: Tensor,
    answer: int,
    *,
    block_length: int,
    mask_id: int,
    threshold: float,
    edit_threshold: float,
    passes: int,
    banned: Sequence[int] = (),
) -> Tensor:
    """Denoises `canvas` (B, L), row by row; blocks begin at column `answer`."""
    rows = []
    for row in canvas:
        tokens, free = row.clone(), row == mask_id
        for start in range(answer, len(row), block_length):
            block = torch.zeros_like(free)
            block[start : start + block_length] = True
            for _ in range(passes):
                logits = logits_fn(tokens[None])[0].clone()
                logits[:, list(banned)] = -torch.inf
                likely, proposal = logits.softmax(-1).max(-1)
                masked = block & (tokens == mask_id)
                own = block & free & ~masked
                edits = replaced(likely, proposal != tokens, own, edit_threshold)
                tokens = torch.where(accepted(likely, masked, threshold) | edits, proposal, tokens)
                if not masked.any() and not edits.any():
                    break
        rows.append(tokens)
    return torch.stack(rows)
