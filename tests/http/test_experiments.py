"""Experiments over HTTP: listed, resumed with other values, refused in sentences, deleted."""

from __future__ import annotations

from tests.http.conftest import QUICK, SLOW

GRID = {"x_field": "seed", "x_values": "1-3"}


def ids(job: dict) -> list[str]:
    return [part["id"] for part in job["result"]["parts"]]


def test_an_interrupted_experiment_goes_on_with_more_values(client):
    id = client.submit(**QUICK, xyz_grid=GRID)
    first = client.ended(id)
    assert first["experiment"] == id
    one = next(one for one in client.get("experiments").json() if one["id"] == id)
    assert (one["texts"], one["done"], one["failed"], one["running"]) == (3, 3, 0, None)
    more = {"request": {**QUICK, "xyz_grid": {**GRID, "x_values": "3, 1, 5"}}}
    reply = client.post(f"experiments/{id}/resume", json=more)
    assert reply.status_code == 201 and reply.json()["experiment"] == id
    again = client.ended(reply.json()["id"])
    assert ids(again)[:2] == [ids(first)[2], ids(first)[0]] and ids(again)[2] not in ids(first)
    again = client.ended(client.post(f"experiments/{id}/resume", json={"writes": "nothing"}).json()["id"])
    assert len(ids(again)) == 3
    vote = {"job": id, "a": "0", "b": "1", "better": "b"}
    assert client.post(f"experiments/{id}/votes", json=vote).status_code == 201
    assert client.get(f"jobs/{id}/table").json()["rows"][1]["metrics"]["votes.share"] == 1
    assert client.post(f"experiments/{id}/votes", json={**vote, "job": "0"}).status_code == 404
    assert client.post(f"experiments/{id}/votes", json={**vote, "b": "0"}).status_code == 422
    assert client.delete(f"experiments/{id}").json() == {"id": id}
    assert client.get(f"experiments/{id}").status_code == 404
    assert client.get(f"history/{ids(first)[0]}").status_code == 200


def test_what_cannot_be_is_refused(client):
    for path in ("experiments/" + "0" * 16, "experiments/..%2fhistory"):
        assert client.get(path).status_code == 404
        assert client.delete(path).status_code == 404
    assert client.post("experiments/" + "0" * 16 + "/resume", json={}).status_code == 404
    id = client.submit(**SLOW, xyz_grid=GRID)
    client.running(id)
    assert client.get(f"experiments/{id}").json()["running"] == id
    reply = client.post(f"experiments/{id}/resume", json={})
    assert reply.status_code == 429 and reply.json()["error"]["message"] == "This experiment runs already."
    assert client.delete(f"experiments/{id}").status_code == 429
    client.delete(f"jobs/{id}")
    client.ended(id)
    wrong = client.post(f"experiments/{id}/resume", json={"request": {"steps": "a"}})
    assert wrong.status_code == 422 and "steps" in wrong.json()["error"]["message"]
    assert client.post(f"experiments/{id}/resume", json={"writes": "all"}).status_code == 422
    assert client.delete(f"experiments/{id}").status_code == 200
