"""A client of the server under test, which leaves no job behind."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest

from tests.conftest import wait_until

ENDED = ("done", "failed", "cancelled")
SLOW = {"length": 64, "steps": 64, "template": "raw", "end_of_text": "ban", "rehearsal": {"seconds": 0.1}}
QUICK = {"length": 8, "steps": 2, "template": "raw", "seed": 1}


class Client(httpx.Client):
    """httpx at /api/v1 of the server, with the steps that tests share."""

    def submit(self, **request) -> str:
        """Queues a request; the job's id."""
        reply = self.post("jobs", json=request)
        assert reply.status_code == 201, reply.text
        return reply.json()["id"]

    def job(self, id: str) -> dict:
        return self.get(f"jobs/{id}").json()

    def ended(self, id: str, timeout: float = 120) -> dict:
        """The job once it has ended."""
        wait_until(lambda: self.job(id)["state"] in ENDED, timeout)
        return self.job(id)

    def running(self, id: str, progress: float = 0.0) -> dict:
        """The job once it runs and has made more than this progress."""
        return wait_until(
            lambda: (job := self.job(id))["state"] == "running" and job["progress"] > progress and job
        )

    def updates(self, id: str, limit: int | None = None) -> list[dict]:
        """The updates of a job's stream, all of them or the first `limit`."""
        found = []
        with self.stream("GET", f"jobs/{id}/events") as reply:
            assert reply.headers["content-type"].startswith("text/event-stream")
            for update in parse(reply.iter_lines()):
                found.append(update)
                if limit is not None and len(found) == limit:
                    break
        return found


def parse(lines) -> Iterator[dict]:
    """The data of server-sent events; each must be an `update` whose id is its version."""
    event = {}
    for line in lines:
        if line.startswith(":"):
            continue
        if line:
            name, _, value = line.partition(": ")
            event[name] = value
        else:
            update = json.loads(event["data"])
            assert event["event"] == "update" and int(event["id"]) == update["version"]
            yield update
            event = {}


@pytest.fixture
def client(server) -> Iterator[Client]:
    with Client(base_url=f"{server.url}/api/v1/", timeout=60) as client:
        yield client
        for job in client.get("jobs").json():
            if job["state"] not in ENDED:
                client.delete(f"jobs/{job['id']}")
                client.ended(job["id"])
