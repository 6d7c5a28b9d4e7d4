"""Calls that extensions answer, over HTTP."""

from __future__ import annotations

import pytest


def test_an_extension_answers(client):
    told = client.post("extensions/styles/list", json={})
    assert told.status_code == 200 and isinstance(told.json()["styles"], list)


@pytest.mark.parametrize(
    "path, content, status, sentence",
    [
        ("styles/nothing", "{}", 404, "The extension styles has no call nothing."),
        ("nobody/list", "{}", 404, "There is no extension nobody."),
        ("styles/save", "{}", 422, "styles: name: Field required."),
        ("styles/save", "[1]", 422, "A JSON object is expected."),
        ("styles/save", "{", 422, "This is not JSON: "),
        ("styles/save", "[" * 100_000, 422, "This is not JSON: "),
        ("styles/save", '{"name": "\\ud800", "prompt": "x"}', 422, "styles: name: contains half"),
        ("styles/save", '{"name": "x", "prompt": "\\ud800"}', 422, "styles: prompt: "),
    ],
)
def test_what_cannot_be_answered_is_refused_in_one_sentence(client, path, content, status, sentence):
    headers = {"Content-Type": "application/json"}
    reply = client.post(f"extensions/{path}", content=content, headers=headers)
    assert reply.status_code == status and reply.json()["error"]["message"].startswith(sentence)
