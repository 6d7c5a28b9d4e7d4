"""Calls of hooks that someone waits for: in a thread of their own, for a bounded time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from webui.core.errors import Abandoned, Busy, Cancelled, Unanswered
from webui.service.worker import abandon, culprit

T = TypeVar("T")


class Attempt(Generic[T]):
    """A call that runs in a thread of its own."""

    def __init__(self, work: Callable[[], T]):
        self._work = work
        self._result: list[T] = []
        self._error: BaseException | None = None
        self._given_up = False
        self._thread = threading.Thread(target=self._do, name="submit", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def give_up(self) -> None:
        """Nobody wants the result any more: the call ends as soon as it runs Python code, and `wait` raises
        Cancelled."""
        if not self._given_up:
            self._given_up = True
            abandon(self._thread)

    def wait(self, seconds: float) -> T:
        """What the call returns or raises. After so many seconds it is given up: Unanswered names the
        extension that it was in, whose thread ends as soon as it runs Python code again; Busy if it was in
        none, and the thread goes on, because it may be importing a library."""
        self._thread.join(seconds)
        if self._thread.is_alive():
            extension = culprit(self._thread)
            if extension is None:
                raise Busy(f"The request was not read within {seconds:g} s; try again.")
            abandon(self._thread)
            raise Unanswered(extension, seconds)
        if self._given_up and isinstance(self._error, Abandoned):
            raise Cancelled("Nobody waited for the answer any more.")
        if self._error is not None:
            raise self._error
        return self._result[0]

    def _do(self) -> None:
        try:
            self._result.append(self._work())
        except BaseException as error:  # raised again in the thread that waits
            self._error = error
