"""Merging over HTTP: in a process of its own, watched, cancelled, refused in a sentence."""

from __future__ import annotations

import json

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
    assert call(app, "state") == {"state": "none", "done": 0.0, "said": "", "error": ""}
    assert (
        call(app, "start", method="slerp", a="A", b="B", weight=0.3, layers="1=0", out="mix")["state"]
        == "running"
    )
    with pytest.raises(ValueError, match="merging runs already"):
        call(app, "start", a="A", b="B", out="other")
    assert app.background.get("merging").wait(240)
    assert call(app, "state") == {"state": "done", "done": 1.0, "said": "", "error": ""}
    said = call(app, "options")
    assert said["checkpoints"] == ["A", "B", "mix"] and len(said["methods"]) == 9
    (merged,) = said["merged"]
    assert merged["name"] == "mix" and merged["recipe"]["layers"] == [[1, 0.0]]
    assert [name for name, _ in merged["recipe"]["parents"]] == ["A", "B"]


def test_a_difference_is_extracted_with_what_it_reports(app):
    call(app, "start", method="extract", a="A", b="B", rank=4, out="poet")
    assert app.background.get("merging").wait(240)
    state = call(app, "state")
    assert state["state"] == "done" and "relative error 0." in state["said"], state
    said = call(app, "options")
    assert said["loras"] == ["poet"] and said["paths"]
    fields = {one["name"]: one["fields"] for one in said["methods"]}
    assert fields["extract"] == ["b", "rank"] and fields["bake"] == ["lora", "weight"]
    assert fields["prune"] == ["data", "what", "remove", "choice"] and "c" not in fields["slerp"]


def test_how_a_pruned_checkpoint_was_made_is_listed(app):
    found = {"layers": [0], "units": [[]], "before": 5.5, "after": 5.6, "random": 5.7}
    recipe = {"parent": ["A", "x"], "what": "layers", "share": 0.5, "choice": "importance"}
    file = app.settings.checkpoints / "B" / "pruning.json"
    file.write_text(json.dumps({"recipe": recipe, "found": found}), "utf-8")
    (made,) = call(app, "options")["merged"]
    assert made["name"] == "B" and made["recipe"]["bounds"]["after"] == 5.6
    file.write_text('{"recipe": {}}', "utf-8")
    assert call(app, "options")["merged"] == []


def test_what_the_command_refuses_is_said(app):
    call(app, "start", a="A", b="B", method="add_difference", out="mix")
    assert app.background.get("merging").wait(240)
    state = call(app, "state")
    assert state["state"] == "failed"
    assert state["error"] == "The method add_difference needs a third checkpoint, --c."


def test_a_merge_is_cancelled(app):
    call(app, "start", a="A", b="B", out="mix")
    call(app, "cancel")
    assert app.background.get("merging").wait(240)
    assert call(app, "state")["state"] in ("stopped", "done")


@pytest.mark.parametrize(
    "sent, sentence",
    [
        ({"b": "B", "out": "mix"}, "Choose A."),
        ({"a": "A", "b": "B"}, "Give the new checkpoint a name."),
        ({"a": "A", "b": "B", "out": "../x"}, "A name has letters"),
        ({"a": "A", "b": "B", "out": "A"}, "There is a checkpoint A already; choose another name."),
        ({"a": "A", "b": "B", "out": "mix", "weight": "1"}, "weight: a number is expected."),
        ({"a": "A", "b": "../x", "out": "mix"}, "There is no checkpoint '../x'."),
        ({"a": "a\0b", "b": "B", "out": "mix"}, "There is no checkpoint 'a\\x00b'."),
        ({"a": "A", "b": "B", "out": "mix", "weight": 1e308}, "weight must be -10 to 10."),
        ({"a": "A", "b": "B", "out": "mix", "weight": float("nan")}, "weight must be -10 to 10."),
        ({"a": "A", "b": "B", "out": "mix", "density": 0}, "density must be above 0 and at most 1."),
        ({"method": "extract", "a": "A", "b": "B", "out": "x", "rank": 0}, "rank must be 1 to 1024."),
        ({"a": "A", "b": "B", "out": "mix", "layers": "0=99"}, "--layers says '0=99'"),
        ({"a": 1, "b": "B", "out": "mix"}, "a: a text is expected."),
        ({"method": "bake", "a": "A", "out": "x"}, "Choose a LoRA."),
        ({"method": "extract", "a": "A", "out": "x"}, "Choose B."),
        ({"method": "extract", "a": "A", "b": "B"}, "Give the new LoRA a name."),
        ({"method": "prune", "a": "A", "out": "x"}, "Choose a text."),
        ({"method": "prune", "a": "A", "out": "x", "data": "nothing.txt"}, "There is no file nothing.txt."),
        ({"method": "prune", "a": "A", "out": "x", "data": "a\0b"}, "There is no file a\0b."),
        ({"method": "prune", "a": "A", "out": "x", "data": "~nobody/x"}, "There is no file x."),
        (
            {"method": "prune", "a": "A", "out": "x", "data": "\ud800"},
            "data: contains half of a surrogate pair",
        ),
        ({"method": "stir", "a": "A", "out": "x"}, "There is no method 'stir'."),
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


def test_a_merge_takes_no_name_of_a_checkpoint_in_another_folder(tmp_path):
    for folder, name in (("models", "A"), ("models", "B"), ("more", "C")):
        llada(tmp_path / folder / "checkpoints" / name)
    folders = {"models": tmp_path / "models", "more_models": (tmp_path / "more",), "data": tmp_path / "data"}
    app = App(Settings(**folders, model="A", threads=1))
    with pytest.raises(ValueError, match="There is a checkpoint C already"):
        call(app, "start", a="A", b="B", out="C")
    app.close()
