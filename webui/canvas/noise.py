"""Counter-based randomness: a stateless integer hash, so the same seed gives the same draws on every device,
in every batch.

Never a sequential generator and never a padded column: what a row draws depends on (seed, stream, answer
position, the row's own step, token) alone. The mixing function is the 32-bit finaliser "lowbias32" (Chris
Wellons, public domain).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

# Streams: token, the rest as one, inside the rest, random order, commit by chance, remask by chance, which
# positions draw from the variation seed, in which step how many are committed, what a model that denoises
# random tokens gets at masked positions.
DRAW, REST, INSIDE, ORDER, COMMIT, REMASK, VARIATION, SCHEDULE, CANVAS = range(9)
_LOW = 0xFFFFFFFF


def mix(x: Tensor) -> Tensor:
    """A bijection of 32-bit integers held in int64."""
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & _LOW
    x = ((x ^ (x >> 15)) * 0x846CA68B) & _LOW
    return x ^ (x >> 16)


def counter(seed: Tensor, stream: int | Tensor, position: Tensor, step: Tensor) -> Tensor:
    """The 32-bit key of a draw before the token enters; integer tensors that broadcast."""
    if seed.device.type == "cpu":  # the same in NumPy, which takes a tenth of the time for so few numbers
        high = _words(seed >> 32)
        key = _mixed(_words(seed) ^ _words(0x9E3779B9 + stream))
        key = _mixed(key ^ high)
        key = _mixed(key + _words(position))
        key = _mixed(key + _words(step) * np.uint32(0x85EBCA6B))
        return _tensor(key.astype(np.int64), seed, stream, position, step)
    key = mix((seed & _LOW) ^ (0x9E3779B9 + stream))
    key = mix(key ^ ((seed >> 32) & _LOW))
    key = mix((key + position) & _LOW)
    return mix((key + step * 0x85EBCA6B) & _LOW)


def bits(key: Tensor, token: Tensor | int = 0) -> Tensor:
    """23 random bits for a key and a token of it, integer tensors that broadcast."""
    if key.device.type == "cpu":
        words = _mixed(_words(key) + _words(token) * np.uint32(0xC2B2AE35))
        words >>= np.uint32(9)
        return _tensor(words.view(np.int32), key, token)
    return mix((key + token * 0xC2B2AE35) & _LOW) >> 9


def _words(x: Tensor | int) -> Any:
    """The low 32 bits of integers, as unsigned numbers that wrap: an array of one dimension or more, for only
    arrays wrap without a warning."""
    if not isinstance(x, Tensor):
        return np.array([x & _LOW], np.uint32)
    words = x.numpy().astype(np.uint32)
    return words if words.ndim else words[None]


def _tensor(words: Any, *numbers: Tensor | int) -> Tensor:
    """What was computed from `_words` of these numbers, without the dimension that none of them has."""
    made = torch.from_numpy(words)
    return made if any(isinstance(x, Tensor) and x.ndim for x in numbers) else made[0]


def _mixed(x: Any) -> Any:
    """`mix` of an array of 32-bit words, in place."""
    x ^= x >> np.uint32(16)
    x *= np.uint32(0x7FEB352D)
    x ^= x >> np.uint32(15)
    x *= np.uint32(0x846CA68B)
    x ^= x >> np.uint32(16)
    return x


def uniform(key: Tensor, token: Tensor | int = 0) -> Tensor:
    """Float32 in (0, 1), 23 bits, ends excluded (the largest is 1 - 2^-24)."""
    return (bits(key, token).to(torch.float32) + 0.5) * 2.0**-23


def gumbel(key: Tensor, token: Tensor | int = 0) -> Tensor:
    """Standard Gumbel noise: argmax(log p + gumbel) is a draw from p (Gumbel 1954; Maddison et al. 2014)."""
    return gumbel_of(bits(key, token))


def gumbel_of(bits: Tensor) -> Tensor:
    """Gumbel noise from the 23 bits that `bits` gives; it grows with them."""
    if bits.device.type == "cpu":  # NumPy's calls are quicker; the logarithm is torch's, whose bits count
        plain = bits.numpy().astype(np.float32)
        plain += np.float32(0.5)
        plain *= np.float32(2.0**-23)
        noise = torch.from_numpy(plain)
        for _ in range(2):
            noise.log_()
            np.negative(plain, out=plain)
        return noise
    return -torch.log(-torch.log((bits.to(torch.float32) + 0.5) * 2.0**-23))


def bits_of_gumbel(value: float) -> int:
    """The least bits whose Gumbel noise is above `value`, give or take one."""
    return math.ceil(math.exp(-math.exp(-value)) * 2**23)
