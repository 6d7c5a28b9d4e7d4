"""Merging over HTTP: in a process of its own, watched, cancelled, refused in a sentence."""

from __future__ import annotations

import pytest

from tests.tiny_checkpoints import llada
from webui.application import App
from webui.settings import Settings


@pytest.fixture
def app(tmp_path):
    for seed, name in enumerate("AB"):
        llada(tmp_path / "models" / "checkpoints" / name, seed=seed)
    app = App(Settings(models=tmp_path / "models", data=tmp_path / "data", model="A", threads=1))
    yield app
    app.close()


def call(app, route, **sent):
    return app.registry.call("checkpoint_merger", route, app, sent)


def test_a_merge_is_watched_and_its_recipe_listed(app):
    assert call(app, "state") == {"state": "none", "done": 0.0, "error": ""}
    assert (
        call(app, "start", method="slerp", a="A", b="B", weight=0.3, layers="1=0", out="mix")["state"]
        == "running"
    )
    with pytest.raises(ValueError, match="merging runs already"):
        call(app, "start", a="A", b="B", out="other")
    assert app.background.get("merging").wait(60)
    assert call(app, "state") == {"state": "done", "done": 1.0, "error": ""}
    said = call(app, "options")
    assert said["checkpoints"] == ["A", "B", "mix"] and len(said["methods"]) == 6
    (merged,) = said["merged"]
    assert merged["name"] == "mix" and merged["recipe"]["layers"] == [[1, 0.0]]
    assert [name for name, _ in merged["recipe"]["parents"]] == ["A", "B"]


def test_what_the_command_refuses_is_said(app):
    call(app, "start", a="A", b="B", method="add_difference", out="mix")
    assert app.background.get("merging").wait(60)
    state = call(app, "state")
    assert state["state"] == "failed"
    assert state["error"] == "The method add_difference needs a third checkpoint, --c."


def test_a_merge_is_cancelled(app):
    call(app, "start", a="A", b="B", out="mix")
    call(app, "cancel")
    assert app.background.get("merging").wait(60)
    assert call(app, "state")["state"] in ("stopped", "done")


@pytest.mark.parametrize(
    "sent, sentence",
    [
        ({"b": "B", "out": "mix"}, "Choose A."),
        ({"a": "A", "b": "B"}, "Give the new checkpoint a name."),
        ({"a": "A", "b": "B", "out": "../x"}, "A name has letters"),
        ({"a": "A", "b": "B", "out": "A"}, "There is a checkpoint A already; choose another name."),
        ({"a": "A", "b": "B", "out": "mix", "weight": "1"}, "weight: a number is expected."),
        ({"a": 1, "b": "B", "out": "mix"}, "a: a text is expected."),
        ({"aa": "A"}, "There is no field 'aa'."),
    ],
)
def test_refusals(app, sent, sentence):
    with pytest.raises(ValueError) as error:
        call(app, "start", **sent)
    assert (
        str(error.value).startswith(f"checkpoint_merger: {sentence}")
        and app.background.get("merging") is None
    )
