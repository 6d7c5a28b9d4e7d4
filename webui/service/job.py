"""A job: a request on its way to a result, what subscribers can see of it, and subscriptions without a
backlog."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from webui.core.errors import Abandoned, Code
from webui.core.events import Event, Failed, Finished, Loading, Loop, Preparing, Progress, Started
from webui.core.request import Cell, Request
from webui.core.result import Result

State = Literal["queued", "running", "done", "failed", "cancelled"]
ENDED = ("done", "failed", "cancelled")
Writes = Literal["missing", "failed", "nothing"]


@dataclass(frozen=True)
class Continued:
    """How a job belongs to an experiment, see webui/service/experiments.py.

    experiment  the one that it goes on with; "": a new one
    source      the file that the request comes from; "": none
    writes      the cells that are computed: those without a text, only those that failed, or none
    """

    experiment: str = ""
    source: str = ""
    writes: Writes = "missing"


NEW = Continued()


class CellView:
    """What a subscriber can see of one cell: its canvas as text, each change stamped with its version."""

    def __init__(self, cell: Cell):
        self.axes = cell.axes
        self.state: State = "queued"
        self.length = self.steps = self.step = 0
        # column: version, text (None: masked), confidence, step
        self.columns: dict[int, tuple[int, str | None, float | None, int]] = {}
        self.result: Result | None = None
        self.error: str | None = None
        self.code: Code | None = None
        self.version = 1

    @property
    def done(self) -> int:
        """Its steps that are done; all of them once it has ended."""
        return self.steps if self.state in ENDED else self.step

    def since(self, version: int) -> dict[str, Any]:
        """What changed after `version`, as JSON; for version 0 everything. A change is [column, text,
        confidence, step]."""
        changes = [[column, *change[1:]] for column, change in self.columns.items() if change[0] > version]
        result = (
            self.result.model_dump(mode="json", exclude={"trace", "pieces", "tokens", "alternatives"})
            if self.result
            else None
        )
        return {
            "axes": [list(axis) for axis in self.axes],
            "state": self.state,
            "length": self.length,
            "steps": self.steps,
            "step": self.step,
            "changes": changes,
            "result": result,
            "error": self.error,
            "error_code": self.code,
        }

    def enter(self, event: Started | Failed | Finished) -> None:
        """Enters an event about this cell alone; `version` is already the event's."""
        if isinstance(event, Started):
            self.state, self.length, self.steps, self.step = "running", event.length, event.steps, 0
            # A cell may start again: what subscribers saw of it is masked again.
            self.columns = dict.fromkeys(self.columns, (self.version, None, None, 0))
            self.columns |= {c.column: (self.version, c.text, None, 0) for c in event.given}
        elif isinstance(event, Failed):
            self.state, self.error, self.code = "failed", event.sentence, event.code
        else:
            self.state, self.result = "done" if event.result.complete else "cancelled", event.result


class Job:
    """A request on its way to a result. All methods may be called from any thread.

    client      the browser that it belongs to, by the id that it sent; None if it sent none
    drawn       the request with the seed that its cells were made with
    of          how many cells the request has; `cells` may be some of them
    experiment  the experiment that keeps what is finished; None: nothing does
    bounds      of its finished texts, by the results' ids; see webui/service/bounds.py
    scoring     how many bounds are computed, of how many; None while nobody asks for any
    unscored    why there are none
    """

    def __init__(
        self,
        request: Request,
        cells: tuple[Cell, ...],
        client: str | None = None,
        continued: Continued = NEW,
        drawn: Request | None = None,
        of: int = 0,
    ):
        self.id = uuid.uuid4().hex[:16]
        self.request, self.cells, self.client = request, cells, client
        self.drawn, self.of, self.continued = drawn or request, of or len(cells), continued
        self.experiment: str | None = None
        self.bounds: dict[str, float] = {}
        self.scoring: tuple[int, int] | None = None
        self.unscored = ""
        self.created = time.time()
        self.started = self.ended = 0.0
        self.state: State = "queued"
        self.error: str | None = None
        self.code: Code | None = None  # of the error
        self.result: Result | None = None
        self.loading: Loading | None = None  # the checkpoint it waits for
        self.preparing: Preparing | None = None  # what an extension computes
        self.version = 1
        self._views = {cell.id: CellView(cell) for cell in cells}
        self._progress = 0.0
        self._steps = self._done = (
            0  # of all cells; kept up to date, for ten thousand cells have as many events
        )
        self._waiting, self._begun = len(cells), 0  # cells that nothing is known of yet; with steps
        self._loop = Loop(0, 1)  # the pass over all cells that is under way
        self._changed = threading.Condition()
        self._cancel = threading.Event()
        self._abandoned = False

    def cancelled(self) -> bool:
        """Asked by the engine before every model call. Raises Abandoned in the thread of an abandoned job."""
        if self._abandoned:
            raise Abandoned
        return self._cancel.is_set()

    def cancel(self) -> None:
        """Stops the job before its next model call; what is committed by then is its result."""
        self._cancel.set()
        with self._changed:
            if self.state == "queued":
                self._end("cancelled")

    def abandon(self, sentence: str) -> bool:
        """Ends a running job as failed without waiting for its thread, whose later events are ignored.
        Whether it was running."""
        with self._changed:
            if self.state != "running":
                return False
            self._abandoned = True
            self.error, self.code = sentence, "abandoned"
            self._end("failed")
            return True

    def wait(self, timeout: float | None = None) -> bool:
        """Blocks until the job has ended; False if `timeout` seconds passed before."""
        with self._changed:
            return self._changed.wait_for(lambda: self.state in ENDED, timeout)

    def results(self) -> list[tuple[Cell, Result | None, str | None]]:
        """Every cell with its result, None while there is none, and why it failed, None if it did not."""
        with self._changed:
            return [(cell, self._views[cell.id].result, self._views[cell.id].error) for cell in self.cells]

    def since(self, version: int) -> dict[str, Any] | None:
        """One merged difference: what changed after `version`, or None. Its "version" is what to ask with
        next."""
        with self._changed:
            if self.version <= version:
                return None
            cells = {
                name: view.since(version) for name, view in self._views.items() if view.version > version
            }
            return {**self.line(), "version": self.version, "cells": cells}

    def line(self) -> dict[str, Any]:
        """State and progress without the texts: cheap however many cells there are."""
        with self._changed:
            now = self.ended or time.time()
            loading = self.loading and {
                "checkpoint": self.loading.checkpoint,
                "done": round(self.loading.done, 3),
            }
            preparing = self.preparing and asdict(self.preparing)
            return {
                "id": self.id,
                "experiment": self.experiment,
                "state": self.state,
                "error": self.error,
                "error_code": self.code,
                "seconds": round(now - self.started, 3) if self.started else 0.0,
                "progress": 1.0 if self.state in ENDED else round(self._progress, 4),
                "loading": loading,
                "preparing": preparing,
            }

    def subscribe(self) -> Subscription:
        """A reader of its own: it starts with a snapshot, then merged differences."""
        return Subscription(self)

    def take(self, event: Event) -> None:
        """Enters an event of the engine. Worker thread only; what comes after the end is ignored."""
        with self._changed:
            if self.state in ENDED:
                return
            self.version += 1
            self.loading = event if isinstance(event, Loading) and event.done < 1 else None
            self.preparing = event if isinstance(event, Preparing) else None
            if isinstance(event, Loop):
                self._loop = event
                for view in self._views.values():
                    view.step = 0
                self._done = sum(view.done for view in self._views.values())
            elif isinstance(event, Progress):
                for cell, changes in event.changes.items():
                    view = self._view(cell)
                    before = view.done
                    view.step = event.step[cell]
                    self._done += view.done - before
                    for c in changes:
                        text = None if c.token is None else c.text  # None: remasked
                        view.columns[c.column] = (self.version, text, c.confidence, c.step)
            elif isinstance(event, Started | Failed):
                self._enter(event.cell, event)
            elif isinstance(event, Finished):
                if event.cell is None:
                    self.result = event.result
                else:
                    self._enter(event.cell, event)
            self._progress = max(self._progress, self._share())
            self._changed.notify_all()

    def begin(self) -> bool:
        """Whether the job should run; False if it was cancelled while it waited."""
        with self._changed:
            if self.state != "queued":
                return False
            self.state, self.started, self.version = "running", time.time(), self.version + 1
            return True

    def end(self, error: str | None = None, code: Code = "internal") -> None:
        """Enters how the job ended: failed only if it has no text at all. `error` says what ended it."""
        with self._changed:
            if self.state in ENDED:
                return
            failed = [view for view in self._views.values() if view.error]
            if error is not None:
                self.error, self.code = error, code
            elif failed and len(failed) == len(self._views):
                self.error, self.code = failed[0].error, failed[0].code
            stopped = self._cancel.is_set() and not (self.result is not None and self.result.complete)
            self._end("failed" if self.error else "cancelled" if stopped else "done")

    def _share(self) -> float:
        """How much of all steps is done, 0 to 1. Cells that wait for a batch have as many as the others."""
        if not self._steps:
            return 0.0
        steps = self._steps * (1 + self._waiting / self._begun)
        return (self._loop.k + min(1.0, self._done / steps)) / self._loop.of

    def _enter(self, cell: str, event: Started | Failed | Finished) -> None:
        """Enters an event about one cell, and what it changes in the sums."""
        view = self._view(cell)
        state, steps, done = view.state, view.steps, view.done
        view.enter(event)
        self._waiting -= state == "queued"
        self._begun += (view.steps > 0) - (steps > 0)
        self._steps += view.steps - steps
        self._done += view.done - done

    def _view(self, cell: str) -> CellView:
        view = self._views[cell]
        view.version = self.version
        return view

    def _end(self, state: State) -> None:
        self.version += 1
        self.loading = self.preparing = None
        self.state, self.ended = state, time.time()
        for view in self._views.values():
            if view.state not in ENDED:
                view.state, view.version = ("failed" if state == "failed" else "cancelled"), self.version
        self._changed.notify_all()


class Subscription:
    """Reads a job without ever slowing it: however seldom it reads, there is at most one difference to
    read."""

    def __init__(self, job: Job, version: int = 0):
        self.job, self._version = job, version

    def read(self) -> dict[str, Any] | None:
        """The merged difference since the last read, or None if nothing changed. Never waits for the
        model."""
        update = self.job.since(self._version)
        if update is not None:
            self._version = update["version"]
        return update

    def updates(self, interval: float = 0.05) -> Iterator[dict[str, Any]]:
        """Differences until the job has ended, at most one per `interval` seconds."""
        while True:
            update = self.read()
            if update is not None:
                yield update
                if update["state"] in ENDED:
                    return
            time.sleep(interval)
