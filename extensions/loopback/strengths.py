"""How much of a text each loop masks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import cos, pi, sin
from types import MappingProxyType

CURVES: Mapping[str, Callable[[float], float]] = MappingProxyType(
    {
        "aggressive": lambda x: sin(x * pi / 2),
        "linear": lambda x: x,
        "lazy": lambda x: 1 - cos(x * pi / 2),
    }
)


def strength(first: float, final: float | None, curve: str, k: int, loops: int) -> float:
    """The strength of loop k of `loops`, from 0: first + (final - first) * f(k / (loops - 1)). With one loop,
    or without a final one, it is the first."""
    if final is None or loops < 2:
        return first
    return first + (final - first) * CURVES[curve](k / (loops - 1))
