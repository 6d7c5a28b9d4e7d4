"""Experiments on disk: which texts of a job are finished, so that it goes on after a stop or a kill.

An experiment is a folder with up to four files: `experiment.json`, the request with its seed drawn, replaced
whole; `votes.jsonl`, one line for each vote; `bounds.jsonl`, one for each bound that was computed; and
`cells.jsonl`, one line for each cell that ended. A finished text itself is in the history. Its line is
written first, and counts only if the history has the text: so there is no moment at which a text is saved and
its cell not known to be finished.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shutil
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from webui.core.atomic import write
from webui.core.errors import NotFound
from webui.core.events import Event, Failed
from webui.core.request import Cell, Request
from webui.core.result import Result
from webui.service.history.store import History
from webui.service.job import Continued, Job

NAME = re.compile(r"[0-9a-f]{16}")
KEY = re.compile(r"[0-9a-f]{32}")
Better = Literal["a", "b", "same"]
SHARES = MappingProxyType({"a": 1.0, "b": 0.0, "same": 0.5})  # of a vote that `a` wins
PROMPT = 120  # characters of a prompt in the list


@dataclass(frozen=True)
class Experiment:
    """An experiment in the list. `done` and `failed` are numbers of different texts, `texts` is the number of
    cells of the request; `source`: the file that it comes from, or ""."""

    id: str
    created: float
    prompt: str
    texts: int
    done: int
    failed: int
    source: str


@dataclass(frozen=True)
class Ended:
    """What is known of a cell that ended: its result's id in the history, or why it failed."""

    result: str | None
    error: str | None


def key(cell: Cell) -> str:
    """What two cells have in common exactly if they ask for the same text. An extension whose options have
    their defaults does not count, so that installing one changes no key."""
    request = cell.request
    fields = request.model_dump(mode="json")
    for name, value in request:
        if name not in Request.model_fields and hasattr(value, "defaults") and value.defaults():
            del fields[name]
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:32]


class Experiments:
    """The folder of experiments. For any threads; several processes may work on different experiments."""

    def __init__(self, folder: Path, history: History, request: type[Request]):
        self._folder, self._history, self._request = folder, history, request
        self._jobs: dict[
            str, tuple[Path, dict[str, str]]
        ] = {}  # by job: its journal, and the key of each cell
        self._lock = threading.Lock()

    # -- while a job runs ------------------------------------------------------------------------------------

    def begin(self, job: Job) -> None:
        """Registers a job of several cells before it is queued, as a new experiment or as one that goes on.
        Where the history is not kept, or the disk refuses, the job runs without."""
        if not self._history.keep or len(job.cells) < 2:
            return
        continued = job.continued
        name = continued.experiment or job.id
        about = {"created": job.created, "source": continued.source}
        if continued.experiment:
            stored = self._about(name)
            about = {"created": stored["created"], "source": continued.source or stored["source"]}
        about |= {"request": job.drawn.model_dump(mode="json"), "texts": job.of}
        try:
            write(self._folder / name / "experiment.json", json.dumps(about))
        except OSError:
            return
        job.experiment = name

    def open(self, job: Job) -> dict[str, Result]:
        """Called when a job begins to run: from now on `note` enters its cells. The texts that it has
        already, by cell, each under the axes that the cell has now."""
        if job.experiment is None:
            return {}
        job.bounds |= self._bounds(job.experiment)
        keys = {cell.id: key(cell) for cell in job.cells}
        with self._lock:
            self._jobs[job.id] = self._journal(job.experiment), keys
        ended, read, kept = self._ended(job.experiment), {}, {}
        for cell in job.cells:
            one = ended.get(keys[cell.id])
            if one is None or one.result is None or job.cancelled():
                continue
            if one.result not in read:
                read[one.result] = self._read(one.result)
            if (result := read[one.result]) is not None:
                kept[cell.id] = result.model_copy(update={"axes": cell.axes})
        return kept

    def note(self, result: Result) -> None:
        """Enters that the history is about to get the text of a cell. OSError if the disk refuses."""
        made = result.provenance
        if result.complete and made is not None:
            self._enter(made.job, made.cell, {"result": result.id})

    def watch(self, job: Job, events: Iterator[Event]) -> Iterator[Event]:
        """The events of a job; cells that fail are entered on their way."""
        try:
            for event in events:
                if isinstance(event, Failed):
                    self._enter(job.id, event.cell, {"error": event.sentence})
                yield event
        finally:
            with self._lock:
                self._jobs.pop(job.id, None)

    def _enter(self, job: str, cell: str, what: Mapping[str, str]) -> None:
        """Appends a line to the journal of a job, if it has one."""
        with self._lock:
            journal, keys = self._jobs.get(job, (None, {}))
            if journal is None or cell not in keys:
                return
            _append(journal, {"key": keys[cell], "cell": cell, **what})

    # -- going on --------------------------------------------------------------------------------------------

    def request(self, name: str) -> Request:
        """The request of an experiment, its seed drawn. NotFound; ValueError if it cannot be read."""
        return self._request.read(self._about(name)["request"])[0]

    def chosen(self, cells: Sequence[Cell], continued: Continued) -> tuple[Cell, ...]:
        """Those of the experiment's cells that a job has: all, or with the writes `failed` and `nothing`
        those that ended. ValueError if there are none."""
        if not continued.experiment or continued.writes == "missing":
            return tuple(cells)
        ended = self._ended(continued.experiment)
        kept = [cell for cell in cells if (one := ended.get(key(cell))) and self._counts(one, continued)]
        if not kept:
            raise ValueError("No text of this experiment is finished yet; resume it.")
        if continued.writes == "failed" and not any(ended[key(cell)].error for cell in kept):
            raise ValueError("No text of this experiment has failed.")
        return tuple(kept)

    def _counts(self, one: Ended, continued: Continued) -> bool:
        return one.result is not None or continued.writes == "failed"

    def _read(self, name: str) -> Result | None:
        """A text of the history; None if it is not there any more or cannot be read: then it is written
        again."""
        try:
            return self._history.get(name)
        except ValueError:
            return None

    # -- from an exported file -------------------------------------------------------------------------------

    def restore(self, request: Request, texts: int) -> str:
        """A new experiment of a request whose seed was drawn, without any text; its id. `texts`: cells of the
        request. ValueError where nothing is kept; OSError if the disk refuses."""
        if not self._history.keep:
            raise ValueError(
                "Texts are not kept here (setting keep_history), so no experiment can be restored."
            )
        name = uuid.uuid4().hex[:16]
        about = {"created": time.time(), "source": "", "texts": texts}
        about["request"] = request.model_dump(mode="json")
        write(self._folder / name / "experiment.json", json.dumps(about))
        return name

    def take_in(self, name: str, texts: Sequence[Mapping[str, Any]]) -> None:
        """Adds finished texts to an experiment, as webui/service/exports/stored.py has them; those that the
        history has already stay as they are there. ValueError; NotFound; OSError."""
        base = self._about(name)["request"]
        for text in texts:
            cell, slim = str(text.get("cell")), text.get("result")
            if not KEY.fullmatch(str(text.get("key"))) or not isinstance(slim, dict):
                raise ValueError("This is not a text of an exported experiment.")
            if not isinstance(slim.get("request"), dict):
                raise ValueError("This is not an exported text: it has no request.")
            result = self._history.take_in({**slim, "request": {**base, **slim["request"]}})
            with self._lock:
                _append(self._journal(name), {"key": text["key"], "cell": cell, "result": result.id})
                if isinstance(text.get("bound"), float):
                    bits = {"result": result.id, "bits": text["bound"]}
                    _append(self._folder / name / "bounds.jsonl", bits)

    # -- votes -----------------------------------------------------------------------------------------------

    def vote(self, job: Job, a: str, b: str, better: Better) -> None:
        """Keeps which of two cells of a job is better. Votes belong to what the cells ask for, so they stay
        when the experiment goes on. ValueError; OSError if the disk refuses."""
        cells = {cell.id: cell for cell in job.cells}
        if job.experiment is None:
            raise ValueError("These texts are not kept, so no votes can be.")
        self._about(job.experiment)
        if a == b or a not in cells or b not in cells:
            raise ValueError("A vote is about two different texts of the job.")
        line = {"a": key(cells[a]), "b": key(cells[b]), "better": better}
        with self._lock:
            _append(self._folder / job.experiment / "votes.jsonl", line)

    def votes(self, job: Job) -> dict[str, dict[str, int | float]]:
        """For each cell that votes are about: `votes.number`, and `votes.share`, the share of them that it
        won; no difference counts as half."""
        if job.experiment is None:
            return {}
        won: dict[str, float] = {}
        number: dict[str, int] = {}
        for line in _lines(self._folder / job.experiment / "votes.jsonl"):
            a, b, better = line.get("a"), line.get("b"), line.get("better")
            share = SHARES.get(str(better))
            if not isinstance(a, str) or not isinstance(b, str) or share is None:
                continue
            for name, points in ((a, share), (b, 1 - share)):
                won[name], number[name] = won.get(name, 0) + points, number.get(name, 0) + 1
        if not number:
            return {}
        keys = {cell.id: key(cell) for cell in job.cells}
        return {
            cell: {"votes.share": won[name] / number[name], "votes.number": number[name]}
            for cell, name in keys.items()
            if name in number
        }

    # -- bounds ----------------------------------------------------------------------------------------------

    def keep_bounds(self, job: Job, found: Mapping[str, float]) -> None:
        """Keeps bounds of texts of a job, by the results' ids. OSError if the disk refuses."""
        if job.experiment is not None and (self._folder / job.experiment).is_dir():
            lines = [{"result": name, "bits": bits} for name, bits in found.items()]
            with self._lock:
                _append(self._folder / job.experiment / "bounds.jsonl", *lines)

    def _bounds(self, name: str) -> dict[str, float]:
        found = {}
        for line in _lines(self._folder / name / "bounds.jsonl"):
            result, bits = line.get("result"), line.get("bits")
            if isinstance(result, str) and isinstance(bits, float) and math.isfinite(bits):
                found[result] = bits
        return found

    # -- the list --------------------------------------------------------------------------------------------

    def all(self) -> list[Experiment]:
        """All experiments, newest first."""
        found = []
        for path in self._folder.glob("*/experiment.json"):
            try:
                found.append(self.get(path.parent.name))
            except ValueError:
                continue  # not an experiment of this program, or one that is being deleted
        return sorted(found, key=lambda one: one.created, reverse=True)

    def get(self, name: str) -> Experiment:
        """An experiment. NotFound; ValueError if it cannot be read."""
        about = self._about(name)
        ended = self._ended(name, check=False)
        prompt = " ".join(str(about["request"].get("prompt", "")).split())
        return Experiment(
            id=name,
            created=about["created"],
            prompt=prompt if len(prompt) <= PROMPT else prompt[:PROMPT] + "…",
            texts=about["texts"],
            done=sum(one.result is not None for one in ended.values()),
            failed=sum(one.error is not None for one in ended.values()),
            source=about["source"],
        )

    def newest_of(self, source: str) -> str:
        """The id of the newest experiment that came from this file, or ""."""
        return next((one.id for one in self.all() if one.source == source), "")

    def delete(self, name: str) -> None:
        """Removes an experiment; its texts stay in the history. NotFound; OSError."""
        self._about(name)
        shutil.rmtree(self._folder / name)

    # -- files -----------------------------------------------------------------------------------------------

    def _journal(self, name: str) -> Path:
        return self._folder / name / "cells.jsonl"

    def _about(self, name: str) -> dict[str, Any]:
        """What `experiment.json` says. NotFound; ValueError if it cannot be read."""
        path = self._folder / name / "experiment.json"
        if not NAME.fullmatch(name) or not path.is_file():
            raise NotFound("There is no such experiment.")
        try:
            about = json.loads(path.read_text("utf-8"))
            if not isinstance(about["request"], dict):
                raise TypeError
            about |= {"created": float(about["created"]), "texts": int(about["texts"])}
            about["source"] = str(about["source"])
        except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
            raise ValueError(f"The file of the experiment {name} cannot be read.") from None
        return about

    def _ended(self, name: str, check: bool = True) -> Mapping[str, Ended]:
        """The cells that ended, by key, as their last lines say. check: whether a text that the history does
        not have counts as not written."""
        ended: dict[str, Ended] = {}
        for entry in _lines(self._journal(name)):
            if isinstance(entry.get("key"), str):
                ended[entry["key"]] = Ended(entry.get("result"), entry.get("error"))
        if check:
            ended = {
                name: one
                for name, one in ended.items()
                if one.error is not None or (one.result is not None and self._history.has(one.result))
            }
        return MappingProxyType(ended)


def _append(path: Path, *entries: Mapping[str, Any]) -> None:
    """Appends lines, on disk before this returns. The line break before them ends what a kill left of another
    one."""
    with path.open("ab") as stream:
        stream.write("".join(f"\n{json.dumps(entry)}\n" for entry in entries).encode())
        stream.flush()
        os.fsync(stream.fileno())


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """The entries of a file of lines; what a kill cut off, or anybody else wrote, is skipped."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return
    for line in lines:
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(entry, dict):
            yield entry
