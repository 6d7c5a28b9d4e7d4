"""The whole program around tiny checkpoints, and ways to run it to the end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.contract import FAMILIES
from webui import App, Request, Result, Settings

PATIENCE = 120  # seconds until a test gives up on a job; never what is measured


def program(
    folder: Path, extensions: Path | None = None, families: Sequence[str] = ("LLaDA",), **settings
) -> App:
    """An App in `folder` with one tiny checkpoint of each of these families, named like it; the first is the
    default. Close it."""
    for name in families:
        if not (folder / "models" / "checkpoints" / name).exists():
            FAMILIES[name](folder / "models" / "checkpoints" / name)
    if extensions is not None:
        settings["built_in"] = extensions
    first = families[0]
    return App(
        Settings(
            models=folder / "models",
            data=folder / "data",
            **{"model": first, "device": "cpu", "threads": 1, **settings},
        )
    )


def finished(app: App, request: Request) -> Result:
    """The job's result, whatever became of it; one Failed cell is a Result with its error."""
    job = app.queue.submit(request)
    assert job.wait(PATIENCE), "the job never ended"
    assert job.result is not None, job.error
    return job.result


def write(app: App, **fields) -> Result:
    """The result of a request of these fields, small unless they say otherwise. Fails if a cell failed."""
    result = finished(app, app.Request(**{"length": 8, "seed": 1, **fields}))
    for part in cells(result):
        assert part.error is None and part.complete, part.error
    return result


def cells(result: Result) -> tuple[Result, ...]:
    """The result's texts."""
    return result.parts or (result,)


def texts(result: Result) -> list[str]:
    return [part.text for part in cells(result)]
