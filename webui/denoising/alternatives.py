"""What else was likely: the tokens with the highest probabilities at some positions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from webui.denoising.transfer import to_host


def likeliest(logits: Tensor, places: Sequence[int], count: int) -> list[list[tuple[int, float]]]:
    """The `count` likeliest tokens of each of some `places` among the N positions of `logits` (N, V), with
    their probabilities, the likeliest first. Impossible tokens are left out.

    The softmax is that of `samplers.choose`, so that a committed token has its confidence here.
    """
    if not places:
        return []
    taken = logits[torch.tensor(places, device=logits.device)]
    taken = taken if taken.dtype == torch.float64 else taken.float()
    probabilities, tokens = taken.softmax(1).topk(min(count, taken.shape[1]), dim=1)
    probability, token = to_host([probabilities, tokens])
    return [
        [(t, p) for t, p in zip(line, chances, strict=True) if p > 0]
        for line, chances in zip(token.tolist(), probability.tolist(), strict=True)
    ]
