"""The worker outlives everything that hooks and libraries raise, and is replaced when one does not return: a real
server, a real extension."""

from __future__ import annotations

import os
import threading

import pytest

from tests.conftest import serve, wait_until
from tests.http.conftest import QUICK, SLOW, Client
from tests.http.test_queue import queue
from webui.http.api.dependencies import SUBMITS

PIPE_WRITER = os.O_WRONLY | os.O_NONBLOCK


@pytest.fixture(scope="module")
def own(flags, tmp_path_factory, warm):
    """A server of this file's own: some of its threads never return."""
    data = tmp_path_factory.mktemp("worker")
    with serve("--api", "--port", "0", *flags, data=data, start=warm.start) as running:
        with Client(base_url=f"{running.url}/api/v1/", timeout=60) as client:
            yield running, client
        assert running.process.poll() is None, running.errors.read_text()


def stuck(client) -> int:
    """Threads of abandoned jobs that have not returned."""
    with client.stream("GET", "jobs/events") as reply:
        return next(queue(reply))["stuck"]


@pytest.mark.parametrize("name", ["SystemExit", "KeyboardInterrupt", "GeneratorExit", "panic"])
@pytest.mark.parametrize("hook", ["expand", "prompt", "denoise"])
def test_whatever_a_hook_raises_ends_its_job_by_name_and_the_next_one_runs(own, name, hook):
    server, client = own
    reply = client.post("jobs", json={**QUICK, "rehearsal": {"raises": name, "hook": hook}})
    if hook == "expand":
        error = reply.json()["error"]
        assert reply.status_code == 500, error
        code, message = error["code"], error["message"]
    else:
        job = client.ended(reply.json()["id"])
        assert job["state"] == "failed"
        code, message = job["error_code"], job["error"]
    assert code == "extension"
    assert message.startswith("rehearsal: ") and (name in message or "PanicException" in message)
    assert client.ended(client.submit(**QUICK))["state"] == "done"
    assert server.process.poll() is None


def test_txt2txt_tells_the_code_of_a_failed_job(own):
    _, client = own
    reply = client.post("txt2txt", json={**QUICK, "rehearsal": {"raises": "SystemExit"}})
    assert reply.status_code == 500 and reply.json()["error"]["code"] == "extension"


def test_a_hook_that_spins_is_abandoned_and_its_thread_ends(own, tmp_path):
    _, client = own
    id = client.submit(**QUICK, rehearsal={"spin": True, "calls": str(tmp_path / "calls")})
    after = client.submit(**QUICK)
    wait_until((tmp_path / "calls").exists)
    client.delete(f"jobs/{id}")
    assert client.job(id)["state"] == "running", "a cancel waits for the model call"
    reply = client.post(f"jobs/{id}/abandon")
    assert reply.status_code == 200 and reply.json()["state"] == "failed"
    job = client.job(id)
    assert job["error_code"] == "abandoned" and "rehearsal" in job["error"] and job["error"].endswith(".")
    assert client.ended(after)["state"] == "done", "queued jobs go on"
    wait_until(lambda: stuck(client) == 0)


def test_a_library_call_that_blocks_is_abandoned_and_what_it_does_later_is_ignored(own, tmp_path):
    server, client = own
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    options = {"block": str(pipe), "calls": str(tmp_path / "calls")}
    id = client.submit(**{**QUICK, "steps": 1}, rehearsal=options)
    wait_until((tmp_path / "calls").exists)
    told: list[dict] = []
    watcher = threading.Thread(target=lambda: told.extend(client.updates(id)))
    watcher.start()
    after = client.submit(**QUICK)
    client.post(f"jobs/{id}/abandon")
    watcher.join(30)
    assert told[-1]["state"] == "failed" and told[-1]["error_code"] == "abandoned", "its stream ends"
    assert client.ended(after)["state"] == "done"
    assert stuck(client) == 1, "the thread is still in its call"
    before = client.job(id)
    slow = client.submit(**SLOW)
    client.running(slow)
    os.close(wait_until(lambda: _writer(pipe)))  # now it returns, in the middle of another job
    wait_until(lambda: stuck(client) == 0)
    assert client.job(slow)["state"] == "running" and client.job(id) == before
    client.delete(f"jobs/{slow}")
    client.ended(slow)
    ids = {item["job"] for item in client.get("history").json()["items"]}
    assert id not in ids and {after, slow} <= ids
    assert server.errors.read_text().count("Abandoned") == 0


def _writer(pipe) -> int | None:
    try:
        return os.open(pipe, PIPE_WRITER)
    except OSError:
        return None


def test_abandoning_what_waits_cancels_it_and_what_has_ended_stays(own):
    _, client = own
    first = client.submit(**SLOW)
    client.running(first)
    waiting = client.submit(**QUICK)
    assert client.post(f"jobs/{waiting}/abandon").json()["state"] == "cancelled"
    client.delete(f"jobs/{first}")
    client.ended(first)
    before = client.job(first)
    assert client.post(f"jobs/{first}/abandon").status_code == 200
    assert client.job(first) == before
    assert client.post("jobs/nope/abandon").status_code == 404


def test_requests_that_are_expanded_for_ever_leave_the_server_to_others(own, tmp_path):
    """As many as there are turns: other calls go on, and one more request is told to come back."""
    _, client = own
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    hostile = {**QUICK, "rehearsal": {"hook": "expand", "block": str(pipe)}}
    made: list[int] = []

    def post() -> None:
        with Client(base_url=client.base_url, timeout=120) as other:
            made.append(other.post("jobs", json=hostile).status_code)

    threads = [threading.Thread(target=post) for _ in range(SUBMITS)]
    for thread in threads:
        thread.start()
    reply = wait_until(lambda: (r := client.post("jobs", json=QUICK)).status_code == 429 and r, 60)
    assert reply.json()["error"]["code"] == "busy" and "retry-after" in reply.headers
    assert client.get("jobs").status_code == client.get("checkpoints").status_code == 200 and made == []
    writer = wait_until(lambda: _writer(pipe))
    for thread in threads:
        thread.join(30)
    os.close(writer)
    assert made == [201] * SUBMITS and client.ended(client.submit(**QUICK))["state"] == "done"
