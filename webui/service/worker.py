"""The worker: the one thread that owns the device; and the replacement of one that does not return."""

from __future__ import annotations

import queue
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from types import FrameType, TracebackType

from webui.checkpoints.weights import ReportProgress, Stopped
from webui.core.errors import Abandoned, ExtensionFault, code_of, message
from webui.core.events import Event
from webui.service.job import Job


class LoadTask:
    """Work for the worker beside jobs: a checkpoint to load, or, with None, the one in memory to unload.

    optional  no user asked for it: it is given up when a job needs another checkpoint
    """

    def __init__(self, checkpoint: str | None, optional: bool = False):
        self.checkpoint, self.optional, self.done = checkpoint, optional, 0.0
        self.stopped = threading.Event()  # loading ends at its next report of progress


class Task:
    """Other work for the device that no job is: `act` is called once, and says itself what went wrong."""

    def __init__(self, act: Callable[[], None]):
        self.act = act


Work = Job | LoadTask | Task
Load = Callable[[str | None, ReportProgress], None]


class Worker:
    """A thread that takes work from a queue, until it gets None or is retired.

    A thread cannot be killed. One that hangs is retired: it gets no more work, what it still reports is
    ignored, and Abandoned is raised in it, which ends whatever runs as Python code. One that hangs inside a
    library stays, with the memory that it holds, until that call returns or the process ends.
    """

    def __init__(
        self,
        work: queue.Queue[Work | None],
        run: Callable[[Job], Iterator[Event]],
        load: Load,
        done: Callable[[LoadTask], None],
        idle: tuple[float, Callable[[], None]] | None = None,
    ):
        self._work, self._run, self._load, self._done, self._idle = work, run, load, done, idle
        self.current: Work | None = None
        self.retired = False
        self._turn = threading.Lock()  # of `current` and `retired` together
        self._thread = threading.Thread(target=self._loop, name="device", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def join(self, timeout: float) -> None:
        """Waits until the thread has ended."""
        self._thread.join(timeout)

    def retire(self, work: Work) -> bool:
        """Retires the thread if it is at this work; whether it was."""
        with self._turn:
            if self.current is not work:
                return False
            self.retired = True
        abandon(self._thread)
        return True

    def culprit(self) -> str | None:
        """The extension whose code the thread is in, the innermost if there are several; None if in none."""
        return culprit(self._thread)

    def _loop(self) -> None:
        try:
            while (work := self._next()) is not None:
                with self._turn:
                    self.current = work
                if isinstance(work, Job):
                    self._do(work)
                elif isinstance(work, Task):
                    self._act(work)
                else:
                    self._fetch(work)
                with self._turn:
                    self.current = None
                    if self.retired:
                        return
        except Abandoned:  # raised outside of the calls above, in a thread that is retired
            pass

    def _next(self) -> Work | None:
        """The next work. After some time without any, what is to be done then is done once."""
        if self._idle is not None:
            seconds, rest = self._idle
            try:
                return self._work.get(timeout=seconds)
            except queue.Empty:
                rest()
        return self._work.get()

    def _do(self, job: Job) -> None:
        if not job.begin():
            return
        try:
            for event in self._run(job):
                if self.retired:
                    return
                job.take(event)
            job.end()
        except BaseException as error:  # SystemExit of a hook or a panic of a library must not end the worker
            if self.retired:
                return
            traceback.print_exc()
            if isinstance(error, ExtensionFault):  # names it already
                return job.end(str(error), "extension")
            culprit = _extension(_inwards(error.__traceback__))
            reason = f"{type(error).__name__}: {message(error)}".removesuffix(": ")
            if culprit:
                job.end(f"{culprit}: {reason}", "extension")
            else:
                job.end(f"The program failed: {reason}", "internal")

    def _act(self, task: Task) -> None:
        try:
            task.act()
        except BaseException:  # must not end the worker
            if not self.retired:
                traceback.print_exc()

    def _fetch(self, task: LoadTask) -> None:
        def progress(done: float) -> None:
            if self.retired:
                raise Abandoned
            if task.stopped.is_set():
                raise Stopped
            task.done = done

        try:
            self._load(task.checkpoint, progress)
        except Stopped:
            pass
        except BaseException as error:  # the catalogue remembers why a checkpoint cannot be loaded
            if not self.retired and code_of(error) == "internal":
                traceback.print_exc()
        finally:
            self._done(task)


def abandon(thread: threading.Thread) -> None:
    """Raises Abandoned in a thread, as soon as it runs Python code."""
    import ctypes  # not needed to start

    if thread.ident is not None and thread.is_alive():
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(Abandoned))


def culprit(thread: threading.Thread) -> str | None:
    """The extension whose code a thread is in, the innermost if there are several; None if in none."""
    frame = sys._current_frames().get(thread.ident or 0)
    return _extension(_outwards(frame))


def _extension(modules: Iterable[str]) -> str | None:
    """The extension that the last of these modules belongs to."""
    names = [module.split(".")[1] for module in modules if module.startswith("extensions.")]
    return names[-1] if names else None


def _inwards(trace: TracebackType | None) -> Iterator[str]:
    """The module of every call of a traceback, the innermost last."""
    while trace is not None:
        yield str(trace.tb_frame.f_globals.get("__name__", ""))
        trace = trace.tb_next


def _outwards(frame: FrameType | None) -> Iterator[str]:
    """The same of a running thread."""
    found = []
    while frame is not None:
        found.append(str(frame.f_globals.get("__name__", "")))
        frame = frame.f_back
    return reversed(found)
