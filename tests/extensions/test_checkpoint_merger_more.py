"""What the merger makes besides mixtures: a LoRA of a difference, and pruned checkpoints."""

from __future__ import annotations

import copy
import importlib
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.contract.program import program, write
from tests.tiny_checkpoints import llada, rewrite
from webui import Adapter, Canvas, adapter_entry
from webui.cli.main import main

TEXT = "The cat and the hen sat on the stone and sang to the wind. " * 60


@pytest.fixture
def folder(tmp_path) -> Path:
    there = tmp_path / "models" / "checkpoints"
    llada(there / "A", shards=3)
    llada(there / "B")
    dice = torch.Generator().manual_seed(7)

    def tuned(tensors):
        for name, tensor in tensors.items():
            if "blocks.1" in name and tensor.dim() == 2:
                tensor += 0.1 * torch.randn(tensor.shape, generator=dice)

    rewrite(there / "B", tuned)
    (tmp_path / "text.txt").write_text(TEXT, "utf-8")
    return tmp_path


def flags(folder: Path, *more: str, out: str = "new") -> list[str]:
    settings = ["--models", str(folder / "models"), "--data", str(folder / "data"), "--threads", "1"]
    return [*settings, "merge", "--a", "A", *more, "--out", out]


def weights(there: Path) -> dict[str, torch.Tensor]:
    found = {}
    for file in there.glob("*.safetensors"):
        found |= load_file(file)
    return found


# -- a LoRA of a difference ----------------------------------------------------------------------------------


def test_an_extracted_lora_is_the_best_of_its_rank(folder, capsys):
    """Its error is that of the singular values that it leaves; PEFT reads it; what does not differ has no part."""
    extract = ["--method", "extract", "--b", "B", "--rank", "4"]
    assert main(flags(folder, *extract)) == 0
    said = capsys.readouterr().out
    there, lora = folder / "models" / "checkpoints", folder / "models" / "loras" / "new"
    a, b = weights(there / "A"), weights(there / "B")
    lost = whole = 0.0
    differing = [name for name in a if not torch.equal(a[name], b[name])]
    for name in differing:
        values = torch.linalg.svdvals(b[name].double() - a[name].double()).square()
        lost, whole = lost + float(values[4:].sum()), whole + float(values.sum())
    error = (lost / whole) ** 0.5
    assert len(differing) == 7 and f"7 layers, relative error {error:.4f}" in said
    about = json.loads((lora / "about.json").read_text())
    assert abs(about["extraction"]["error"] - error) < 1e-6 and about["base"]["name"] == "A"
    entry = adapter_entry("new", lora)
    assert (entry.rank, entry.modules, entry.base, entry.error) == (4, 7, "A", None)
    app = program(folder, families=("LLaDA",), model="A")
    try:
        model = app.checkpoints.load("A")
        fitted = Adapter.read(lora).fit(dict(model.module.named_modules()), model.native, "A")
        assert not fitted.unmatched
        from peft import PeftModel

        peft = PeftModel.from_pretrained(copy.deepcopy(model.module), str(lora)).merge_and_unload()
        merged = dict(peft.named_parameters())
        for name in differing:
            native = model.native(name.removesuffix(".weight"))
            part = fitted.parts[native]
            ours = a[name] + part.scale * part.up @ part.down
            torch.testing.assert_close(merged[f"{native}.weight"].detach(), ours, rtol=1e-5, atol=1e-6)
        assert "7 of 7 modules" in write(app, prompt="a cat <lora:new:1>", model="A").extras["lora"]["new"]
    finally:
        app.close()


def test_at_full_rank_a_plus_the_lora_is_b(folder):
    assert main(flags(folder, "--method", "extract", "--b", "B", "--rank", "32")) == 0
    assert main(flags(folder, "--method", "bake", "--lora", "new", "--weight", "1", out="baked")) == 0
    b, baked = (weights(folder / "models" / "checkpoints" / name) for name in ("B", "baked"))
    for name, tensor in b.items():
        torch.testing.assert_close(baked[name], tensor, rtol=1e-5, atol=1e-5)


def test_what_is_no_linear_layer_is_named(folder, capsys):
    def embedded(tensors):
        for name, tensor in tensors.items():
            if "wte" in name or "ln_f" in name:
                tensor += 0.05

    rewrite(folder / "models" / "checkpoints" / "B", embedded)
    assert main(flags(folder, "--method", "extract", "--b", "B")) == 0
    assert "2 other tensors differ and are left out, model.transformer.ln_f.weight" in capsys.readouterr().out


class Killed(BaseException):
    """Ends a command as SIGKILL does, as far as files are concerned: nothing catches it."""


def killed(monkeypatch, module: str, function: str, after: int, arguments: list[str]) -> None:
    """Runs the command until a function was called so often."""
    there = importlib.import_module(f"extensions.checkpoint_merger.{module}")
    real, calls = getattr(there, function), []

    def some(*given):
        made = real(*given)
        calls.append(1)
        if len(calls) == after:
            raise Killed
        return made

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(there, function, some)
        main(arguments)


def files(there: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in there.iterdir()}


def test_a_killed_extraction_goes_on(folder, monkeypatch):
    arguments = flags(folder, "--method", "extract", "--b", "B", "--rank", "2")
    killed(monkeypatch, "extraction", "low_rank", 5, arguments)
    loras = folder / "models" / "loras"
    before = {
        file.name: file.stat().st_mtime_ns for file in (loras / ".extracting-new").glob("*.safetensors")
    }
    assert len(before) == 4 and not (loras / "new").exists()
    assert main(arguments) == 0
    made = files(loras / "new")
    shutil.rmtree(loras / "new")
    assert main(arguments) == 0
    assert files(loras / "new") == made and not list(loras.glob(".extracting-*"))


# -- pruning -------------------------------------------------------------------------------------------------


def prune(folder: Path, *more: str, out: str = "new") -> list[str]:
    return flags(folder, "--method", "prune", "--data", str(folder / "text.txt"), *more, out=out)


@pytest.mark.parametrize("what", ["width", "layers"])
def test_a_pruned_checkpoint_computes_what_was_measured(folder, capsys, what):
    """Loaded anew it gives the logits of A without what was removed, and its card the bounds."""
    from extensions.checkpoint_merger import pruning

    assert main(prune(folder, "--what", what, "--remove", "0.5")) == 0
    said = capsys.readouterr().out
    there = folder / "models" / "checkpoints" / "new"
    kept = json.loads((there / "pruning.json").read_text())
    found = kept["found"]
    assert f"before, {found['after']:.4f} after" in said and kept["recipe"]["parent"][0] == "A"
    app = program(folder, families=("LLaDA",), model="A")
    try:
        model = app.checkpoints.load("A")
        canvas = Canvas.build([[5, 6, 7]], [[model.mask] * 8], [0], model.mask, model.ends)
        canvas = canvas.activate(~canvas.given)
        with pruning.without(model, tuple(found["layers"]), tuple(map(tuple, found["units"]))):
            wanted = model(canvas)
        assert not torch.allclose(model(canvas), wanted)
        small = app.checkpoints.load("new")
        torch.testing.assert_close(small(canvas), wanted, rtol=1e-5, atol=1e-5)
        _, others = pruning.halves(pruning.read(folder / "text.txt", small))
        assert abs(pruning.bound(small, others) - found["after"]) < 1e-4
        config = json.loads((there / "config.json").read_text())
        assert (config["n_layers"], config["mlp_hidden_size"]) == ((2, 32) if what == "width" else (1, 64))
        assert write(app, prompt="a cat", model="new").provenance.checkpoint == "new"
    finally:
        app.close()
    a, made = weights(folder / "models" / "checkpoints" / "A"), weights(there)
    assert sum(one.numel() for one in made.values()) < sum(one.numel() for one in a.values())


def test_importance_is_the_loss_that_a_unit_costs(folder):
    """Units whose column is 0 matter nothing and go first; the first-order term is that of a finite difference."""
    from extensions.checkpoint_merger import pruning

    def emptied(tensors):
        for name, tensor in tensors.items():
            if name.endswith("ff_out.weight") and "blocks" in name:
                tensor[:, ::2] = 0

    shutil.rmtree(folder / "models" / "checkpoints" / "A")
    llada(folder / "models" / "checkpoints" / "A")
    rewrite(folder / "models" / "checkpoints" / "A", emptied)
    assert main(prune(folder, "--remove", "0.5")) == 0
    found = json.loads((folder / "models" / "checkpoints" / "new" / "pruning.json").read_text())["found"]
    assert [list(one) for one in found["units"]] == [list(range(1, 64, 2))] * 2
    assert found["after"] == pytest.approx(found["before"], abs=1e-5) and found["random"] != found["after"]
    app = program(folder, families=("LLaDA",), model="A")
    try:
        model = app.checkpoints.load("A")
        rows = pruning.read(folder / "text.txt", model)[:1]
        (first, _) = pruning.importance(model, rows, lambda done: None)
        weight, unit = model.body.layers[0].mlp.down_proj.weight.data, int(first.argmax())
        losses = []
        for factor in (0.99, 1.01):
            kept = weight[:, unit].clone()
            weight[:, unit] *= factor
            with torch.no_grad():
                losses.append(float(pruning.loss(model, rows, pruning.random.Random("importance 0")).sum()))
            weight[:, unit] = kept
        assert abs(losses[1] - losses[0]) / 0.02 == pytest.approx(float(first[unit]), rel=0.05)
    finally:
        app.close()


def test_a_killed_pruning_goes_on(folder, monkeypatch):
    arguments = prune(folder, "--remove", "0.25")
    killed(monkeypatch, "pruning", "_pruned_file", 1, arguments)
    there = folder / "models" / "checkpoints"
    (kept,) = (there / ".pruning-new").glob("*.safetensors")
    before = kept.stat().st_mtime_ns
    assert main(arguments) == 0 and (there / "new" / kept.name).stat().st_mtime_ns == before
    made = files(there / "new")
    shutil.rmtree(there / "new")
    assert main(arguments) == 0
    assert files(there / "new") == made and not list(there.glob(".pruning-*"))


def test_a_random_choice_to_compare_with(folder):
    assert (
        main(prune(folder, "--what", "layers", "--remove", "0.5", "--choice", "random", "--seed", "3")) == 0
    )
    recipe = json.loads((folder / "models" / "checkpoints" / "new" / "pruning.json").read_text())["recipe"]
    assert (recipe["choice"], recipe["seed"]) == ("random", 3)


@pytest.mark.parametrize(
    "more, sentence",
    [
        (["--method", "extract"], "The method extract needs a second checkpoint, --b."),
        (["--method", "extract", "--b", "B", "--rank", "64"], "--rank must be at most 32, the smaller dimen"),
        (["--method", "extract", "--b", "A"], "A and A do not differ in any linear layer."),
        (["--method", "extract", "--b", "B", "--lora", "x"], "The method extract has no use for --lora."),
        (["--method", "prune"], "The method prune needs a text, --data."),
        (["--method", "prune", "--data", "nothing.txt"], "There is no file nothing.txt."),
        (["--method", "prune", "--data", "TEXT", "--remove", "1"], "--remove must be above 0 and below 1."),
        (["--method", "prune", "--data", "TEXT", "--remove", "0.001"], "is 0 of 64 units of each layer"),
        (["--method", "slerp", "--b", "B", "--rank", "4"], "The method slerp has no use for --rank."),
    ],
)
def test_refusals(folder, capsys, more, sentence):
    more = [str(folder / "text.txt") if one == "TEXT" else one for one in more]
    assert main(flags(folder, *more)) == 2
    said = capsys.readouterr().err
    assert sentence in said and len(said.strip().splitlines()) == 1
    assert not (folder / "models" / "loras" / "new").exists()
    assert sorted(one.name for one in (folder / "models" / "checkpoints").glob("[!.]*")) == ["A", "B"]
