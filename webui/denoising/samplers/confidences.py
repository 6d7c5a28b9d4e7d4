"""Confidences: a number for each active position, by which positions are ordered; the highest is committed
first.

`logits` (N, V) are those of the model and the extensions around it, at temperature 1 and before the filters;
`token` (N,) is what was drawn, `probability` (N,) its probability under these logits.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from webui.canvas import Canvas, noise

Confidence = Callable[[Canvas, Tensor, Tensor, Tensor], Tensor]


def probability(canvas: Canvas, logits: Tensor, token: Tensor, probability: Tensor) -> Tensor:
    """The token's probability (LLaDA's low-confidence remasking, Fast-dLLM)."""
    return probability


def margin(canvas: Canvas, logits: Tensor, token: Tensor, probability: Tensor) -> Tensor:
    """Probability of the likeliest minus that of the second (Dream: topk_margin)."""
    likely = logits.softmax(1).topk(2, dim=1).values
    return likely[:, 0] - likely[:, 1]


def entropy(canvas: Canvas, logits: Tensor, token: Tensor, probability: Tensor) -> Tensor:
    """Minus the entropy in nats, so that higher is more confident (Dream: entropy)."""
    logs = logits.log_softmax(1)
    return torch.where(logs > -torch.inf, logs * logs.exp(), 0.0).sum(1)


def logit_gap(canvas: Canvas, logits: Tensor, token: Tensor, probability: Tensor) -> Tensor:
    """Logit of the likeliest minus that of the second (Prophet)."""
    likely = logits.topk(2, dim=1).values
    gap = likely[:, 0] - likely[:, 1]
    return torch.where(likely[:, 1] > -torch.inf, gap, torch.finfo(gap.dtype).max)


def leftmost(canvas: Canvas, logits: Tensor, token: Tensor, probability: Tensor) -> Tensor:
    """Minus the position in the answer (SDAR: sequential)."""
    rows, columns = canvas.at
    return (canvas.answer[rows] - columns).to(logits.dtype)


def random(canvas: Canvas, logits: Tensor, token: Tensor, probability: Tensor) -> Tensor:
    """A uniform number: positions are committed in random order (LLaDA's random remasking)."""
    rows, columns = canvas.at
    position = columns - canvas.answer[rows]
    return noise.uniform(noise.counter(canvas.seed[rows], noise.ORDER, position, canvas.step[rows]))


def token_probability(logits: Tensor, token: Tensor) -> Tensor:
    """(N,): each token's probability under its logits (N, V).

    By the softmax: exp(logit - logsumexp) loses the differences between confident positions.
    """
    return logits.softmax(1).gather(1, token[:, None])[:, 0]
