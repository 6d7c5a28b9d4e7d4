"""Pickled weights to safetensors: what comes out, and that the process that reads them can do nothing else."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, safe_open

from tests.conftest import ROOT
from tests.tiny_checkpoints import llada
from webui.checkpoints import convert, unpickle
from webui.checkpoints.loading import Checkpoints
from webui.settings import Settings


def pickled(folder: Path, shards: int = 1) -> dict[str, torch.Tensor]:
    """A LLaDA checkpoint whose weights are pickles."""
    llada(folder)
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = [f"pytorch_model-{i + 1:05}-of-{shards:05}.bin" for i in range(shards)]
    if shards == 1:
        torch.save({**weights, "steps": 7}, folder / "pytorch_model.bin")
        torch.save({"learning rate": 1}, folder / "training_args.bin")
        return weights
    files = {name: names[i % shards] for i, name in enumerate(sorted(weights))}
    for file in names:
        torch.save({name: weights[name] for name in weights if files[name] == file}, folder / file)
    (folder / convert.INDEX).write_text(json.dumps({"weight_map": files}))
    return weights


def test_a_pickle_in_shards_becomes_a_checkpoint_that_loads(tmp_path):
    models = tmp_path / "models"
    weights = pickled(models / "checkpoints" / "old", shards=2)
    lines: list[str] = []
    made = convert.convert(models / "checkpoints" / "old", models / "checkpoints" / "new", lines.append)
    assert [file.name for file in made] == [
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    ]
    found = {name: tensor for file in made for name, tensor in load_file(file).items()}
    assert found.keys() == weights.keys() and all(torch.equal(found[name], weights[name]) for name in weights)
    assert "cannot confine" not in "".join(lines) or sys.platform != "linux"
    there = Checkpoints(Settings(models=models, model="new", device="cpu"))
    assert there.load("new").description.family == "LLaDA"
    with pytest.raises(ValueError, match="new has model-00001-of-00002.safetensors already"):
        convert.convert(models / "checkpoints" / "old", models / "checkpoints" / "new")


def test_every_type_and_the_older_format_of_torch(tmp_path):
    """Weights beside other things, of every type, transposed, empty, without dimensions, shared."""
    shared = torch.arange(6.0)
    weights = {
        "half": torch.randn(3, 2).half(),
        "brain": torch.randn(3).bfloat16(),
        "double": torch.randn(2, 3).double().T,
        "whole": torch.tensor(5),
        "none": torch.zeros(0, 4),
        "part": shared[2:4],
        "all": shared,
    }
    torch.save(
        {"state_dict": weights, "epoch": 3}, tmp_path / "model.ckpt", _use_new_zipfile_serialization=False
    )
    (file,) = convert.convert(tmp_path)
    found = load_file(file)
    assert found.keys() == weights.keys()
    for name, value in weights.items():
        assert found[name].dtype == value.dtype and torch.equal(found[name], value)
    with safe_open(file, "pt") as opened:
        assert opened.metadata() == {"format": "pt"}


class Evil:
    def __init__(self, target: Path):
        self.target = target

    def __reduce__(self):
        return os.system, (f"touch {self.target}",)


def test_pickles_that_are_more_than_weights_are_refused(tmp_path):
    folder = tmp_path / "evil"
    folder.mkdir()
    file, sign = folder / "pytorch_model.bin", tmp_path / "executed"
    for data, sentence in (
        (pickle.dumps({"a": Evil(sign)}), "it is damaged, or holds more than weights, which is not read"),
        (b"not a pickle", "evil/pytorch_model.bin cannot be converted: it is damaged"),
    ):
        file.write_bytes(data)
        with pytest.raises(ValueError, match=sentence):
            convert.convert(folder)
        assert [one.name for one in folder.iterdir()] == [file.name] and not sign.exists()
    for wrong in ([1, 2], {"a": 1}, {1: torch.zeros(1)}):
        with pytest.raises(ValueError, match="it holds no weights by name"):
            unpickle.tensors(wrong)
    torch.save({"a": torch.zeros(1)}, folder / "other.pt")
    file.rename(folder / "one.bin")
    with pytest.raises(ValueError, match=r"several files with pickles \(one.bin, other.pt\)"):
        convert.convert(folder)


CONFINED = """
import ctypes, os, socket, subprocess, sys
from webui.checkpoints.confine import confine
libc = ctypes.CDLL(None, use_errno=True)
raw = {name: getattr(libc, name) for name in ("open", "socket", "unlink", "execv", "mkdir")}
kept = open(sys.argv[1] + "/kept", "wb")
enforced = confine()
said = {"enforced": enforced}
for name, call in {
    "write": lambda: open(sys.argv[1] + "/new", "w"),
    "descriptor": lambda: os.open(sys.argv[1] + "/new", os.O_CREAT | os.O_WRONLY),
    "network": lambda: socket.socket(),
    "program": lambda: subprocess.run(["true"]),
    "shell": lambda: os.system("true"),
    "delete": lambda: os.remove(sys.argv[1] + "/kept"),
}.items():
    try:
        call()
        said[name] = "done"
    except PermissionError:
        said[name] = "refused"
for name, arguments in {
    "open": (sys.argv[1].encode() + b"/raw", os.O_CREAT | os.O_WRONLY, 0o600),
    "socket": (2, 1, 0),
    "unlink": (sys.argv[1].encode() + b"/kept",),
    "execv": (b"/bin/true", None),
    "mkdir": (sys.argv[1].encode() + b"/folder", 0o700),
}.items():
    said["raw " + name] = raw[name](*arguments) if enforced else None
said["read"] = open(sys.argv[1] + "/there").read()
kept.write(b"x")
kept.close()
os.write(1, repr(said).encode())
"""


def test_a_confined_process_can_only_read_and_write_what_is_open(tmp_path):
    """Not by way of Python, and on Linux not by calls of the C library either, which no hook of Python sees."""
    (tmp_path / "there").write_text("text")
    ran = subprocess.run(
        [sys.executable, "-B", "-c", CONFINED, str(tmp_path)], capture_output=True, cwd=ROOT, check=True
    )
    said = eval(ran.stdout, {})
    names = ("write", "descriptor", "network", "program", "shell", "delete")
    assert {name: said[name] for name in names} == dict.fromkeys(names, "refused")
    assert said["read"] == "text" and (tmp_path / "kept").read_bytes() == b"x"
    if sys.platform == "linux":
        assert said["enforced"]
        raw = {name: value for name, value in said.items() if name.startswith("raw")}
        assert len(raw) == 5 and set(raw.values()) == {-1}
    assert {file.name for file in tmp_path.iterdir()} == {"there", "kept"}
