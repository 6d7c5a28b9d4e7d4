"""What hooks raised since the start: for the terminal, and for the extension's entry on the page."""

from __future__ import annotations

import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable

KEPT = 5  # tracebacks of each extension
LINES = 30  # of a traceback, from its end


class Faults:
    """The last tracebacks of each extension. For any threads. The same one again is not printed again, so
    that a hook that fails for each of a thousand rows is read once."""

    def __init__(self, clean: Callable[[str], str] = str):
        self.clean = clean  # takes secrets out
        self._kept: dict[str, deque[str]] = {}
        self._lock = threading.Lock()

    def add(self, extension: str, error: BaseException) -> None:
        """Keeps and prints the traceback of what a hook raised."""
        lines = traceback.format_exception(type(error), error, error.__traceback__)
        told = "".join(lines).strip().splitlines()
        text = self.clean("\n".join(told if len(told) <= LINES else ["...", *told[-LINES:]]))
        with self._lock:
            kept = self._kept.setdefault(extension, deque(maxlen=KEPT))
            new = text not in kept
            if not new:
                kept.remove(text)
            kept.append(text)
        if new:
            print(f"The extension {extension} failed:\n{text}", file=sys.stderr, flush=True)

    def of(self, extension: str) -> tuple[str, ...]:
        """The tracebacks of an extension, the newest first."""
        with self._lock:
            return tuple(reversed(self._kept.get(extension, ())))
