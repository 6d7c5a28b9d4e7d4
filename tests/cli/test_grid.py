"""`grid`: the texts of a request in a file, events, tables, and what is refused."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import pytest

EXPERIMENT = """
prompt = "the cat"
length = 8
steps = 2
seed = 5
template = "raw"

[xyz_grid]
x_field = "temperature"
x_values = "0, 1"
y_field = "prompt"
y_values = "cat, dog"
"""


@pytest.fixture
def experiment(tmp_path):
    def made(text: str = EXPERIMENT, name: str = "experiment.toml"):
        path = tmp_path / name
        path.write_text(text, "utf-8")
        return path

    return made


def test_it_prints_a_table(run, experiment):
    ran = run("grid", str(experiment()))
    lines = ran.out.splitlines()
    assert ran.status == 0 and len(lines) == 6
    assert lines[0].startswith("| prompt | temperature | text |")
    assert "4 texts, 2 model calls" in ran.err and "4/4" in ran.err


def test_it_writes_every_kind_of_table(run, experiment, tmp_path):
    names = {"html": "t.html", "csv": "t.csv", "jsonl": "sub/t.jsonl", "markdown": "t.md"}
    paths = {name: tmp_path / path for name, path in names.items()}
    ran = run(
        "grid", str(experiment()), *(x for name, path in paths.items() for x in (f"--{name}", str(path)))
    )
    assert ran.status == 0 and ran.out == ""
    assert paths["html"].read_text("utf-8").startswith("<!doctype html>")
    lines = list(csv.DictReader(io.StringIO(paths["csv"].read_text("utf-8"))))
    objects = [json.loads(line) for line in paths["jsonl"].read_text("utf-8").splitlines()]
    assert [line["text"] for line in lines] == [one["text"] for one in objects]
    assert [one["axes"] for one in objects] == [
        {"prompt": prompt, "temperature": temperature} for prompt in ("cat", "dog") for temperature in (0, 1)
    ]
    assert paths["markdown"].read_text("utf-8").count("\n") == 6


def test_events_are_one_object_for_each_text(run, experiment):
    ran = run("grid", str(experiment()), "--events")
    events = [json.loads(line) for line in ran.out.splitlines()]
    assert sorted(event["cell"] for event in events) == list("0123")
    assert all(event["state"] == "done" and event["text"] and event["error"] is None for event in events)


def test_an_estimate_writes_nothing(run, experiment):
    ran = run("grid", str(experiment()), "--estimate")
    assert ran.status == 0 and ran.out.startswith(
        "4 texts, 2 model calls"
    )  # and seconds, once some were measured
    assert len(ran.out.splitlines()) == 1


def test_json_and_more_than_a_thousand(run, experiment):
    request = {"prompt": "a", "length": 4, "steps": 1, "xyz_grid": {"x_field": "seed", "x_values": "1-1001"}}
    path = str(experiment(json.dumps(request), "many.json"))
    ran = run("grid", path)
    assert ran.status == 2 and "Set confirm to write more than 1000" in ran.err and ran.out == ""
    assert run("grid", path, "--confirm", "--estimate").out.startswith("1001 texts")


def test_a_text_that_fails_has_its_sentence_and_the_others_are_written(run, experiment):
    text = 'prompt = "a"\nsteps = 1\nseed = 1\n[xyz_grid]\nx_field = "length"\nx_values = "4, 32768"\n'
    ran = run("grid", str(experiment(text)), "--events")
    events = {event["cell"]: event for event in map(json.loads, ran.out.splitlines())}
    assert ran.status == 1 and events["0"]["text"] and "at most" in events["1"]["error"]


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("prompt = ", "cannot be read"),
        ('promt = "a"', "none of the fields"),
        ('prompt = "a"\npromt = "b"', "there is no field 'promt'"),
        ('prompt = "a"\n[xyz_grid]\nx = 1', "there is no field 'xyz_grid.x'"),
        ('prompt = "a"\nat = 07:32:00', "there is no field 'at'"),
        ('prompt = "a"\n' + ".".join("a" * 99) + " = 1", "there is no field 'a'"),
        ('prompt = "a"\n' + "k" * 999 + " = 1", f"there is no field '{'k' * 60}'."),
        ('prompt = "a"\nsteps = 0', "steps: "),
        ('prompt = "a"\ntemperature = 1e999', "temperature: Input should be a finite number"),
        (
            'prompt = "a"\n[xyz_grid]\nx_field = "steps"\nx_values = "a"',
            "xyz_grid: X, Denoising steps (steps): 'a'",
        ),
    ],
)
def test_what_is_wrong_is_one_sentence(run, experiment, text, sentence):
    ran = run("grid", str(experiment(text)))
    assert ran.status == 2 and sentence in ran.err and ran.err.count("\n") == 1 and ran.out == ""


@pytest.mark.parametrize(
    "name, text, sentence",
    [
        ("a.json", "[1]", "is no request: it has no fields."),
        ("a.json", '"a"', "is no request: it has no fields."),
        ("a.json", "[" * 100_000, "cannot be read: it is nested too deeply."),
        ("a.json", '{"seed": ' + "9" * 5000 + "}", "cannot be read: a number in it has too many digits."),
        ("a.toml", "seed = " + "9" * 5000, "cannot be read: a number in it has too many digits."),
        ("a.toml", "a = " + "[" * 5000, "cannot be read: it is nested too deeply."),
        ("a.toml", "#" * 4_000_001, "has 4,000,001 bytes; at most 4,000,000 are read."),
    ],
)
def test_what_is_wrong_with_a_file_is_one_sentence(run, experiment, name, text, sentence):
    path = experiment(text, name)
    ran = run("grid", str(path))
    assert ran.status == 2 and f"{path} {sentence}" in ran.err and ran.err.count("\n") == 1


def test_what_is_no_file_of_text_is_one_sentence(run, tmp_path):
    """None of them is waited for, or read to an end that it may not have."""
    pipe, latin, huge = tmp_path / "pipe.toml", tmp_path / "latin.toml", tmp_path / "huge.toml"
    os.mkfifo(pipe)
    latin.write_bytes("prompt = 'Kälte'".encode("latin-1"))
    with huge.open("wb") as stream:
        stream.truncate(100_000_000)
    for path, sentence in {
        tmp_path / "none.toml": "cannot be read: No such file or directory.",
        tmp_path: "is no regular file.",
        pipe: "is no regular file.",
        Path("/dev/zero"): "is no regular file.",
        latin: "is not text in UTF-8.",
        huge: "has 100,000,000 bytes; at most 4,000,000 are read.",
    }.items():
        ran = run("grid", str(path))
        assert (ran.status, ran.err, ran.out) == (2, f"{path} {sentence}\n", "")


def test_ctrl_c_keeps_what_is_done(run, experiment, tmp_path):
    calls, out = tmp_path / "calls", tmp_path / "t.jsonl"
    slow = f'end_of_text = "ban"\nlength = 64\nsteps = 64\n[rehearsal]\nseconds = 0.05\ncalls = "{calls}"\n'
    text = 'prompt = "the cat"\nseed = 5\ntemplate = "raw"\ncount = 2\n' + slow
    begun = lambda: calls.is_file() and calls.stat().st_size > 3  # noqa: E731
    ran = run("grid", str(experiment(text)), "--jsonl", str(out), interrupt=begun)
    lines = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert ran.status == 130 and len(lines) == 2
    assert all("…" in line["text"] and line["complete"] is False for line in lines)
