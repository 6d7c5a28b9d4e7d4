"""Soft prompts: trained, saved and read again; they act where their trigger words stand, for each row by
itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from extensions.soft_prompts.files import soft_prompts
from extensions.soft_prompts.patch import replaced
from tests.conftest import ENVIRONMENT, ROOT
from tests.contract.program import finished, program, texts
from tests.tiny_checkpoints import llada
from webui.cli.main import main

TRIGGER = "sing thou"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with a tiny checkpoint and a soft prompt that was trained for it."""
    folder = tmp_path_factory.mktemp("soft")
    llada(folder / "models" / "checkpoints" / "LLaDA")
    (folder / "poems.txt").write_text("The cat and the hen sat on the stone and sang to the wind. " * 60)
    assert main(arguments(folder, folder / "poems.txt")) == 0
    return folder


def arguments(folder: Path, data: Path) -> list[str]:
    """Those of the program that trains the soft prompt in a folder."""
    settings = ["--models", str(folder / "models"), "--data", str(folder / "data"), "--threads", "1"]
    own = ["--data", str(data), "--out", "poet", "--model", "LLaDA", "--trigger", TRIGGER]
    small = ["--batch", "2", "--length", "16", "--every", "4", "--steps", "16", "--rate", "0.5"]
    return [*settings, "finetune", *own, *small, "--kind", "soft-prompt"]


@pytest.fixture
def app(folder):
    app = program(folder, families=("LLaDA",), model="LLaDA")
    yield app
    app.close()


def test_training_moves_the_bound_and_the_file_says_it(folder):
    file = folder / "models" / "embeddings" / "poet.safetensors"
    one = soft_prompts(file.parent)["poet"]
    header = json.loads(file.read_bytes()[8 : 8 + int.from_bytes(file.read_bytes()[:8], "little")])
    said = header["__metadata__"]
    assert float(said["held_out"]) < float(said["held_out_without"])
    assert one.trigger == TRIGGER and one.checkpoint == "LLaDA"
    assert {len(tokens) for tokens in one.tokens} == {len(load_file(file)["embedding"])}
    assert (file.parent / ".training-poet" / "state.safetensors").is_file()


# In a process of its own: the second time that the soft prompt is written, the disk has room for 100 bytes; then the
# same command again.
FULL_DISK = """
import resource, sys
from extensions.training.soft_prompt import SoftTuner
from webui.cli.main import main
save, saved = SoftTuner.save, []
def limited(self, folder):
    saved.append(folder)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    if len(saved) == 2:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        save(self, folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
SoftTuner.save = limited
print("status", main(sys.argv[1:]), flush=True)
there = saved[0].with_name(saved[0].name + ".safetensors")
print("names", sorted(path.name for path in there.parent.iterdir()), len(there.read_bytes()), flush=True)
print("status", main(sys.argv[1:]), flush=True)
"""


def test_a_full_disk_while_it_is_written_loses_nothing(folder, tmp_path):
    """The one before stays, and the same command goes on to the same numbers, bit for bit."""
    llada(tmp_path / "models" / "checkpoints" / "LLaDA")
    command = [sys.executable, "-c", FULL_DISK, *arguments(tmp_path, folder / "poems.txt")]
    ran = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=240)
    own, whole = (one / "models" / "embeddings" / "poet.safetensors" for one in (tmp_path, folder))
    lines = [line for line in ran.stdout.splitlines() if line.startswith(("status", "names"))]
    assert lines == [
        "status 2",
        f"names ['.training-poet', 'poet.safetensors'] {whole.stat().st_size}",
        "status 0",
    ]
    sentence = "The disk refused: File too large. The same command goes on from here."
    assert ran.stderr.count(sentence) == 1 and "Traceback" not in ran.stderr
    with safe_open(own, "pt") as one, safe_open(whole, "pt") as other:
        assert one.metadata() == other.metadata()
        assert torch.equal(one.get_tensor("embedding"), other.get_tensor("embedding"))


def test_it_differs_per_row_and_rows_without_it_are_as_they_were(app, folder):
    fields = {"length": 16, "steps": 4, "seed": 1}
    matrix = {"prompt_matrix": {"enabled": True}}
    both = finished(app, app.Request(prompt=f"a cat | {TRIGGER}", **fields, **matrix))
    file = folder / "models" / "embeddings" / "poet.safetensors"
    assert [part.extras.get("soft_prompts") is not None for part in both.parts] == [False, True]
    assert "made for LLaDA" in both.parts[1].extras["soft_prompts"]["poet"]
    away = file.rename(file.with_suffix(".away"))
    try:
        plain = finished(app, app.Request(prompt=f"a cat | {TRIGGER}", **fields, **matrix))
    finally:
        away.rename(file)
    assert texts(plain)[0] == texts(both)[0] and texts(plain)[1] != texts(both)[1]
    again = finished(app, app.Request(prompt=f"a cat | {TRIGGER}", **fields, **matrix))
    assert texts(again) == texts(both)
    off = finished(app, app.Request(prompt=TRIGGER, syntax="off", **fields))
    assert "soft_prompts" not in off.extras


def test_marks_and_completions(app):
    found, failed = app.prompts.marks({"prompt": f"a cat, {TRIGGER} x"}, "prompt")
    assert [(one.underline.start, one.about) for one in found] == [(7, "Stands for the soft prompt poet.")]
    offered, _ = app.prompts.complete({"prompt": "a cat, sing"}, "prompt", cursor=11)
    assert [(one.start, one.text) for one in offered][:1] == [(7, TRIGGER)] and not failed


def test_one_for_another_width_is_refused_and_what_is_none_is_left_out(app, folder):
    there = folder / "models" / "embeddings"
    said = {"trigger": "wide", "checkpoint": "Large", "tokens": "[[5, 6]]"}
    save_file({"embedding": torch.zeros(2, 64)}, there / "wide.safetensors", said)
    (there / "none.safetensors").write_bytes(b"x" * 50)
    try:
        assert list(soft_prompts(there)) == ["poet", "wide"]
        job = app.queue.submit(app.Request(prompt="wide", length=8))
        job.wait()
        assert "The soft prompt wide does not fit LLaDA: it was made for Large" in str(job.error)
        assert finished(app, app.Request(prompt="a cat", length=8, steps=2)).text
    finally:
        (there / "wide.safetensors").unlink()
        (there / "none.safetensors").unlink()


def test_the_words_are_replaced_in_the_rows_that_are_on():
    ids = torch.tensor([[7, 5, 6, 5, 6], [5, 6, 5, 7, 5]])
    output = torch.zeros(2, 5, 3)
    vectors = torch.tensor([[1.0, 1, 1], [2, 2, 2]])
    made = replaced(ids, output, torch.tensor([5, 6]), vectors, torch.tensor([True, True]))
    assert made[:, :, 0].tolist() == [[0, 1, 2, 1, 2], [1, 2, 0, 0, 0]]
    made = replaced(ids, output, torch.tensor([5, 6]), vectors, torch.tensor([False, True]))
    assert made[0].abs().sum() == 0 and made[1, 0, 0] == 1
    assert torch.equal(
        replaced(ids[:, :1], output[:, :1], torch.tensor([5, 6]), vectors, torch.tensor([True, True])),
        output[:, :1],
    )
