"""DreamOn's sampler, written plainly: the yardstick for ours. It imports torch and nothing of the program.

Wu et al., DreamOn, arXiv:2602.01326, and its published generation program (delete_eos_token, pad_eos_to_right;
one token each step): text before, a middle of masks, text behind.

- Each step the logits of the masked positions are divided by the temperature and cut to the nucleus; the
  position of least entropy gets its likeliest token (at temperature 0).
- The token that expands becomes two masks. It cannot be chosen where the middle has its full length, or when
  it was chosen `most` times.
- An end-of-text makes all masks behind it in the middle end-of-texts; all of these are deleted.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tests.reference.llada import LogitsFn


def nucleus(logits: Tensor, top_p: float) -> Tensor:
    """With what comes after the likeliest tokens of this total probability at minus infinity."""
    ordered, index = logits.sort(descending=True, stable=True)
    before = ordered.softmax(-1).cumsum(-1) - ordered.softmax(-1)
    drop = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, index, before >= top_p)
    return logits.masked_fill(drop, -torch.inf)


def confidence(logits: Tensor) -> Tensor:
    """Minus the entropy."""
    p = logits.softmax(-1)
    return torch.where(p > 0, p * p.log(), 0.0).sum(-1)


def expanded(middle: list[int], at: int, mask_id: int) -> list[int]:
    return [*middle[:at], mask_id, mask_id, *middle[at + 1 :]]


def ended(middle: list[int], at: int, mask_id: int) -> list[int]:
    return middle[:at] + [token for token in middle[at + 1 :] if token != mask_id]


def may_expand(middle: list[int], most: int, budget: int) -> bool:
    return len(middle) < most and budget > 0


@torch.no_grad()
def sample(
    logits_fn: LogitsFn,
    before: Sequence[int],
    middle: int,
    behind: Sequence[int],
    *,
    most: int,
    mask_id: int,
    expand_id: int,
    ends: Sequence[int],
    top_p: float = 1.0,
    banned: Sequence[int] = (),
) -> list[list[int]]:
    """The middle after each step, the first one before all. `middle` masks to begin with."""
    now, budget = [mask_id] * middle, most
    trace = [now]
    while mask_id in now:
        logits = logits_fn(torch.tensor([[*before, *now, *behind]]))[0][len(before) : len(before) + len(now)]
        logits[:, list(banned)] = -torch.inf
        if not may_expand(now, most, budget):
            logits[:, expand_id] = -torch.inf
        logits = nucleus(logits, top_p)
        sure = torch.where(torch.tensor(now) == mask_id, confidence(logits), -torch.inf)
        at = int(sure.argmax())
        token = int(logits[at].argmax())
        if token == expand_id:
            now, budget = expanded(now, at, mask_id), budget - 1
        elif token in ends:
            now = ended(now, at, mask_id)
        else:
            now = [*now[:at], token, *now[at + 1 :]]
        trace.append(now)
    return trace
