"""App: builds and holds everything the program has; the only wiring."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from webui import __version__
from webui.checkpoints.loading import Checkpoints
from webui.core.errors import Busy
from webui.core.events import Event
from webui.core.fields import choices_of
from webui.core.names import CONFIDENCES, SAMPLERS, SCHEDULES
from webui.core.renamed import current_path
from webui.core.request import Cell, Request
from webui.denoising.fitting import refuse_unable, refuse_unfit
from webui.extension.finding import Found, in_folder, in_folders
from webui.extension.manifest import restarts
from webui.extension.own_settings import OwnSettings
from webui.extension.registry import Registry
from webui.service.background import Background
from webui.service.bounds import Bounds
from webui.service.downloads import Downloads
from webui.service.estimate import CONFIRMED, Estimate, Pace, estimate, refuse_unconfirmed
from webui.service.experiments import Experiments
from webui.service.exports import FORMATS
from webui.service.history.store import History
from webui.service.installing.installer import Installer
from webui.service.installing.lock import Lock
from webui.service.job import Continued, Writes
from webui.service.presets import Presets
from webui.service.prompts import Prompts
from webui.service.queue import Job, JobQueue
from webui.service.table import Tables
from webui.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from webui.checkpoints.weights import ReportProgress
    from webui.core.result import Result
    from webui.denoising.engine import Engine, Generate


class App:
    """The program without an interface: page, API and commands are built on it.

    torch and transformers are imported when the first job runs, so that making an App takes no time.

    before  the App that this one is to take the place of, with other extensions: see `successor`
    """

    def __init__(self, settings: Settings, before: App | None = None):
        self._loaded = found = before.wanted if before else _found(settings)
        # The same for the same extensions: a page of another edition is to be loaded anew.
        self.edition = f"{zlib.crc32(repr([(one.name, one.revision) for one in found]).encode()):08x}"
        self.registry = Registry(
            found,
            settings.max_cells,
            settings.models,
            lambda info: choices_of(info, self),
            __version__,
            OwnSettings(settings.data),
        )
        quick = [current_path(path, self.registry.Request.renamed) for path in settings.quick_settings]
        self.settings = settings.model_copy(update={"quick_settings": tuple(quick)})  # as they act
        self.written = before.written if before else self.settings  # as the next start will have them
        self.Request: type[Request] = self.registry.Request
        self.checkpoints = before.checkpoints if before else Checkpoints(settings, request=self.Request)
        self.downloads = before.downloads if before else self._downloads()
        self.history = History(settings.history, self.Request, settings.keep_history)
        self.experiments = Experiments(settings.experiments, self.history, self.Request)
        self.presets = Presets(settings.data / "presets", self.Request)
        self.prompts = Prompts(self.registry, self.checkpoints)
        self.queue = JobQueue(
            self._run,
            self.expand,
            settings.max_queue,
            self._load,
            keep=lambda: self.settings.keep_jobs,
            renew=self._renew,
            keep_track=self.experiments.begin,
            choose=self.experiments.chosen,
            idle=(60.0 * settings.unload_after, self.checkpoints.unload) if settings.unload_after else None,
        )
        self.background = before.background if before else Background(settings)
        self.installer = Installer(
            settings.data,
            __version__,
            [name for name, one in self.registry.origins.items() if one.origin != "installed"],
        )
        self.pace = before.pace if before else self._pace()
        self.bounds = Bounds(self._bounds, self.queue.call, self.experiments.keep_bounds)
        self.tables = Tables(self.registry, (self.bounds.of, self.experiments.votes))
        self.elsewhere: Generate | None = None  # what makes the cells of jobs in the engine's place
        self._engine: Engine | None = None
        self._generation = 0  # of the worker: each has an engine and a model of its own
        self._changing = threading.Lock()
        self.restart: Callable[[], None] | None = before.restart if before else None  # of the whole program
        # Has the extensions as they are wanted, as soon as nothing runs; None where only a restart does that.
        self.reload: Callable[[], None] | None = before.reload if before else None
        self._after: App | None = None  # its successor

    @property
    def outdated(self) -> bool:
        """Whether a restart would change something that does not come by itself: settings that act then, or
        the extensions."""
        late = set(Settings.that_act("restart")) - ({"disabled"} if self.reload else set())
        if self.written.model_dump(include=late) != self.settings.model_dump(include=late):
            return True
        try:
            return _found(self.written) != (self.wanted if self.reload else self._loaded)
        except ValueError:  # a folder is gone, or the lock file is damaged: then it would not start
            return False

    @property
    def soon(self) -> bool:
        """Whether the extensions will change as soon as nothing runs."""
        try:
            return self.reload is not None and self.wanted != self._loaded
        except ValueError:
            return False

    @property
    def wanted(self) -> list[Found]:
        """The extensions as they can be without a restart: those whose manifest says that they need one are
        as they are loaded. ValueError: see _found."""
        wanted, loaded = _found(self.written), {one.name: one for one in self._loaded}
        fixed = {one.name for one in (*wanted, *self._loaded) if restarts(one.folder)}
        kept = [loaded.get(one.name) if one.name in fixed else one for one in wanted]
        gone = [one for name, one in loaded.items() if name in fixed - {other.name for other in wanted}]
        return [one for one in (*kept, *gone) if one is not None]

    @property
    def origin(self) -> tuple[Any, ...]:
        """What its successor is made from: one made from the same is alike. ValueError: see _found."""
        return (self.wanted, self.settings, self.written.disabled, self.registry.operator.stored())

    def successor(self) -> App:
        """An App with the extensions as they are wanted now, for when this one has nothing to do: with its
        models, downloads and commands. It takes over by `take_over`."""
        disabled = {"disabled": self.written.disabled}
        return App(self.settings.model_copy(update=disabled), before=self)

    def take_over(self, before: App) -> None:
        """Takes the place of an App whose queue rests."""
        self.checkpoints.serve(self.Request)
        before._after = self
        before.bounds.close()
        before.queue.close()

    def change(self, changes: Mapping[str, Any]) -> Settings:
        """Changes settings in their file, and here those that take effect at once. The settings as the next
        start will have them. Raises what Settings.change raises."""
        with self._changing:
            if isinstance(changes.get("model"), str):
                self.checkpoints.entry(changes["model"])
            self.written = self.written.change(changes)
            self.settings = self.settings.model_copy(
                update=self.written.model_dump(include=set(Settings.that_act("now")))
            )
            self.history.keep = self.settings.keep_history
            return self.written

    def expand(self, request: Request) -> tuple[Cell, ...]:
        """The cells of a request, its seed drawn. ValueError if no cell of it could run: an unknown
        checkpoint, sampler ..."""
        cells = self.registry.expand(request := request.drawn())
        for name, known in (
            ("sampler", self.samplers),
            ("schedule", self.schedules),
            ("confidence", self.confidences),
        ):
            for value in {getattr(cell.request, name) for cell in cells} - {None}:
                if value not in known():
                    raise ValueError(f"{name}: there is no {value!r}. There are: {', '.join(known())}.")
        able = {
            model: self.checkpoints.entry(model).capabilities
            for model in {cell.request.model for cell in cells}
        }
        refuse_unable(cells, {model: one.check for model, one in able.items()})
        refuse_unfit(cells, self.checkpoints, self.registry)
        if len(cells) > CONFIRMED:
            refuse_unconfirmed(request, self._cost(cells))
        return cells

    def resume(
        self,
        experiment: str,
        request: Request | None = None,
        client: str | None = None,
        writes: Writes = "missing",
        source: str = "",
    ) -> Job:
        """Goes on with an experiment. Texts that are finished are taken as they are; of the others the job
        computes those that `writes` says.

        request  with other values than the experiment had; None: as it was. Without a seed it gets the
                 experiment's
        source   the file that the request comes from

        NotFound; ValueError and Busy as `JobQueue.submit`.
        """
        stored = self.experiments.request(experiment)
        request = request or stored
        if request.seed == -1:
            request = request.replace(seed=stored.seed)
        return self.queue.submit(request, client, Continued(experiment, source, writes))

    def restore(self, request: Request, seed: int | None) -> str:
        """A new experiment from an exported file, to which its texts are added; its id. seed: the one that
        was drawn for its texts. ValueError if the request cannot be run here."""
        if request.seed == -1 and seed is not None:
            request = request.replace(seed=seed)
        request = request.drawn()
        return self.experiments.restore(request, len(self.expand(request.replace(confirm=True))))

    def forget(self, experiment: str) -> None:
        """Deletes an experiment; its texts stay in the history. Busy while it runs; NotFound, OSError."""
        if self.queue.works_on(experiment):
            raise Busy("This experiment runs; interrupt it first.")
        self.experiments.delete(experiment)

    def estimate(self, request: Request) -> Estimate:
        """What a request will cost, confirmed or not. ValueError if it cannot be run."""
        return self._cost(self.expand(request.replace(confirm=True)))

    def export(self, job: Job, format: str) -> str:
        """A job's table as a file of this format: see webui/service/exports."""
        return FORMATS[format].write(self.tables.of(job), job)

    def _cost(self, cells: Sequence[Cell]) -> Estimate:
        return estimate(cells, self.checkpoints, self.pace, self.settings.batch_rows, self.registry.cost)

    def samplers(self) -> Mapping[str, str]:
        """Samplers by name, each with what it does. Needs torch only where an extension brings some."""
        if not self.registry.chain("samplers"):
            return SAMPLERS
        from webui.denoising.sampler_registry import SamplerRegistry

        return {
            name: sampler.about for name, sampler in SamplerRegistry.of(self.registry).table.samplers.items()
        }

    def schedules(self) -> Mapping[str, str]:
        """Schedules by name, each with what it does."""
        return SCHEDULES

    def confidences(self) -> Mapping[str, str]:
        """Confidences by name, each with what it does."""
        return CONFIDENCES

    @property
    def engine(self) -> Engine:
        """The worker's engine; made on first use, by the worker's thread."""
        if self._engine is None:
            from webui.denoising.engine import Engine

            generation = self._generation

            def save(result: Result) -> None:
                if generation == self._generation:  # not what an abandoned worker still makes
                    self.experiments.note(result)
                    self.history.save(result)

            engine = Engine(
                self.checkpoints,
                self.registry,
                save,
                self.settings.batch_rows,
                __version__,
                self.settings.threads,
                elsewhere=self.elsewhere,
            )
            if generation != self._generation:
                return engine
            self._engine = engine
        return self._engine

    def preload(self) -> None:
        """Queues loading the default checkpoint, if there is one and the setting says so. A job that needs
        another one stops it."""
        try:
            if self.settings.preload:
                self.queue.load(self.checkpoints.entry(None).name, optional=True)
        except ValueError:  # the first request for a text says what is wrong
            pass

    def close(self) -> None:
        """Cancels what runs and waits for the device."""
        if self._after is not None:
            return self._after.close()
        self.background.close()
        self.bounds.close()
        self.queue.close()

    def _downloads(self) -> Downloads:
        settings = self.settings
        return Downloads(settings.models, settings.checkpoints, settings.downloads, self.checkpoints.changed)

    def _pace(self) -> Pace:
        return Pace(self.settings.data / "pace.json" if self.settings.keep_history else None)

    def _run(self, job: Job) -> Iterator[Event]:
        events = self.engine.run(job, self.experiments.open(job))
        cells, rows = {cell.id: cell.request for cell in job.cells}, {}

        def rows_of(cell: str) -> float:
            """Rows of a batch that a cell has."""
            if cell not in rows:
                preset = self.checkpoints.profile(self.checkpoints.entry(cells[cell].model).name)["preset"]
                rows[cell] = self.registry.cost(cells[cell], preset).rows
            return rows[cell]

        return self.pace.watch(self.experiments.watch(job, events), rows_of)

    def _bounds(self, results: Sequence[Result], stopped: Callable[[], bool]) -> dict[str, float]:
        return self.engine.bounds(results, stopped)

    def _renew(self) -> None:
        """The worker was replaced: the next one shares neither engine nor model with it."""
        self._generation += 1
        self._engine = None
        self.checkpoints.abandon()

    def _load(self, checkpoint: str | None, progress: ReportProgress) -> None:
        if checkpoint is None:
            self.checkpoints.unload()
        else:
            self.checkpoints.load(checkpoint, progress)  # first: importing torch counts as progress
            _ = self.engine  # is made now, so that the first job finds it


def _found(settings: Settings) -> list[Found]:
    """The extensions that these settings name, the built-in ones first."""
    found = in_folder(settings.built_in)
    if not settings.safe_mode:
        found += [*in_folders(settings.extensions), *Lock.read(settings.data).found()]
    return [one for one in found if one.name not in settings.disabled]
