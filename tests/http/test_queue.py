"""The list of jobs as a stream, who they belong to, and asking for one again."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import pytest

from tests.conftest import wait_until
from tests.http.conftest import QUICK, SLOW, Client

ME, YOU = {"X-TDW-Client": "me"}, {"X-TDW-Client": "you"}


def queue(reply) -> Iterator[dict]:
    """The data of the list's events."""
    for line in reply.iter_lines():
        assert line in ("", "event: queue") or line.startswith((":", "data: ")), line
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))


def create(client: Client, headers: dict, **request) -> str:
    reply = client.post("jobs", json=request, headers=headers)
    assert reply.status_code == 201, reply.text
    return reply.json()["id"]


def test_a_job_knows_whose_it_is_and_what_it_is_about(client):
    id = create(client, ME, **QUICK, count=2, prompt="  a fox " + "x" * 150)
    for headers, mine in ((ME, True), (YOU, False), ({}, False)):
        lines = {job["id"]: job for job in client.get("jobs", headers=headers).json()}
        assert lines[id]["client_is_you"] is mine
    line = client.get(f"jobs/{id}", params={"client": "me"}).json()
    assert line["client_is_you"] is True and line["texts"] == 2 and line["checkpoint"] == "storyteller"
    assert line["prompt"].startswith("a fox xxx") and len(line["prompt"]) == 121 and line["loading"] is None


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "<b>", "ü"])
def test_a_client_is_named_plainly(client, name):
    for reply in (
        client.get("jobs", params={"client": name}),
        client.get("jobs/events", params={"client": name}),
    ):
        assert reply.status_code == 422 and "client" in reply.json()["error"]["message"]


def test_the_stream_begins_with_all_and_goes_on_with_what_changed(client):
    running = create(client, ME, **SLOW)
    client.running(running)
    waiting = create(client, YOU, **QUICK)
    seen: dict[str, dict] = {}
    with client.stream("GET", "jobs/events", params={"client": "me"}) as reply:
        assert (
            reply.headers["content-type"].startswith("text/event-stream")
            and reply.headers["cache-control"] == "no-store"
        )
        for number, update in enumerate(queue(reply)):
            seen |= {job["id"]: job for job in update["jobs"]}
            if number == 0:
                assert [seen[id]["state"] for id in (running, waiting)] == ["running", "queued"]
                assert [seen[id]["client_is_you"] for id in (running, waiting)] == [True, False]
                assert seen[waiting]["position"] == 1 and update["loaded"] == "storyteller"
                client.delete(f"jobs/{running}")
            else:
                assert {job["id"] for job in update["jobs"]} <= {running, waiting}, "only what changed"
            if seen[waiting]["state"] == "done":
                break
    assert (
        seen[running]["state"] == "cancelled"
        and seen[waiting]["position"] == 0
        and seen[waiting]["progress"] == 1.0
    )


def test_a_hundred_jobs_change_and_a_stream_has_few_events(client):
    """Merged: as many events as time went by, not as many as there were changes."""
    events: list[dict] = []
    ready = threading.Event()

    def listen() -> None:
        with Client(base_url=client.base_url, timeout=60) as own, own.stream("GET", "jobs/events") as reply:
            for update in queue(reply):
                events.append(update)
                ready.set()
                if (
                    update["jobs"]
                    and update["jobs"][-1]["prompt"] == "the last"
                    and update["jobs"][-1]["state"] == "done"
                ):
                    return

    listener = threading.Thread(target=listen)
    listener.start()
    assert ready.wait(60)
    for k in range(20):
        client.ended(client.submit(**QUICK, prompt=f"job {k}"))
    client.submit(**QUICK, prompt="the last")
    listener.join(60)
    assert not listener.is_alive()
    known = {job["id"] for update in events for job in update["jobs"]}
    assert len(known) >= 21


def test_again_is_a_new_job_of_the_same_request(client):
    id = create(client, ME, **QUICK, prompt="once more")
    first = client.ended(id)
    again = client.post(f"jobs/{id}/retry", headers=YOU)
    assert again.status_code == 201 and again.json()["id"] != id and again.json()["client_is_you"]
    assert again.headers["location"] == f"/api/v1/jobs/{again.json()['id']}"
    second = client.ended(again.json()["id"])
    assert second["request"] == first["request"] and second["result"]["text"] == first["result"]["text"]
    assert client.post("jobs/nobody/retry").status_code == 404


def test_a_closed_page_ends_its_jobs_only_where_they_are_not_kept(client):
    client.patch("settings", json={"keep_jobs": False}).raise_for_status()
    try:
        mine, other = (
            create(client, ME, **SLOW | {"length": 200, "steps": 200}),
            create(client, YOU, **SLOW),
        )
        with client.stream("GET", "jobs/events", params={"client": "me"}) as reply:
            next(queue(reply))
        wait_until(lambda: client.job(mine)["state"] == "cancelled", 60)
        assert client.job(mine)["result"] is None or not client.job(mine)["result"]["complete"]
        assert client.job(other)["state"] != "cancelled"
    finally:
        client.patch("settings", json={"keep_jobs": True}).raise_for_status()


def test_what_a_request_would_cost(client):
    sent = {"prompt": "a", "length": 8, "steps": 4, "seed": 1, "count": 3}
    told = client.post("jobs/estimate", json=sent).json()
    assert (told["texts"], told["different"], told["forwards"], told["confirm"]) == (3, 3, 4, False)
    sent = {**sent, "xyz_grid": {"x_field": "seed", "x_values": "1-1001"}, "count": 1}
    assert client.post("jobs/estimate", json=sent).json()["confirm"] is True
    reply = client.post("jobs", json=sent)
    assert reply.status_code == 422 and "Set confirm" in reply.json()["error"]["message"]
    reply = client.post("jobs/estimate", json={"prompt": "a", "sampler": "none"})
    assert reply.status_code == 422
