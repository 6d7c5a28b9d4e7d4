"""Ancestral sampling of masked diffusion, written plainly: two ways that need no more model calls than tokens.
They import torch and nothing of the program.

first_hitting  Zheng et al. 2024, arXiv:2409.02908, algorithm 1, as BD3-LM uses it (arXiv:2503.09573): from time 1
               on, with n masks left the next one is revealed at t u^(1/n), u uniform; which one is drawn
               uniformly, its token from the model. For a model that is not told the time, nothing else depends
               on it.
bernoulli      Sahoo et al. 2024, MDLM, arXiv:2406.07524, with the schedule 1 - t in S steps: each mask is
               revealed in step i (from 0) with probability 1 / (S - i). A model that is not told the time gives
               the same again as long as the text is the same, so steps that reveal nothing need no model call.
               The number a step reveals can be drawn first (dLLM: stochastic_transfer) and the positions be taken
               by confidence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tests.reference.llada import LogitsFn

Uniform = Callable[[int, int], Tensor]  # row, step -> one number in (0, 1) for each position of the answer


def hitting_times(masks: int, uniform: Sequence[float]) -> list[float]:
    """When each of the masks is revealed; falls from 1 to 0."""
    times, t = [], 1.0
    for number, u in zip(range(masks, 0, -1), uniform, strict=True):
        t *= u ** (1 / number)
        times.append(t)
    return times


def hit(masked: Tensor, luck: Tensor) -> Tensor:
    """(L,) bool: one of the masks, each with the same chance: the one with the highest of the numbers `luck`."""
    chosen = torch.zeros_like(masked)
    chosen[torch.where(masked, luck, -torch.inf).argmax()] = True
    return chosen


@torch.no_grad()
def first_hitting(
    logits_fn: LogitsFn,
    canvas: Tensor,
    answer: int,
    *,
    block_length: int,
    mask_id: int,
    uniform: Uniform,
    banned: Sequence[int] = (),
) -> Tensor:
    """Denoises `canvas` (B, L), row by row and block by block; the likeliest token is drawn."""
    rows = []
    for number, row in enumerate(canvas):
        tokens, step = row.clone(), 0
        for start in range(answer, len(row), block_length):
            inside = torch.zeros(len(row), dtype=torch.bool)
            inside[start : start + block_length] = True
            while (masked := inside & (tokens == mask_id)).any():
                logits = logits_fn(tokens[None])[0].clone()
                logits[:, list(banned)] = -torch.inf
                luck = torch.zeros(len(row), dtype=torch.float64)
                luck[answer:] = uniform(number, step)
                tokens = torch.where(hit(masked, luck), logits.argmax(-1), tokens)
                step += 1
        rows.append(tokens)
    return torch.stack(rows)


def revealed(masks: int, steps: int, uniform: Sequence[float]) -> list[int]:
    """How many of the masks each of the steps reveals. A mask that is revealed in step i with probability
    1 / (S - i) if it still is one is revealed in any step with the same probability: one number for each."""
    return [sum(int(u * steps) == step for u in uniform[:masks]) for step in range(steps)]


def called(counts: Sequence[int]) -> list[int]:
    """Without the steps that need no model call."""
    return [count for count in counts if count]
