"""The whole program around a tiny checkpoint, in a folder of the test's own."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from webui.application import App
from webui.core.result import Result
from webui.extension.extension import Extension
from webui.extension.finding import Found
from webui.extension.registry import Registry
from webui.settings import Settings

PATIENCE = 120  # seconds until a test gives up on a job
CHECKPOINT = "tiny"


def load(folder: Path) -> type[Extension]:
    """The extension of a folder, as the program loads it. ValueError with the traceback if it does not
    load."""
    folder = Path(folder).resolve()
    sys.modules.pop(f"extensions.{folder.name}", None)  # it is read anew
    registry = Registry([Found(folder.name, folder, "folder")])
    for trace in registry.failed.values():
        raise ValueError(f"{folder.name} does not load.\n{trace}")
    return registry.extensions[folder.name]


def tiny_checkpoint(folder: Path) -> Path:
    """Writes a checkpoint to `folder` and returns it: LLaDA's published format, random weights, some 300
    tokens, 100 kB. Its texts are nonsense, and the same on every machine with the same torch."""
    from webui.testing.tiny import llada

    return llada(folder)


@contextmanager
def program(folder: Path, extensions: Sequence[Path] = (), **settings: Any) -> Iterator[App]:
    """An App in `folder`, usually pytest's tmp_path: a tiny checkpoint, the built-in extensions, and those
    of the folders in `extensions`, all of which must load. `settings` are the program's. Closed at the end.
    """
    folder = Path(folder)
    models = settings.setdefault("models", folder / "models")
    if not (models / "checkpoints" / CHECKPOINT).exists():
        tiny_checkpoint(models / "checkpoints" / CHECKPOINT)
    defaults = {"model": CHECKPOINT, "device": "cpu", "dtype": "float64", "threads": 1}
    app = App(
        Settings(
            **{**defaults, "data": folder / "data", "extensions": tuple(map(Path, extensions)), **settings}
        )
    )
    try:
        for name, trace in app.registry.failed.items():
            raise ValueError(f"{name} does not load.\n{trace}")
        yield app
    finally:
        app.close()


def write(app: App, **fields: Any) -> Result:
    """The finished result of a request with these fields: 8 tokens, seed 1, unless they say otherwise.
    AssertionError with the sentence if it or a text of it failed; a request that is refused is a ValueError.
    """
    job = app.queue.submit(app.Request(**{"length": 8, "seed": 1, **fields}))
    assert job.wait(PATIENCE), "The job never ended."
    assert job.result is not None, job.error
    for part in cells(job.result):
        assert part.error is None, part.error
    return job.result


def cells(result: Result) -> tuple[Result, ...]:
    """The texts of a result: its parts, or the one it is."""
    return result.parts or (result,)
