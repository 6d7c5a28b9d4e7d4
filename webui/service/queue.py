"""The queue: jobs and checkpoints to load, in order, for the worker; and jobs of clients that went away."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from webui.checkpoints.weights import ReportProgress
from webui.core.errors import Busy
from webui.core.events import Event, Loading
from webui.core.request import Cell, Request
from webui.service.attempt import Attempt
from webui.service.job import ENDED, NEW, CellView, Continued, Job, State, Subscription
from webui.service.worker import Load, LoadTask, Task, Work, Worker

__all__ = ["ENDED", "GRACE", "KEPT", "CellView", "Job", "JobQueue", "State", "Subscription"]

KEPT = 200  # ended jobs that stay in memory; their results are in the history
SUBMIT_SECONDS = 30.0  # after which a request that is still being read and expanded is given up
GRACE = 10.0  # seconds after which the jobs of a closed page are cancelled, where they do not go on


def _load_nothing(checkpoint: str | None, progress: ReportProgress) -> None:
    pass


def _renew_nothing() -> None:
    pass


def _track_nothing(job: Job) -> None:
    pass


def _all(cells: tuple[Cell, ...], continued: Continued) -> tuple[Cell, ...]:
    return cells


class JobQueue:
    """All jobs of the program, and the worker.

    run(job)    yields the events of a job
    expand      the cells of a request, or ValueError
    load        (checkpoint or None, progress): loads it, or unloads the one in memory
    keep()      whether a job goes on when its page is closed
    seconds     that reading and expanding a request may take
    grace       seconds that a page may be closed before its jobs are cancelled, if they do not go on
    choose      those of a request's cells that a job has that goes on with an experiment
    keep_track  called with each job before it is queued
    idle        (seconds, what the worker does once it had no work for so long)
    renew()     called when the worker has been replaced: what it used on the device must not be used again
    """

    def __init__(
        self,
        run: Callable[[Job], Iterator[Event]],
        expand: Callable[[Request], tuple[Cell, ...]],
        max_queue: int = 64,
        load: Load = _load_nothing,
        keep: Callable[[], bool] = lambda: True,
        grace: float = GRACE,
        renew: Callable[[], None] = _renew_nothing,
        seconds: float = SUBMIT_SECONDS,
        keep_track: Callable[[Job], None] = _track_nothing,
        choose: Callable[[tuple[Cell, ...], Continued], tuple[Cell, ...]] = _all,
        idle: tuple[float, Callable[[], None]] | None = None,
    ):
        self._idle = idle
        self._run, self._expand, self._max_queue = run, expand, max_queue
        self._load, self._keep, self._grace, self._renew = load, keep, grace, renew
        self._keep_track, self._choose = keep_track, choose
        self._jobs: dict[str, Job] = {}
        self._tasks: list[LoadTask] = []  # waiting or, the first of them, under way
        self._pages: dict[str, int] = {}  # client: open streams
        self._left: dict[str, float] = {}  # client: when its last stream closed
        self._queue: queue.Queue[Work | None] = queue.Queue()
        self._lock = threading.Lock()
        self._worker: Worker | None = None
        self._seconds = seconds
        self.closed = False  # it takes no more work
        self._retired: list[Worker | Attempt] = []

    def submit(
        self,
        request: Request | Callable[[], Request],
        client: str | None = None,
        continued: Continued = NEW,
    ) -> Job:
        """Queues a request, or what a call makes, as a new experiment or as one that goes on. ValueError says
        in one sentence why it cannot be made, Busy that too many jobs wait or that the experiment runs
        already, Unanswered that an extension does not return."""
        job = self._read(request, client or None, continued)
        with self._lock:
            self._check_open()
            if continued.experiment and self._works_on(continued.experiment):
                raise Busy("This experiment runs already.")
            if sum(other.state == "queued" for other in self._jobs.values()) >= self._max_queue:
                raise Busy(f"{self._max_queue} jobs are waiting already; try again when some are done.")
            ended = [name for name, other in self._jobs.items() if other.state in ENDED]
            for name in ended[: max(0, len(self._jobs) - KEPT)]:
                del self._jobs[name]
            self._keep_track(job)
            self._jobs[job.id] = job
            needed = {cell.request.model for cell in job.cells}  # None: the default, as preloaded
            for task in self._tasks:
                if task.optional and not needed & {None, task.checkpoint}:
                    task.stopped.set()
        self._give(job)
        return job

    def load(self, checkpoint: str | None, optional: bool = False) -> None:
        """Queues loading a checkpoint, or with None unloading the one in memory. What waits already is not
        queued twice. An optional one is given up when a job needs another checkpoint."""
        with self._lock:
            self._check_open()
            if any(task.checkpoint == checkpoint for task in self._tasks):
                return
            task = LoadTask(checkpoint, optional)
            self._tasks.append(task)
        self._give(task)

    def call(self, act: Callable[[], None]) -> None:
        """Queues a call for the worker's thread, behind the jobs that wait. It must end soon: long work is
        done in parts, each of which queues the next."""
        with self._lock:
            self._check_open()
        self._give(Task(act))

    def _read(
        self, request: Request | Callable[[], Request], client: str | None, continued: Continued
    ) -> Job:
        """The job of a request; code of extensions makes its cells."""

        def read() -> Job:
            given = request() if callable(request) else request
            drawn = given.drawn()
            cells = self._expand(drawn)
            return Job(given, self._choose(cells, continued), client, continued, drawn, len(cells))

        attempt = Attempt(read)
        try:
            return attempt.wait(self._seconds)
        finally:
            self.retire(attempt)

    def retire(self, attempt: Attempt) -> None:
        """Counts the thread of an attempt that was given up, while it has not returned."""
        if attempt.alive:
            with self._lock:
                self._retired.append(attempt)

    @property
    def loading(self) -> Loading | None:
        """The checkpoint that the worker is reading now, for a job or a load task."""
        current = self._worker.current if self._worker else None
        if isinstance(current, LoadTask):
            return Loading(current.checkpoint, current.done) if current.checkpoint else None
        return current.loading if isinstance(current, Job) else None

    @property
    def wanted(self) -> list[str]:
        """Checkpoints whose load tasks wait."""
        with self._lock:
            current = self._worker.current if self._worker else None
            return [task.checkpoint for task in self._tasks if task.checkpoint and task is not current]

    @property
    def stuck(self) -> int:
        """Threads of abandoned jobs and requests that have not returned: they may hold memory and a
        processor."""
        with self._lock:
            self._retired = [thread for thread in self._retired if thread.alive]
            return len(self._retired)

    def get(self, job: str) -> Job | None:
        with self._lock:
            return self._jobs.get(job)

    def all(self) -> list[Job]:
        """Every job that is known, oldest first."""
        with self._lock:
            return list(self._jobs.values())

    def position(self, job: Job) -> int:
        """How many jobs run or wait before this one; 0 if it runs or has ended."""
        if job.state != "queued":
            return 0
        return sum(
            other.state in ("queued", "running") and other.created < job.created for other in self.all()
        )

    def positions(self) -> dict[str, int]:
        """The position of every job that waits, by id."""
        open_jobs = [job for job in self.all() if job.state not in ENDED]
        return {job.id: place for place, job in enumerate(open_jobs) if job.state == "queued"}

    def works_on(self, experiment: str) -> Job | None:
        """The job of an experiment that runs or waits."""
        with self._lock:
            return self._works_on(experiment)

    def abandon(self, job: Job) -> None:
        """Ends a job whatever its thread does: a job that runs fails, and another worker takes its place. One
        that waits is cancelled."""
        with self._lock:
            worker = self._worker
            culprit = worker.culprit() if worker is not None and worker.current is job else None
            if worker is not None and worker.retire(job):
                where = culprit or "a call of the program or of a library"
                job.abandon(f"The job was abandoned, because {where} did not return.")
                self._replace(worker)
        job.cancel()

    def abandon_loading(self) -> bool:
        """Gives up the load task that runs, whatever its thread does, and those that wait. Whether there was
        one."""
        with self._lock:
            worker, tasks = self._worker, [task for task in self._tasks if task.checkpoint]
            for task in tasks:
                task.stopped.set()
            for task in tasks:
                if worker is not None and worker.retire(task):
                    self._tasks.remove(task)
                    self._replace(worker)
                    break
        return bool(tasks)

    @contextmanager
    def watched(self, client: str | None) -> Iterator[None]:
        """A page of this client is open while this lasts. When its last one has been closed for `grace`
        seconds, its jobs are cancelled, unless `keep()` says that they go on."""
        if client is None:
            yield
            return
        with self._lock:
            self._pages[client] = self._pages.get(client, 0) + 1
            self._left.pop(client, None)
        try:
            yield
        finally:
            self._leave(client)

    @property
    def idle(self) -> bool:
        """Whether nothing runs or waits."""
        with self._lock:
            return self._is_idle()

    def rest(self) -> bool:
        """Takes no more work, if nothing runs or waits; whether that is so."""
        with self._lock:
            self.closed = self.closed or self._is_idle()
            return self.closed

    def _is_idle(self) -> bool:
        at_work = self._worker is not None and self._worker.current is not None
        jobs = any(job.state not in ENDED for job in self._jobs.values())
        return not (at_work or jobs or self._tasks or self._queue.qsize())

    def _check_open(self) -> None:
        if self.closed:
            raise Busy("The extensions are being changed; try again in a moment.")

    def close(self) -> None:
        """Cancels everything and waits for the worker to leave the device."""
        for job in self.all():
            job.cancel()
        with self._lock:
            for task in self._tasks:
                task.stopped.set()
            worker = self._worker
        if worker is not None:
            self._queue.put(None)
            worker.join(timeout=30)

    def _leave(self, client: str) -> None:
        with self._lock:
            self._pages[client] -= 1
            if self._pages[client]:
                return
            del self._pages[client]
            self._left[client] = left = time.monotonic()
        timer = threading.Timer(self._grace, self._cancel_jobs_of, (client, left))
        timer.daemon = True
        timer.start()

    def _cancel_jobs_of(self, client: str, left: float) -> None:
        """Cancels the jobs of a client that has been away since `left`."""
        with self._lock:
            if self._left.get(client) != left:  # it came back, or left again later
                return
            del self._left[client]
            jobs = [job for job in self._jobs.values() if job.client == client and job.state not in ENDED]
        if not self._keep():
            for job in jobs:
                job.cancel()

    def _give(self, work: Work) -> None:
        with self._lock:
            if self._worker is None:
                self._worker = self._new_worker()
        self._queue.put(work)

    def _new_worker(self) -> Worker:
        return Worker(self._queue, self._run, self._load, self._done, self._idle)

    def _replace(self, worker: Worker) -> None:
        """Another worker goes on with the queue. The lock is held."""
        self._retired.append(worker)
        self._renew()
        self._worker = self._new_worker()

    def _works_on(self, experiment: str) -> Job | None:
        jobs = self._jobs.values()
        return next((job for job in jobs if job.experiment == experiment and job.state not in ENDED), None)

    def _done(self, task: LoadTask) -> None:
        with self._lock:
            if task in self._tasks:
                self._tasks.remove(task)
