"""The queue, its one worker, cancel, and watchers: with an engine of a few lines, so that every moment can be
chosen."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import wait_until
from webui.core.errors import Busy
from webui.core.events import Event, Failed, Finished, Loading, Loop, Progress, Started
from webui.core.request import Cell, Request
from webui.core.result import Change, Result
from webui.service.queue import ENDED, KEPT, CellView, Job, JobQueue, Subscription

DEADLINE = 30  # seconds; only a hang takes them


def cells_of(request: Request) -> tuple[Cell, ...]:
    return tuple(Cell(str(i), request) for i in range(request.count))


def decided(step: int, column: int, text: str | None = "a") -> Change:
    return Change(step, column, None if text is None else 1, text or "", 0.5)


def finished(cell: str | None, request: Request, complete: bool = True) -> Finished:
    return Finished(Result(id="0" * 20, text="a", complete=complete, request=request), cell)


@pytest.fixture
def stage():
    """A `JobQueue` whose engine writes three positions a cell, one a step, and waits for `stage.go` before
    each."""
    stage = Stage()
    yield stage
    stage.go.release(10_000)
    stage.jobs.close()


class Stage:
    def __init__(self, max_queue: int = 64):
        self.go, self.begun, self.ran = threading.Semaphore(0), threading.Event(), []
        self.jobs = JobQueue(self.run, cells_of, max_queue)

    def run(self, job: Job) -> Iterator[Event]:
        self.ran.append(job)
        self.begun.set()
        if job.request.prompt == "raise":
            raise RuntimeError("the device is gone")
        yield from (Started(cell.id, 3, 3) for cell in job.cells)
        for step in range(3):
            assert self.go.acquire(timeout=DEADLINE)
            if job.cancelled():
                yield from (finished(cell.id, job.request, complete=False) for cell in job.cells)
                yield finished(None, job.request, complete=False)
                return
            yield Progress(
                {c.id: (decided(step + 1, step),) for c in job.cells}, {c.id: step + 1 for c in job.cells}
            )
        yield from (finished(cell.id, job.request) for cell in job.cells)
        yield finished(None, job.request)

    def submit(self, prompt: str = "", **options) -> Job:
        return self.jobs.submit(Request(prompt=prompt, seed=1, **options))


# -- watchers ------------------------------------------------------------------------------------------------


def merged(seen: dict[str, Any], update: dict[str, Any] | None) -> None:
    """What a page does with a difference: the newer value of everything, column by column."""
    for name, cell in (update or {"cells": {}})["cells"].items():
        columns = seen.setdefault(name, {"columns": {}})["columns"]
        seen[name] |= {key: value for key, value in cell.items() if key != "changes"}
        for column, text, *rest in cell["changes"]:
            if text is None:
                columns.pop(column, None)
            else:
                columns[column] = (text, *rest)


def events(request: Request, seed: int) -> list[Event]:
    """A run of three cells at random: decided, reopened, begun anew after another cell failed, ended."""
    generator = random.Random(seed)
    told: list[Event] = [Started(cell, 12, 20, (Change(0, 3, 1, "given", None),)) for cell in "012"]
    for step in range(1, 21):
        changes = {}
        for cell in "01" if step > 8 else "012":
            columns = generator.sample([c for c in range(12) if c != 3], 3)
            changes[cell] = tuple(decided(step, c, generator.choice(["a", "b", None])) for c in columns)
        told.append(Progress(changes, dict.fromkeys(changes, step)))
        if step == 8:
            told += [Failed("2", "fault: on purpose")]
            told += [Started(cell, 12, 20, (Change(0, 3, 1, "given", None),)) for cell in "01"]
    return [*told, finished("0", request), finished("1", request, complete=False), finished(None, request)]


@pytest.mark.parametrize("seed", range(6))
def test_however_seldom_a_watcher_reads_its_differences_add_up_to_the_snapshot(seed):
    request, generator = Request(count=3), random.Random(seed)
    job = Job(request, cells_of(request))
    watchers = [(job.subscribe(), {}, often) for often in (1.0, 0.3, 0.1, 0.0)]
    job.begin()
    for event in events(request, seed):
        job.take(event)
        for subscription, seen, often in watchers:
            if generator.random() < often:
                merged(seen, subscription.read())
    job.end()
    snapshot: dict[str, Any] = {}
    merged(snapshot, Subscription(job).read())
    for subscription, seen, _ in watchers:
        merged(seen, subscription.read())
        assert seen == snapshot
        assert subscription.read() is None, "there is one difference, and then nothing"
    assert [snapshot[cell]["state"] for cell in "012"] == ["done", "cancelled", "failed"]
    assert snapshot["0"]["columns"][3][0] == "given" and snapshot["2"]["error"] == "fault: on purpose"


def test_a_cell_that_is_begun_anew_is_open_again_for_who_saw_it_before():
    job = Job(Request(), cells_of(Request()))
    subscription, seen = job.subscribe(), {}
    job.begin()
    job.take(Started("0", 4, 4))
    job.take(Progress({"0": (decided(1, 2), decided(1, 3))}, {"0": 1}))
    merged(seen, subscription.read())
    assert set(seen["0"]["columns"]) == {2, 3} and seen["0"]["step"] == 1
    job.take(Started("0", 4, 4))
    merged(seen, subscription.read())
    assert seen["0"]["columns"] == {} and seen["0"]["step"] == 0


def test_a_difference_holds_only_what_changed():
    request = Request(count=2)
    job = Job(request, cells_of(request))
    subscription = job.subscribe()
    job.begin()
    job.take(Started("0", 4, 4))
    job.take(Started("1", 4, 4))
    subscription.read()
    job.take(Progress({"1": (decided(1, 2),)}, {"1": 1}))
    update = subscription.read()
    assert list(update["cells"]) == ["1"] and update["cells"]["1"]["changes"] == [[2, "a", 0.5, 1]]
    assert update["progress"] == pytest.approx(1 / 8)


def test_many_watchers_in_many_threads_all_see_the_end(stage):
    job = stage.submit(count=3)
    ends: list[dict] = []

    def subscribe() -> None:
        seen: dict[str, Any] = {}
        for update in job.subscribe().updates(interval=0.001):
            merged(seen, update)
        ends.append(seen)

    threads = [threading.Thread(target=subscribe) for _ in range(20)]
    for thread in threads:
        thread.start()
    stage.go.release(3)
    for thread in threads:
        thread.join(DEADLINE)
    assert len(ends) == 20 and all(end == ends[0] for end in ends)
    assert all(set(cell["columns"]) == {0, 1, 2} and cell["state"] == "done" for cell in ends[0].values())


def test_who_comes_late_starts_with_a_snapshot(stage):
    job = stage.submit()
    stage.go.release(3)
    assert job.wait(DEADLINE)
    (only,) = job.subscribe().updates()
    assert only["state"] == "done" and only["progress"] == 1.0 and len(only["cells"]["0"]["changes"]) == 3
    assert "trace" not in only["cells"]["0"]["result"]


# -- the queue -----------------------------------------------------------------------------------------------


def test_jobs_run_one_after_the_other_in_order(stage):
    jobs = [stage.submit(str(i)) for i in range(3)]
    assert stage.begun.wait(DEADLINE)
    assert [job.state for job in jobs] == ["running", "queued", "queued"]
    stage.go.release(9)
    assert all(job.wait(DEADLINE) for job in jobs)
    assert stage.ran == jobs and stage.jobs.all() == jobs and all(job.state == "done" for job in jobs)
    assert stage.jobs.get(jobs[1].id) is jobs[1] and stage.jobs.get("nobody") is None


def test_a_job_that_is_cancelled_while_it_waits_never_runs(stage):
    first, second, third = (stage.submit(str(i)) for i in range(3))
    assert stage.begun.wait(DEADLINE)
    second.cancel()
    assert second.state == "cancelled" and second.wait(0)
    assert next(second.subscribe().updates())["cells"]["0"]["state"] == "cancelled"
    stage.go.release(6)
    assert third.wait(DEADLINE)
    assert stage.ran == [first, third] and second.result is None


def test_a_job_that_is_cancelled_while_it_runs_keeps_what_there_is(stage):
    job, after = stage.submit(), stage.submit()
    stage.go.release()
    while job.since(0)["cells"]["0"]["step"] < 1:
        assert not job.wait(0.001)
    job.cancel()
    stage.go.release(4)
    assert job.wait(DEADLINE) and job.state == "cancelled" and not job.result.complete
    assert [change[0] for change in job.since(0)["cells"]["0"]["changes"]] == [0]
    assert after.wait(DEADLINE) and after.state == "done", "the worker is free"


def test_cancelling_what_has_ended_changes_nothing(stage):
    job = stage.submit()
    stage.go.release(3)
    assert job.wait(DEADLINE)
    version = job.version
    job.cancel()
    assert job.state == "done" and job.version == version


def test_too_many_waiting_jobs_are_refused_with_a_sentence_and_there_is_room_again():
    stage = Stage(max_queue=2)
    try:
        running = stage.submit()
        assert stage.begun.wait(DEADLINE)
        waiting = [stage.submit(), stage.submit()]
        with pytest.raises(Busy, match=r"^2 jobs are waiting already; .*\.$"):
            stage.submit()
        waiting[0].cancel()
        assert stage.submit().state == "queued"
        assert running.state == "running"
    finally:
        stage.go.release(100)
        stage.jobs.close()


def test_the_worker_survives_an_exception_and_says_what_it_was(stage, capsys):
    broken, after = stage.submit("raise", count=2), stage.submit()
    stage.go.release(3)
    assert after.wait(DEADLINE) and after.state == "done"
    assert broken.state == "failed" and broken.error == "The program failed: RuntimeError: the device is gone"
    assert [cell["state"] for cell in broken.since(0)["cells"].values()] == ["failed", "failed"]
    assert "the device is gone" in capsys.readouterr().err, "with its traceback for the operator"


def test_a_refused_request_never_becomes_a_job():
    def refuse(request: Request) -> tuple[Cell, ...]:
        raise ValueError("No.")

    jobs = JobQueue(lambda job: iter(()), refuse)
    with pytest.raises(ValueError, match=r"No\."):
        jobs.submit(Request())
    assert jobs.all() == []


def test_a_job_fails_only_if_no_cell_gave_a_text():
    request = Request(count=2)
    for failing, state in (("0",), "done"), (("0", "1"), "failed"):
        job = Job(request, cells_of(request))
        job.begin()
        for cell in ("0", "1"):
            job.take(Failed(cell, f"{cell} failed.") if cell in failing else finished(cell, request))
        job.take(finished(None, request, complete=False))
        job.end()
        assert job.state == state and job.error == ("0 failed." if state == "failed" else None)


def test_only_so_many_ended_jobs_stay_in_memory():
    jobs = JobQueue(lambda job: iter(()), cells_of, max_queue=10**6)
    made = [jobs.submit(Request()) for _ in range(KEPT + 50)]
    assert made[-1].wait(DEADLINE)
    last = jobs.submit(Request())
    assert last.wait(DEADLINE)
    assert len(jobs.all()) <= KEPT + 1 and jobs.get(last.id) is last and jobs.get(made[0].id) is None
    jobs.close()


def test_close_cancels_what_runs_and_what_waits():
    stage = Stage()
    running, waiting = stage.submit(), stage.submit()
    assert stage.begun.wait(DEADLINE)
    stage.go.release(3)
    stage.jobs.close()
    assert running.state in ENDED and waiting.state == "cancelled"


# -- checkpoints on the worker, pages that close -------------------------------------------------------------


def test_a_checkpoint_is_loaded_by_the_worker_in_its_turn():
    stage = Stage()
    fetched: list[tuple] = []
    go = threading.Event()

    def load(checkpoint, progress) -> None:
        progress(0.25)
        fetched.append((checkpoint, threading.current_thread().name))
        assert go.wait(DEADLINE)
        if checkpoint == "bad":
            raise ValueError("bad is bad.")

    jobs = stage.jobs = JobQueue(stage.run, cells_of, load=load)
    try:
        first = stage.submit()
        assert stage.begun.wait(DEADLINE)
        for name in ("good", "good", "bad", None):
            jobs.load(name)
        assert jobs.wanted == ["good", "bad"] and jobs.loading is None, "the same is not wanted twice"
        after = stage.submit()
        stage.go.release(3)
        assert first.wait(DEADLINE)
        wait_until(lambda: jobs.loading == Loading("good", 0.25), DEADLINE)
        assert jobs.wanted == ["bad"] and after.state == "queued"
        go.set()
        stage.go.release(3)
        assert after.wait(DEADLINE) and after.state == "done", "the worker outlives what fails"
        assert fetched == [("good", "device"), ("bad", "device"), (None, "device")]
        assert jobs.wanted == [] and jobs.loading is None
    finally:
        go.set()
        stage.go.release(100)
        jobs.close()


@pytest.mark.parametrize("model, stopped", [(None, False), ("default", False), ("other", True)])
def test_an_optional_load_gives_way_to_a_job_that_needs_another_checkpoint(model, stopped):
    going, ended = threading.Event(), []

    def load(checkpoint, progress) -> None:
        going.set()
        for _ in range(DEADLINE * 100):
            progress(0.5)  # raises when it is to stop
            if jobs.all():
                break
            time.sleep(0.01)
        else:
            raise AssertionError("never asked")
        time.sleep(0.05)
        progress(0.9)
        ended.append(checkpoint)

    jobs = JobQueue(lambda job: iter(()), cells_of, load=load)
    try:
        jobs.load("default", optional=True)
        assert going.wait(DEADLINE)
        assert jobs.submit(Request(model=model)).wait(DEADLINE)
        assert ended == ([] if stopped else ["default"])
    finally:
        jobs.close()


def test_a_job_tells_the_checkpoint_it_waits_for():
    job = Job(Request(), cells_of(Request()), client="me")
    subscription = job.subscribe()
    job.begin()
    job.take(Loading("big", 0.5))
    assert subscription.read()["loading"] == {"checkpoint": "big", "done": 0.5} == job.line()["loading"]
    job.take(Started("0", 4, 4))
    assert subscription.read()["loading"] is None and job.client == "me"


@pytest.mark.parametrize("keep", [True, False])
def test_jobs_of_a_page_that_is_gone_end_only_if_they_are_not_kept(keep):
    stage = Stage()
    jobs = stage.jobs = JobQueue(stage.run, cells_of, keep=lambda: keep, grace=0.05)
    try:
        mine = [jobs.submit(Request(seed=1), "me") for _ in range(2)]
        others = [jobs.submit(Request(seed=1), client) for client in ("you", None)]
        with jobs.watched("me"), jobs.watched("you"):
            with jobs.watched("me"):
                pass
            time.sleep(0.2)
            assert not any(job.cancelled() for job in mine), "one of its pages is still there"
            yours = jobs.watched("you")
            yours.__enter__()
        if keep:
            time.sleep(0.2)
        else:
            wait_until(lambda: all(job.cancelled() for job in mine), DEADLINE)
        assert not any(job.cancelled() for job in (*others, *(mine if keep else [])))
        yours.__exit__(None, None, None)
    finally:
        stage.go.release(100)
        jobs.close()


def test_a_page_that_comes_back_in_time_keeps_its_jobs():
    stage = Stage()
    jobs = stage.jobs = JobQueue(stage.run, cells_of, keep=lambda: False, grace=1.0)
    try:
        mine = jobs.submit(Request(seed=1), "me")
        with jobs.watched("me"):
            pass
        with jobs.watched("me"):
            time.sleep(1.5)
            assert not mine.cancelled()
    finally:
        stage.go.release(100)
        jobs.close()


def test_positions_of_all_are_those_of_each(stage):
    made = [stage.submit(str(i)) for i in range(4)]
    assert stage.begun.wait(DEADLINE)
    made[2].cancel()
    waiting = [job for job in made if job.state == "queued"]
    assert (
        stage.jobs.positions()
        == {job.id: stage.jobs.position(job) for job in waiting}
        == {made[1].id: 1, made[3].id: 2}
    )


def test_cells_that_wait_for_their_batch_count():
    """Three batches of two cells of two steps, one of them failed before it began: no batch is the whole."""
    request = Request(count=7)
    job, shares = Job(request, cells_of(request)), []
    job.begin()
    job.take(Failed("6", "It failed."))
    for first in (0, 2, 4):
        for cell in (str(first), str(first + 1)):
            job.take(Started(cell, 4, 2))
        for step in (1, 2):
            names = (str(first), str(first + 1))
            job.take(Progress(dict.fromkeys(names, ()), dict.fromkeys(names, step)))
            shares.append(job.line()["progress"])
    assert shares == pytest.approx([k / 6 for k in range(1, 7)], abs=1e-4)


def test_an_event_costs_no_look_at_every_cell(monkeypatch):
    """Ten thousand cells have as many events: their sums are kept up to date, whatever the events are."""
    request, dice = Request(seed=1), random.Random(3)
    cells = tuple(Cell(str(i), request) for i in range(200))
    job = Job(request, cells)
    job.begin()
    looked = []
    done = CellView.done.fget
    monkeypatch.setattr(CellView, "done", property(lambda view: looked.append(view) or done(view)))
    for k in range(2):
        job.take(Loop(k, 2))
        looked.clear()
        for cell in dice.sample(cells, 200):
            job.take(Started(cell.id, 4, dice.randint(1, 9)))
        for cell in dice.sample(cells, 200):
            job.take(Progress({cell.id: (Change(1, 0, 1, "a", 0.5),)}, {cell.id: 1}))
        assert len(looked) <= 4 * 400
        views = job._views.values()
        share = sum(done(view) for view in views) / sum(view.steps for view in views)
        assert job.line()["progress"] == pytest.approx((k + share) / 2, abs=1e-4)
    for cell in cells[:50]:
        job.take(Failed(cell.id, "It failed."))
    share = sum(done(view) for view in views) / sum(view.steps for view in views)
    assert job.line()["progress"] == pytest.approx((1 + share) / 2, abs=1e-4)
