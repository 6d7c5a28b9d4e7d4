"""Commands of the program that a server runs beside itself, each in a process of its own: what takes long and
holds a model of its own, such as training and merging.

A command ends when its standard input does, so that it never outlives the server, whatever ends that. It has
to keep what it needs to go on from there.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Literal

from webui.core.errors import Busy
from webui.settings import ROOT, Settings

LINES = 200  # kept of what a command prints
PATIENCE = 60.0  # seconds that a command has to end by itself after it was asked to
FOLDERS = ("models", "data")
SETTINGS = (*FOLDERS, "model", "device", "dtype", "threads")  # that a command gets as flags

State = Literal["running", "done", "failed", "stopped"]


class Command:
    """A command that was started.

    lines  what it printed last
    error  a sentence if it failed
    """

    def __init__(self, arguments: Sequence[str]):
        self.lines: deque[str] = deque(maxlen=LINES)
        self.error = ""
        self._complaint, self._asked = "", False
        self._process = subprocess.Popen(
            [sys.executable, "-m", "webui.cli.child", *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        self._readers = [
            threading.Thread(target=self._read, args=(stream, keep), daemon=True)
            for stream, keep in (
                (self._process.stdout, self.lines.append),
                (self._process.stderr, self._complain),
            )
        ]
        for reader in self._readers:
            reader.start()

    @property
    def state(self) -> State:
        """What it does, or how it ended."""
        status = self._status()
        if status is None or any(reader.is_alive() for reader in self._readers):
            return "running"
        if status == 0:
            return "done"
        if self._asked:
            return "stopped"
        self.error = self._complaint or f"The command ended with status {status}."
        return "failed"

    def stop(self) -> None:
        """Asks it to end, and ends it if it has not after PATIENCE seconds."""
        if self._asked or self._status() is not None:
            return
        self._asked = True
        self._close_input()
        timer = threading.Timer(PATIENCE, self._process.kill)
        timer.daemon = True
        timer.start()

    def wait(self, seconds: float) -> bool:
        """Whether it ended within this time."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        for reader in self._readers:
            reader.join(seconds)
        self._close_input()
        return True

    def _status(self) -> int | None:
        """The process's exit status, or None while it runs."""
        status = self._process.poll()
        if status is not None:
            self._close_input()
        return status

    def _close_input(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()

    def _complain(self, line: str) -> None:
        self._complaint = line or self._complaint

    def _read(self, stream, keep: Callable[[str], None]) -> None:
        for line in stream:
            keep(line.rstrip())
        stream.close()


class Background:
    """The commands of a server by names that their extensions choose. Any thread may ask."""

    def __init__(self, settings: Settings):
        self._settings, self._lock = settings, threading.Lock()
        self._commands: dict[str, Command] = {}

    def start(self, name: str, command: str, arguments: Sequence[str]) -> Command:
        """Starts `python app.py COMMAND ARGUMENTS` with the server's settings. Busy if one of this name
        runs."""
        with self._lock:
            running = self._commands.get(name)
            if running is not None and running.state == "running":
                raise Busy(f"{name} runs already.")
            made = Command([*self._flags(), command, *arguments])
            self._commands[name] = made
            return made

    def get(self, name: str) -> Command | None:
        """The last command that was started under this name."""
        with self._lock:
            return self._commands.get(name)

    def close(self) -> None:
        """Asks all to end, and waits a little."""
        with self._lock:
            commands = list(self._commands.values())
        for command in commands:
            command.stop()
        for command in commands:
            command.wait(5)

    def _flags(self) -> list[str]:
        found = []
        for name in SETTINGS:
            value = getattr(self._settings, name)
            if name in FOLDERS:
                value = value.absolute()
            found += [f"--{name}", str(value)]
        more = {"--models": self._settings.more_models, "--extensions": self._settings.extensions}
        for flag, folders in more.items():
            for folder in folders:
                found += [flag, str(folder.absolute())]
        return found
