"""What a request will cost: texts, model calls, and seconds by what was measured."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from webui.checkpoints.loading import Checkpoints
from webui.core.atomic import write
from webui.core.events import Event, Finished, Loop, Progress, Started
from webui.core.request import Cell, Request
from webui.extension.extension import Cost

CONFIRMED = 1000  # texts; a request for more of them has to be confirmed
DEFAULT_LENGTH = 128  # tokens, where neither request nor preset says
DEFAULT_SAMPLER = "low_confidence"
# The time of a model call grows with its positions to the power of this, where nothing else was measured:
# between the square root and in proportion, so that over a factor of 16 it is wrong by 2 at most.
GROWTH = 0.75


@dataclass(frozen=True)
class Estimate:
    """The cost of a request.

    texts      that it asks for
    different  of them; those with the same request are computed once
    forwards   model calls for rows of a batch together, at most
    seconds    roughly; None while nothing has been measured with its checkpoints
    """

    texts: int
    different: int
    forwards: int
    seconds: float | None

    def __str__(self) -> str:
        duration = "" if self.seconds is None else f", about {_duration(self.seconds)}"
        return f"{self.texts} texts, {self.forwards} model calls{duration}"


Call = tuple[float, float]  # its positions and its seconds


class Pace:
    """How long a model call takes with each checkpoint, by the positions of the answers in it, and what share
    of their steps texts need with each sampler; as the last jobs measured it. For any threads.

    path  a file that keeps it, None: it is forgotten. One that cannot be read or written is as none
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._paces: dict[str, dict[int, Call]] = {}  # by checkpoint and about so many positions
        self._shares: dict[str, dict[str, float]] = {}  # by checkpoint and sampler
        with suppress(OSError, ValueError, AttributeError, TypeError):
            self._read({} if path is None else json.loads(path.read_text("utf-8")))

    def watch(self, events: Iterator[Event], rows: Callable[[str], float]) -> Iterator[Event]:
        """The events of a job, measured on their way. rows: of a cell, how many rows of a batch it has."""
        started: dict[str, Started] = {}
        spent: dict[int, list[Call]] = {}
        taken: dict[str, tuple[int, int]] = {}  # model calls and steps, by sampler
        last, checkpoint = 0.0, ""
        for event in events:
            if isinstance(event, Started):
                started[event.cell] = event
            if isinstance(event, Progress):
                now = time.monotonic()
                if last:
                    positions = sum(
                        started[cell].length * rows(cell) for cell in event.step if cell in started
                    )
                    spent.setdefault(round(positions).bit_length(), []).append((positions, now - last))
                last = now
            elif isinstance(event, Started | Loop):
                last = 0.0  # what lies between two batches is no step
            elif isinstance(event, Finished) and (made := event.result.provenance) is not None:
                if checkpoint not in ("", made.checkpoint):
                    self._learn(checkpoint, spent, taken)
                    spent, taken = {}, {}
                checkpoint = made.checkpoint
                if event.cell in started:
                    sampler = event.result.request.sampler or ""
                    calls, steps = taken.get(sampler, (0, 0))
                    calls += event.result.statistics.forwards
                    taken[sampler] = calls, steps + started[event.cell].steps
            yield event
        self._learn(checkpoint, spent, taken)
        self._write()

    def of(self, checkpoint: str, positions: float) -> float | None:
        """Seconds of a model call with so many positions; None if none was measured. Between two that were,
        it grows by a power of the positions."""
        with self._lock:
            known = sorted(self._paces.get(checkpoint, {}).values())
        if not known or positions <= 0:
            return None
        below = [one for one in known if one[0] <= positions][-1:]
        above = [one for one in known if one[0] > positions][:1]
        (size, seconds), *_ = near = below + above
        growth = GROWTH
        if len(near) == 2:
            (_, _), (larger, longer) = near
            growth = math.log(longer / seconds) / math.log(larger / size)
        return seconds * (positions / size) ** growth

    def share(self, checkpoint: str, sampler: str) -> float:
        """How many of its steps a text needs with this sampler: all of them if it was never measured."""
        with self._lock:
            return self._shares.get(checkpoint, {}).get(sampler, 1.0)

    def _learn(
        self,
        checkpoint: str,
        spent: Mapping[int, Sequence[Call]],
        taken: Mapping[str, tuple[int, int]],
    ) -> None:
        if not checkpoint:
            return
        with self._lock:
            paces = self._paces.setdefault(checkpoint, {})
            for size, calls in spent.items():
                positions, seconds = (math.fsum(one) / len(calls) for one in zip(*calls, strict=True))
                if positions and seconds:
                    paces[size] = positions, seconds
            shares = self._shares.setdefault(checkpoint, {})
            shares |= {sampler: calls / steps for sampler, (calls, steps) in taken.items() if calls and steps}

    def _read(self, stored: Any) -> None:
        for checkpoint, (paces, shares) in stored.items():
            known = {
                int(size): (float(positions), float(seconds)) for size, (positions, seconds) in paces.items()
            }
            self._paces[checkpoint] = {size: call for size, call in known.items() if min(call) > 0}
            self._shares[checkpoint] = {sampler: float(share) for sampler, share in shares.items()}

    def _write(self) -> None:
        if self._path is None:
            return
        with self._lock, suppress(OSError):
            known = {one: (paces, self._shares.get(one, {})) for one, paces in self._paces.items() if paces}
            write(self._path, json.dumps(known))


@dataclass(frozen=True)
class _Asked:
    """A different text: positions of its answer, model calls at most, and the rows that each of them has."""

    length: int
    calls: float
    rows: float
    share: float  # of the calls that it is expected to need


def estimate(
    cells: Sequence[Cell],
    checkpoints: Checkpoints,
    pace: Pace,
    batch_rows: int,
    cost: Callable[[Request, Mapping[str, Any]], Cost],
) -> Estimate:
    """The cost of these cells. ValueError if a checkpoint is not there.

    batch_rows  the setting
    cost        of the extensions, for a request and its preset
    """
    different = {cell.request.key(): cell.request for cell in cells}
    rows: dict[str, list[_Asked]] = {}
    presets: dict[str | None, tuple[str, dict[str, Any]]] = {}
    for request in different.values():
        if request.model not in presets:
            name = checkpoints.entry(request.model).name
            presets[request.model] = name, checkpoints.profile(name)["preset"]
        name, preset = presets[request.model]
        rows.setdefault(name, []).append(_asked(request, preset, cost, pace, name))
    limit = batch_rows or (16 if checkpoints.device() == "cpu" else 64)
    forwards, seconds = 0, 0.0
    known = True
    for name, asked in rows.items():
        asked.sort(key=lambda one: (one.length, one.calls))
        for i in range(0, len(asked), limit):
            batch = asked[i : i + limit]
            forwards += math.ceil(max(one.calls for one in batch))
            calls = max(one.calls * one.share for one in batch)
            positions = sum(one.length * one.calls * one.rows * one.share for one in batch)
            call = pace.of(name, positions / calls)
            known = known and call is not None
            seconds += calls * (call or 0)
    return Estimate(len(cells), len(different), forwards, seconds if known else None)


def refuse_unconfirmed(request: Request, found: Estimate) -> None:
    """ValueError with the cost, if the request has to be confirmed and is not."""
    if found.texts > CONFIRMED and not request.confirm:
        raise ValueError(
            f"This makes {found}. Set confirm to write more than {CONFIRMED} texts with one request."
        )


def _asked(request: Request, preset: dict[str, Any], cost: Callable, pace: Pace, name: str) -> _Asked:
    started = len(request.canvas.tokens) if request.canvas is not None else 0
    length = started or request.length or preset.get("length") or DEFAULT_LENGTH
    steps = min(request.steps or preset.get("steps") or length, length)
    found = cost(request.model_copy(update={"length": length, "steps": steps}), preset)
    sampler = request.sampler or preset.get("sampler") or DEFAULT_SAMPLER
    return _Asked(length, steps * found.passes, found.rows, pace.share(name, sampler))


def _duration(seconds: float) -> str:
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(1, seconds):.0f} s"
