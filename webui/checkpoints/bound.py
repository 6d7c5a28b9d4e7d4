"""A number that tells whether a checkpoint computes what it was trained for: the bound of a sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from webui.canvas import Canvas

if TYPE_CHECKING:
    from webui.checkpoints.model import Model

ROWS = 32  # draws of what is masked


def bound(model: Model, tokens: Sequence[int], rows: int = ROWS) -> float:
    """The bound of masked diffusion on a sentence's negative log-likelihood, in nats for each token: over
    shares of masked tokens spread evenly from 0 to 1, the mean of the masked tokens' mean (Sahoo et al. 2024,
    arXiv 2406.07524; Ou et al. 2024, arXiv 2406.03736). Always the same for the same weights."""
    import torch

    count = len(tokens)
    if not count:
        raise ValueError("The sentence has no tokens.")
    given = torch.tensor(tokens)
    hidden = torch.zeros(rows, count, dtype=torch.bool)
    for row in range(rows):
        order = torch.randperm(count, generator=torch.Generator().manual_seed(row))
        hidden[row, order[: math.ceil((row + 0.5) / rows * count)]] = True
    answers = torch.where(hidden, model.mask, given).tolist()
    canvas = Canvas.build([[]] * rows, answers, [0] * rows, model.mask).to(model.device)
    canvas = canvas.activate(canvas.masked)
    logits = model(canvas).cpu().double()
    logits[:, model.mask] = -torch.inf  # is never written
    wanted = given.expand(rows, -1)[hidden]
    lost = -logits.log_softmax(-1)[torch.arange(len(wanted)), wanted]
    row = hidden.nonzero()[:, 0]
    means = torch.zeros(rows, dtype=torch.float64).index_add_(0, row, lost) / hidden.sum(1)
    return float(means.mean())
