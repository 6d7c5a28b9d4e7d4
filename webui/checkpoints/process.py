"""The other end of the tokenizer process (sandbox.py): starts it, asks it, ends it.

It is started with nothing but two pipes and the few environment variables that Python needs, answers one call
at a time, is killed when a call takes too long, and starts anew with the next call. It ends when its standard
input does, hence also when this process is killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path
from typing import Any

from webui.checkpoints.files import printable
from webui.core.errors import Refusal

# Seconds by the clock. Where the system bounds processor time (sandbox.py), that bound comes first, and these
# only count on a machine that is very busy.
LOAD_SECONDS, CALL_SECONDS = (300.0, 60.0) if os.name == "posix" else (60.0, 10.0)
FAILURES = 3  # calls in a row that ended the process, after which calls are refused
PAUSE = 30.0  # seconds that they are refused for
ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR")
CHUNK = 1 << 16  # bytes
ROOT = str(Path(__file__).resolve().parents[2])  # the folder that holds the package webui


class Process:
    """A tokenizer process for one folder. Any thread may call; a call waits for those before it.

    Starting does not wait: the folder is read while the caller goes on, until the first call or `facts`.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._facts: dict[str, Any] | None = None
        self._failures, self._until = 0, 0.0
        with self._lock:
            self._start()

    def facts(self) -> dict[str, Any]:
        """What the process says of its tokenizer. Refusal if it cannot be read."""
        with self._lock:
            return self._ready()

    def call(self, method: str, *arguments: Any) -> Any:
        """The reply of a method of sandbox.Worker. Refusal says what went wrong."""
        with self._lock:
            name = printable(self.folder.name)
            if self._failures >= FAILURES and time.monotonic() < self._until:
                raise Refusal(f"The tokenizer or chat template of {name} failed too often; try again later.")
            self._ready()
            try:
                reply = self._exchange([method, arguments], CALL_SECONDS)
            except _Ended as ended:
                self._failures += 1
                self._until = time.monotonic() + PAUSE
                raise Refusal(f"The tokenizer or chat template of {name} {ended}.") from None
            self._failures = 0
            if "error" in reply:
                raise Refusal(reply["error"])
            return reply["value"]

    def close(self) -> None:
        """Ends the process; a later call starts another one."""
        with self._lock:
            self._stop()

    def _ready(self) -> dict[str, Any]:
        """Waits until the folder is read; starts the process anew if it is gone."""
        if self._child is None or self._owner != os.getpid():
            self._start()
        if self._facts is None:
            try:
                reply = self._receive(LOAD_SECONDS)
            except _Ended as ended:
                name = printable(self.folder.name)
                raise Refusal(f"The tokenizer of {name} cannot be read: it {ended}.") from None
            if "error" in reply:
                self._stop()
                raise Refusal(reply["error"])
            self._facts = dict(reply["value"])
        return self._facts

    def _start(self) -> None:
        path = os.pathsep.join(map(os.path.abspath, filter(None, (ROOT, *sys.path))))
        environment = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
        environment |= {"PYTHONPATH": path, "TOKENIZERS_PARALLELISM": "false", "PYTHONUTF8": "1"}
        options: dict[str, Any] = {"start_new_session": True}  # Ctrl+C is for this process, not for that one
        if sys.platform == "win32":
            flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
            options = {"creationflags": flags}
        try:
            child = subprocess.Popen[bytes](
                [sys.executable, "-P", "-m", "webui.checkpoints.sandbox"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                env=environment,
                **options,
            )
        except OSError as error:
            raise Refusal(f"The tokenizer process cannot be started: {error.strerror}.") from error
        self._child, self._owner, self._facts = child, os.getpid(), None
        self._ending = weakref.finalize(self, _end, child, self._owner)
        with contextlib.suppress(_Ended):  # the reply will be missing too, and says why
            self._write(os.fsdecode(os.fsencode(self.folder)))

    def _stop(self) -> None:
        if self._child is not None:
            self._ending()
            self._child, self._facts = None, None

    def _exchange(self, request: Any, seconds: float) -> dict[str, Any]:
        self._write(request)
        return self._receive(seconds)

    def _write(self, request: Any) -> None:
        assert self._child is not None and self._child.stdin is not None
        data = json.dumps(request).encode()
        view = memoryview(len(data).to_bytes(4, "little") + data)
        try:
            while view:
                view = view[self._child.stdin.write(view) or 0 :]
        except OSError:
            raise self._ended() from None

    def _receive(self, seconds: float) -> dict[str, Any]:
        until = time.monotonic() + seconds
        size = self._read(4, until)
        return json.loads(self._read(int.from_bytes(size, "little"), until))

    def _read(self, count: int, until: float) -> bytes:
        assert self._child is not None and self._child.stdout is not None
        data = bytearray()
        with _watched(self._child, until):
            while len(data) < count:
                if os.name == "posix" and not _readable(self._child.stdout.fileno(), until):
                    self._stop()
                    raise _Ended("took too long")
                chunk = self._child.stdout.read(min(CHUNK, count - len(data)))
                if not chunk:
                    raise self._ended()
                data += chunk
        return bytes(data)

    def _ended(self) -> _Ended:
        """Why the process is gone."""
        assert self._child is not None
        try:
            status = self._child.wait(1)
        except subprocess.TimeoutExpired:
            status = None
        self._stop()
        late = status == -getattr(signal, "SIGPROF", 0) if os.name == "posix" else status == 1
        return _Ended("took too long" if late else "took too much memory or crashed")


class _Ended(Exception):
    """The process ended before it replied."""


def _readable(descriptor: int, until: float) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN | select.POLLHUP)
    return bool(poll.poll(max(0.0, until - time.monotonic()) * 1000))


@contextlib.contextmanager
def _watched(child: subprocess.Popen[bytes], until: float) -> Any:
    """Where pipes cannot be waited for with a limit, a timer kills the process."""
    if os.name == "posix":
        yield
        return
    timer = threading.Timer(max(0.0, until - time.monotonic()), child.kill)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _end(child: subprocess.Popen[bytes], owner: int) -> None:
    """Kills a process that has nothing to lose, and waits for it, so that no zombie is left."""
    if owner != os.getpid():  # a fork of the process that started it
        return
    child.kill()
    child.wait()
    for stream in (child.stdin, child.stdout):
        if stream is not None:
            stream.close()
