"""What a request will cost: texts, model calls, and seconds by what was measured."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from webui.checkpoints.loading import Checkpoints
from webui.core.events import Event, Finished, Loop, Progress, Started
from webui.core.request import Cell, Request

CONFIRMED = 1000  # texts; a request for more of them has to be confirmed
DEFAULT_LENGTH = 128  # tokens, where neither request nor preset says


@dataclass(frozen=True)
class Estimate:
    """The cost of a request.

    texts      that it asks for
    different  of them; those with the same request are computed once
    forwards   model calls for rows of a batch together, at most; an extension that writes texts several times
               makes more
    seconds    roughly; None while nothing has been measured with its checkpoints
    """

    texts: int
    different: int
    forwards: int
    seconds: float | None

    def __str__(self) -> str:
        duration = "" if self.seconds is None else f", about {_duration(self.seconds)}"
        return f"{self.texts} texts, {self.forwards} model calls{duration}"


class Pace:
    """How long a step of one position takes with each checkpoint, as the last jobs measured it. For any
    threads."""

    def __init__(self) -> None:
        self._paces: dict[str, float] = {}
        self._lock = threading.Lock()

    def watch(self, events: Iterator[Event]) -> Iterator[Event]:
        """The events of a job, measured on their way."""
        lengths: dict[str, int] = {}
        seconds, positions, last = 0.0, 0, 0.0
        for event in events:
            if isinstance(event, Started):
                lengths[event.cell] = event.length
            if isinstance(event, Progress):
                now = time.monotonic()
                if last:
                    seconds += now - last
                    positions += sum(lengths.get(cell, 0) for cell in event.step)
                last = now
            elif isinstance(event, Started | Loop):
                last = 0.0  # what lies between two batches is no step
            elif isinstance(event, Finished) and event.result.provenance and positions:
                with self._lock:
                    self._paces[event.result.provenance.checkpoint] = seconds / positions
                seconds, positions = 0.0, 0
            yield event

    def of(self, checkpoint: str) -> float | None:
        """Seconds of one step of one position; None if it was never measured."""
        with self._lock:
            return self._paces.get(checkpoint)


def estimate(cells: Sequence[Cell], checkpoints: Checkpoints, pace: Pace, batch_rows: int) -> Estimate:
    """The cost of these cells. batch_rows: the setting. ValueError if a checkpoint is not there."""
    different = {cell.request.key(): cell.request for cell in cells}
    rows: dict[str, list[tuple[int, int]]] = {}
    presets: dict[str | None, tuple[str, dict[str, Any]]] = {}
    for request in different.values():
        if request.model not in presets:
            name = checkpoints.entry(request.model).name
            presets[request.model] = name, checkpoints.profile(name)["preset"]
        name, preset = presets[request.model]
        rows.setdefault(name, []).append(_size(request, preset))
    limit = batch_rows or (16 if checkpoints.device() == "cpu" else 64)
    forwards, seconds = 0, 0.0
    known = True
    for name, sizes in rows.items():
        sizes.sort()
        forwards += sum(max(steps for _, steps in sizes[i : i + limit]) for i in range(0, len(sizes), limit))
        measured = pace.of(name)
        known = known and measured is not None
        seconds += (measured or 0) * sum(length * steps for length, steps in sizes)
    return Estimate(len(cells), len(different), forwards, seconds if known else None)


def refuse_unconfirmed(request: Request, found: Estimate) -> None:
    """ValueError with the cost, if the request has to be confirmed and is not."""
    if found.texts > CONFIRMED and not request.confirm:
        raise ValueError(
            f"This makes {found}. Set confirm to write more than {CONFIRMED} texts with one request."
        )


def _size(request: Request, preset: dict[str, Any]) -> tuple[int, int]:
    """Positions of the answer, and steps for them."""
    started = len(request.canvas.tokens) if request.canvas is not None else 0
    length = started or request.length or preset.get("length") or DEFAULT_LENGTH
    return length, min(request.steps or preset.get("steps") or length, length)


def _duration(seconds: float) -> str:
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(1, seconds):.0f} s"
