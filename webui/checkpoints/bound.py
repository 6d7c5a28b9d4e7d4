"""The evidence bound of one sentence, used by `selftest` to check that a checkpoint was loaded correctly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from webui.canvas import Canvas

if TYPE_CHECKING:
    from webui.checkpoints.model import Model

ROWS = 32  # masked copies of the sentence, one forward pass


def bound(model: Model, tokens: Sequence[int], rows: int = ROWS) -> float:
    """Upper bound on the negative log-likelihood of a sentence under masked diffusion, in nats per token:
    the mean cross-entropy of the masked tokens, averaged over `rows` masking ratios spread evenly over (0, 1)
    (Sahoo et al. 2024, arXiv 2406.07524; Ou et al. 2024, arXiv 2406.03736). Deterministic for the same
    weights. ValueError for a sentence without tokens."""
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
