"""Server-sent events: a snapshot, merged differences, nothing lost, nobody slowed."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from types import SimpleNamespace

import httpx
import pytest

from tests.conftest import wait_until
from tests.http.conftest import ENDED, QUICK, SLOW, Client, parse
from webui.core.events import Progress, Started
from webui.core.request import Cell, Request
from webui.core.result import Change
from webui.http import api
from webui.http.api import jobs as endpoints
from webui.service.queue import Job, JobQueue

SIZE = {"length": 32, "steps": 32, "template": "raw", "end_of_text": "ban", "rehearsal": {"seconds": 0.02}}


def canvases(updates: list[dict]) -> dict[str, dict[int, str]]:
    """What a page shows after these updates: the decided columns of each cell."""
    shown: dict[str, dict[int, str]] = {}
    for update in updates:
        for name, cell in update["cells"].items():
            for column, text, _confidence, _step in cell["changes"]:
                if text is None:
                    shown.setdefault(name, {}).pop(column, None)
                else:
                    shown.setdefault(name, {})[column] = text
    return shown


def decided(result: dict) -> dict[int, str]:
    return {column: text for _step, column, _token, text, _confidence in result["trace"]}


def test_the_updates_add_up_to_the_result(client):
    id = client.submit(**SIZE, count=2)
    updates = client.updates(id)
    assert updates[0]["version"] == 1 or set(updates[0]["cells"]) == {"0", "1"}
    versions = [update["version"] for update in updates]
    assert versions == sorted(versions) and len(updates) > 3
    assert [update["state"] in ENDED for update in updates] == [False] * (len(updates) - 1) + [True]
    job = client.job(id)
    shown = canvases(updates)
    for name, part in zip(("0", "1"), job["result"]["parts"], strict=True):
        assert shown[name] == decided(part) and len(shown[name]) == 32
    last = {name: cell for update in updates for name, cell in update["cells"].items()}
    results = {
        name: cell["result"] for update in updates for name, cell in update["cells"].items() if cell["result"]
    }
    assert results["0"]["text"] == job["result"]["parts"][0]["text"] and "trace" not in results["0"]
    assert last["0"]["length"] == 32 and last["0"]["steps"] == 32 and last["0"]["step"] == 32


def test_differences_are_differences(client):
    updates = client.updates(client.submit(**SIZE))
    told = [
        column for update in updates for cell in update["cells"].values() for column, *_ in cell["changes"]
    ]
    assert len(told) == len(set(told)) == 32  # every column once: no update repeats an earlier one


def test_progress_and_position_are_told(client):
    first = client.submit(**SLOW)
    client.running(first)
    second = client.submit(**QUICK)
    assert client.updates(second, 1)[0]["position"] == 1
    threading.Timer(0.3, lambda: httpx.delete(f"{client.base_url}jobs/{first}")).start()
    updates = client.updates(second)
    assert updates[-1]["position"] == 0 and updates[-1]["progress"] == 1.0
    assert [update["progress"] for update in updates] == sorted(update["progress"] for update in updates)


def test_who_connects_again_gets_a_snapshot(client):
    id = client.submit(**SLOW)
    client.running(id, progress=0.1)
    first = client.updates(id, 2)
    client.running(id, progress=first[-1]["progress"])
    again = client.updates(id, 1)
    before, after = canvases(first)["0"], canvases(again)["0"]
    assert len(after) > len(before) and after.items() >= before.items()
    assert again[0]["cells"]["0"]["length"] == 64
    # EventSource sends the last id it saw; a snapshot is right for that too
    with client.stream(
        "GET", f"jobs/{id}/events", headers={"Last-Event-ID": str(again[0]["version"])}
    ) as reply:
        assert canvases([next(parse(reply.iter_lines()))])["0"].items() >= after.items()


def test_an_ended_job_gives_one_snapshot_and_ends(client):
    id = client.submit(**SIZE)
    job = client.ended(id)
    updates = client.updates(id)
    assert len(updates) == 1 and updates[0]["state"] == "done"
    assert canvases(updates)["0"] == decided(job["result"])


def test_a_job_cancelled_while_it_waits_ends_its_streams(client):
    client.running(client.submit(**SLOW))
    waiting = client.submit(**QUICK)
    threading.Timer(0.2, lambda: httpx.delete(f"{client.base_url}jobs/{waiting}")).start()
    assert client.updates(waiting)[-1]["state"] == "cancelled"


def test_two_watchers_see_the_same(client, server):
    id = client.submit(**SIZE, count=2)
    seen: list[list[dict]] = [[], []]

    def subscribe(k: int) -> None:
        with Client(base_url=client.base_url, timeout=60) as own:
            seen[k] += own.updates(id)

    watchers = [threading.Thread(target=subscribe, args=(k,)) for k in range(2)]
    for thread in watchers:
        thread.start()
    for thread in watchers:
        thread.join(60)
    assert canvases(seen[0]) == canvases(seen[1]) and len(canvases(seen[0])["1"]) == 32


def test_a_slow_reader_slows_nobody_and_misses_nothing(client, server):
    """It does not read until the job is long done."""
    big = {"length": 192, "steps": 96, "template": "raw", "end_of_text": "ban", "count": 16}
    id = client.submit(**big)
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    slow.connect(("127.0.0.1", server.port))
    with slow:
        slow.sendall(
            f"GET /api/v1/jobs/{id}/events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
        )
        job = client.ended(id, timeout=120)
        assert job["state"] == "done"
        slow.settimeout(20)
        raw = b""
        while chunk := slow.recv(1 << 20):
            raw += chunk
    body = unchunked(raw.partition(b"\r\n\r\n")[2]).decode()
    updates = list(parse(body.splitlines()))
    assert canvases(updates) == {str(k): decided(part) for k, part in enumerate(job["result"]["parts"])}


def unchunked(raw: bytes) -> bytes:
    body = b""
    while raw:
        size, _, raw = raw.partition(b"\r\n")
        body += raw[: int(size, 16)]
        raw = raw[int(size, 16) + 2 :]
    return body


def test_a_hundred_watchers_leave_the_server_quick(client, server):
    """More than a thread pool has threads: a watcher must not hold one while it waits."""
    first = client.submit(**SLOW)
    client.running(first)
    waiting = client.submit(**QUICK)
    request = f"GET /api/v1/jobs/{waiting}/events HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    watchers = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(100)]
    try:
        for connection in watchers:
            connection.sendall(request)
            connection.settimeout(20)
        for connection in watchers:
            assert connection.recv(4096).startswith(b"HTTP/1.1 200")
        began = time.monotonic()
        assert client.get("checkpoints").status_code == 200  # an endpoint that runs in the thread pool
        assert time.monotonic() - began < 2
        client.delete(f"jobs/{first}")
        for connection in watchers:
            text = b""
            while b'"state":"done"' not in text:
                chunk = connection.recv(65536)
                assert chunk, "the stream ended before the job did"
                text += chunk
    finally:
        for connection in watchers:
            connection.close()


# -- in this process: what cannot be seen from outside -------------------------------------------------------


@pytest.fixture
def quiet():
    """An App whose worker does nothing: jobs stay as the test leaves them."""
    jobs = JobQueue(run=lambda job: iter(()), expand=lambda request: (Cell("0", request),))
    jobs._give = lambda work: None
    return SimpleNamespace(queue=jobs)


def test_a_comment_tells_that_a_silent_stream_lives(quiet, monkeypatch):
    monkeypatch.setattr(endpoints, "HEARTBEAT", 0.1)
    job = quiet.queue.submit(Request())

    async def take() -> list[bytes]:
        stream = endpoints.events(quiet, job)
        found = [await anext(stream) for _ in range(3)]
        await stream.aclose()
        return found

    first, *beats = asyncio.run(take())
    assert first.startswith(b"event: update\nid: 1\n") and beats == [b": still here\n\n"] * 2


def test_a_watcher_that_leaves_ends_its_generator(quiet, monkeypatch):
    """Through the whole application, as a server that sees the connection close tells it."""
    closed = threading.Event()
    original = endpoints.events

    async def watched(app, job, *rest):
        try:
            async for chunk in original(app, job, *rest):
                yield chunk
        finally:
            closed.set()

    monkeypatch.setattr(endpoints, "events", watched)
    quiet.settings = SimpleNamespace(host="127.0.0.1", allowed_hosts=(), max_body=1024)
    job = quiet.queue.submit(Request())

    async def visit() -> None:
        left, sent = asyncio.Event(), []

        async def receive():
            await left.wait()
            return {"type": "http.disconnect"}

        async def send(message):
            sent.append(message)
            if message.get("body"):
                left.set()

        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "GET",
            "path": f"/api/v1/jobs/{job.id}/events",
            "raw_path": b"",
            "query_string": b"",
            "root_path": "",
            "headers": [(b"host", b"localhost")],
            "scheme": "http",
            "server": ("127.0.0.1", 80),
            "client": None,
        }
        await asyncio.wait_for(api.build(quiet)(scope, receive, send), 5)

    asyncio.run(visit())
    wait_until(closed.is_set, 2)


def test_a_slow_reader_makes_no_backlog(quiet):
    """Between two reads a thousand versions come and go; the second read tells all of them, once."""
    job = Job(Request(), (Cell("0", Request()),))

    async def read() -> list[bytes]:
        stream = endpoints.events(quiet, job)
        found = [await anext(stream)]
        job.begin()
        job.take(Started("0", 10, 1000))
        for k in range(1000):
            job.take(Progress({"0": (Change(k + 1, k % 10, 7, f"w{k}", 0.5),)}, {"0": k + 1}))
        job.end()
        return found + [chunk async for chunk in stream]

    updates = list(parse(b"".join(asyncio.run(read())).decode().splitlines()))
    assert len(updates) == 2 and canvases(updates)["0"] == {k: f"w{990 + k}" for k in range(10)}


def test_the_state_is_never_told_before_the_changes_that_led_to_it(quiet):
    """A model that writes as fast as it can, and a reader beside it: what was read adds up to what was
    written."""
    job = Job(Request(), (Cell("0", Request()),))

    def write() -> None:
        job.begin()
        job.take(Started("0", 500, 500))
        for k in range(500):
            job.take(Progress({"0": (Change(k + 1, k, 7, f"w{k}", 0.5),)}, {"0": k + 1}))
        job.end()

    async def read() -> list[bytes]:
        threading.Thread(target=write).start()
        return [chunk async for chunk in endpoints.events(quiet, job)]

    updates = list(parse(b"".join(asyncio.run(read())).decode().splitlines()))
    assert canvases(updates)["0"] == {k: f"w{k}" for k in range(500)}
