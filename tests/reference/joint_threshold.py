"""LLaDA2.x's joint threshold with its 2-gram penalty, written plainly after its published algorithm: the
yardstick for ours. It imports torch and nothing of the program.

LLaDA2.1, arXiv:2602.08676, as SGLang runs it (JointThreshold). In each pass over a block: from the logits of each
of its positions but the first, `penalty` is taken at the token that stands before it. Every mask whose token is
likelier than `threshold` is committed, or the best one if none is; every token that the sampler has written
itself is replaced where another one is likelier than `edit_threshold`. Once nothing is masked, at most
`post_edit_steps` passes follow; a block ends when one changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def penalized(logits: Tensor, tokens: Tensor, start: int, end: int, penalty: float) -> Tensor:
    """(L, V): the logits of one row with the penalty of the block from `start` to `end`."""
    changed = logits.clone()
    for column in range(start + 1, end):
        changed[column, tokens[column - 1]] -= penalty
    return changed


def accepted(confidence: Tensor, masked: Tensor, threshold: float) -> Tensor:
    """(L,) bool: which masks are committed."""
    chosen = masked & (confidence > threshold)
    if masked.any() and not chosen.any():
        chosen[torch.where(masked, confidence, -torch.inf).argmax()] = True
    return chosen


def replaced(confidence: Tensor, changed: Tensor, own: Tensor, threshold: float) -> Tensor:
    """(L,) bool: which tokens are replaced; `own`: those that the sampler has written itself."""
    return own & changed & (confidence > threshold)


def over(passes: int, post_edit_steps: int) -> bool:
    """Whether no pass may follow: so many were begun since nothing is masked, this one included."""
    return passes > post_edit_steps


@torch.no_grad()
def sample(
    logits_fn: Callable[[Tensor], Tensor],
    canvas: Tensor,
    answer: int,
    *,
    block_length: int,
    mask_id: int,
    threshold: float = 0.5,
    edit_threshold: float = 0.0,
    post_edit_steps: int = 16,
    penalty: float = 0.0,
    banned: Sequence[int] = (),
) -> Tensor:
    """Denoises `canvas` (B, L), row by row; blocks begin at column `answer`; the likeliest token is drawn."""
    rows = []
    for row in canvas:
        tokens, free = row.clone(), row == mask_id
        for start in range(answer, len(row), block_length):
            end = min(start + block_length, len(row))
            block = torch.zeros_like(free)
            block[start:end] = True
            passes = 0
            while (block & free).any():
                masked = block & (tokens == mask_id)
                passes += not masked.any()
                if over(passes, post_edit_steps):
                    break
                logits = logits_fn(tokens[None])[0].clone()
                logits[:, list(banned)] = -torch.inf
                logits = penalized(logits, tokens, start, end, penalty)
                likely, proposal = logits.softmax(-1).max(-1)
                own = block & free & ~masked
                edits = replaced(likely, proposal != tokens, own, edit_threshold)
                changes = accepted(likely, masked, threshold) | edits
                if not changes.any():
                    break
                tokens = torch.where(changes, proposal, tokens)
        rows.append(tokens)
    return torch.stack(rows)
