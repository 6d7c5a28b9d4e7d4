"""Fixtures for tests of several folders: a tiny checkpoint, an extensions folder, a server process."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

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
    "tests/checkpoints/test_decoders.py",
    "tests/checkpoints/test_hostile.py",
    "tests/checkpoints/test_masked_lms.py",
    "tests/checkpoints/test_published.py",
    "tests/denoising/test_against_reference.py",
    "tests/denoising/test_caches.py",
    "tests/denoising/test_determinism.py",
    "tests/denoising/test_failures.py",
    "tests/denoising/test_parallel.py",
    "tests/denoising/test_remasking.py",
    "tests/denoising/test_threads.py",
    "tests/denoising/test_transfers.py",
    "tests/extensions/training",
    "tests/extensions/test_checkpoint_merger_more.py",
    "tests/extensions/test_constraints.py",
    "tests/extensions/test_logit_bias.py",
    "tests/extensions/test_lora.py",
    "tests/extensions/test_merged_weights.py",
    "tests/extensions/test_prompt_and.py",
    "tests/http/test_markdown.py",
    "tests/service/test_history.py",
)


def _turn(item: pytest.Item) -> int:
    name = item.nodeid
    return next((turn for turn, first in enumerate(FIRST) if name.startswith(first)), len(FIRST))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Orders the files. Marks `e2e` and `slow` by file, and `process` what needs `flags` or calls subprocess
    itself."""
    items.sort(key=_turn)
    for item in items:
        if item.nodeid.startswith(SLOW):
            item.add_marker("slow")
        code = getattr(getattr(item, "function", None), "__code__", None)
        if "e2e" in item.path.parts:
            item.add_marker("e2e")
        if "flags" in getattr(item, "fixturenames", ()) or (code and "subprocess" in code.co_names):
            item.add_marker("process")


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

    process: subprocess.Popen
    line: str
    data: Path
    errors: Path

    @property
    def url(self) -> str:
        return self.line.split(": ", 1)[1].strip()

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])


@contextmanager
def serve(*arguments: str, data: Path, timeout: float = 120, **environment: str) -> Iterator[Running]:
    """A process `python app.py ARGUMENTS --data DATA` that has printed its address; stopped at the end."""
    data.mkdir(parents=True, exist_ok=True)
    errors = data / "stderr.txt"
    with errors.open("wb") as stream:
        process = subprocess.Popen(
            [*PYTHON, *arguments, "--data", str(data)],
            stdout=subprocess.PIPE,
            stderr=stream,
            env={**ENVIRONMENT, **environment},
            cwd=data,
        )
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


@contextmanager
def serve_all_along(*arguments: str, data: Path, **environment: str) -> Iterator[Running]:
    """The same; it must still be running at the end."""
    with serve(*arguments, data=data, timeout=240, **environment) as running:
        yield running
        assert running.process.poll() is None, f"the server died: {running.errors.read_text()}"


@pytest.fixture(scope="session")
def server(tmp_path_factory, flags) -> Iterator[Running]:
    """A server process with the API only, a queue of eight jobs, and an extension that does not load."""
    data, more = tmp_path_factory.mktemp("server"), tmp_path_factory.mktemp("more")
    (more / "broken").mkdir()
    (more / "broken" / "__init__.py").write_text('raise RuntimeError("broken as rehearsed")\n')
    own = ("--api", "--port", "0", "--max-queue", "8", "--extensions", str(more))
    with serve_all_along(*own, *flags, data=data) as running:
        yield running


def wait_until(condition, timeout: float = 120, interval: float = 0.02):
    """The first true value of `condition()`."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(interval)
    raise AssertionError(f"not within {timeout} s")
