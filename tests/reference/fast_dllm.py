"""Fast-dLLM's threshold decoding without its caches, written plainly. Imports torch and nothing of the
program.

Fast-dLLM, arXiv:2505.22618: every forward pass commits the best mask of the current block, and with it every
other whose confidence, in float64, reaches the threshold. As published, masks before the block count as its
masks.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tests.reference.llada import LogitsFn, Uniform, best, candidates, noisy, probability, uniform_noise


def passes(confidence: Tensor, threshold: float) -> Tensor:
    """Which confidences are enough to be committed together with the best one."""
    return confidence >= threshold


def committed(tokens: Tensor, chosen: Tensor, proposal: Tensor) -> Tensor:
    """The canvas after a pass."""
    return torch.where(chosen, proposal, tokens)


@torch.no_grad()
def sample(
    logits_fn: LogitsFn,
    canvas: Tensor,
    answer: int,
    *,
    block_length: int,
    mask_id: int,
    threshold: float = 0.9,
    temperature: float = 0.0,
    banned: Sequence[int] = (),
    ties: str = "first",
    uniform: Uniform = uniform_noise,
    trace: list[Tensor] | None = None,
) -> Tensor:
    """Denoises `canvas` (B, L), whose answer begins at column `answer`. The length of `trace` is the number
    of passes.

    Rows do not depend on each other: one whose block is clean waits for the others and changes no more.
    """
    tokens = canvas
    blocks, rest = divmod(canvas.shape[1] - answer, block_length)
    assert rest == 0, "the answer must be whole blocks"
    step = 0
    for block in range(blocks):
        start, end = answer + block * block_length, answer + (block + 1) * block_length
        while (tokens[:, start:end] == mask_id).any():
            logits = logits_fn(tokens).clone()
            logits[..., list(banned)] = -torch.inf
            proposal = noisy(logits, temperature, step, uniform).argmax(dim=-1)
            unfinished = (tokens[:, start:end] == mask_id).any(dim=1, keepdim=True)
            wanted = candidates(tokens, end, mask_id) & unfinished
            if (proposal[wanted] == mask_id).any():
                raise ValueError("the mask itself is the likeliest token: ban it, or this may never end")
            confidence = probability(logits.to(torch.float64), proposal).masked_fill(~wanted, -torch.inf)
            chosen = passes(confidence, threshold) & wanted
            for row in unfinished.nonzero()[:, 0].tolist():
                chosen[row, best(confidence[row], 1, ties)] = True
            tokens = committed(tokens, chosen, proposal)
            step += 1
            if trace is not None:
                trace.append(tokens)
    return tokens


def generate(logits_fn: LogitsFn, prompt: Tensor, *, length: int, mask_id: int, **options) -> Tensor:
    """`prompt` (B, P) followed by `length` masks, denoised: (B, P + length)."""
    answer = torch.full((prompt.shape[0], length), mask_id, dtype=prompt.dtype)
    return sample(logits_fn, torch.cat([prompt, answer], dim=1), prompt.shape[1], mask_id=mask_id, **options)
