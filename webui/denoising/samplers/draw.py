"""Draws: a token for each active position, from its logits after temperature, top-k, top-p and min-p."""

from __future__ import annotations

import torch
from torch import Tensor

from webui.canvas import Canvas
from webui.denoising import noise

LIKELIEST = 64  # tokens that get Gumbel noise of their own; the rest are drawn as one


def draw(canvas: Canvas, logits: Tensor) -> Tensor:
    """A token for each of N positions: the likeliest at temperature 0, otherwise a draw after temperature,
    top-k, top-p, min-p.

    Gumbel-max over the 64 likeliest tokens and the rest as one; if the rest wins, Gumbel-max inside it.
    Exactly the softmax's distribution, with noise for 65 numbers instead of the vocabulary, and few flips
    under rounding.
    """
    greedy = logits.argmax(1)
    rows, columns = canvas.at
    temperature = canvas.state.temperature[rows].to(logits.dtype)
    if "temperature" not in canvas.state.draws:
        return greedy
    warm = _filtered(canvas, logits / temperature.clamp(min=1e-6)[:, None])
    top = warm.topk(min(LIKELIEST, warm.shape[1]), dim=1)
    position, seed, step = columns - canvas.answer[rows], canvas.seed[rows], canvas.step[rows]
    key = noise.counter(seed, noise.DRAW, position, step)
    keys = top.values + noise.gumbel(key[:, None], top.indices)
    best, where = keys.max(1)
    token = top.indices.gather(1, where[:, None])[:, 0]
    rest = warm.scatter(1, top.indices, -torch.inf)
    mass = rest.logsumexp(1)
    wins = mass + noise.gumbel(noise.counter(seed, noise.REST, position, step)) > best
    if bool(wins.any()):
        inside = noise.counter(seed, noise.INSIDE, position, step)[wins][:, None]
        every = torch.arange(warm.shape[1], device=warm.device)[None]
        token = token.masked_scatter(wins, (rest[wins] + noise.gumbel(inside, every)).argmax(1))
    return torch.where(temperature > 0, token, greedy)


def _filtered(canvas: Canvas, logits: Tensor) -> Tensor:
    """Logits with what top-k, top-p and min-p drop at minus infinity; the likeliest token always stays."""
    state, rows = canvas.state, canvas.at[0]
    if "top_k" in state.draws:
        k = state.top_k[rows]
        limit = torch.where(k > 0, k, logits.shape[1]).clamp(max=logits.shape[1])
        least = logits.sort(1, descending=True).values.gather(1, limit[:, None] - 1)
        logits = logits.masked_fill(logits < least, -torch.inf)
    if "top_p" in state.draws:
        ordered, index = logits.sort(dim=1, descending=True, stable=True)
        before = ordered.softmax(1).cumsum(1) - ordered.softmax(1)
        drop = (before >= state.top_p[rows][:, None]) & (state.top_p[rows] < 1)[:, None]
        logits = logits.masked_fill(torch.zeros_like(drop).scatter(1, index, drop), -torch.inf)
    if "min_p" in state.draws:
        floor = logits.amax(1, keepdim=True) + torch.log(state.min_p[rows].clamp(min=1e-30))[:, None]
        logits = logits.masked_fill((logits < floor) & (state.min_p[rows] > 0)[:, None], -torch.inf)
    return logits
