"""SEDD's sampler, written plainly: the yardstick for ours. It imports torch and nothing of the program.

Lou, Meng and Ermon, Discrete Diffusion Modeling by Estimating the Ratios of the Data Distribution,
arXiv:2310.16834; algorithm 2 and its published program, for the absorbing process (the mask is the last token) with
log-linear noise: the noise level is sigma(t) = -log(1 - (1 - 0.001) t), its rate sigma'(t). A model gives
score(x, sigma) (L, V), the ratios of p(text with token y there) to p(text).

- euler: rates of going from x to y, sigma'(t) times the ratio if x is the mask, none otherwise; one step of them;
- analytic (Tweedie): the score is taken back by d = sigma(t) - sigma(t - dt): multiplied by e^d, and of the mask's
  entry is taken off (e^d - 1) times the sum of all; it is multiplied by the transition's transpose: e^-d that x
  stays, and 1 - e^-d into every entry if x is the mask;
- at the end a step over the whole of what noise is left, in which nothing stays masked.

What is drawn is up to `draw`: unnormalised probabilities (B, L, V), negative ones being none, and the step.
Times run linearly from 1 to 1e-5.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

Scores = Callable[[Tensor, float], Tensor]  # tokens (B, L), sigma -> ratios (B, L, V)
Draw = Callable[[Tensor, int], Tensor]  # probabilities (B, L, V), step -> tokens (B, L)
EPS, LAST = 1e-3, 1e-5


def sigma(t: float) -> float:
    return -math.log1p(-(1 - EPS) * t)


def rate(t: float) -> float:
    return (1 - EPS) / (1 - (1 - EPS) * t)


def staggered(score: Tensor, d: float) -> Tensor:
    back = math.exp(d) * score
    back[..., -1] += (1 - math.exp(d)) * score.sum(-1)
    return back


def transition(tokens: Tensor, rows: int, d: float) -> Tensor:
    stay = math.exp(-d) * torch.nn.functional.one_hot(tokens, rows).double()
    return stay + torch.where(tokens == rows - 1, 1 - math.exp(-d), 0.0)[..., None]


def analytic(tokens: Tensor, score: Scores, t: float, dt: float) -> Tensor:
    d = sigma(t) - sigma(t - dt)
    ratios = score(tokens, sigma(t)).double()
    return staggered(ratios, d) * transition(tokens, ratios.shape[-1], d)


def euler(tokens: Tensor, score: Scores, t: float, dt: float) -> Tensor:
    ratios = score(tokens, sigma(t)).double()
    rows = ratios.shape[-1]
    here = torch.nn.functional.one_hot(tokens, rows).double()
    into = torch.where((tokens == rows - 1)[..., None], ratios, 0.0) * (1 - here)
    return here + dt * rate(t) * (into - here * into.sum(-1, keepdim=True))


def removal(tokens: Tensor, score: Scores, t: float) -> Tensor:
    """Noise removal."""
    ratios = score(tokens, sigma(t)).double()
    left = staggered(ratios, sigma(t)) * transition(tokens, ratios.shape[-1], sigma(t))
    left[..., -1] = 0.0
    return left


def times(moves: int) -> list[float]:
    return [1 - (1 - LAST) * i / moves for i in range(moves)]


@torch.no_grad()
def sample(
    score_fn: Scores, canvas: Tensor, answer: int, *, steps: int, draw: Draw, predictor: str
) -> Tensor:
    """Denoises `canvas` (B, L), whose last token of the vocabulary is the mask: `steps` - 1 steps of the predictor
    and the removal of noise. What is given stays: it is put back before every step, as its program's projection does."""
    tokens, given, moves = canvas.clone(), None, steps - 1
    for step, t in enumerate(times(moves) if moves else []):
        move = {"analytic": analytic, "euler": euler}[predictor]
        probabilities = move(tokens, score_fn, t, (1 - LAST) / moves)
        given = canvas != probabilities.shape[-1] - 1 if given is None else given
        tokens = torch.where(given, canvas, draw(probabilities, step))
    probabilities = removal(tokens, score_fn, LAST if moves else 1.0)
    given = canvas != probabilities.shape[-1] - 1
    return torch.where(given, canvas, draw(probabilities, moves))
