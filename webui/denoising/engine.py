"""Requests in, events and results out: the one path. Everything that is denoised goes through `Engine.run`.

cells -> every extension's `run` around them -> presets resolved -> every extension's `prompt` -> rows
grouped by checkpoint -> tokenized -> packed into batches -> each batch stepped until its rows have ended,
each row finished as it ends -> one Result for the job.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Protocol

import torch

from webui.checkpoints.loading import Checkpoints
from webui.checkpoints.model import Model
from webui.checkpoints.weights import Stopped
from webui.core.events import Event, Failed, Finished, Loading, Loop, Progress
from webui.core.prompt import Prompt
from webui.core.request import Cell, Request
from webui.core.result import Alternative, Change, Provenance, Result, Statistics, new_id
from webui.denoising import packing
from webui.denoising.alike import once
from webui.denoising.batch import Batch, LiveRow
from webui.denoising.chain import PatchError
from webui.denoising.runs import Passes, around
from webui.denoising.sampler_registry import SamplerRegistry
from webui.denoising.scoring import bits_per_byte
from webui.denoising.threads import Threads
from webui.extension.errors import HookError, is_of_hook, reason
from webui.extension.registry import Registry
from webui.extension.row import Row

Prepared = tuple[Row, tuple[str, ...]]  # a row, and the fields its preset filled
# (cells, the job's id, whether it was cancelled, a receiver of `Work.report`): the cells' events
Generate = Callable[[Sequence[Cell], str, Callable[[], bool], Callable[[Event], None]], Iterator[Event]]
_NONE: Mapping[str, Result] = MappingProxyType({})


class Job(Protocol):
    """What the engine needs of a job: its cells, whether it was cancelled, and a receiver of events
    that happen within one call."""

    id: str
    request: Request
    cells: tuple[Cell, ...]

    def cancelled(self) -> bool: ...

    def take(self, event: Event) -> None: ...


@dataclass
class Work:
    """What all batches of one job share.

    report  receives Loading and Preparing events, which happen within one call, where nothing can be yielded
    model   the model in use
    """

    job: str
    cancelled: Callable[[], bool]
    report: Callable[[Event], None]
    model: Model | None = None


class Engine:
    """Runs jobs. For one thread only: the caller of `run` owns the device until the iterator is exhausted or
    closed.

    save        called with every cell's result as it ends
    batch_rows  rows of a batch at most; 0: by the device
    version     the program's, for provenance
    threads     CPU threads of a model call; 0: measured
    elsewhere   makes the cells in the place of `generate`, on other devices or machines
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        registry: Registry,
        save: Callable[[Result], None],
        batch_rows: int = 0,
        version: str = "",
        threads: int = 1,
        elsewhere: Generate | None = None,
    ):
        self._make = elsewhere or self.generate
        self.checkpoints, self.registry, self.save, self.version = checkpoints, registry, save, version
        self.batch_rows = batch_rows
        self.threads = Threads(threads)
        self.samplers = SamplerRegistry.of(registry)
        for sentence in self.samplers.refused.values():
            print(f"Samplers are left out. {sentence}", file=sys.stderr)

    def run(self, job: Job, kept: Mapping[str, Result] = _NONE) -> Iterator[Event]:
        """All cells of a job, each saved as it ends, then Finished for the job itself. A cell that fails
        yields Failed, the others go on. kept: results of cells that an earlier job has finished; they are
        neither computed nor saved again."""
        results: dict[str, Result] = {}
        passes = Passes()
        cells = {cell.id: cell for cell in job.cells}
        for cell in job.cells:
            if cell.id in kept:
                results[cell.id] = kept[cell.id]
                yield Finished(kept[cell.id], cell.id)
        missing = tuple(cell for cell in job.cells if cell.id not in kept)

        def generate(cells: Sequence[Cell]) -> Iterator[Event]:
            return once(cells, lambda some: self._make(some, job.id, job.cancelled, job.take))

        for event in around(self.registry, missing, generate, job.cancelled)(missing):
            if isinstance(event, Finished) and event.cell is not None:
                name, result = event.cell, self._saved(event.result)
                event, results[name] = Finished(result, name), result
            elif isinstance(event, Failed):
                self._keep(event.cause)
                event = replace(event, sentence=self.registry.operator.clean(event.sentence))
                results[event.cell] = _failure(cells[event.cell], event.sentence)
            elif isinstance(event, Loop):
                event = passes.enter(event)
            yield event
        yield Finished(_whole(job, [results[cell.id] for cell in job.cells if cell.id in results]))

    def generate(
        self,
        cells: Sequence[Cell],
        job: str,
        cancelled: Callable[[], bool],
        report: Callable[[Event], None] = lambda event: None,
    ) -> Iterator[Event]:
        """Every cell once, without the extensions' `run`; rows of one checkpoint together, whatever else
        differs. Saves nothing. A cell that had not begun when the job was cancelled has no event."""
        work = Work(job, cancelled, report)
        groups: dict[str, list[Prepared]] = {}
        presets: dict[str | None, tuple[str, Mapping[str, Any]]] = {}  # looked up once for all cells
        for cell in cells:
            if cancelled():
                return
            asked = cell.request.model
            try:
                if asked not in presets:
                    entry = self.checkpoints.entry(asked)
                    presets[asked] = entry.name, self.checkpoints.profile(asked)["preset"]
                name, preset = presets[asked]
                groups.setdefault(name, []).append(self._prepare(cell, name, preset))
            except ValueError as error:
                yield Failed.of(cell.id, error)
        for name, prepared in groups.items():
            if cancelled():
                return
            try:
                self._load(work, name)
            except Stopped:
                return
            except ValueError as error:
                yield from (Failed.of(row.cell.id, error) for row, _ in prepared)
                continue
            yield from self._group(work, prepared)
            work.model = None  # the next one needs its memory

    def bounds(self, results: Sequence[Result], cancelled: Callable[[], bool]) -> dict[str, float]:
        """The bound of finished texts under the checkpoint that wrote them, in bits per byte, by the results'
        ids; texts without anything to score are left out. All are of one checkpoint. ValueError if it cannot
        be loaded or has changed, or a row cannot be made again; Stopped."""
        made = results[0].provenance
        assert made is not None
        work = Work("", cancelled, lambda event: None)
        model = self._load(work, made.checkpoint)
        if model.description.fingerprint != made.fingerprint:
            raise ValueError(f"{made.checkpoint} is not the checkpoint any more that wrote these texts.")

        def progress(share: float) -> None:
            if cancelled():
                raise Stopped

        rows = {}
        for result in results:
            row, preset = self._prepare(Cell(result.id, result.request), made.checkpoint, {})
            rows[result.id] = result, self._tokenized(row, preset, model)
        with torch.inference_mode():
            return bits_per_byte(model, rows, progress)

    def _load(self, work: Work, name: str) -> Model:
        """The model of this name. ValueError says why there is none; Stopped that the job was cancelled
        meanwhile."""

        def progress(done: float) -> None:
            if work.cancelled():
                raise Stopped
            work.report(Loading(name, done))

        work.model = self.checkpoints.load(name, progress)
        return work.model

    def _prepare(self, cell: Cell, name: str, known: Mapping[str, Any]) -> Prepared:
        """The cell as a row: presets resolved, then every extension's `prompt`. ValueError."""
        request, preset = packing.resolve(cell.request.replace(model=name), known, self.samplers.table)
        prompts = {"main": Prompt.of(request.prompt)}
        row = self.registry.prepare(Row(cell, request, prompts, encode=self.checkpoints.encoder(name)))
        able = self.checkpoints.entry(name).capabilities
        able.check(row.request)
        for sentence in (*able.about(row.draft), self.checkpoints.hint(name, request.prompt)):
            row = row.note(sentence) if sentence else row
        return row, preset

    def _group(self, work: Work, prepared: Sequence[Prepared]) -> Iterator[Event]:
        """All rows of one checkpoint, which is loaded."""
        model, packed = work.model, []
        assert model is not None
        for row, preset in prepared:
            if work.cancelled():
                return
            try:
                packed.append(self._tokenized(row, preset, model))
            except ValueError as error:
                yield Failed.of(row.cell.id, error)
            except BaseException as error:
                if not is_of_hook(error):
                    raise
                yield Failed.of(row.cell.id, _tokenizer_failed(model.description.name, error))
        limit = self.batch_rows or (16 if model.device.type == "cpu" else 64)
        for rows in packing.batches(packed, limit, self.registry.apart):
            if work.cancelled():
                return
            yield from self._batch(work, rows)

    def _tokenized(self, row: Row, preset: tuple[str, ...], model: Model) -> packing.PackedRow:
        facts = model.description
        return packing.tokenize(
            row,
            preset,
            model.tokenizer,
            model.mask,
            facts.max_length,
            facts.prefix,
            self.samplers.table,
            model.vocabulary,
            facts.block_length,
            facts.ratios,
            facts.expand,
            model.ends,
        )

    def _batch(self, work: Work, rows: Sequence[packing.PackedRow]) -> Iterator[Event]:
        """Steps one batch until its rows have ended. Rows that fail leave it. If it is not known which row is
        at fault, the batch is split and started again, until it is."""
        began, model = time.monotonic(), work.model
        assert model is not None
        try:
            batch = Batch(
                model, rows, self.registry.extensions.values(), self.samplers, work.cancelled, work.report
            )
        except Stopped:
            return
        except (ValueError, HookError) as error:  # the settings of a row, or its sampler
            if len(rows) == 1:
                yield Failed.of(rows[0].row.cell.id, error)
            else:
                for row in rows:
                    yield from self._batch(work, [row])
            return
        failure: HookError | torch.OutOfMemoryError | None = None
        try:
            batch.chain.build()
            with batch.chain.patched():
                yield from batch.start()
                yield from self._finished(work, batch, batch.ended(), began)
                while batch.live and not work.cancelled():
                    with self._threads_for(batch):
                        step = batch.step()
                    yield from _fail(batch, step.failed)
                    cells = {batch.live[row].cell: changes for row, changes in step.changes.items()}
                    yield Progress(cells, {live.cell: live.step for live in batch.live.values()})
                    yield from self._finished(work, batch, batch.ended(), began)
                    yield from _fail(batch, batch.endless())
        except (HookError, torch.OutOfMemoryError) as error:
            failure = error
        if isinstance(failure, PatchError):
            self.checkpoints.unload()  # no text may be made with a model that is still patched
            work.model = None
        if work.cancelled():
            yield from self._finished(work, batch, list(batch.live), began)
        elif failure is not None:
            yield from self._again(work, batch, failure)

    def _threads_for(self, batch: Batch) -> AbstractContextManager[None]:
        """Around a step of the batch: the CPU threads that suit its size."""
        if batch.model.device.type != "cpu":
            return nullcontext()
        return self.threads.step(batch.model.description.name, batch.host.tokens.numel())

    def _again(
        self, work: Work, batch: Batch, failure: HookError | torch.OutOfMemoryError
    ) -> Iterator[Event]:
        """Goes on after a batch failed as a whole. If only one row can be at fault, it fails; otherwise each
        half of these rows is tried again. The rows that cannot be at fault run as a batch of their own."""
        name, rows = batch.model.description.name, list(batch.live)
        suspects = rows
        if isinstance(failure, HookError):
            suspects = [row for row in rows if batch.chain.work_for(failure.extensions, row)] or rows
        groups = [[row for row in rows if row not in suspects]]
        if len(suspects) == 1:
            yield from _fail(batch, {suspects[0]: _told(failure, batch.model)})
        else:
            middle = len(suspects) // 2
            groups += [suspects[:middle], suspects[middle:]]
        for group in filter(None, groups):
            try:
                if work.model is None:
                    self._load(work, name)
            except Stopped:
                return
            except ValueError as error:
                yield from _fail(batch, dict.fromkeys(group, error))
                continue
            yield from self._batch(work, [batch.rows[row] for row in group])

    def _finished(
        self, work: Work, batch: Batch, rows: Sequence[int], began: float
    ) -> Iterator[Finished | Failed]:
        """The results of these rows, which leave the batch."""
        for row in rows:
            cell = batch.live[row].cell
            try:
                event: Finished | Failed = Finished(self._result(work, batch, row, began), cell)
            except BaseException as error:
                if not is_of_hook(error):
                    raise
                event = Failed.of(cell, _tokenizer_failed(batch.model.description.name, error))
            yield event
        batch.leave(rows)

    def _result(self, work: Work, batch: Batch, row: int, began: float) -> Result:
        facts, live, model = batch.model.description, batch.live[row], batch.model
        packed, decoded = live.packed, batch.decode(row)
        result = Result(
            id=new_id(),
            text=decoded.text,
            complete=decoded.complete,
            request=packed.row.request,
            preset=packed.preset,
            axes=packed.row.cell.axes,
            expanded_from=dict(packed.row.cell.cleared),
            tokens=tuple(None if token == model.mask else token for token in batch.tokens(row)),
            pieces=decoded.pieces,
            gaps=decoded.gaps,
            trace=tuple(live.trace),
            alternatives=_alternatives(live),
            statistics=Statistics(
                forwards=batch.forwards(row),
                tokens=_written(live.trace),
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
                job=work.job,
                cell=live.cell,
                extensions=dict(self.registry.third_party),
            ),
            notes=packed.row.notes,
        )
        extras, failed = batch.chain.finish(row, result)
        for error in failed:
            self._keep(error)
        if extras or result.notes or failed:
            clean = self.registry.operator.clean
            notes = tuple(map(clean, (*result.notes, *map(str, failed))))
            extras = {
                name: {
                    clean(key): clean(value) if isinstance(value, str) else value
                    for key, value in said.items()
                }
                for name, said in extras.items()
            }
            result = result.model_copy(update={"extras": extras, "notes": notes})
        return result

    def _keep(self, error: BaseException | None) -> None:
        """Keeps the traceback of what a hook raised, for its author."""
        if isinstance(error, HookError) and error.code == "extension" and error.error.__traceback__:
            for name in error.extensions:
                self.registry.faults.add(name, error.error)

    def _saved(self, result: Result) -> Result:
        """The result, saved. A disk that refuses costs a note, not the text."""
        try:
            self.save(result)
        except OSError as error:
            note = f"Not saved: {error.strerror or error}."
            return result.model_copy(update={"notes": (*result.notes, note)})
        return result


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


def _tokenizer_failed(checkpoint: str, error: BaseException) -> ValueError:
    return ValueError(f"{checkpoint}: the tokenizer failed: {reason(error)}")


def _alternatives(live: LiveRow) -> tuple[tuple[Alternative, ...], ...]:
    """For each entry of the row's trace what else was likely; nothing if the request does not ask for it."""
    if not live.packed.row.request.alternatives:
        return ()
    return tuple(live.alternatives.get((change.step, change.column), ()) for change in live.trace)


def _written(trace: Sequence[Change]) -> int:
    """Positions whose last change is a token that the model wrote."""
    last = {change.column: change for change in trace}
    return sum(change.token is not None and change.confidence is not None for change in last.values())


def _failure(cell: Cell, sentence: str) -> Result:
    return Result(
        id=new_id(),
        text="",
        complete=False,
        request=cell.request,
        axes=cell.axes,
        expanded_from=dict(cell.cleared),
        error=sentence,
    )


def _whole(job: Job, parts: Sequence[Result]) -> Result:
    """The job's result: its one cell's, or all of them as parts, their texts one after the other."""
    if len(job.cells) == 1 and parts:
        return parts[0]
    complete = len(parts) == len(job.cells) and all(part.complete for part in parts)
    text = "\n\n".join(part.text for part in parts if part.text)
    return Result(id=new_id(), text=text, complete=complete, request=job.request, parts=tuple(parts))
