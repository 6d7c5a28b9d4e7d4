"""A job: a request on its way to a result, what watchers can know of it, and watchers that never make a
backlog."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any, Literal

from webui.core.events import Event, Failed, Loading, Progress, Started
from webui.core.request import Cell, Request
from webui.core.result import Result

State = Literal["queued", "running", "done", "failed", "cancelled"]
ENDED = ("done", "failed", "cancelled")


class View:
    """What a subscription can know of one cell: its canvas as text, each change stamped with its version."""

    def __init__(self, cell: Cell):
        self.axes = cell.axes
        self.state: State = "queued"
        self.length = self.steps = self.step = 0
        self.columns: dict[
            int, tuple[int, str | None, float | None, int]
        ] = {}  # column: version, text, confidence, step
        self.result: Result | None = None
        self.error: str | None = None
        self.version = 1

    def since(self, version: int) -> dict[str, Any]:
        """What changed after `version`, as JSON: everything for version 0. A change is [column, text,
        confidence, step]."""
        changes = [[column, *change[1:]] for column, change in self.columns.items() if change[0] > version]
        result = self.result.model_dump(mode="json", exclude={"trace", "pieces"}) if self.result else None
        return {
            "axes": [list(axis) for axis in self.axes],
            "state": self.state,
            "length": self.length,
            "steps": self.steps,
            "step": self.step,
            "changes": changes,
            "result": result,
            "error": self.error,
        }


class Job:
    """A request on its way to a result. All methods may be called from any thread.

    client: who asked for it, as a browser names itself; None if nobody said
    """

    def __init__(self, request: Request, cells: tuple[Cell, ...], client: str | None = None):
        self.id = uuid.uuid4().hex[:16]
        self.request, self.cells, self.client = request, cells, client
        self.created = time.time()
        self.started = self.ended = 0.0
        self.state: State = "queued"
        self.error: str | None = None
        self.result: Result | None = None
        self.loading: Loading | None = None  # the checkpoint it waits for
        self.version = 1
        self._views = {cell.id: View(cell) for cell in cells}
        self._changed = threading.Condition()
        self._cancel = threading.Event()

    def cancelled(self) -> bool:
        """Asked by the engine before every model call."""
        return self._cancel.is_set()

    def cancel(self) -> None:
        """Stops the job before its next model call; what is decided by then is its result."""
        self._cancel.set()
        with self._changed:
            if self.state == "queued":
                self._end("cancelled")

    def wait(self, timeout: float | None = None) -> bool:
        """Blocks until the job has ended; False if `timeout` seconds passed before."""
        with self._changed:
            return self._changed.wait_for(lambda: self.state in ENDED, timeout)

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
        """How it stands, without its texts: cheap however many cells it has."""
        with self._changed:
            total = sum(view.steps for view in self._views.values())
            done = sum(view.steps if view.state in ENDED else view.step for view in self._views.values())
            now = self.ended or time.time()
            loading = self.loading and {
                "checkpoint": self.loading.checkpoint,
                "done": round(self.loading.done, 3),
            }
            return {
                "id": self.id,
                "state": self.state,
                "error": self.error,
                "seconds": round(now - self.started, 3) if self.started else 0.0,
                "progress": 1.0 if self.state in ENDED else round(done / total, 4) if total else 0.0,
                "loading": loading,
            }

    def subscribe(self) -> Subscription:
        """A reader of its own: it starts with a snapshot, then merged differences."""
        return Subscription(self)

    def take(self, event: Event) -> None:
        """Enters an event of the engine. Worker thread only."""
        with self._changed:
            self.version += 1
            self.loading = event if isinstance(event, Loading) and event.done < 1 else None
            if isinstance(event, Loading):
                pass
            elif isinstance(event, Started):
                view = self._view(event.cell)
                view.state, view.length, view.steps, view.step = "running", event.length, event.steps, 0
                view.columns = dict.fromkeys(
                    view.columns, (self.version, None, None, 0)
                )  # open again if begun anew
                view.columns |= {d.column: (self.version, d.text, None, 0) for d in event.given}
            elif isinstance(event, Progress):
                for cell, decisions in event.changes.items():
                    view = self._view(cell)
                    view.step = event.step[cell]
                    for d in decisions:
                        view.columns[d.column] = (
                            self.version,
                            d.text if d.token is not None else None,
                            d.confidence,
                            d.step,
                        )
            elif isinstance(event, Failed):
                view = self._view(event.cell)
                view.state, view.error = "failed", event.sentence
            elif event.cell is not None:
                view = self._view(event.cell)
                view.state, view.result = "done" if event.result.complete else "cancelled", event.result
            else:
                self.result = event.result
            self._changed.notify_all()

    def begin(self) -> bool:
        """Whether the job should run; False if it was cancelled while it waited."""
        with self._changed:
            if self.state != "queued":
                return False
            self.state, self.started, self.version = "running", time.time(), self.version + 1
            return True

    def end(self, error: str | None = None) -> None:
        """Enters how the job ended: failed only if no cell gave a text."""
        with self._changed:
            errors = [view.error for view in self._views.values() if view.error]
            self.error = error or (errors[0] if len(errors) == len(self._views) else None)
            self._end(
                "failed" if self.error else "cancelled" if self.cancelled() and not self._whole() else "done"
            )

    def _whole(self) -> bool:
        return self.result is not None and self.result.complete

    def _view(self, cell: str) -> View:
        view = self._views[cell]
        view.version = self.version
        return view

    def _end(self, state: State) -> None:
        self.version += 1
        self.loading = None
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
        """The merged difference since the last read, or None if nothing changed. Never blocks on the
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
