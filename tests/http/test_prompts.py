"""Prompts while they are typed, over HTTP: marks, completions, previews; bounded, and cancelled by hanging up."""

from __future__ import annotations

import time

import httpx
import pytest

from tests.conftest import wait_until


def test_what_acts_is_told(client):
    sent = {"request": {"prompt": "a ____ 猫 [[...0]]", "temperature": "nonsense", "nobody": 1}}
    told = client.post("prompts/marks", json=sent).json()
    assert told["failed"] == {}
    assert [(mark["start"], mark["end"], mark["effect"], mark["extension"]) for mark in told["marks"]] == [
        (2, 6, "acts", "infill"),
        (9, 17, "refused", "infill"),
    ]
    assert told["marks"][1]["about"].startswith("Column 10: ")
    assert told["marks"][1]["values"]["column"] == 10


def test_completions_are_told(client):
    told = client.post("prompts/complete", json={"request": {"prompt": "a [[ b"}, "cursor": 4}).json()
    assert [one["text"] for one in told["completions"]][:1] == ["[[...]]"]


@pytest.mark.parametrize(
    "sent, sentence",
    [
        ({"request": {}}, "prompt: there is no text in this field."),
        ({"request": {"prompt": 1}}, "prompt: there is no text in this field."),
        ({"request": {"prompt": ""}, "field": "guidance.nope"}, "guidance.nope: there is no text"),
        ({"request": {"prompt": "a" * 100_001}}, "prompt: at most 100000 characters."),
        ({"request": {"prompt": ""}, "cursor": 1}, "cursor: the text has 0 characters."),
        ({}, "request: Field required"),
    ],
)
def test_what_cannot_be_looked_at_is_refused_in_one_sentence(client, sent, sentence):
    call = "prompts/complete" if "cursor" in sent else "prompts/marks"
    reply = client.post(call, json=sent)
    assert reply.status_code == 422 and sentence in reply.json()["error"]["message"]


def test_a_preview_shows_what_the_model_is_given(client):
    sent = {"prompt": "a | b | ____", "prompt_matrix": {"enabled": True}, "count": 2, "seed": 5}
    told = client.post("prompts/preview", json=sent).json()
    assert told["texts"] == 8 and len(told["shown"]) == 8
    assert told["shown"][0]["prompts"] == {"main": "a"} and told["shown"][0]["answer"] is None
    assert told["shown"][2]["prompts"] == {"main": "a, b"} and told["shown"][3]["seed"] == 6
    assert told["shown"][4]["answer"] == "a, …" and told["shown"][4]["notes"]
    assert told["shown"][4]["answer_from"] == "infill" and told["shown"][0]["answer_from"] == ""
    reply = client.post("prompts/preview", json={"prompt": "a", "prompt_matrix": {"enabled": True}})
    assert reply.status_code == 422 and "no |" in reply.json()["error"]["message"]
    told = client.post("prompts/preview", json={"prompt": "a [[...0]]"}).json()
    assert told["texts"] == 1 and told["shown"][0]["error"].startswith("infill: column 3: ")


def spinning(path) -> dict:
    """A request in which a hook for typed text never returns, and counts in a file."""
    return {"prompt": "a", "rehearsal": {"spin": True, "hook": "marks", "calls": str(path)}}


def test_hanging_up_ends_the_hook(client, tmp_path):
    path = tmp_path / "calls"
    client.post("prompts/marks", json={"request": {"prompt": "a"}})  # the process that asks hooks is there
    with pytest.raises(httpx.ReadTimeout):
        client.post("prompts/marks", json={"request": spinning(path)}, timeout=1.5)
    assert wait_until(lambda: path.exists() and path.stat().st_size)

    def rests():
        before = path.stat().st_size
        time.sleep(0.3)
        return path.stat().st_size == before

    assert wait_until(rests)
    assert client.post("prompts/marks", json={"request": {"prompt": "a"}}).status_code == 200


def test_a_hook_that_does_not_return_is_given_up_by_name(client, tmp_path):
    reply = client.post("prompts/marks", json={"request": spinning(tmp_path / "calls")})
    assert reply.status_code == 500 and reply.json()["error"]["code"] == "extension"
    assert reply.json()["error"]["message"].startswith("rehearsal: did not return within 5 s")
