"""The queue and the one worker thread that owns the device: jobs, and checkpoints to load or to let go."""

from __future__ import annotations

import queue
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from webui.checkpoints.weights import ReportProgress, Stopped
from webui.core.events import Event, Loading
from webui.core.request import Cell, Request
from webui.service.job import ENDED, Job, State, Subscription, View

__all__ = ["BROKEN", "ENDED", "GRACE", "KEPT", "Job", "JobQueue", "State", "View", "Subscription"]

BROKEN = "The program failed"  # so begins the error of a job that was ended by a fault of ours
KEPT = 200  # ended jobs that stay in memory; their results are in the history
GRACE = 10.0  # seconds after which a closed page's jobs are cancelled, if jobs are not kept


class LoadTask:
    """Work for the worker beside texts: a checkpoint to load, or, with None, to let go of the one in
    memory."""

    def __init__(self, checkpoint: str | None):
        self.checkpoint, self.done = checkpoint, 0.0


def _nothing(checkpoint: str | None, progress: ReportProgress) -> None:
    pass


class JobQueue:
    """All jobs of the program, and the worker.

    run(job)    yields the events of a job
    expand      the cells of a request, or ValueError
    load        (checkpoint or None, progress): loads it, or lets go of the one in memory
    keep()      whether a job goes on when its page is closed
    grace       seconds that a page may be away, if jobs are not kept
    """

    def __init__(
        self,
        run: Callable[[Job], Iterator[Event]],
        expand: Callable[[Request], tuple[Cell, ...]],
        max_queue: int = 64,
        load: Callable[[str | None, ReportProgress], None] = _nothing,
        keep: Callable[[], bool] = lambda: True,
        grace: float = GRACE,
    ):
        self._run, self._expand, self._max_queue = run, expand, max_queue
        self._load, self._keep, self._grace = load, keep, grace
        self._jobs: dict[str, Job] = {}
        self._tasks: list[LoadTask] = []  # waiting or, the first of them, under way
        self._pages: dict[str, int] = {}  # client: open streams
        self._gone: dict[str, float] = {}  # client: when its last stream closed
        self._queue: queue.Queue[Job | LoadTask | None] = queue.Queue()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._current: Job | LoadTask | None = None
        self._worker: threading.Thread | None = None

    def submit(self, request: Request, client: str | None = None) -> Job:
        """Queues a request. ValueError says in one sentence why it cannot be; OverflowError that too many
        wait."""
        job = Job(request, self._expand(request), client or None)
        with self._lock:
            if sum(other.state == "queued" for other in self._jobs.values()) >= self._max_queue:
                raise OverflowError(
                    f"{self._max_queue} jobs are waiting already; try again when some are done."
                )
            for old in [key for key, other in self._jobs.items() if other.state in ENDED][
                : max(0, len(self._jobs) - KEPT)
            ]:
                del self._jobs[old]
            self._jobs[job.id] = job
        self._give(job)
        return job

    def load(self, checkpoint: str | None) -> None:
        """Queues loading a checkpoint, or with None letting go of it. What waits already does not wait
        twice."""
        with self._lock:
            if any(task.checkpoint == checkpoint for task in self._tasks):
                return
            task = LoadTask(checkpoint)
            self._tasks.append(task)
        self._give(task)

    @property
    def loading(self) -> Loading | None:
        """The checkpoint that the worker is reading now, for a job or by itself."""
        current = self._current
        if isinstance(current, LoadTask):
            return Loading(current.checkpoint, current.done) if current.checkpoint else None
        return current.loading if current else None

    @property
    def wanted(self) -> list[str]:
        """Checkpoints that wait to be loaded by themselves."""
        with self._lock:
            return [e.checkpoint for e in self._tasks if e.checkpoint and e is not self._current]

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

    @contextmanager
    def watched(self, client: str | None) -> Iterator[None]:
        """A page of this client is there while this lasts. When its last one has gone, its jobs end too,
        unless they are kept."""
        if client is None:
            yield
            return
        with self._lock:
            self._pages[client] = self._pages.get(client, 0) + 1
            self._gone.pop(client, None)
        try:
            yield
        finally:
            self._leave(client)

    def close(self) -> None:
        """Cancels everything and waits for the worker to leave the device."""
        self._closing.set()
        for job in self.all():
            job.cancel()
        if self._worker is not None:
            self._queue.put(None)
            self._worker.join(timeout=30)

    def _leave(self, client: str) -> None:
        with self._lock:
            self._pages[client] -= 1
            if self._pages[client]:
                return
            del self._pages[client]
            self._gone[client] = left = time.monotonic()
        timer = threading.Timer(self._grace, self._abandon, (client, left))
        timer.daemon = True
        timer.start()

    def _abandon(self, client: str, left: float) -> None:
        """Cancels the jobs of a client that has been away since `left`."""
        with self._lock:
            if self._gone.get(client) != left:  # it came back, or left again later
                return
            del self._gone[client]
            jobs = [job for job in self._jobs.values() if job.client == client and job.state not in ENDED]
        if not self._keep():
            for job in jobs:
                job.cancel()

    def _give(self, work: Job | LoadTask) -> None:
        with self._lock:
            if self._worker is None:
                self._worker = threading.Thread(target=self._work, name="device", daemon=True)
                self._worker.start()
        self._queue.put(work)

    def _work(self) -> None:
        while (work := self._queue.get()) is not None:
            self._current = work
            if isinstance(work, Job):
                self._write(work)
            else:
                self._fetch(work)
            self._current = None

    def _write(self, job: Job) -> None:
        if not job.begin():
            return
        try:
            for event in self._run(job):
                job.take(event)
            job.end()
        except Exception as error:
            traceback.print_exc()
            job.end(f"{BROKEN}: {type(error).__name__}: {error}")

    def _fetch(self, task: LoadTask) -> None:
        def progress(done: float) -> None:
            if self._closing.is_set():
                raise Stopped
            task.done = done

        try:
            self._load(task.checkpoint, progress)
        except (ValueError, Stopped):
            pass  # the checkpoints remember why
        except Exception:
            traceback.print_exc()
        finally:
            with self._lock:
                self._tasks.remove(task)
