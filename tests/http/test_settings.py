"""Settings, presets, restoring and Markdown over HTTP, of a real server and its files."""

from __future__ import annotations

import json

import pytest

from tests.conftest import serve
from tests.http.conftest import QUICK, Client
from tests.http.test_refusals import refused

FILE = "# mine\nkeep_history = true  # all of them\n"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("settings")
    (folder / "settings.toml").write_text(FILE)
    return folder


@pytest.fixture(scope="module")
def own(flags, place, warm):
    """A server of this file's own: its settings change."""
    with serve("--api", "--port", "0", *flags, data=place, start=warm.start) as running:
        with Client(base_url=f"{running.url}/api/v1/", timeout=300) as client:
            yield client


def test_settings_are_told_with_what_can_be_changed(own, place):
    told = own.get("settings").json()
    assert set(told) == {
        "values",
        "schema",
        "changeable",
        "restart",
        "file",
        "outdated",
        "soon",
        "restartable",
    }
    assert told["file"] == str(place / "settings.toml") and not told["outdated"]
    assert set(told["values"]) == set(told["schema"]["properties"]) and told["values"]["data"] == str(place)
    assert all(info["description"] for info in told["schema"]["properties"].values())
    assert set(told["restart"]) < set(told["changeable"]) < set(told["values"])


def test_a_change_acts_and_is_written(own, place):
    told = own.patch(
        "settings", json={"keep_history": False, "quick_settings": ["steps"], "theme": "dark"}
    ).json()
    assert told["values"]["quick_settings"] == ["steps"] and own.get("settings").json() == told
    assert (place / "settings.toml").read_text() == FILE.replace(
        "= true", "= false"
    ) + 'theme = "dark"\nquick_settings = ["steps"]\n'
    own.post("txt2txt", json=QUICK)
    assert own.get("history").json()["all"] == 0
    own.patch("settings", json={"keep_history": True})
    own.post("txt2txt", json=QUICK)
    assert own.get("history").json()["all"] == 1


@pytest.mark.parametrize(
    "name", ["host", "port", "allowed_hosts", "models", "extensions", "data", "threads", "max_body"]
)
def test_folders_and_addresses_cannot_be_changed_from_outside(own, place, name):
    before, value = (place / "settings.toml").read_text(), own.get("settings").json()["values"][name]
    for sent in (value, "/", "0.0.0.0", None):
        assert "settings.toml" in refused(own.patch("settings", json={"theme": "light", name: sent}), 403)
    assert (place / "settings.toml").read_text() == before


def test_wrong_changes(own, place):
    before = (place / "settings.toml").read_text()
    for body in (
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"theme": "pink"}',
        b'{"keep_history": 1}',
        b'{"x": 1}',
        b"[" * 90_000,
        b'{"theme": NaN}',
    ):
        refused(own.patch("settings", content=body, headers={"content-type": "application/json"}), 422)
    refused(own.patch("settings", json={"theme": "light"}, headers={"origin": "http://evil.example"}), 403)
    refused(own.patch("settings", content=b'{"theme": "light"}', headers={"content-type": "text/plain"}), 415)
    assert "checkpoint" in refused(own.patch("settings", json={"model": "../../etc"}), 422)
    assert (place / "settings.toml").read_text() == before


# -- presets -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["Night", "a/b", "%2e%2e%2f", "Älpler 猫", "<script>", "a%20b%3Fc%23", "x" * 80]
)
def test_presets_are_put_listed_used_and_deleted(own, place, name):
    fields = {"steps": 3, "guidance": {"scale": 2.0}, "lost": {"x": 1}}
    told = own.put(f"presets/{name}", json={"request": fields}).json()
    assert told["request"] == fields and own.get("presets").json() == [told]
    restored = own.post("restore", json=told).json()
    assert restored["request"]["steps"] == 3 and restored["unknown"] == {"lost": {"x": 1}}
    assert own.put(f"presets/{name}", json={"request": {"steps": 4}}).json()["request"] == {"steps": 4}
    assert own.delete(f"presets/{name}").json() == {"name": told["name"]} and own.get("presets").json() == []
    assert not list((place / "presets").iterdir())
    refused(own.delete(f"presets/{name}"), 404)


def test_wrong_presets(own):
    for body in (
        {},
        [],
        {"request": []},
        {"request": {"steps": 0}},
        {"request": {}, "more": 1},
        {"steps": 3},
    ):
        refused(own.put("presets/a", json=body), 422)
    for name in ("%00", "%20a", "x" * 81):
        assert "name" in refused(own.put(f"presets/{name}", json={"request": {}}), 422)
    refused(own.put("presets/a", json={"request": {}}, headers={"origin": "http://evil.example"}), 403)
    assert own.get("presets").json() == []


# -- files that are dropped ----------------------------------------------------------------------------------


def test_any_saved_thing_is_read_back(own):
    request = {
        **QUICK,
        "prompt": "the cat",
        "guidance": {"scale": 2.0, "negative_prompt": "rain", "start": 0.0, "end": 1.0},
    }
    result = own.post("txt2txt", json={**request, "count": 2}).json()
    stored = own.get(f"history/{result['parts'][0]['id']}").json()
    for saved in (request, result, stored, stored["request"], {"name": "x", "request": request}):
        told = own.post("restore", json=saved).json()
        assert told["unknown"] == {} and told["notes"] == []
        read = {name: told["request"][name] for name in request} | {"seed": 1}
        read["guidance"] = {name: read["guidance"][name] for name in request["guidance"]}
        assert read == request
    again = own.post("txt2txt", json=own.post("restore", json=stored).json()["request"]).json()
    assert again["text"] == stored["text"]


def test_what_is_not_here_is_told_kept_and_nothing_is_lost(own):
    many = {f"lost{k}": {"x": k} for k in range(500)}
    told = own.post("restore", json={"prompt": "a", "model": "gone", "sampler": "gone", **many}).json()
    assert told["unknown"] == many == told["request"]["unknown"] and told["request"]["model"] == "gone"
    assert told["missing"] == {"model": "gone", "sampler": "gone"}
    assert 3 <= len(told["notes"]) < 20 and all(note.endswith(".") for note in told["notes"])
    hostile = own.post(
        "restore", json={"prompt": "a", "model": "<script>" * 1000, "</script>" * 1000: 1}
    ).json()
    assert all(len(note) < 300 for note in hostile["notes"])


NONE = [
    b"",
    b"{",
    b"[]",
    b"null",
    b'"prompt"',
    b"{}",
    b'{"name": "left-pad"}',
    b'{"steps": 0}',
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b"\xff",
]


@pytest.mark.parametrize("body", NONE, ids=lambda body: repr(body[:20]))
def test_other_files_are_refused_in_a_sentence(own, body):
    refused(own.post("restore", content=body, headers={"content-type": "application/json"}), 422)


@pytest.mark.parametrize("value", ["NaN", "1e999", '"\\udc00"', "[" * 200 + "]" * 200])
def test_what_json_cannot_hold_is_refused(own, value):
    body = f'{{"prompt": "a", "lost": {{"x": {value}}}}}'.encode()
    refused(own.post("restore", content=body, headers={"content-type": "application/json"}), 422)


def test_markdown(own):
    text = "**b** <script>alert(1)</script> [x](javascript:y) ![i](http://e.example/i.png)\n\n\u202eabc"
    html = own.post("markdown", json={"text": text}).json()["html"]
    assert (
        "<strong>b</strong>" in html
        and "&lt;script&gt;" in html
        and "<img" not in html
        and 'href="javascript' not in html
    )
    for body in ({}, {"text": 1}, {"text": "a", "html": True}, {"text": "a" * 100_001}):
        refused(own.post("markdown", json=body), 422)
    assert own.post(
        "markdown", content=json.dumps({"text": "\x00 😀"}), headers={"content-type": "application/json"}
    ).is_success
