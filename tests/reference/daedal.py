"""DAEDAL's generation, written plainly: the yardstick for ours. It imports torch and nothing of the program.

Li et al., DAEDAL, arXiv:2508.00819, and its published generation program, for one text.

- First the length: the whole answer is masked. The confidence that the text ends is the sum of end-of-text's
  probability over the last `checked` positions where it is the likeliest token, divided by `checked`. Below
  `end_threshold` the answer gets `factor` masks more, up to `most`. Then `checked` / 2 end-of-texts are added.
- Then a window moves over the answer, on as soon as nothing in it is masked. Each step commits in the window
  what is surer than `high`, or the surest position. If the confidence that the text ends is below
  `insert_threshold` and the answer not at its most, the least sure masked position of the window below `low`
  becomes `factor` masks; what then stands beyond the most is cut off.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tests.reference.llada import LogitsFn


def end_confidence(logits: Tensor, ends: Sequence[int], checked: int) -> float:
    """From the logits (L, V) of the answer."""
    found = []
    for row in reversed(logits):
        if len(found) == checked:
            break
        if int(row.argmax()) in ends:
            found.append(float(row.softmax(-1).max()))
    return sum(found) / checked


def longer(length: int, factor: int, most: int) -> int:
    return min(length + factor, most)


def tail(length: int, checked: int, most: int) -> int:
    """End-of-texts at the end of the answer."""
    return min(length + checked // 2, most) - length


def committed(sure: list[float], masked: list[bool], high: float) -> list[int]:
    """Places in the window that are committed; `sure` of each place."""
    above = [i for i, on in enumerate(masked) if on and sure[i] > high]
    best = max((i for i, on in enumerate(masked) if on), key=lambda i: (sure[i], -i))
    return above or [best]


def doubtful(sure: list[float], masked: list[bool], taken: list[int], low: float) -> int | None:
    """The place in the window that becomes several."""
    below = [i for i, on in enumerate(masked) if on and i not in taken and sure[i] < low]
    return min(below, key=lambda i: (sure[i], i)) if below else None


def inserted(answer: list[int], at: int, factor: int, most: int, mask_id: int) -> list[int]:
    return [*answer[:at], *[mask_id] * factor, *answer[at + 1 :]][:most]


@torch.no_grad()
def sample(
    logits_fn: LogitsFn,
    prompt: Sequence[int],
    *,
    begin: int,
    most: int,
    mask_id: int,
    ends: Sequence[int],
    block_length: int = 32,
    factor: int = 8,
    high: float = 0.9,
    low: float = 0.1,
    end_threshold: float = 0.5,
    insert_threshold: float = 0.9,
    checked: int = 32,
    banned: Sequence[int] = (),
) -> list[list[int]]:
    """The answer after each model call, the first one before all."""

    def call() -> Tensor:
        logits = logits_fn(torch.tensor([[*prompt, *answer]]))[0][len(prompt) :]
        logits[:, list(banned)] = -torch.inf
        return logits

    answer = [mask_id] * min(begin, most)
    trace = [answer]
    while len(answer) < most:
        enough = end_confidence(call(), ends, checked) >= end_threshold
        if enough:
            answer = answer + [ends[0]] * tail(len(answer), checked, most)
        else:
            answer = [mask_id] * longer(len(answer), factor, most)
        trace.append(answer)
        if enough:
            break
    place = 0
    while mask_id in answer:
        while mask_id not in answer[place : place + block_length]:
            place += block_length
        logits = call()
        end = min(place + block_length, len(answer))
        tokens = logits[place:end].argmax(-1).tolist()
        sure = logits[place:end].softmax(-1).amax(-1).tolist()
        masked = [token == mask_id for token in answer[place:end]]
        taken = committed(sure, masked, high)
        grows = None
        if len(answer) < most and end_confidence(logits, ends, checked) < insert_threshold:
            grows = doubtful(sure, masked, taken, low)
        answer = list(answer)
        for i in taken:
            answer[place + i] = tokens[i]
        if grows is not None:
            answer = inserted(answer, place + grows, factor, most, mask_id)
        trace.append(answer)
    return trace
