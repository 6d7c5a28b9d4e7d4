"""Merging: every method is its formula in float64, weight 0 is A bit for bit, files stay as they were published;
checked first, atomic, and gone on with after a kill."""

from __future__ import annotations

import hashlib
import importlib
import json
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from extensions.checkpoint_merger import merging
from extensions.checkpoint_merger.command import layers
from extensions.checkpoint_merger.methods import METHODS, Settings
from tests.adapter_files import saved, wrapped
from tests.conftest import ENVIRONMENT, PYTHON
from tests.contract.program import program, write
from tests.tiny_checkpoints import llada, rewrite
from webui.cli.main import main

# -- the formulas --------------------------------------------------------------------------------------------


def plain(method, a, b, c, w, density=0.5, seed=0, name=""):
    """Each method as its paper writes it, element by element in Python's float64."""
    a, b = a.flatten().tolist(), b.flatten().tolist()
    c = None if c is None else c.flatten().tolist()
    rows = range(len(a))
    differences = [[one[i] - a[i] for i in rows] for one in (b, c) if one is not None]
    if method == "weighted_sum":
        return [(1 - w) * a[i] + w * b[i] for i in rows]
    if method == "add_difference":
        return [a[i] + w * (b[i] - c[i]) for i in rows]
    if method == "slerp":
        import math

        dot, na, nb = (math.fsum(x * y for x, y in pairs) for pairs in (zip(a, b), zip(a, a), zip(b, b)))  # noqa: B905
        angle = math.acos(max(-1.0, min(1.0, dot / math.sqrt(na * nb))))
        if math.sin(angle) < 1e-9:
            return [(1 - w) * a[i] + w * b[i] for i in rows]
        first, second = math.sin((1 - w) * angle) / math.sin(angle), math.sin(w * angle) / math.sin(angle)
        return [first * a[i] + second * b[i] for i in rows]
    if method == "task_arithmetic":
        return [a[i] + w * sum(one[i] for one in differences) for i in rows]
    if method == "ties":
        many = max(1, round(density * len(a)))
        trimmed = []
        for one in differences:
            largest = sorted(rows, key=lambda i: -abs(one[i]))[:many]
            trimmed.append([one[i] if i in set(largest) else 0.0 for i in rows])
        made = []
        for i in rows:
            column = [one[i] for one in trimmed]
            sign = (sum(column) > 0) - (sum(column) < 0)
            agreeing = [x for x in column if x and (x > 0) - (x < 0) == sign]
            made.append(a[i] + w * (sum(agreeing) / len(agreeing) if agreeing else 0.0))
        return made
    assert method == "dare"
    digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
    dice = torch.Generator().manual_seed(int.from_bytes(digest[:7], "little"))
    total = [0.0] * len(a)
    for one in differences:
        drawn = torch.rand(len(a), generator=dice, dtype=torch.float64).tolist()
        total = [total[i] + (one[i] / density if drawn[i] < density else 0.0) for i in rows]
    return [a[i] + w * total[i] for i in rows]


def cases():
    for name, method in METHODS.items():
        for third in {True: (True,), False: (False,), None: (True, False)}[method.third]:
            yield name, third


@pytest.mark.parametrize("weight", [-0.5, 0.3, 1.0, 1.7])
@pytest.mark.parametrize("method, third", list(cases()))
def test_every_method_is_its_formula(method, third, weight):
    dice = torch.Generator().manual_seed(3)
    a, b, c = (torch.randn(7, 5, generator=dice, dtype=torch.float64) for _ in range(3))
    c = c if third else None
    for density in (0.2, 0.5, 1.0):
        made = METHODS[method].merge(a, b, c, Settings(weight, density, 4, "x"))
        wanted = plain(method, a, b, c, weight, density, 4, "x")
        torch.testing.assert_close(
            made.flatten(), torch.tensor(wanted, dtype=torch.float64), rtol=1e-12, atol=1e-13
        )


def test_slerp_of_parallel_and_empty_tensors():
    a = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    for b in (2 * a, -a, 0 * a):
        made = METHODS["slerp"].merge(a, b, None, Settings(0.25))
        torch.testing.assert_close(made, 0.75 * a + 0.25 * b)


def test_dare_is_repeatable_by_its_seed():
    a, b = torch.zeros(1000, dtype=torch.float64), torch.ones(1000, dtype=torch.float64)
    made = [METHODS["dare"].merge(a, b, None, Settings(1.0, 0.25, seed, "x")) for seed in (1, 1, 2)]
    assert torch.equal(made[0], made[1]) and not torch.equal(made[0], made[2])
    assert set(made[0].tolist()) == {0.0, 4.0} and 180 < int((made[0] > 0).sum()) < 320


# -- folders -------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path) -> Path:
    there = tmp_path / "models" / "checkpoints"
    llada(there / "A", shards=3, dtype=torch.bfloat16)
    llada(there / "B", seed=1, dtype=torch.bfloat16)
    llada(there / "C", seed=2, dtype=torch.float32)
    return tmp_path


def flags(folder: Path, *more: str, out: str = "new") -> list[str]:
    settings = ["--models", str(folder / "models"), "--data", str(folder / "data")]
    return [*settings, "merge", "--a", "A", "--b", "B", *more, "--out", out]


def weights(folder: Path, name: str) -> dict[str, torch.Tensor]:
    found = {}
    for file in (folder / "models" / "checkpoints" / name).glob("*.safetensors"):
        found |= load_file(file)
    return found


def files(folder: Path, name: str) -> dict[str, bytes]:
    there = folder / "models" / "checkpoints" / name
    return {file.name: file.read_bytes() for file in there.iterdir()}


@pytest.mark.parametrize("method, third", list(cases()))
def test_weight_0_is_a_bit_for_bit(folder, method, third):
    more = ["--c", "C"] if third else []
    assert main(flags(folder, "--method", method, "--weight", "0", *more)) == 0
    a, made = files(folder, "A"), files(folder, "new")
    same = [name for name in a if name.endswith((".safetensors", ".json"))]
    assert len(same) >= 6 and all(made[name] == a[name] for name in same)
    assert set(made) == {*(name for name in a if not name.endswith(".py")), "merge.json", "README.md"}


@pytest.mark.parametrize("method", [name for name, method in METHODS.items() if method.ends])
def test_weight_1_is_b_bit_for_bit(folder, method):
    assert main(flags(folder, "--method", method, "--weight", "1")) == 0
    made, b = weights(folder, "new"), weights(folder, "B")
    assert made.keys() == b.keys() and all(torch.equal(made[name], b[name]) for name in b)
    assert set(files(folder, "new")) >= {name for name in files(folder, "A") if "safetensors" in name}


@pytest.mark.parametrize("method, third", list(cases()))
def test_a_merge_is_the_formula_of_every_tensor(folder, method, third):
    more = ["--c", "C"] if third else []
    assert main(flags(folder, "--method", method, "--weight", "0.3", "--seed", "5", *more)) == 0
    a, b, c, made = (weights(folder, name) for name in ("A", "B", "C", "new"))
    for name, tensor in made.items():
        third_one = c[name].double() if third else None
        wanted = METHODS[method].merge(
            a[name].double(), b[name].double(), third_one, Settings(0.3, 0.5, 5, name)
        )
        assert tensor.dtype == torch.bfloat16 and torch.equal(tensor, wanted.bfloat16()), name


def test_it_writes_and_says_where_it_comes_from(folder):
    assert main(flags(folder, "--weight", "0.3", "--layers", "0=0,1=0.9")) == 0
    a, b, made = (weights(folder, name) for name in ("A", "B", "new"))
    for name, tensor in made.items():
        weight = 0.0 if ".0." in name else 0.9 if ".1." in name else 0.3
        wanted = (1 - weight) * a[name].double() + weight * b[name].double()
        assert torch.equal(tensor, wanted.bfloat16() if weight else a[name]), name
    recipe = json.loads((folder / "models" / "checkpoints" / "new" / "merge.json").read_text())["recipe"]
    app = program(folder, families=("LLaDA",), model="new")
    try:
        result = write(app, prompt="a cat")
        assert result.provenance.checkpoint == "new"
        write(app, prompt="a cat", model="A")
        assert recipe["parents"][0] == [
            "A",
            app.history.get(write(app, prompt="x", model="A").id).provenance.fingerprint,
        ]
    finally:
        app.close()


def test_a_killed_merge_goes_on(folder):
    """Killed after the first file: the second run keeps it and makes the same checkpoint."""
    code = (
        f"import os, sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r})\n"
        "from extensions.checkpoint_merger import merging\n"
        "real = merging._merged_file\n"
        "def once(*arguments):\n"
        "    real(*arguments)\n"
        f"    os.kill(os.getpid(), {int(signal.SIGKILL)})\n"
        "merging._merged_file = once\n"
        "from webui.cli.main import main\n"
        f"main({flags(folder)!r})\n"
    )
    done = subprocess.run([PYTHON[0], "-c", code], env=ENVIRONMENT, capture_output=True, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr
    there = folder / "models" / "checkpoints"
    (kept,) = (there / ".merging-new").glob("*.safetensors")
    before = kept.stat().st_mtime_ns
    assert not (there / "new").exists()
    assert main(flags(folder)) == 0
    assert (there / "new" / kept.name).stat().st_mtime_ns == before, "the finished file was kept"
    made = files(folder, "new")
    shutil.rmtree(there / "new")
    assert main(flags(folder)) == 0
    assert files(folder, "new") == made and not list(there.glob(".merging-*"))


@pytest.mark.parametrize(
    "more, sentence",
    [
        (["--method", "add_difference"], "The method add_difference needs a third checkpoint, --c."),
        (["--method", "slerp", "--c", "C"], "The method slerp has no use for --c."),
        (["--weight", "nan"], "--weight must be -10 to 10."),
        (["--density", "0"], "--density must be above 0 and at most 1."),
        (["--layers", "all"], "--layers says 'all'; write 0-3=0.2,7=0.8."),
        (["--layers", "1-0=1"], "--layers says '1-0=1'; write 0-3=0.2,7=0.8."),
        (["--layers", "0-7=1"], "--layers names layer 2, which A does not have: its layers are 0 to 1."),
        (["--b", "nobody"], "nobody"),
        (["--out", "A"], "There is a checkpoint A already; give another --out."),
        (
            ["--out", "../x"],
            "--out is a name of letters, digits, blanks, dots, + and -, no dot or blank last.",
        ),
    ],
)
def test_refusals(folder, capsys, more, sentence):
    arguments = flags(folder)
    assert main([*arguments, *more]) == 2
    assert sentence in capsys.readouterr().err
    assert sorted(one.name for one in (folder / "models" / "checkpoints").iterdir()) == ["A", "B", "C"]


def change_tokenizer(there):
    file = there / "B" / "tokenizer.json"
    said = json.loads(file.read_text())
    vocabulary = said["model"]["vocab"]
    first, second = list(vocabulary)[:2]
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    file.write_text(json.dumps(said))


MISMATCHES = {
    "layers": (
        lambda there: (shutil.rmtree(there / "B"), llada(there / "B", n_layers=1)),
        "have not the same weights: B lacks model.transformer.blocks.1.",
    ),
    "width": (
        lambda there: (shutil.rmtree(there / "B"), llada(there / "B", mlp_hidden_size=48)),
        "A and B have model.transformer.blocks.0.ff_out.weight in the shapes [32, 64] and [32, 48].",
    ),
    "tokenizer": (change_tokenizer, "A and B have different tokenizers."),
    "mask": (
        lambda there: (there / "B" / "profile.json").write_text('{"mask_token_id": 3}'),
        "A and B have different mask tokens",
    ),
    "damaged": (
        lambda there: next((there / "B").glob("*.safetensors")).write_bytes(b"x" * 100),
        "is damaged: it is no safetensors file.",
    ),
    "too large": (
        lambda there: rewrite(there / "B", lambda tensors: next(iter(tensors.values())).fill_(3e38)),
        "becomes too large for its type, BF16; choose a smaller weight.",
    ),
}


@pytest.mark.parametrize("mismatch", MISMATCHES)
def test_what_does_not_go_together_is_refused(folder, capsys, mismatch):
    change, sentence = MISMATCHES[mismatch]
    change(folder / "models" / "checkpoints")
    assert main(flags(folder, "--weight", "5")) == 2
    said = capsys.readouterr().err
    assert sentence in said and len(said.strip().splitlines()) == 1
    assert not (folder / "models" / "checkpoints" / "new").exists()


def test_a_full_disk_leaves_nothing_under_the_name(folder, capsys, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    current = importlib.import_module(merging.__name__)  # a test before may have had extensions read anew
    monkeypatch.setattr(current, "_merged_file", full)
    assert main(flags(folder)) == 2
    assert "The disk refused: No space left on device. The same command goes on" in capsys.readouterr().err
    monkeypatch.undo()
    assert not (folder / "models" / "checkpoints" / "new").exists() and main(flags(folder)) == 0


@pytest.mark.parametrize("config", [{}, {"use_dora": True}, {"target_modules": ["embed_tokens", "q_proj"]}])
def test_a_baked_lora_is_what_peft_merges(folder, config):
    """Into the published names, in A's types; weight 0 is A bit for bit."""
    there = folder / "models" / "checkpoints"
    app = program(folder, families=("LLaDA",), model="C")  # in fp32
    try:
        model = app.checkpoints.load("C")
        peft = wrapped(model, seed=3, **{"target_modules": "all-linear", **config})
        saved(peft, folder / "models" / "loras" / "poet")
        native = model.native
    finally:
        app.close()
    settings = ["--models", str(folder / "models"), "--data", str(folder / "data")]
    bake = [*settings, "merge", "--method", "bake", "--a", "C", "--lora", "poet"]
    assert main([*bake, "--weight", "1", "--out", "new"]) == 0
    merged = dict(peft.merge_and_unload().named_parameters())
    before, made, changed = weights(folder, "C"), weights(folder, "new"), 0
    for name, tensor in made.items():
        wanted = merged[f"{native(name.removesuffix('.weight'))}.weight"]
        torch.testing.assert_close(tensor, wanted.detach(), rtol=1e-5, atol=1e-6)
        changed += not torch.equal(tensor, before[name])
    assert changed >= 3
    recipe = json.loads((there / "new" / "merge.json").read_text())["recipe"]
    assert recipe["lora"][0] == "poet" and recipe["parents"][0][0] == "C"
    assert main([*bake, "--weight", "0", "--out", "same"]) == 0
    assert {n: b for n, b in files(folder, "same").items() if n.endswith("safetensors")} == {
        n: b for n, b in files(folder, "C").items() if n.endswith("safetensors")
    }


@pytest.mark.parametrize(
    "more, sentence",
    [
        (["--method", "bake"], "The method bake needs a LoRA, --lora."),
        (["--lora", "poet"], "The method weighted_sum has no use for --lora."),
    ],
)
def test_what_bake_needs(folder, capsys, more, sentence):
    assert main([*flags(folder), *more]) == 2
    assert sentence in capsys.readouterr().err


def test_layers():
    assert layers("") == () and layers("0-2=0.5, 7=-1") == ((0, 0.5), (1, 0.5), (2, 0.5), (7, -1.0))
