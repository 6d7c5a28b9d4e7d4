"""95 % intervals. Pure functions, no torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random

Z = 1.959964  # 97.5 % of the normal distribution lie below
RESAMPLES = 1000


def wilson(hits: int, n: int, z: float = Z) -> tuple[float, float]:
    """Wilson's score interval for a rate of `hits` in `n` independent trials (Wilson 1927); (0, 1) for
    none."""
    if n == 0:
        return 0.0, 1.0
    p, square = hits / n, z * z
    middle = (p + square / (2 * n)) / (1 + square / n)
    half = z / (1 + square / n) * math.sqrt(p * (1 - p) / n + square / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def ratio(parts: Sequence[tuple[float, float]]) -> float:
    """Sum of the firsts over the sum of the seconds; 0 if that is nothing."""
    below = sum(part for _, part in parts)
    return sum(part for part, _ in parts) / below if below else 0.0


def bootstrap(parts: Sequence[tuple[float, float]], seed: int = 0) -> tuple[float, float]:
    """Percentile interval of `ratio(parts)`: texts are drawn anew with replacement, for what is in one text
    hangs together."""
    dice = Random(f"{seed} bootstrap")
    values = sorted(ratio(dice.choices(parts, k=len(parts))) for _ in range(RESAMPLES)) if parts else [0.0]
    return values[round(0.025 * (len(values) - 1))], values[round(0.975 * (len(values) - 1))]
