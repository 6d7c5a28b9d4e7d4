"""`selftest`, `convert`, `download`, and checkpoints of several models folders."""

from __future__ import annotations

import json
import math
import re

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.hub import serve_hub
from tests.tiny_checkpoints import llada
from webui.checkpoints.loading import Checkpoints
from webui.cli import download
from webui.settings import Settings


def said(out: str) -> dict[str, list[str]]:
    """The lines of a self-test by their first word."""
    found: dict[str, list[str]] = {}
    for line in out.splitlines():
        found.setdefault(line[:12].strip(), []).append(line[12:])
    return found


def test_a_selftest_says_what_a_checkpoint_is_and_writes(run, tmp_path):
    """Random weights: no better than chance, hence status 1; the bound is what the logits say."""
    folder = llada(tmp_path / "mine")
    ran = run("selftest", str(folder), "--sentence", "the cat", "--length", "8")
    lines = said(ran.out)
    assert lines["checkpoint"] == [folder.as_posix()] and lines["names"] == ["all match"]
    assert lines["family"] == ["LLaDA as LlamaForCausalLM, bidirectional"]
    value, chance = map(float, re.findall(r"\d+\.\d+", lines["bound"][0]))
    assert chance == pytest.approx(math.log(303), abs=1e-3) and "text" in lines
    assert ran.status == 1 and "no better than chance" in ran.err and value > chance


def test_a_selftest_lists_every_name_that_does_not_match(run, tmp_path):
    folder = llada(tmp_path / "mine")
    file = folder / "model.safetensors"
    weights = load_file(file)
    block = "model.transformer.blocks.0."
    weights[f"{block}extra.weight"] = weights.pop(f"{block}ff_norm.weight")
    weights[f"{block}q_proj.weight"] = torch.zeros(16, 32)
    weights[f"{block}k_proj.weight"] = torch.zeros(32, 16)
    save_file(weights, file)
    ran = run("selftest", str(folder))
    lines = said(ran.out)
    assert lines["lacking"] == ["model.layers.0.post_attention_layernorm.weight"]
    assert lines["unknown"] == [f"{block}extra.weight"]
    assert sorted(lines["other shape"]) == [
        f"{block}k_proj.weight (32, 16), needed (32, 32)",
        f"{block}q_proj.weight (16, 32), needed (32, 32)",
    ]
    assert ran.status == 1 and "text" not in lines
    assert run("selftest", str(tmp_path)).status == 2


def test_the_bound_is_that_of_a_plain_sum(models):
    """Over every set of masked tokens, each size as likely: where the draws are many."""
    from itertools import combinations
    from math import comb

    from webui.canvas import Canvas
    from webui.checkpoints.likelihood import Whole, bounds

    model = Checkpoints(Settings(models=models, device="cpu", dtype="float64")).load("storyteller")
    tokens, total = [5, 80, 31], 0.0
    for count in (1, 2, 3):
        for masked in combinations(range(3), count):
            answer = [model.mask if i in masked else token for i, token in enumerate(tokens)]
            canvas = Canvas.build([[]], [answer], [0], model.mask)
            logits = model(canvas.activate(canvas.masked))
            logits[:, model.mask] = -torch.inf
            lost = [-logits.log_softmax(-1)[k, tokens[i]] for k, i in enumerate(masked)]
            total += float(sum(lost)) / count / comb(3, count)
    (found,) = bounds(model, [Whole(tokens)], draws=384)
    assert found == pytest.approx(total, rel=0.02)


def test_convert_is_a_command(run, tmp_path):
    folder = llada(tmp_path / "old")
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    ran = run("convert", str(folder))
    assert ran.status == 0 and "pytorch_model.bin -> model.safetensors: " in ran.out
    assert load_file(folder / "model.safetensors").keys() == weights.keys()
    ran = run("convert", str(folder))
    assert ran.status == 2 and ran.err == "old has model.safetensors already; remove it first.\n"


def test_download_asks_first(commands, run, tmp_path, monkeypatch):
    """Without a terminal there is nobody to ask. The first of several models folders gets it."""
    monkeypatch.setattr(commands, "flags", commands.flags[2:])
    flags = ["--models", str(tmp_path / "models"), "--models", str(tmp_path), "download", "lab/tiny"]
    with serve_hub() as hub:
        hub.repositories = {"lab/tiny": llada(tmp_path / "served")}
        for more, status in ([], 2), (["--yes"], 0):
            files = {name: str(tmp_path / name) for name in ("stdout", "stderr")}
            commands.start([*commands.flags, *flags, *more], **files, HF_ENDPOINT=hub.url)
            assert commands.wait() == status, (tmp_path / "stderr").read_text()
            out = (tmp_path / "stdout").read_text()
            assert "licence: mit" in out and "family LLaDA" in out and "1 of them with weights" in out
            (tmp_path / "stdout").write_text("")
    assert [folder.name for folder in (tmp_path / "models" / "checkpoints").iterdir()] == ["tiny"]


@pytest.mark.parametrize("answer, agreed", [("y", True), ("Yes ", True), ("", False), ("no", False)])
def test_only_yes_is_yes(monkeypatch, answer, agreed):
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda question: answer)
    assert download._agreed() is agreed


def test_several_models_folders(run, tmp_path):
    """What is in both counts once by its name, and the other by its path."""
    first, second = tmp_path / "one", tmp_path / "two"
    for folder, names in ((first, ("a", "both")), (second, ("sub/b", "both"))):
        for name in names:
            llada(folder / "checkpoints" / name)
    there = Checkpoints(Settings(models=first, more_models=(second,), model="a", device="cpu"))
    other = (second / "checkpoints" / "both").as_posix()
    assert there.names() == ["a", other, "both", "sub/b"]
    assert there.entry("both").folder == first / "checkpoints" / "both"
    assert there.entry(other).folder.as_posix() == other and there.entry("sub/b").error is None
    for name in ("two", "../two/checkpoints/both", "sub"):
        with pytest.raises(ValueError, match="There is no checkpoint"):
            there.entry(name)
    ran = run("--models", str(second), "generate", "a", "--model", "sub/b", "--length", "4", "--json")
    assert json.loads(ran.out)["request"]["model"] == "sub/b"
