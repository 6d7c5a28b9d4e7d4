"""The life of a job over HTTP: made, queued, run, read, cancelled; and the blocking txt2txt."""

from __future__ import annotations

import json
import socket
import time

import pytest

from tests.conftest import wait_until
from tests.http.conftest import ENDED, QUICK, SLOW


def test_a_job_is_made_runs_and_has_a_result(client, server):
    reply = client.post("jobs", json={**QUICK, "prompt": "the cat"})
    assert reply.status_code == 201
    made = reply.json()
    assert reply.headers["location"] == f"/api/v1/jobs/{made['id']}"
    assert made["state"] in ("queued", "running", "done") and made["position"] >= 0
    assert made["cells"] == [{"id": "0", "axes": []}]
    assert made["request"]["prompt"] == "the cat" and made["request"]["steps"] == 2
    assert made["request"]["guidance"]["negative_prompt"] == ""  # the composed request, extensions included

    job = client.ended(made["id"])
    assert job["state"] == "done" and job["error"] is None and job["progress"] == 1.0 and job["seconds"] > 0
    result = job["result"]
    assert result["complete"] and len(result["pieces"]) == 8 and result["parts"] == []
    assert result["request"]["sampler"] and "sampler" in result["preset"]  # resolved, and said that it was
    assert (server.data / "history").is_dir()


def test_several_texts_are_cells_and_parts(client):
    id = client.submit(**QUICK, count=3)
    job = client.ended(id)
    assert [cell["id"] for cell in job["cells"]] == ["0", "1", "2"]
    assert [cell["axes"][0][:2] for cell in job["cells"]] == [["seed", 1], ["seed", 2], ["seed", 3]]
    assert [part["request"]["seed"] for part in job["result"]["parts"]] == [1, 2, 3]


def test_the_list_has_every_job_in_order(client):
    ids = [client.submit(**QUICK) for _ in range(3)]
    listed = [job["id"] for job in client.get("jobs").json()]
    assert [id for id in listed if id in ids] == ids


def test_waiting_jobs_know_their_position(client):
    first = client.submit(**SLOW)
    client.running(first)
    second, third = client.submit(**SLOW), client.submit(**QUICK)
    assert [client.job(id)["position"] for id in (first, second, third)] == [0, 1, 2]
    client.delete(f"jobs/{second}")
    assert client.job(third)["position"] == 1


def test_cancelled_in_the_middle_it_keeps_what_was_decided(client):
    id = client.submit(**SLOW)
    client.running(id, progress=0.1)
    began = time.monotonic()
    reply = client.delete(f"jobs/{id}")
    assert reply.status_code == 200 and reply.json()["id"] == id
    job = client.ended(id)
    assert time.monotonic() - began < 4  # before the next model call
    assert job["state"] == "cancelled" and job["error"] is None
    result = job["result"]
    assert result["complete"] is False and "…" in result["text"]
    assert 0 < len(result["trace"]) < 64 and result["pieces"].count(None) == 64 - len(result["trace"])
    assert client.ended(client.submit(**QUICK))["state"] == "done"  # the worker is free


def test_cancelled_while_it_waits_it_never_runs(client):
    first = client.submit(**SLOW)
    client.running(first)
    second = client.submit(**SLOW)
    assert client.delete(f"jobs/{second}").json()["state"] == "cancelled"
    job = client.job(second)
    assert job["result"] is None and job["seconds"] == 0


def test_cancelling_what_has_ended_changes_nothing(client):
    id = client.submit(**QUICK)
    client.ended(id)
    assert client.delete(f"jobs/{id}").json()["state"] == "done"
    assert client.job(id)["state"] == "done"


def test_a_failing_extension_fails_its_rows_by_name(client):
    job = client.ended(client.submit(**QUICK, rehearsal={"fail": True}))
    assert job["state"] == "failed" and job["error_code"] == "extension" and "rehearsal" in job["error"]
    assert client.ended(client.submit(**QUICK))["state"] == "done"


def test_too_many_jobs_are_refused_as_busy(client):
    replies = [client.post("jobs", json=SLOW) for _ in range(10)]
    assert [reply.status_code for reply in replies[:8]] == [201] * 8
    assert replies[-1].status_code == 429 and "retry-after" in replies[-1].headers
    error = replies[-1].json()["error"]
    assert error["code"] == "busy" and error["message"].endswith(".")
    for reply in replies:
        if reply.status_code == 201:
            client.delete(f"jobs/{reply.json()['id']}")
    wait_until(lambda: all(job["state"] in ENDED for job in client.get("jobs").json()))
    assert client.post("jobs", json=QUICK).status_code == 201


@pytest.mark.parametrize(
    "path", ["jobs/nope", "jobs/nope/events", "jobs/%00", "jobs/%ff%fe", "jobs/%ed%a0%80"]
)
def test_unknown_jobs_are_not_found(client, path):
    reply = client.get(path)
    assert reply.status_code == 404 and reply.json()["error"]["code"] == "not_found"


def test_txt2txt_gives_the_result_of_the_same_job(client):
    reply = client.post("txt2txt", json={**QUICK, "prompt": "a dog"})
    assert reply.status_code == 200
    result = reply.json()
    again = client.ended(client.submit(**QUICK, prompt="a dog"))["result"]
    assert result["complete"] and result["text"] == again["text"] and result["trace"] == again["trace"]


def test_txt2txt_tells_why_there_is_no_text(client):
    reply = client.post("txt2txt", json={**QUICK, "rehearsal": {"fail": True}})
    error = reply.json()["error"]
    assert reply.status_code == 500 and error["code"] == "extension" and "rehearsal" in error["message"]


def test_txt2txt_gives_what_there_is_when_someone_cancels(client, server):
    body = json.dumps(SLOW).encode()
    before = {job["id"] for job in client.get("jobs").json()}
    with _post(server, body) as caller:
        id = wait_until(
            lambda: next((j["id"] for j in client.get("jobs").json() if j["id"] not in before), None)
        )
        client.running(id, progress=0.05)
        client.delete(f"jobs/{id}")
        caller.settimeout(10)
        head = caller.recv(65536)
    assert head.startswith(b"HTTP/1.1 200")
    assert client.job(id)["result"]["complete"] is False


def test_txt2txt_is_cancelled_when_the_caller_hangs_up(client, server):
    before = {job["id"] for job in client.get("jobs").json()}
    with _post(server, json.dumps(SLOW).encode()):
        id = wait_until(
            lambda: next((j["id"] for j in client.get("jobs").json() if j["id"] not in before), None)
        )
        client.running(id)
    began = time.monotonic()
    assert client.ended(id)["state"] == "cancelled"
    assert time.monotonic() - began < 2


def test_txt2txt_leaves_the_server_free_for_others(client, server):
    with _post(server, json.dumps(SLOW).encode()), _post(server, json.dumps(SLOW).encode()):
        for _ in range(5):
            began = time.monotonic()
            assert client.get("checkpoints").status_code == 200
            assert time.monotonic() - began < 1


def _post(server, body: bytes) -> socket.socket:
    """A connection that has sent a txt2txt request and has not read the reply."""
    connection = socket.create_connection(("127.0.0.1", server.port))
    head = f"POST /api/v1/txt2txt HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nContent-Type: application/json\r\n"
    connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    return connection


def test_a_job_can_go_on_from_where_another_one_was_stopped(client):
    """The whole path of pause and go on: cancel, post the request again with the trace it has."""
    request = {**QUICK, "length": 32, "steps": 32, "temperature": 0.7, "end_of_text": "ban"}
    whole = client.ended(client.submit(**request))["result"]
    id = client.submit(**request, rehearsal={"seconds": 0.1})
    client.running(id, progress=0.1)
    client.delete(f"jobs/{id}")
    stopped = client.ended(id)["result"]
    assert not stopped["complete"] and None in stopped["tokens"]
    again = client.ended(
        client.submit(**{**stopped["request"], "rehearsal": {}, "canvas": {"trace": stopped["trace"]}})
    )
    assert again["state"] == "done"
    assert [again["result"][name] for name in ("text", "trace", "tokens")] == [
        whole[name] for name in ("text", "trace", "tokens")
    ]
    assert 0 < again["result"]["statistics"]["forwards"] < 32


def test_a_job_as_a_table_and_as_files(client):
    sent = {**QUICK, "prompt": "a | b", "prompt_matrix": {"enabled": True}}
    id = client.submit(**sent)
    client.ended(id)
    table = client.get(f"jobs/{id}/table").json()
    assert table["axes"] == ["b"] and "text_metrics.words" in table["metrics"] and not table["failed"]
    assert [row["axes"]["b"] for row in table["rows"]] == [[False, "− b"], [True, "+ b"]]
    assert all(row["done"] and row["error"] is None and row["metrics"]["tokens"] for row in table["rows"])
    for name, kind in (("html", "text/html"), ("csv", "text/csv"), ("markdown", "text/markdown")):
        reply = client.get(f"jobs/{id}/export/{name}")
        assert reply.status_code == 200 and reply.headers["content-type"].startswith(kind)
        assert reply.headers["content-disposition"].startswith('attachment; filename="texts-')
    lines = client.get(f"jobs/{id}/export/jsonl").text.splitlines()
    assert len(lines) == 2 and "\n" not in lines[0]
    assert client.get(f"jobs/{id}/export/pdf").status_code == 404
    assert client.post(f"jobs/{id}/bounds").status_code == 200
    scored = wait_until(lambda: (found := client.get(f"jobs/{id}/table").json())["scoring"] is None and found)
    assert all(row["metrics"]["bound"] > 0 for row in scored["rows"])
    assert client.post(f"jobs/{id}/bounds").status_code == 404  # there is nothing left to score
    assert client.delete(f"jobs/{id}/bounds").status_code == 200
    assert client.get("jobs/none/table").status_code == 404
