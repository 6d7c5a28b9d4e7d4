"""Full fine-tuning: the result is a checkpoint in the published names; killed and gone on with bit for bit; QLoRA without
its library is one sentence."""

from __future__ import annotations

import builtins
import json
import math
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.conftest import ENVIRONMENT, PYTHON
from tests.contract.program import program, write
from tests.extensions.training.test_finetune import TEXT, flags
from tests.tiny_checkpoints import llada
from webui import alone
from webui.cli.main import main
from webui.settings import ROOT

FULL = ["--kind", "full", "--rate", "0.01"]


@pytest.fixture
def folder(tmp_path) -> Path:
    llada(tmp_path / "models" / "checkpoints" / "LLaDA", shards=2, dtype=torch.bfloat16)
    (tmp_path / "poems.txt").write_text(TEXT, "utf-8")
    return tmp_path


def weights(there: Path) -> dict[str, torch.Tensor]:
    found = {}
    for file in there.glob("*.safetensors"):
        found |= load_file(file)
    return found


def test_every_weight_learns_and_the_result_is_a_checkpoint(folder, capsys):
    assert main(flags(folder, *FULL, "--steps", "12")) == 0
    there = folder / "models" / "checkpoints"
    before, after = weights(there / "LLaDA"), weights(there / "poet")
    said = capsys.readouterr().out
    assert f"{sum(one.numel() for one in before.values()):,} parameters" in said
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        assert after[name].dtype == tensor.dtype and not torch.equal(after[name], tensor), name
    facts = json.loads((there / "poet" / "finetune.json").read_text())
    assert facts["held_out"] < facts["held_out_without"] and facts["recipe"]["checkpoint"] == "LLaDA"
    assert sorted(file.name for file in there.iterdir() if not file.name.startswith(".")) == ["LLaDA", "poet"]
    app = program(folder)
    try:
        plain, tuned = (write(app, prompt="a cat", length=16, model=name) for name in ("LLaDA", "poet"))
        assert tuned.provenance.checkpoint == "poet" and tuned.text != plain.text
        from extensions.training.finetune import Plan, read, tuner_of

        model = app.checkpoints.load("poet")  # rounded to the published type, and as good
        plan = Plan(**{**facts["recipe"], "checkpoint": "poet"})
        tuner = tuner_of(app, model, read(folder / "poems.txt", model, plan.length), plan)
        assert tuner.bound() == pytest.approx(facts["held_out"], abs=0.02)
    finally:
        app.close()


def test_a_killed_run_goes_on_bit_for_bit(folder):
    """SIGKILL while the checkpoint is written for the second time, between its two renames: the same command finds both
    of them, and the one that was whole has its name at once."""
    steps = [*FULL, "--steps", "12"]
    code = (
        f"import os, sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from extensions.training import full\n"
        "real, calls = os.rename, []\n"
        "def rename(*given):\n"
        "    calls.append(1)\n"
        "    if len(calls) == 3:\n"
        f"        os.kill(os.getpid(), {int(signal.SIGKILL)})\n"
        "    real(*given)\n"
        "full.os.rename = rename\n"
        "from webui.cli.main import main\n"
        f"main({flags(folder, *steps)!r})\n"
    )
    done = subprocess.run([PYTHON[0], "-c", code], env=ENVIRONMENT, capture_output=True, timeout=240)
    assert done.returncode == -signal.SIGKILL, done.stderr
    there = folder / "models" / "checkpoints"
    hidden = [".former-poet", ".training-poet", ".training-poet.lock", ".writing-poet"]
    assert sorted(file.name for file in there.glob(".*")) == hidden and not (there / "poet").exists()
    new = {file.name: file.read_bytes() for file in (there / ".writing-poet").iterdir()}
    assert main(flags(folder, *steps, "--stop", "4")) == 0  # where its state is: it computes nothing
    assert {file.name: file.read_bytes() for file in (there / "poet").iterdir()} == new
    assert main(flags(folder, *steps)) == 0
    made = {file.name: file.read_bytes() for file in (there / "poet").iterdir()}
    assert [file.name for file in there.glob(".*")] == [".training-poet"]
    for name in ("poet", ".training-poet"):
        shutil.rmtree(there / name)
    assert main(flags(folder, *steps)) == 0
    assert {file.name: file.read_bytes() for file in (there / "poet").iterdir()} == made


def test_two_at_once_are_refused(folder, capsys):
    """A lock, not a file: what a killed run left holds nobody up (see above)."""
    place = folder / "models" / "checkpoints"
    with alone(place / ".training-poet.lock", "taken"):
        assert main(flags(folder, *FULL)) == 2
    assert "poet is being trained by another command; stop it first, or give another --out." in (
        capsys.readouterr().err
    )
    with alone(place / ".merging-new.lock", "taken"):
        merge = ["merge", "--a", "LLaDA", "--b", "LLaDA", "--out", "new"]
        assert main(["--models", str(folder / "models"), "--data", str(folder / "data"), *merge]) == 2
    assert "Another command is making the checkpoint new; give another --out, or wait." in (
        capsys.readouterr().err
    )
    assert [file.name for file in place.iterdir()] == ["LLaDA"]


@pytest.mark.parametrize(
    "more, sentence",
    [
        (["--out", "LLaDA"], "There is a checkpoint LLaDA already; give another --out."),
        (["--out", "LLaDA", "--fresh"], "There is a checkpoint LLaDA already; give another --out."),
        (["--dtype", "bfloat16"], "Full fine-tuning needs weights in fp32; start it with --dtype float32."),
    ],
)
def test_refusals(folder, capsys, more, sentence):
    before = weights(folder / "models" / "checkpoints" / "LLaDA")
    settings = more if more[0] == "--dtype" else []
    arguments = flags(folder, *FULL, *([] if settings else more))
    assert main([*settings, *arguments]) == 2
    assert sentence in capsys.readouterr().err
    after = weights(folder / "models" / "checkpoints" / "LLaDA")
    assert all(torch.equal(after[name], one) for name, one in before.items())


def test_qlora_without_bitsandbytes_is_one_sentence(folder, capsys, monkeypatch):
    real = builtins.__import__

    def missing(name, *rest, **more):
        if name == "bitsandbytes":
            raise ModuleNotFoundError(f"No module named {name!r}")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", missing)
    assert main(flags(folder, "--kind", "qlora")) == 2
    said = capsys.readouterr().err
    assert "QLoRA needs the library bitsandbytes, which is not there" in said
    assert len(said.strip().splitlines()) == 1 and not (folder / "models" / "loras").exists()


def test_the_parts_of_a_team_add_up_to_the_step_of_one(folder):
    """Three processes with their shares of the rows: losses and gradients add up to those of one."""
    from extensions.training.finetune import Plan, Tuner, read
    from extensions.training.team import Team

    app = program(folder)
    try:
        model = app.checkpoints.load("LLaDA")
        plan = Plan("LLaDA", "", "", 4, 7, 16, 2, 4.0, 0.01, "all", "thou", 2, 1)
        tuner = Tuner(model, read(folder / "poems.txt", model, 16), plan)
        with tuner.hooked(), torch.enable_grad():
            for _, one in tuner._named(""):  # B is 0 at first, and A then gets no gradient
                one.data += 0.1

            def step(*teams):
                losses = [tuner._loss(tuner.rows[:7], random.Random("x"), team) for team in teams]
                for loss in losses:
                    loss.backward()
                made = {name: one.grad.clone() for name, one in tuner._named("")}
                for _, one in tuner._named(""):
                    one.grad = None
                return sum(float(loss.detach()) for loss in losses), made

            one, together = step(None), step(*(Team(rank, 3) for rank in range(3)))
        assert together[0] == pytest.approx(one[0], rel=1e-5)
        for name, gradient in one[1].items():
            torch.testing.assert_close(together[1][name], gradient, rtol=1e-4, atol=1e-6)
    finally:
        app.close()


def test_a_model_of_ratios_learns_by_score_entropy(tmp_path):
    """The loss is the published one: sums of ratios, less the log of the right one by what it should be, and
    their least value, at the noise level of the row; weighed by the rate of the noise."""
    from extensions.training.finetune import LOW, Plan, Tuner, read
    from tests.reference.sedd import rate, sigma
    from tests.tiny_mixtures import sedd

    sedd(tmp_path / "models" / "checkpoints" / "LLaDA")
    (tmp_path / "poems.txt").write_text(TEXT, "utf-8")
    app = program(tmp_path, dtype="float64")
    try:
        model = app.checkpoints.load("LLaDA")
        plan = Plan("LLaDA", "", "", 4, 7, 16, 2, 4.0, 0.01, "all", "thou", 2, 1)
        tuner = Tuner(model, read(tmp_path / "poems.txt", model, 16), plan)
        seen = []
        logits = model.logits
        model.logits = lambda canvas: seen.append(logits(canvas)) or seen[-1]
        some, dice, order, expected, at = tuner.rows[:3], random.Random("x"), [0, 1, 2], 0.0, 0
        with tuner.hooked():
            got = float(tuner._loss(some, random.Random("x")).detach())
        dice.shuffle(order)
        for example, place in zip(some, order, strict=True):
            t = LOW + (1 - LOW) * (place + dice.random()) / 3
            hidden = [dice.random() < t for _ in example.tokens]
            hidden[dice.randrange(len(hidden))] = True
            tuner._prompt(example, dice)
            due = 1 / math.expm1(sigma(t))  # the right token's ratio
            for token in (token for token, masked in zip(example.tokens, hidden, strict=True) if masked):
                ratios = seen[0][at].detach().exp() * due
                ratios[model.mask] = 0
                entropy = ratios.sum() - due * ratios[token].log() + due * (math.log(due) - 1)
                expected += float(entropy) * rate(t) / sum(len(one.tokens) for one in some)
                at += 1
        assert at == len(seen[0]) and got == pytest.approx(expected, rel=1e-6)
    finally:
        app.close()


def test_several_processes_without_accelerate_are_one_sentence(folder, capsys, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setitem(sys.modules, "accelerate", None)
    assert main(flags(folder, "--steps", "2")) == 2
    assert "Training on several GPUs needs the library accelerate" in capsys.readouterr().err
