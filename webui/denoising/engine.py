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
from webui.core.errors import Abandoned
from webui.core.events import Event, Failed, Finished, Loading, Progress
from webui.core.prompt import Prompt
from webui.core.request import Cell, Request
from webui.core.result import Provenance, Result, Statistics, new_id
from webui.denoising import packing
from webui.denoising.batch import Batch, LiveRow
from webui.extension.errors import HookError, reason
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
            except Abandoned:
                raise
            except BaseException as error:  # a panic of the tokenizer's library is no Exception
                name = model.description.name
                yield Failed.of(row.cell.id, ValueError(f"{name}: the tokenizer failed: {reason(error)}"))
        limit = self.batch_rows or (16 if model.device.type == "cpu" else 64)
        for rows in packing.batches(packed, limit):
            if cancelled():
                return
            yield from self._batch(model, rows, job, cancelled)

    def _batch(
        self, model: Model, rows: Sequence[packing.PackedRow], job: str, cancelled: Callable[[], bool]
    ) -> Iterator[Event]:
        """Steps one batch until its rows have ended. Rows that fail leave it; if nobody knows which row is at
        fault, it is looked for in smaller batches that start anew."""
        began = time.monotonic()
        try:
            batch = Batch(model, rows, self.registry.extensions.values())
        except ValueError as error:  # the settings of a row
            if len(rows) == 1:
                yield Failed.of(rows[0].row.cell.id, error)
            else:
                for row in rows:
                    yield from self._batch(model, [row], job, cancelled)
            return
        try:
            yield from batch.start()
            while batch.live:
                if cancelled():
                    yield from (self._finish(batch, row, job, began) for row in list(batch.live))
                    return
                step = batch.step()
                yield from _fail(batch, step.failed)
                cells = {batch.live[row].cell: changes for row, changes in step.changes.items()}
                yield Progress(cells, {live.cell: live.step for live in batch.live.values()})
                ended = batch.ended()
                for row in ended:
                    yield self._finish(batch, row, job, began)
                batch.leave(ended)
                yield from _fail(batch, batch.endless())
            return
        except HookError as error:
            failure: HookError | torch.OutOfMemoryError = error
        except torch.OutOfMemoryError as error:
            failure = error
        if cancelled():
            yield from (self._finish(batch, row, job, began) for row in list(batch.live))
            return
        yield from self._again(batch, failure, job, cancelled)

    def _again(
        self,
        batch: Batch,
        failure: HookError | torch.OutOfMemoryError,
        job: str,
        cancelled: Callable[[], bool],
    ) -> Iterator[Event]:
        """What becomes of the rows of a batch that failed as a whole. A row that alone can be at fault fails;
        of several, each half is tried by itself. Rows that cannot be at fault are another batch."""
        rows = list(batch.live)
        if isinstance(failure, HookError):
            suspects = [row for row in rows if batch.chain.work_for(failure.extensions, row)] or rows
        else:
            suspects = rows
        if len(suspects) == 1:
            yield from _fail(batch, {suspects[0]: _told(failure, batch.model)})
            groups = []
        else:
            middle = len(suspects) // 2
            groups = [suspects[:middle], suspects[middle:]]
        groups.append([row for row in rows if row not in suspects])
        for group in filter(None, groups):
            yield from self._batch(batch.model, [batch.rows[row] for row in group], job, cancelled)

    def _finish(self, batch: Batch, row: int, job: str, began: float) -> Finished | Failed:
        """The row's Result, saved. A disk that refuses costs a note, not the text."""
        live = batch.live[row]
        try:
            result = self._result(batch, row, live, job, began)
        except Abandoned:
            raise
        except BaseException as error:  # a panic of the tokenizer's library is no Exception
            name = batch.model.description.name
            return Failed.of(live.cell, ValueError(f"{name}: the tokenizer failed: {reason(error)}"))
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
                tokens=len({change.column for change in live.trace if change.token is not None}),
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


def _fail(batch: Batch, failed: Mapping[int, Exception]) -> Iterator[Failed]:
    """Takes these rows out of the batch."""
    for row, error in failed.items():
        yield Failed.of(batch.live[row].cell, error)
    batch.leave(list(failed))


def _told(failure: HookError | torch.OutOfMemoryError, model: Model) -> Exception:
    """The failure of a row as a sentence."""
    if isinstance(failure, HookError):
        return failure
    return ValueError(
        f"The memory of {model.description.device} is too small for this text; make it shorter."
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
