"""Training over HTTP: a run in a process of its own, stopped, gone on with by another server, refused in a
sentence."""

from __future__ import annotations

import json

import pytest

from tests.conftest import wait_until
from tests.extensions.training.test_adapt import ancestor
from tests.tiny_checkpoints import llada
from webui.application import App
from webui.settings import Settings

SMALL = {"every": 4, "batch": 2, "length": 16, "rank": 2, "rate": 0.02}


@pytest.fixture
def server(tmp_path):
    """`server()` is another App of the same folders, as after a restart."""
    llada(tmp_path / "models" / "checkpoints" / "storyteller")
    made = []

    def start(**settings) -> App:
        made.append(App(Settings(models=tmp_path / "models", data=tmp_path / "data", threads=1, **settings)))
        return made[-1]

    yield start
    for app in made:
        app.close()


def call(app, route, **sent):
    return app.registry.call("training", route, app, sent)


def test_a_run_is_watched_stopped_and_gone_on_with_after_a_restart(server, tmp_path):
    app = server()
    text = "The cat sat on the stone and sang to the wind. "
    assert call(app, "upload", name="poet", file="a.txt", text=text * 40)["bytes"] == 40 * len(text)
    call(app, "upload", name="poet", file="a.txt", text=text * 20, more=True)
    assert (
        call(app, "start", name="poet", steps=4000, trigger="thou", sample="a cat", **SMALL)["state"]
        == "running"
    )
    with pytest.raises(ValueError, match="is being trained"):
        call(app, "start", name="poet", steps=4)
    with pytest.raises(ValueError, match="stop it first"):
        call(app, "forget", name="poet")
    run = wait_until(lambda: (one := call(app, "run", name="poet"))["step"] >= 4 and one["best"] and one)
    app.background.get("training poet").stop()
    assert app.background.get("training poet").wait(60)
    before = call(app, "run", name="poet")
    assert before["state"] == "stopped" and before["step"] < 4000 and run["without"] == before["without"]
    assert [line for line in before["log"] if line.get("sample")]
    assert not list((tmp_path / "data").glob("history/**/*.json")), "samples are not saved as texts"

    said = tmp_path / "models" / "loras" / ".training-poet" / "run.json"
    flags = json.loads(said.read_text())
    said.write_text(json.dumps(flags))  # the flags that it was started with: a restart knows no more
    other = server()
    (listed,) = call(other, "runs")["runs"]
    assert listed["state"] == "stopped" and listed["step"] == before["step"]
    call(other, "resume", name="poet")
    wait_until(lambda: call(other, "run", name="poet")["step"] > before["step"] + 4)
    call(other, "stop", name="poet")
    assert other.background.get("training poet").wait(60)
    assert call(other, "run", name="poet")["ready"]
    about = json.loads((tmp_path / "models" / "loras" / "poet" / "about.json").read_text())
    assert about["trigger_words"] == ["thou"] and about["preview"]
    assert call(other, "forget", name="poet")["runs"] == [] and not said.parent.exists()


def test_every_weight_is_trained_into_a_checkpoint(server, tmp_path):
    app, text = server(), "The cat sat on the stone and sang to the wind. " * 40
    call(app, "upload", name="poet", kind="soft-prompt", file="a.txt", text=text)  # and then chosen otherwise
    call(app, "upload", name="poet", kind="full", file="a.txt", text=text)
    place = tmp_path / "models" / "checkpoints"
    assert not (tmp_path / "models" / "embeddings" / ".training-poet").exists()
    call(app, "start", name="poet", kind="full", steps=4, **SMALL)
    with pytest.raises(ValueError, match="There is a training of poet of another kind; choose another name"):
        call(app, "start", name="poet", steps=4)
    assert app.background.get("training poet").wait(60)
    (run,) = call(app, "runs")["runs"]
    assert (run["kind"], run["state"], run["ready"]) == ("full", "done", True), run
    assert (place / "poet" / "finetune.json").is_file() and "poet" in app.checkpoints.names()
    with pytest.raises(ValueError, match="There is a checkpoint poet already; choose another name."):
        call(app, "start", name="poet", kind="full", steps=4)


def test_a_run_that_fails_says_why(server):
    app = server()
    call(app, "upload", name="poet", file="a.jsonl", text='{"pages": 3}\n')
    call(app, "start", name="poet", steps=2)
    assert app.background.get("training poet").wait(60)
    run = call(app, "run", name="poet")
    assert run["state"] == "failed" and "has no `text`" in run["error"]


@pytest.mark.parametrize(
    "route, sent, sentence",
    [
        ("start", {"name": "poet"}, "Choose a text to learn from."),
        ("start", {"name": "../poet"}, "A name has letters, digits, blanks, dots, + and -"),
        ("start", {"name": "poet "}, "A name has letters, digits, blanks, dots, + and -, begins"),
        ("start", {"name": "poet", "path": "/nowhere/poems.txt"}, "There is no file poems.txt."),
        ("start", {"name": "poet", "steps": "many"}, "steps: a number is expected."),
        ("start", {"name": "poet", "steps": True}, "steps: a number is expected."),
        ("start", {"name": "poet", "kind": "none"}, "kind: choose lora, qlora, soft-prompt, full."),
        ("start", {"nam": "poet"}, "There is no field 'nam'."),
        ("start", {}, "name: Field required."),
        (
            "upload",
            {"name": "poet", "text": "x", "file": "a.pdf"},
            "Send a text (.txt) or lines of JSON (.jsonl).",
        ),
        ("upload", {"name": "poet", "text": "x", "more": True}, "The first piece of this text is missing"),
        ("upload", {"name": "poet", "text": "\ud800"}, "text: contains half of a surrogate pair"),
        ("resume", {"name": "poet"}, "There is no training of poet."),
    ],
)
def test_refusals(server, tmp_path, route, sent, sentence):
    app = server()
    with pytest.raises(ValueError) as error:
        call(app, route, **sent)
    assert str(error.value).startswith(f"training: {sentence}")
    assert not list((tmp_path / "models").glob("loras/*"))


@pytest.mark.parametrize(
    "number, sentence",
    [
        ({"steps": 0}, "steps must be 1 to 10000000."),
        ({"rank": 10**9}, "rank must be 1 to 1024."),
        ({"every": 0}, "every must be 1 to 1000000."),
        ({"batch": 0}, "batch must be 1 to 4096."),
        ({"rate": float("nan")}, "rate must be above 0 and at most 1."),
        ({"rate": 1e308}, "rate must be above 0 and at most 1."),
    ],
)
def test_numbers_out_of_range_are_refused_before_a_process_starts(server, tmp_path, number, sentence):
    (tmp_path / "a.txt").write_text("a cat")
    app = server()
    with pytest.raises(ValueError) as error:
        call(app, "start", name="poet", path=str(tmp_path / "a.txt"), **number)
    assert str(error.value) == f"training: {sentence}" and app.background.get("training poet") is None


def test_files_of_the_machine_are_read_only_where_it_serves_itself(server, tmp_path):
    (tmp_path / "a.txt").write_text("a cat")
    app = server(host="0.0.0.0", allowed_hosts=("here",))
    with pytest.raises(ValueError, match="only read where it serves that machine alone"):
        call(app, "start", name="poet", path=str(tmp_path / "a.txt"))
    assert call(app, "runs")["paths"] is False


def test_an_autoregressive_checkpoint_is_adapted(server, tmp_path):
    ancestor(tmp_path / "models" / "autoregressive" / "plain")
    (tmp_path / "models" / "autoregressive" / "broken").mkdir()
    (tmp_path / "models" / "autoregressive" / "broken" / "config.json").write_text("no")
    app, text = server(), "The cat and the hen sat on the stone and sang to the wind. " * 60
    assert call(app, "runs")["autoregressive"] == ["autoregressive/plain"]
    call(app, "upload", name="teller", file="a.txt", text=text)
    with pytest.raises(ValueError, match="as a LoRA or with every weight"):
        call(app, "start", name="teller", kind="qlora", model="autoregressive/plain", steps=4, **SMALL)
    call(app, "start", name="teller", model="autoregressive/plain", steps=4, **SMALL)
    run = wait_until(lambda: (one := call(app, "run", name="teller"))["state"] != "running" and one)
    assert (run["state"], run["error"], run["model"], run["ready"]) == ("done", "", "plain-masked", True)
    assert "plain-masked" in call(app, "runs")["models"]
