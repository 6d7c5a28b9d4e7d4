"""The bound of a job's finished texts, computed when somebody asks for it: it costs model calls."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from webui.checkpoints.weights import Stopped
from webui.core.errors import NotFound
from webui.core.result import Result
from webui.service.job import Job
from webui.service.table import Number

PART = 16  # texts that are scored at once; jobs that were queued meanwhile come between two parts

Compute = Callable[[Sequence[Result], Callable[[], bool]], dict[str, float]]
Keep = Callable[[Job, dict[str, float]], None]


class Bounds:
    """Bounds in bits per byte, as the column `bound` of tables. For any threads.

    compute  the bounds of texts of one checkpoint, by the results' ids; called by the worker's thread with a
             condition that ends it. ValueError says why there are none
    call     queues a call for that thread
    keep     called with what was computed of a job's texts
    """

    def __init__(self, compute: Compute, call: Callable[[Callable[[], None]], None], keep: Keep):
        self._compute, self._call, self._keep = compute, call, keep
        self._closing = threading.Event()
        self._over: dict[str, threading.Event] = {}  # of jobs whose bounds are computed
        self._turn = threading.Lock()

    def begin(self, job: Job) -> threading.Event:
        """Queues the texts of a job that are finished and have no bound, if that does not go on already. What
        is set when it is over. NotFound if there are no such texts."""
        with self._turn:
            if job.scoring is not None and job.id in self._over:
                return self._over[job.id]
            left = self._left(job)
            if not left:
                raise NotFound("No text of this job is finished that has no bound yet.")
            over = self._over[job.id] = threading.Event()
            job.unscored, job.scoring = "", (0, len(left))
        self._call(lambda: self._part(job, left, over))
        return over

    def stop(self, job: Job) -> None:
        """Ends it before its next model call; what was computed stays."""
        job.scoring = None

    def close(self) -> None:
        """Ends what runs before its next model call."""
        self._closing.set()

    @staticmethod
    def of(job: Job) -> dict[str, dict[str, Number]]:
        """The bounds that are known, by cell, as a column of the table."""
        if not job.bounds:
            return {}
        results = [(cell.id, result) for cell, result, _ in job.results() if result is not None]
        return {cell: {"bound": job.bounds[one.id]} for cell, one in results if one.id in job.bounds}

    def _left(self, job: Job) -> list[Result]:
        """Finished texts without a bound, each once, those of one checkpoint together."""
        finished = {one.id: one for _, one, _ in job.results() if one is not None and one.complete}
        left = [one for name, one in finished.items() if name not in job.bounds and one.provenance]
        return sorted(left, key=_made)

    def _part(self, job: Job, left: list[Result], over: threading.Event) -> None:
        """Scores the first texts, and queues the others. Worker thread only."""
        some = [one for one in left[:PART] if _made(one) == _made(left[0])]
        try:
            if self._wanted(job, over):
                job.bounds |= (found := self._compute(some, lambda: not self._wanted(job, over)))
                self._keep(job, found)
        except Stopped:
            pass
        except (ValueError, OSError) as error:
            job.unscored = str(error)
        except BaseException:
            self._end(job, over)
            raise
        rest = left[len(some) :]
        if not rest or not self._wanted(job, over):
            return self._end(job, over)
        if (state := job.scoring) is not None:
            job.scoring = state[1] - len(rest), state[1]
        self._call(lambda: self._part(job, rest, over))

    def _wanted(self, job: Job, over: threading.Event) -> bool:
        """Whether it goes on; not if it was stopped, even if it was begun again since."""
        return self._over.get(job.id) is over and job.scoring is not None and not self._closing.is_set()

    def _end(self, job: Job, over: threading.Event) -> None:
        with self._turn:
            if self._over.get(job.id) is over:
                del self._over[job.id]
                job.scoring = None
        over.set()


def _made(result: Result) -> tuple[str, str]:
    """The checkpoint that wrote a text, and its fingerprint."""
    made = result.provenance
    return (made.checkpoint, made.fingerprint) if made else ("", "")
