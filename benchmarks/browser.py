"""What the benchmarks of the page share: the program in a process of its own, and the system's chromium
beside it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).resolve().parent.parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
)
READY = "window.tdw && document.querySelector('tdw-canvas')?.jobs && document.querySelector('#generate')?.checkVisibility()"
ENDED = ("done", "failed", "cancelled")


@dataclass(frozen=True)
class Site:
    """The running program. `http` is a client of its API, `data` its data folder."""

    url: str
    process: subprocess.Popen[str]
    http: httpx.Client
    data: Path

    def cpu(self) -> dict[str, float]:
        """Seconds of processor time that each of its threads has used; empty without /proc."""
        used = {}
        for thread in Path(f"/proc/{self.process.pid}/task").glob("*/schedstat"):
            with suppress(OSError):  # it ended meanwhile
                used[thread.parent.name] = int(thread.read_text().split()[0]) / 1e9
        return used

    def submit(self, request: dict[str, Any]) -> str:
        """Queues a request; the job's id."""
        return self.http.post("jobs", json=request).raise_for_status().json()["id"]

    def ended(self, job: str, look: float = 0.25) -> dict[str, Any]:
        """The job once it has ended. SystemExit with its error if it gave no text."""
        while (found := self.http.get(f"jobs/{job}").raise_for_status().json())["state"] not in ENDED:
            time.sleep(look)
        if found["state"] == "failed":
            raise SystemExit(found["error"])
        return found


def cores() -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The processor cores of the browser and those of the program: apart if this process may use two or
    more."""
    mine = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    half = len(mine) // 2
    return (tuple(mine[:half]), tuple(mine[half:])) if half else (tuple(mine), tuple(mine))


def pin(wanted: tuple[int, ...]) -> Callable[[], None]:
    """A function that keeps the process that calls it, and those it starts, on these cores."""
    return lambda: os.sched_setaffinity(0, wanted) if wanted else None


@contextmanager
def served(*arguments: str, own: tuple[int, ...] = (), data: Path | None = None) -> Iterator[Site]:
    """The program on a free port with an empty data folder (or `data`), on its `own` cores if some are
    named."""
    with tempfile.TemporaryDirectory() as folder:
        data = data or Path(folder)
        command = [sys.executable, str(ROOT / "app.py"), "--port", "0", "--data", str(data), *arguments]
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        with (
            subprocess.Popen(
                command, stdout=subprocess.PIPE, text=True, env=environment, preexec_fn=pin(own)
            ) as process,
            httpx.Client(timeout=120, limits=httpx.Limits(max_keepalive_connections=0)) as http,
        ):
            try:
                assert process.stdout is not None
                line = process.stdout.readline()
                if ": " not in line:
                    raise SystemExit(f"The program did not start: {line}")
                url = line.split(": ", 1)[1].strip()
                http.base_url = f"{url}/api/v1/"
                yield Site(url, process, http, data)
            finally:
                process.terminate()


@contextmanager
def chromium(*flags: str) -> Iterator[Browser]:
    """The system's browser without a window. SystemExit if there is none."""
    from playwright.sync_api import sync_playwright

    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        raise SystemExit("There is no chromium on this machine; install it first.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=[*FLAGS, *flags])
        yield browser
        browser.close()
