"""Runs commands of the program, each in a process of its own."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import ENVIRONMENT, ROOT, wait_until

# Workers of pytest-xdist have a size of terminal in their environment, which would go over that of the
# terminals made here.
PLAIN = {name: value for name, value in ENVIRONMENT.items() if name not in ("COLUMNS", "LINES")}


@dataclass
class Ran:
    status: int
    out: str
    err: str


class Commands:
    """`run("generate", "...")`; on a terminal with `on_terminal`. One command at a time."""

    def __init__(self, flags: list[str], folder: Path):
        self.flags, self.folder, self.pid = [*flags, "--data", str(folder / "data")], folder, 0
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.cli.warm"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=PLAIN,
            cwd=ROOT,
            text=True,
        )

    def run(self, *arguments: str, stdin: bytes = b"", interrupt: Callable[[], object] | None = None) -> Ran:
        """The command's status and what it wrote; once `interrupt()` is true it gets Ctrl+C."""
        names = {name: str(self.folder / name) for name in ("stdin", "stdout", "stderr")}
        for name in names.values():
            Path(name).write_bytes(b"")
        Path(names["stdin"]).write_bytes(stdin)
        self.start([*self.flags, *arguments], **names)
        if interrupt is not None:
            wait_until(interrupt)
            os.kill(self.pid, signal.SIGINT)
        status = self.wait()
        return Ran(
            status,
            *(
                Path(names[name]).read_bytes().decode("utf-8", "surrogateescape")
                for name in ("stdout", "stderr")
            ),
        )

    def start(
        self,
        arguments: list[str],
        stdin: str = os.devnull,
        stdout: str = os.devnull,
        stderr: str = os.devnull,
        **environment: str,
    ):
        order = {
            "arguments": arguments,
            "stdin": stdin,
            "stdout": stdout,
            "stderr": stderr,
            "environment": environment,
        }
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        self.pid = int(self.process.stdout.readline())

    def wait(self) -> int:
        return int(self.process.stdout.readline())

    def on_terminal(
        self,
        *arguments: str,
        columns: int = 60,
        lines: int = 24,
        interrupt_at: bytes = b"",
        **environment: str,
    ) -> tuple[int, bytes]:
        """Status and everything written to a terminal of that size; Ctrl+C when `interrupt_at` has been
        written."""
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        name = os.ttyname(slave)
        errors = self.folder / "stderr"
        errors.write_bytes(b"")
        self.start(
            [*self.flags, *arguments], stdout=name, stderr=str(errors), **{"TERM": "xterm", **environment}
        )
        written = bytearray()

        def read() -> None:
            interrupted = not interrupt_at
            try:
                while chunk := os.read(master, 65536):
                    written.extend(chunk)
                    if not interrupted and interrupt_at in written:
                        interrupted = True
                        os.kill(self.pid, signal.SIGINT)
            except OSError:  # the last one who had it open has closed it
                pass

        reader = threading.Thread(target=read)
        reader.start()
        status = self.wait()
        os.close(slave)
        reader.join(60)
        os.close(master)
        return status, bytes(written)


@pytest.fixture(scope="session")
def commands(tmp_path_factory, flags) -> Iterator[Commands]:
    commands = Commands(flags, tmp_path_factory.mktemp("commands"))
    yield commands
    commands.process.stdin.close()
    commands.process.wait(60)
    commands.process.stdout.close()


@pytest.fixture
def run(commands):
    return commands.run
