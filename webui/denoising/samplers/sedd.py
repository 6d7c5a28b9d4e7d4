"""SEDD's sampler (Lou, Meng and Ermon 2024, arXiv 2310.16834, algorithm 2) for the absorbing process with
log-linear noise, from its published code.

Times t run linearly from 1 to 1e-5 over all steps but the last one. The published analytic predictor (Tweedie
tau-leaping) and the Euler predictor are the same step there: with the noise level -log(1 - (1 - e) t) both
commit a masked position, on the way from t to s, with probability (1 - s / t) times the sum of what the model
thinks of all tokens, at most 1, and the token is drawn from that. Of a model of ratios this sum is only about
1; of one of probabilities it is 1. The last step takes all that is left masked (published: noise removal).
"""

from __future__ import annotations

import torch
from torch import Tensor

from webui.canvas import Canvas, noise
from webui.denoising.samplers.plan import Plan

LAST = 1e-5  # the time of the last step


def time(canvas: Canvas) -> Tensor:
    """(B,) double: the time of each row's step in its block."""
    return _time(canvas, 0)


def select(canvas: Canvas, confidence: Tensor, plan: Plan) -> Tensor:
    """Each masked position by itself, whatever its confidence; late end-of-text in the last step."""
    rows, columns = canvas.at
    position = columns - canvas.answer[rows]
    luck = noise.uniform(noise.counter(canvas.seed[rows], noise.COMMIT, position, canvas.step[rows]))
    share = (1 - _time(canvas, 1) / _time(canvas, 0))[rows]
    ratios = canvas.state.own.get("ratios")
    if ratios is not None:
        share = torch.where(ratios[rows] > 0, share * plan.total().double().exp(), share)
    state = canvas.state
    last = canvas.step - state.block_begin + 1 >= state.block_steps
    return ((luck.double() < share) & (confidence > -torch.inf)) | last[rows]


def _time(canvas: Canvas, further: int) -> Tensor:
    """The time so many steps on; that of the last step after it, too."""
    state = canvas.state
    made, moves = canvas.step - state.block_begin + further, (state.block_steps - 1).clamp(min=1)
    return 1 - (1 - LAST) * torch.minimum(made, moves).double() / moves
