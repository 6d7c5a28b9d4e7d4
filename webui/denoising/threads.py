"""How many CPU threads a model call takes: measured while texts are made.

More threads are not always faster: a small model spends more on waiting for its threads than they save, and
where another program has a core, all threads wait for the one beside it. So the first steps of a batch are
made with different numbers, each twice, and the fastest stays until steps slow down. Texts do not depend on
it (tests/denoising/test_threads.py).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

import torch

SLOW = 1.6  # so many times the usual time of a step means that something changed
RECENT = 5  # steps whose median is looked at
AGAIN = 400  # steps after which the numbers are measured anew in any case


class Threads:
    """Sets the number of threads around the steps of batches. `fixed`: that many always; 0: measured."""

    def __init__(self, fixed: int = 0):
        self.fixed = fixed
        self._pace: dict[tuple[str, int], _Pace] = {}

    @contextmanager
    def step(self, model: str, positions: int) -> Iterator[None]:
        """Around one step of a model on so many positions, rows times columns."""
        if self.fixed:
            torch.set_num_threads(self.fixed)
            yield
            return
        key = model, positions.bit_length()  # sizes within a factor of two share what was measured
        pace = self._pace.setdefault(key, _Pace(candidates()))
        torch.set_num_threads(pace.number)
        began = time.perf_counter()
        yield
        pace.took((time.perf_counter() - began) / positions)


class _Pace:
    """What steps of one size took. `number` is the number of threads for the next one."""

    def __init__(self, numbers: list[int]):
        self._numbers = numbers
        self._measure()

    def took(self, seconds: float) -> None:
        """Reports the time of a step per position."""
        self._steps += 1
        if self._waiting:
            self._times.setdefault(self._waiting.pop(0), []).append(seconds)
            if self._waiting:
                self.number = self._waiting[0]
            else:
                self.number = min(self._times, key=lambda number: min(self._times[number]))
                self._usual = min(self._times[self.number])
            return
        self._recent = [*self._recent[1 - RECENT :], seconds]
        slow = len(self._recent) == RECENT and median(self._recent) > SLOW * self._usual
        if slow or self._steps >= AGAIN:
            self._measure()

    def _measure(self) -> None:
        """Begins to try all numbers, in turn so that a busy moment does not hit one alone."""
        self._waiting = self._numbers * 2 if len(self._numbers) > 1 else []
        self._times: dict[int, list[float]] = {}
        self._recent: list[float] = []
        self._usual = float("inf")
        self._steps = 0
        self.number = self._numbers[0]


def candidates() -> list[int]:
    """Numbers of threads to try: those the process may use, half of them, and so on to 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = os.environ.get("OMP_NUM_THREADS", "")
    most = max(1, min(cores, int(limit)) if limit.isdigit() else cores)
    return [most >> shift for shift in range(most.bit_length())]
