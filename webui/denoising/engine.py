"""Requests in, events and results out: the one path. Everything that is denoised goes through `Engine.run`.

cells -> presets resolved -> every extension's `prompt` -> rows grouped by checkpoint -> tokenized -> packed
into batches
-> each batch stepped until its rows have ended, each row finished and saved as it ends -> one Result for the
  job.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

import torch

from webui.checkpoints.loading import Checkpoints
from webui.checkpoints.model import Model
from webui.checkpoints.weights import Stopped
from webui.core.events import Event, Failed, Finished, Loading, Progress
from webui.core.prompt import Prompt
from webui.core.request import Cell, Request
from webui.core.result import Provenance, Result, Statistics, new_id
from webui.denoising import packing
from webui.denoising.batch import Batch, LiveRow
from webui.extension.errors import HookError
from webui.extension.registry import Registry
from webui.extension.row import Row

Prepared = tuple[Row, tuple[str, ...]]  # a row, and the fields its preset filled


class Job(Protocol):
    """What the engine needs of a job: its cells, whether it was cancelled, and where Loading events go."""

    id: str
    request: Request
    cells: tuple[Cell, ...]

    def cancelled(self) -> bool: ...

    def take(self, event: Event) -> None: ...


class Engine:
    """Runs jobs. One thread only: whoever calls `run` owns the device until the iterator is exhausted or
    closed.

    save    called with every cell's result as it ends
    version the program's, for provenance
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        registry: Registry,
        save: Callable[[Result], None],
        batch_rows: int = 0,
        version: str = "",
    ):
        self.checkpoints, self.registry, self.save, self.version = checkpoints, registry, save, version
        self.batch_rows = batch_rows

    def run(self, job: Job) -> Iterator[Event]:
        """All cells of a job, then the job's own Finished. Cells that fail are told by Failed, the others go
        on."""
        results: dict[str, Result] = {}
        for event in self.generate(job.cells, job.id, job.cancelled, job.take):
            if isinstance(event, Finished) and event.cell is not None:
                results[event.cell] = event.result
            elif isinstance(event, Failed):
                cell = next(cell for cell in job.cells if cell.id == event.cell)
                results[cell.id] = _failure(cell, event.sentence)
            yield event
        yield Finished(_whole(job, [results[cell.id] for cell in job.cells if cell.id in results]))

    def generate(
        self,
        cells: Sequence[Cell],
        job: str,
        cancelled: Callable[[], bool],
        tell: Callable[[Event], None] = lambda event: None,
    ) -> Iterator[Event]:
        """Every cell once; rows of one checkpoint together, whatever else differs. What a cancel leaves
        unbegun has no event.

        tell: takes what happens while a checkpoint is read, which is one call that nothing can be yielded
        from: Loading.
        """
        groups: dict[str, list[Prepared]] = {}
        presets: dict[
            str | None, tuple[str, Mapping[str, Any]]
        ] = {}  # a grid's cells mostly ask for the same checkpoint
        for cell in cells:
            asked = cell.request.model
            try:
                if asked not in presets:
                    presets[asked] = (
                        self.checkpoints.entry(asked).name,
                        self.checkpoints.profile(asked)["preset"],
                    )
                name, preset = presets[asked]
                groups.setdefault(name, []).append(self._prepare(cell, name, preset))
            except ValueError as error:
                yield Failed.of(cell.id, error)
        for name, prepared in groups.items():
            if cancelled():
                return
            try:
                model = self._load(name, cancelled, tell)
            except Stopped:
                return
            except ValueError as error:
                yield from (Failed.of(row.cell.id, error) for row, _ in prepared)
                continue
            yield from self._group(model, prepared, job, cancelled)
            del model  # the next one needs its memory

    def _load(self, name: str, cancelled: Callable[[], bool], tell: Callable[[Event], None]) -> Model:
        """The model of this name. ValueError says why there is none; Stopped that the job was cancelled
        meanwhile."""

        def progress(done: float) -> None:
            if cancelled():
                raise Stopped
            tell(Loading(name, done))

        return self.checkpoints.load(name, progress)

    def _prepare(self, cell: Cell, name: str, known: Mapping[str, Any]) -> Prepared:
        """The cell as a row: presets resolved, then every extension's `prompt`. ValueError."""
        request, preset = packing.resolve(cell.request.replace(model=name), known)
        row = self.registry.prepare(Row(cell, request, {"main": Prompt.of(request.prompt)}))
        hint = self.checkpoints.hint(name, request.prompt)
        return row.note(hint) if hint else row, preset

    def _group(
        self, model: Model, prepared: Sequence[Prepared], job: str, cancelled: Callable[[], bool]
    ) -> Iterator[Event]:
        packed = []
        for row, preset in prepared:
            try:
                facts = model.description
                packed.append(
                    packing.tokenize(row, preset, model.tokenizer, model.mask, facts.max_length, facts.prefix)
                )
            except ValueError as error:
                yield Failed.of(row.cell.id, error)
        limit = self.batch_rows or (16 if model.device.type == "cpu" else 64)
        for rows in packing.batches(packed, limit):
            if cancelled():
                return
            yield from self._batch(model, rows, job, cancelled)

    def _batch(
        self, model: Model, rows: Sequence[packing.PackedRow], job: str, cancelled: Callable[[], bool]
    ) -> Iterator[Event]:
        """Steps one batch until its rows have ended. A hook that fails fails the rows it worked for; the rest
        start anew."""
        began = time.monotonic()
        try:
            batch = Batch(model, rows, self.registry.extensions.values())
            yield from batch.start()
            while batch.live:
                if cancelled():
                    yield from (self._finish(batch, row, job, began) for row in list(batch.live))
                    return
                changes = batch.step()
                cells = {batch.live[row].cell: decisions for row, decisions in changes.items()}
                yield Progress(cells, {live.cell: live.step for live in batch.live.values()})
                ended = batch.ended()
                for row in ended:
                    yield self._finish(batch, row, job, began)
                batch.leave(ended)
                batch.check_progress()
        except HookError as error:
            failed = {row for row in batch.live if batch.chain.works_for(error.extension, row)}
            yield from (Failed.of(batch.live[row].cell, error) for row in failed)
            left = [live.packed for row, live in batch.live.items() if row not in failed]
            if left:
                yield from self._batch(model, left, job, cancelled)
        except ValueError as error:
            if len(rows) > 1:  # one row's settings are at fault: find it
                for row in rows:
                    yield from self._batch(model, [row], job, cancelled)
            else:
                yield Failed.of(rows[0].row.cell.id, error)

    def _finish(self, batch: Batch, row: int, job: str, began: float) -> Finished:
        """The row's Result, saved. A disk that refuses costs a note, not the text."""
        live = batch.live[row]
        result = self._result(batch, row, live, job, began)
        try:
            self.save(result)
        except OSError as error:
            result = result.model_copy(
                update={"notes": (*result.notes, f"Not saved: {error.strerror or error}.")}
            )
        return Finished(result, live.cell)

    def _result(self, batch: Batch, row: int, live: LiveRow, job: str, began: float) -> Result:
        facts, packed = batch.model.description, live.packed
        decoded = batch.decode(row)
        return Result(
            id=new_id(),
            text=decoded.text,
            complete=decoded.complete,
            request=packed.row.request,
            preset=packed.preset,
            axes=packed.row.cell.axes,
            pieces=decoded.pieces,
            trace=tuple(live.trace),
            statistics=Statistics(
                forwards=live.step,
                tokens=len(live.trace),
                prompt_tokens=len(packed.prompt.tokens),
                seconds=round(time.monotonic() - began, 4),
            ),
            provenance=Provenance(
                program=self.version,
                checkpoint=facts.name,
                fingerprint=facts.fingerprint,
                family=facts.family,
                device=facts.device,
                dtype=facts.dtype,
                torch=torch.__version__,
                created=datetime.now(UTC).isoformat(timespec="seconds"),
                job=job,
                cell=live.cell,
            ),
            notes=packed.row.notes,
        )


def _failure(cell: Cell, sentence: str) -> Result:
    return Result(id=new_id(), text="", complete=False, request=cell.request, axes=cell.axes, error=sentence)


def _whole(job: Job, parts: Sequence[Result]) -> Result:
    """The job's result: its one cell's, or all of them as parts, their texts one after the other."""
    if len(job.cells) == 1 and parts:
        return parts[0]
    complete = len(parts) == len(job.cells) and all(part.complete for part in parts)
    text = "\n\n".join(part.text for part in parts if part.text)
    return Result(id=new_id(), text=text, complete=complete, request=job.request, parts=tuple(parts))
