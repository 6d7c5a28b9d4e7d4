"""Schedules: how many positions of a block may still be masked after step s (from 0) of S, of n at its start.

n, s, S and the results are (B,) long; the canvas is that of the step.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from webui.canvas import Canvas, noise

Schedule = Callable[[Tensor, Tensor, Tensor, Canvas], Tensor]


def even(n: Tensor, s: Tensor, steps: Tensor, canvas: Canvas) -> Tensor:
    """The same number each step, the first n % S steps one more (Nie et al. 2025, LLaDA:
    get_num_transfer_tokens)."""
    return (n - (s + 1) * (n // steps) - torch.minimum(s + 1, n % steps)).clamp(min=0)


def cosine(n: Tensor, s: Tensor, steps: Tensor, canvas: Canvas) -> Tensor:
    """Few at first, many at the end: n cos(pi/2 (s+1)/S) stay masked (Chang et al. 2022, MaskGIT)."""
    return torch.floor(n * torch.cos(torch.pi / 2 * ((s + 1) / steps).clamp(max=1.0)) + 1e-4).long()


def linear(n: Tensor, s: Tensor, steps: Tensor, canvas: Canvas) -> Tensor:
    """The step's share: floor(n (1 - (s+1)/S)) stay masked (Peng et al. 2025, P2: kappa(t) = t). With
    more steps than positions they are spread over all of the steps."""
    return torch.div(n * (steps - s - 1).clamp(min=0), steps, rounding_mode="floor")


def bernoulli(n: Tensor, s: Tensor, steps: Tensor, canvas: Canvas) -> Tensor:
    """Each masked position is committed with probability 1 / (S - s) in step s, as ancestral sampling does
    (Sahoo et al. 2024, MDLM; dLLM: stochastic_transfer): in any of the steps with the same chance. Steps in
    which nothing would be committed are left out, as the model would give the same again in the next."""
    index = torch.arange(canvas.tokens.shape[1], device=canvas.tokens.device)[None]
    block = canvas.state.block.clamp(min=0)[:, None]
    luck = noise.uniform(noise.counter(canvas.seed[:, None], noise.SCHEDULE, index, block))
    when = (luck.double() * steps[:, None]).long()
    when = torch.where(index < n[:, None], when, steps[:, None]).sort(dim=1).values
    order = (when.diff(dim=1) > 0).cumsum(1)  # which of the steps that are left, from 0
    order = torch.nn.functional.pad(order, (1, 0))
    return ((when < steps[:, None]) & (order > s[:, None])).sum(1)
