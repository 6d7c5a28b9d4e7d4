"""Checkpoints over HTTP: the folder as it is now, loading and unloading, faults, and prompts counted in
tokens."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import serve, wait_until
from tests.http.conftest import QUICK, SLOW
from tests.tiny_checkpoints import BROKEN, llada

BAD = ("missing tensor", "wrong shape", "truncated", "pickle only")


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A models folder of this file's own: two whole checkpoints, one of them in a subfolder, and broken
    ones."""
    folder = tmp_path_factory.mktemp("place")
    llada(folder / "models" / "checkpoints" / "storyteller")
    llada(folder / "models" / "checkpoints" / "more" / "other", seed=2)
    for name in BAD:
        BROKEN[name](folder / "models" / "checkpoints" / name)
    (folder / "models" / "checkpoints" / "no json").mkdir()
    (folder / "models" / "checkpoints" / "no json" / "config.json").write_text("{", "utf-8")
    return folder


@pytest.fixture(scope="module")
def server(place, extensions, warm):
    flags = ["--models", str(place / "models"), "--built-in", str(extensions), "--threads", "1"]
    own = ("--api", "--port", "0", "--no-preload")
    with serve(*own, *flags, data=place / "data", start=warm.start) as running:
        yield running
        assert running.process.poll() is None, f"the server died: {running.errors.read_text()}"


def entries(client) -> dict[str, dict]:
    return {entry["name"]: entry for entry in client.get("checkpoints").json()}


def test_it_is_loaded_and_unloaded(client):
    for name in ("more/other", "storyteller"):
        reply = client.post(f"checkpoints/{name}/load")
        assert reply.status_code == 202
        wait_until(lambda name=name: entries(client)[name]["loaded"])
        assert [entry["name"] for entry in entries(client).values() if entry["loaded"]] == [name]
    assert client.post("checkpoints/unload").status_code == 202
    wait_until(lambda: not any(entry["loaded"] for entry in entries(client).values()))
    assert client.ended(client.submit(**QUICK))["state"] == "done"


def test_progress_is_reported_to_the_job_and_to_all(client):
    client.post("checkpoints/unload")
    wait_until(lambda: not entries(client)["storyteller"]["loaded"])
    updates = client.updates(client.submit(**QUICK))
    reported = [update["loading"]["done"] for update in updates if update["loading"]]
    assert reported == sorted(reported) and all(0 <= done < 1 for done in reported)
    assert updates[-1]["loading"] is None and entries(client)["storyteller"]["loaded"]


def test_loading_waits_for_the_job_that_runs(client):
    id = client.submit(**SLOW)
    client.running(id)
    assert client.post("checkpoints/more/other/load").json()["wanted"] == ["more/other"]
    assert client.post("checkpoints/more/other/load").json()["wanted"] == ["more/other"], "not twice"
    assert client.job(id)["state"] == "running"
    client.delete(f"jobs/{id}")
    wait_until(lambda: entries(client)["more/other"]["loaded"])


@pytest.mark.parametrize("name", ["missing tensor", "wrong shape"])
def test_what_fails_is_reported_and_what_is_loaded_stays(client, name):
    client.post("checkpoints/storyteller/load")
    wait_until(lambda: entries(client)["storyteller"]["loaded"])
    assert client.post(f"checkpoints/{name}/load").status_code == 202
    failed = wait_until(lambda: entries(client)[name]["failed"])
    assert name in failed and failed.endswith(".") and "\n" not in failed
    assert entries(client)["storyteller"]["loaded"]
    assert client.ended(client.submit(**QUICK))["state"] == "done"


@pytest.mark.parametrize("name", ["truncated", "pickle only", "no json"])
def test_what_cannot_be_used_is_listed_with_its_reason_and_refused(client, name):
    reported = entries(client)[name]["error"]
    assert reported.endswith(".") and not entries(client)[name]["loaded"]
    reply = client.post(f"checkpoints/{name}/load")
    assert reply.status_code == 422 and reported in reply.json()["error"]["message"]


@pytest.mark.parametrize("name", ["nobody", "..", "../secrets", "%2e%2e/x"])
def test_names_that_are_not_there_are_not_found(client, name):
    assert client.post(f"checkpoints/{name}/load").status_code in (404, 405)


def test_a_folder_that_is_added_is_found_and_one_that_goes_is_gone(client, place):
    folder = llada(place / "models" / "checkpoints" / "new", seed=7)
    assert entries(client)["new"]["error"] is None and entries(client)["new"]["parameters"] > 1000
    for file in folder.iterdir():
        file.unlink()
    assert "new" not in entries(client)


@pytest.mark.process
def test_tokens_are_counted_without_loading(client):
    client.post("checkpoints/unload")
    wait_until(lambda: not any(entry["loaded"] for entry in entries(client).values()))
    raw = client.post("tokens", json={"text": "the fox and the hen", "template": "raw"}).json()
    auto = client.post("tokens", json={"text": "the fox and the hen", "model": "more/other"}).json()
    assert (
        raw["tokens"] == raw["prompt_tokens"] == auto["tokens"] < auto["prompt_tokens"]
        and auto["max_length"] == 256
    )
    assert client.post("tokens", json={}).json()["tokens"] == 0
    assert not any(entry["loaded"] for entry in entries(client).values())
    for body in ({"text": 1}, {"texts": ""}, {"model": "nobody"}, {"template": "x"}):
        reply = client.post("tokens", json=body)
        assert reply.status_code == 422 and reply.json()["error"]["message"].endswith(".")
