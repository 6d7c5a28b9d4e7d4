"""Schedules: how many positions of a block may still be masked after step s (from 0) of S, of n at its start.

All arguments and results are (B,) long.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Schedule = Callable[[Tensor, Tensor, Tensor], Tensor]


def even(n: Tensor, s: Tensor, steps: Tensor) -> Tensor:
    """The same number each step, the first n % S steps one more (Nie et al. 2025, LLaDA:
    get_num_transfer_tokens)."""
    return (n - (s + 1) * (n // steps) - torch.minimum(s + 1, n % steps)).clamp(min=0)


def cosine(n: Tensor, s: Tensor, steps: Tensor) -> Tensor:
    """Few at first, many at the end: n cos(pi/2 (s+1)/S) stay masked (Chang et al. 2022, MaskGIT)."""
    return torch.floor(n * torch.cos(torch.pi / 2 * ((s + 1) / steps).clamp(max=1.0)) + 1e-4).long()


def linear(n: Tensor, s: Tensor, steps: Tensor) -> Tensor:
    """The step's share: floor(n (1 - (s+1)/S)) stay masked (Peng et al. 2025, P2: kappa(t) = t). With
    more steps than positions they are spread over all of the steps."""
    return torch.div(n * (steps - s - 1).clamp(min=0), steps, rounding_mode="floor")
