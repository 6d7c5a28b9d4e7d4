"""A worker that does not return is replaced: by jobs and loads that hang, and by those that end at that moment."""

from __future__ import annotations

import threading
import time

import pytest

from tests.conftest import wait_until
from tests.service.test_queue import DEADLINE, cells_of, finished
from webui.core.errors import Abandoned, Busy, code_of
from webui.core.events import Progress, Started
from webui.core.request import Request
from webui.service.queue import Job, JobQueue


class Hanging:
    """A queue whose job with the prompt "hang" waits in a call that nothing interrupts, until `go` is set."""

    def __init__(self):
        self.go, self.there, self.renewed, self.ends = threading.Event(), threading.Event(), 0, []
        self.jobs = JobQueue(self.run, cells_of, load=self.load, renew=self.renew)

    def renew(self) -> None:
        self.renewed += 1

    def run(self, job: Job):
        try:
            yield Started("0", 4, 4)
            if job.request.prompt == "hang":
                self.there.set()
                self.go.wait(DEADLINE)
                job.cancelled()
            yield finished("0", job.request)
            yield finished(None, job.request)
        except BaseException as error:
            self.ends.append(error)
            raise

    def load(self, checkpoint, progress) -> None:
        if checkpoint == "hang":
            self.there.set()
            self.go.wait(DEADLINE)
        progress(0.5)
        self.ends.append(checkpoint)


@pytest.fixture
def hanging():
    hanging = Hanging()
    yield hanging
    hanging.go.set()
    hanging.jobs.close()


def test_a_job_that_hangs_is_abandoned_and_the_next_one_runs(hanging, capsys):
    job, after = hanging.jobs.submit(Request(prompt="hang")), hanging.jobs.submit(Request())
    assert hanging.there.wait(DEADLINE)
    hanging.jobs.abandon(job)
    assert (job.state, job.code, job.result) == ("failed", "abandoned", None)
    assert job.error is not None and job.error.endswith(".") and job.line()["error_code"] == "abandoned"
    assert after.wait(DEADLINE) and after.state == "done" and hanging.renewed == 1
    assert hanging.jobs.stuck == 1
    version = job.version
    hanging.go.set()
    wait_until(lambda: hanging.jobs.stuck == 0, DEADLINE)
    assert [type(end) for end in hanging.ends] == [Abandoned], "it ends where it first runs again"
    assert job.version == version and job.result is None and capsys.readouterr().err == ""
    hanging.jobs.abandon(job)
    assert hanging.renewed == 1, "it had ended"


def test_events_of_an_abandoned_thread_are_ignored():
    job = Job(Request(), cells_of(Request()))
    job.begin()
    job.take(Started("0", 4, 4))
    assert job.abandon("Gone.") and not job.abandon("Again.")
    before = job.since(0)
    for event in (Progress({"0": ()}, {"0": 3}), finished("0", job.request), finished(None, job.request)):
        job.take(event)
    job.end()
    job.end("Another error.")
    assert job.since(0) == before and job.error == "Gone."
    with pytest.raises(Abandoned):
        job.cancelled()


def test_a_load_that_hangs_is_abandoned(hanging):
    hanging.jobs.load("hang")
    hanging.jobs.load("fine")
    after = hanging.jobs.submit(Request())
    assert hanging.there.wait(DEADLINE) and hanging.jobs.loading is not None
    assert hanging.jobs.abandon_loading()
    assert after.wait(DEADLINE) and after.state == "done" and hanging.renewed == 1
    assert hanging.jobs.wanted == [] and hanging.jobs.loading is None
    assert not hanging.jobs.abandon_loading(), "nothing is loaded any more"
    hanging.go.set()
    wait_until(lambda: hanging.jobs.stuck == 0, DEADLINE)
    assert hanging.ends == [], "neither the one that hung nor the one that waited went on"


def test_a_waiting_job_is_cancelled_and_the_worker_stays(hanging):
    first, waiting = hanging.jobs.submit(Request(prompt="hang")), hanging.jobs.submit(Request())
    assert hanging.there.wait(DEADLINE)
    hanging.jobs.abandon(waiting)
    assert waiting.state == "cancelled" and first.state == "running" and hanging.renewed == 0


@pytest.mark.parametrize("hangs", ["the expansion", "the validation"])
def test_a_request_whose_extension_does_not_return_is_given_up_by_name(hangs):
    """Its caller is free, nothing of it is queued later, and its thread ends where it next runs Python."""
    go, ends = threading.Event(), []
    space = {"__name__": "extensions.slow.part", "go": go, "cells_of": cells_of, "ends": ends}
    code = "def hang(value):\n  try:\n    go.wait(60)\n    return value\n  except BaseException as error:\n"
    exec(code + "    ends.append(type(error))\n    raise", space)
    hang = space["hang"]
    jobs = JobQueue(
        lambda job: iter([finished(None, job.request)]),
        lambda request: hang(cells_of(request)) if request.prompt == "hang" else cells_of(request),
        seconds=1,
    )
    for count in range(1, 3):
        with pytest.raises(ValueError, match=r"^slow: did not return within 1 s.*\.$") as refused:
            if hangs == "the expansion":
                jobs.submit(Request(prompt="hang"))
            else:
                jobs.submit(lambda: hang(Request()))
        assert code_of(refused.value) == "extension" and jobs.stuck == count
    assert jobs.all() == []
    go.set()
    wait_until(lambda: jobs.stuck == 0, DEADLINE)
    assert ends == [Abandoned] * 2 and jobs.all() == []
    jobs.close()


def test_a_request_that_takes_long_without_an_extension_is_not_interrupted():
    """It may be importing a library, which would be left half imported."""
    go, ends = threading.Event(), []

    def expand(request: Request):
        ends.append(go.wait(DEADLINE))
        return cells_of(request)

    jobs = JobQueue(lambda job: iter(()), expand, seconds=1)
    with pytest.raises(Busy, match=r"not read within 1 s; try again"):
        jobs.submit(Request())
    go.set()
    wait_until(lambda: jobs.stuck == 0, DEADLINE)
    assert ends == [True] and jobs.all() == []


@pytest.mark.parametrize("error", [SystemExit("x"), ValueError("x"), KeyboardInterrupt(), OSError(5, "x")])
def test_whatever_expanding_raises_reaches_the_caller(error):
    def expand(request: Request):
        raise error

    with pytest.raises(type(error)) as raised:
        JobQueue(lambda job: iter(()), expand).submit(Request())
    assert raised.value is error


def test_whoever_abandons_at_the_moment_of_the_end_loses_no_job():
    """Jobs of no length, each abandoned by another thread at about the time when it ends."""
    jobs = JobQueue(lambda job: iter([finished(None, job.request)]), cells_of, max_queue=10**6)
    made: list[Job] = []
    done = threading.Event()

    def abandon() -> None:
        seen = 0
        while not done.is_set() or seen < len(made):
            if seen < len(made):
                jobs.abandon(made[seen])
                seen += 1
            else:
                time.sleep(0)

    thread = threading.Thread(target=abandon)
    thread.start()
    for _ in range(300):
        made.append(jobs.submit(Request()))
    done.set()
    thread.join(DEADLINE)
    assert all(job.wait(DEADLINE) for job in made), [job.state for job in made]
    assert jobs.submit(Request()).wait(DEADLINE)
    wait_until(lambda: jobs.stuck == 0, DEADLINE)
    jobs.close()
