"""`app.py grid experiment.toml`: the texts of a request in a file, an event for each, and tables of them."""

from __future__ import annotations

import json
import stat
import sys
import tomllib
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from webui import App, Continued, Job, Request, write

from .cluster import Cluster

INTERRUPTED = 130  # as a shell reports a program that Ctrl+C ended
FORMATS = ("html", "csv", "jsonl", "markdown")
ENDED = ("done", "failed", "cancelled")
SHOWN = 60  # characters of a text in its line
LARGEST = 4_000_000  # bytes of a request's file


def arguments(parser: ArgumentParser) -> None:
    """The flags of the command."""
    parser.add_argument("file", type=Path, metavar="FILE", help="a request as TOML or JSON")
    for name in FORMATS:
        parser.add_argument(f"--{name}", type=Path, metavar="PATH", help=f"write the table as {name}")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with the last experiment of this file: only texts that it lacks are written, also after "
        "values were added",
    )
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="write the texts on all devices of a Ray cluster; auto: the one that runs, or a new one here",
    )
    parser.add_argument(
        "--bounds",
        action="store_true",
        help="also compute the bound of each text under the checkpoint that wrote it, a column of the table",
    )
    parser.add_argument("--confirm", action="store_true", help="write more than 1000 texts")
    parser.add_argument("--estimate", action="store_true", help="only say what it costs")
    parser.add_argument(
        "--events",
        action="store_true",
        help="print one JSON object for each text as it ends, and nothing else",
    )


def run(app: App, options: Namespace) -> int:
    """Runs the experiment and writes what was asked for; without a path the table as Markdown on standard
    output. The exit status: 1 if a text failed, 130 after Ctrl+C, which keeps what is done."""
    request = _read(app, options.file)
    if options.confirm:
        request = request.replace(confirm=True)
    found = app.estimate(request)
    if options.estimate:
        print(found)
        return 0
    print(f"{found}.", file=sys.stderr)
    cluster = Cluster(app, options.ray) if options.ray else None
    if cluster is not None:
        app.elsewhere = cluster.generate
    job, interrupted = _submitted(app, request, str(options.file.resolve()), options.resume), False
    subscription = job.subscribe()
    try:
        for line in _events(subscription.updates(), len(job.cells), options.events):
            print(line, file=sys.stdout if options.events else sys.stderr, flush=True)
    except KeyboardInterrupt:
        interrupted = True
        job.cancel()
        while not job.wait(0.2):  # the model call that runs; a second Ctrl+C does not wait for it
            pass
    if cluster is not None:
        cluster.close()
    if options.bounds and not interrupted and any(result for _, result, _ in job.results()):
        app.bounds.begin(job).wait()
    table = app.tables.of(job)
    for sentence in table.failed.values():
        print(sentence, file=sys.stderr)
    paths = {name: path for name in FORMATS if (path := getattr(options, name)) is not None}
    for name, path in paths.items():
        _write(path, app.export(job, name))
    if not paths and not options.events:
        print(app.export(job, "markdown"), end="")
    if job.error:
        print(job.error, file=sys.stderr)
    return INTERRUPTED if interrupted else 1 if any(row.error for row in table.rows) or job.error else 0


def _submitted(app: App, request: Request, source: str, resume: bool) -> Job:
    """The job of the file's request, as a new experiment, or as one that goes on with the last one."""
    experiment = app.experiments.newest_of(source) if resume else ""
    if not experiment:
        if resume:
            print("There is no experiment of this file to resume; a new one begins.", file=sys.stderr)
        return app.queue.submit(request, continued=Continued(source=source))
    about = app.experiments.get(experiment)
    print(f"Experiment {experiment} goes on: {about.done} texts are there already.", file=sys.stderr)
    return app.resume(experiment, request, source=source)


def _read(app: App, path: Path) -> Request:
    """The request in a file. ValueError with a sentence."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):  # a pipe or a device may never end
            raise ValueError(f"{path} is no regular file.")
        if found.st_size > LARGEST:
            raise ValueError(f"{path} has {found.st_size:,} bytes; at most {LARGEST:,} are read.")
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}.") from None
    except ValueError as error:  # of a path with what no path can hold
        raise ValueError(
            str(error) if str(path) in str(error) else f"There is no file {str(path)!r}."
        ) from None
    try:
        text = data.decode("utf-8-sig")
        data = json.loads(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not text in UTF-8.") from None
    except RecursionError:
        raise ValueError(f"{path} cannot be read: it is nested too deeply.") from None
    except (tomllib.TOMLDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} cannot be read: {error}.") from None
    except ValueError:  # what Python says of it is about Python
        raise ValueError(f"{path} cannot be read: a number in it has too many digits.") from None
    if not isinstance(data, dict):
        raise ValueError(f"{path} is no request: it has no fields.")
    try:
        request, unknown = app.Request.read(data)
    except ValueError as error:
        others = [name for name in data if name not in app.Request.model_fields]
        held = others and str(error).startswith("unknown: ")  # what JSON cannot hold, or too much of it
        said = f"there is no field {others[0][:SHOWN]!r}." if held else error
        raise ValueError(f"{path}: {said}") from None
    if unknown:
        name, value = next(iter(unknown.items()))
        inner = (
            f".{next(iter(value))}" if isinstance(value, dict) and name in type(request).model_fields else ""
        )
        raise ValueError(f"{path}: there is no field {(name + inner)[:SHOWN]!r}.")
    return request


def _events(updates: Iterator[Mapping[str, Any]], cells: int, as_json: bool) -> Iterator[str]:
    """A line for each cell that has ended, in the order in which they end."""
    known: set[str] = set()
    for update in updates:
        for name, cell in update["cells"].items():
            if cell["state"] not in ENDED or name in known:
                continue
            known.add(name)
            result = cell["result"] or {}
            if as_json:
                axes = {axis: value for axis, value, _ in cell["axes"]}
                event = {"cell": name, "state": cell["state"], "axes": axes, "text": result.get("text")}
                yield json.dumps({**event, "id": result.get("id"), "error": cell["error"]})
                continue
            labels = " · ".join(label for *_, label in cell["axes"])
            text = cell["error"] or " ".join(result.get("text", "").split())
            yield _harmless(f"{len(known)}/{cells}  {labels}  {text[:SHOWN]}")


def _harmless(line: str) -> str:
    """A line without what a terminal would take for a command."""
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in line)


def _write(path: Path, text: str) -> None:
    try:
        write(path, text)
    except OSError as error:
        raise ValueError(f"{path} cannot be written: {error.strerror}.") from None
