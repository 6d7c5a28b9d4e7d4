"""Fixtures for tests of several folders: a tiny checkpoint, an extensions folder, a server process."""

from __future__ import annotations

import gc
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest

ROOT = Path(__file__).resolve().parent.parent
PYTHON = [sys.executable, str(ROOT / "app.py")]
# Before torch is imported, and for every process that tests start. One thread: small tensors are faster so, above
# all beside other processes, and the order of summation depends on the number of threads. Passive: threads that
# wait do not spin.
os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
ENVIRONMENT = {**os.environ, "PYTHONUNBUFFERED": "1"}
# A shell's background jobs ignore SIGINT, and so would every process that is started here.
signal.signal(signal.SIGINT, signal.default_int_handler)


# What takes long comes first, so that no worker is idle at the end; a folder's files stay together, as they share
# what takes seconds to start.
FIRST = (
    "tests/e2e",
    "tests/contract",
    "tests/extensions/training",
    "tests/test_card.py",
    "tests/denoising",
    "tests/http",
)


# Marked `slow` as a whole, for `just quick`: files of many seconds.
SLOW = (
    "tests/contract",
    "tests/reference",
    "tests/page",
    "tests/third_party",
    "tests/test_card.py",
    "tests/test_docs.py",
    "tests/checkpoints/test_checkpoints.py",
    "tests/checkpoints/test_convert.py",
    "tests/checkpoints/test_decoders.py",
    "tests/checkpoints/test_hostile.py",
    "tests/checkpoints/test_masked_lms.py",
    "tests/checkpoints/test_published.py",
    "tests/checkpoints/test_sources.py",
    "tests/denoising/test_against_reference.py",
    "tests/denoising/test_caches.py",
    "tests/denoising/test_daedal.py",
    "tests/denoising/test_determinism.py",
    "tests/denoising/test_failures.py",
    "tests/denoising/test_parallel.py",
    "tests/denoising/test_remasking.py",
    "tests/denoising/test_threads.py",
    "tests/denoising/test_transfers.py",
    "tests/extensions/training",
    "tests/extensions/test_checkpoint_merger",
    "tests/extensions/test_constraint_grammars.py",
    "tests/extensions/test_constraint_haiku.py",
    "tests/extensions/test_constraints.py",
    "tests/extensions/test_infill.py",
    "tests/extensions/test_logit_bias.py",
    "tests/extensions/test_lora.py",
    "tests/extensions/test_merged_weights.py",
    "tests/extensions/test_prompt_and.py",
    "tests/http/test_markdown.py",
    "tests/service/test_history.py",
)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With `-m "... not slow"` the files of SLOW are not even imported, nor what only they need."""
    place = collection_path.relative_to(ROOT).as_posix() if collection_path.is_relative_to(ROOT) else ""
    return "not slow" in config.option.markexpr and place.startswith(SLOW) or None


def _turn(item: pytest.Item) -> int:
    name = item.nodeid
    return next((turn for turn, first in enumerate(FIRST) if name.startswith(first)), len(FIRST))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Orders the files. Marks `e2e` and `slow` by file, and `process` what needs `flags` or `warm`, or calls subprocess
    itself."""
    items.sort(key=_turn)
    for item in items:
        if item.nodeid.startswith(SLOW):
            item.add_marker("slow")
        code = getattr(getattr(item, "function", None), "__code__", None)
        if "e2e" in item.path.parts:
            item.add_marker("e2e")
        if {"flags", "warm"} & {*getattr(item, "fixturenames", ())} or (
            code and "subprocess" in code.co_names
        ):
            item.add_marker("process")


gc.disable()  # while test files are imported, see pytest_runtest_logstart
_frozen = 0  # modules


def pytest_runtest_logstart() -> None:
    gc.enable()


def pytest_runtest_logfinish() -> None:
    """Libraries that were imported are taken out of the garbage collector's sight: it looks at everything whenever a
    checkpoint makes room for another, which takes half a second with torch, transformers and gradio."""
    global _frozen
    if len(sys.modules) > _frozen + 100:
        gc.collect()
        gc.freeze()
        _frozen = len(sys.modules)


@pytest.fixture(scope="session")
def models(tmp_path_factory) -> Path:
    """A models folder with one tiny random checkpoint under the default checkpoint's name."""
    from tests.tiny_checkpoints import llada

    folder = tmp_path_factory.mktemp("models")
    llada(folder / "checkpoints" / "storyteller")
    return folder


@pytest.fixture(scope="session")
def extensions(tmp_path_factory) -> Path:
    """An extensions folder: the real ones and tests/extensions/rehearsal."""
    folder = tmp_path_factory.mktemp("extensions")
    for path in [
        *(ROOT / "extensions").glob("*/__init__.py"),
        ROOT / "tests" / "extensions" / "rehearsal" / "__init__.py",
    ]:
        (folder / path.parent.name).symlink_to(path.parent)
    return folder


@pytest.fixture(scope="session")
def flags(models, extensions) -> list[str]:
    """Settings flags for a process that tests start; `--data` is to be added."""
    return ["--models", str(models), "--built-in", str(extensions), "--threads", "1", "--no-preload"]


@dataclass
class Running:
    """A server process; `line` is what it printed on standard output when it was ready."""

    process: subprocess.Popen | Forked
    line: str
    data: Path
    errors: Path

    @property
    def url(self) -> str:
        return self.line.split(": ", 1)[1].strip()

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])


def _start(arguments: list[str], output: int, errors: int, environment: dict[str, str], folder: Path):
    command = [*PYTHON, *arguments]
    return subprocess.Popen(command, stdout=output, stderr=errors, env=environment, cwd=folder)


@contextmanager
def serve(
    *arguments: str, data: Path, timeout: float = 120, start=_start, **environment: str
) -> Iterator[Running]:
    """A process `python app.py ARGUMENTS --data DATA` that has printed its address; stopped at the end. With
    `start=warm.start` it is forked from one that has imported everything."""
    data.mkdir(parents=True, exist_ok=True)
    errors, (reading, writing) = data / "stderr.txt", os.pipe()
    with errors.open("wb") as stream, os.fdopen(writing, "wb") as output:
        whole, folder = [*arguments, "--data", str(data)], data
        process = start(whole, output.fileno(), stream.fileno(), {**ENVIRONMENT, **environment}, folder)
    process.stdout = os.fdopen(reading, "rb")
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            assert selector.select(timeout), f"no address within {timeout} s: {errors.read_text()}"
        line = process.stdout.readline().decode()
        assert line, f"the server did not start: {errors.read_text()}"
        yield Running(process, line, data, errors)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


class Forked:
    """What tests use of Popen, for a process that `Warm` has forked."""

    stdout: IO[bytes]

    def __init__(self, pid: int, status: Path):
        self.pid, self._status = pid, status

    def poll(self) -> int | None:
        return int(self._status.read_text()) if self._status.exists() else None

    def wait(self, timeout: float = 3600) -> int:
        end = time.monotonic() + timeout
        while (status := self.poll()) is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired("app.py", timeout)
            time.sleep(0.02)
        return status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Warm:
    """The process of tests/warm.py, which forks servers."""

    def __init__(self, folder: Path):
        self._folder, self._count = folder, 0
        self._place, theirs = socket.socketpair()
        with theirs:
            command, number = [sys.executable, "-m", "tests.warm"], theirs.fileno()
            self._process = subprocess.Popen(
                [*command, str(number)],
                pass_fds=[number],
                env=ENVIRONMENT,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
            )

    def start(
        self, arguments: list[str], output: int, errors: int, environment: dict[str, str], folder: Path
    ):
        self._count += 1
        status = self._folder / f"status{self._count}"
        order = json.dumps([arguments, environment, str(folder), str(status)]).encode()
        socket.send_fds(self._place, [order], [output, errors])
        pid = b""
        while not pid.endswith(b"\n"):
            part = self._place.recv(32)
            assert part, "the warm process has ended"
            pid += part
        return Forked(int(pid), status)

    def close(self) -> None:
        self._place.close()
        self._process.wait(60)


@pytest.fixture(scope="session")
def warm(tmp_path_factory) -> Iterator[Warm]:
    """For servers whose start is not what is tested."""
    made = Warm(tmp_path_factory.mktemp("warm"))
    yield made
    made.close()


@contextmanager
def serve_all_along(*arguments: str, data: Path, start=_start, **environment: str) -> Iterator[Running]:
    """The same; it must still be running at the end."""
    with serve(*arguments, data=data, timeout=240, start=start, **environment) as running:
        yield running
        assert running.process.poll() is None, f"the server died: {running.errors.read_text()}"


@pytest.fixture(scope="session")
def server(tmp_path_factory, flags, warm) -> Iterator[Running]:
    """A server process with the API only, a queue of eight jobs, and an extension that does not load."""
    data, more = tmp_path_factory.mktemp("server"), tmp_path_factory.mktemp("more")
    (more / "broken").mkdir()
    (more / "broken" / "__init__.py").write_text('raise RuntimeError("broken as rehearsed")\n')
    own = ("--api", "--port", "0", "--max-queue", "8", "--extensions", str(more))
    with serve_all_along(*own, *flags, data=data, start=warm.start) as running:
        yield running


def wait_until(condition, timeout: float = 120, interval: float = 0.02):
    """The first true value of `condition()`."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(interval)
    raise AssertionError(f"not within {timeout} s")
