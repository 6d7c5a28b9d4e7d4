"""Counter-based randomness: a stateless integer hash, so the same seed gives the same draws on every device,
in every batch.

Never a sequential generator and never a padded column: what a row draws depends on (seed, stream, answer
position, the row's own step, token) alone. The mixing function is the 32-bit finaliser "lowbias32" (Chris
Wellons, public domain).
"""

from __future__ import annotations

import torch
from torch import Tensor

# Streams: token, the rest as one, inside the rest, random order, commit by chance, remask by chance.
DRAW, REST, INSIDE, ORDER, COMMIT, REMASK = range(6)
_LOW = 0xFFFFFFFF


def mix(x: Tensor) -> Tensor:
    """A bijection of 32-bit integers held in int64."""
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & _LOW
    x = ((x ^ (x >> 15)) * 0x846CA68B) & _LOW
    return x ^ (x >> 16)


def counter(seed: Tensor, stream: int, position: Tensor, step: Tensor) -> Tensor:
    """The 32-bit key of a draw before the token enters; integer tensors that broadcast."""
    key = mix((seed & _LOW) ^ (0x9E3779B9 + stream))
    key = mix(key ^ ((seed >> 32) & _LOW))
    key = mix((key + position) & _LOW)
    return mix((key + step * 0x85EBCA6B) & _LOW)


def uniform(key: Tensor, token: Tensor | int = 0) -> Tensor:
    """Float32 in (0, 1), 23 bits, ends excluded (the largest is 1 - 2^-24)."""
    value = (
        mix((key + token * 0xC2B2AE35) & _LOW)
        if isinstance(token, Tensor)
        else mix((key + (token * 0xC2B2AE35)) & _LOW)
    )
    return ((value >> 9).to(torch.float32) + 0.5) * 2.0**-23


def gumbel(key: Tensor, token: Tensor | int = 0) -> Tensor:
    """Standard Gumbel noise: argmax(log p + gumbel) is a draw from p (Gumbel 1954; Maddison et al. 2014)."""
    return -torch.log(-torch.log(uniform(key, token)))
