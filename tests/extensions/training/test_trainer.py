"""Training: what a step asks, that it learns, and that a kill at any moment costs nothing but time."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from extensions.training import export, recipe, sampling, state
from extensions.training.corpus import CONTENT, FRAME_KIND, FURTHER, PADDING, TEXT, Corpus
from extensions.training.main import PROMPTS, check, main
from extensions.training.trainer import Trainer, precision, question, rate

ROOT = Path(__file__).parents[3]
MASK = 2


@pytest.fixture(scope="module")
def rows(tiny, made, grammar):
    return Corpus(tiny, made, None, grammar)


def test_the_rate_warms_up_holds_and_falls(tiny):
    plan = replace(tiny.plan, steps=1000, warmup=40, hold=0.6, floor=0.03)
    assert rate(plan, 0) == 1 / 40 and rate(plan, 40) == rate(plan, 600) == 1.0
    assert rate(plan, 800) == pytest.approx(0.515) and rate(plan, 1000) == pytest.approx(0.03)


def test_the_first_phase_asks_for_the_next_token(tiny, rows):
    batch = rows.batch(0)
    asked = question(batch, tiny.plan, 0, 1, MASK)
    assert asked.causal and torch.equal(asked.inputs, batch.tokens)
    assert torch.equal(asked.targets, batch.tokens.flatten()[asked.positions + 1])
    kinds = batch.kinds.flatten()[asked.positions + 1]
    assert not (kinds == FRAME_KIND).any()
    assert (kinds == PADDING).any() and torch.allclose(asked.weights[kinds == PADDING], torch.tensor(0.15))
    assert (asked.weights[kinds == TEXT] == 1.0).all()


def test_the_masked_phase_masks_text_and_treats_conditions_in_three_ways(tiny, rows):
    plan, ways, ts = tiny.plan, [0, 0, 0], []
    for step in range(200, 240):
        batch = rows.batch(step)
        asked = question(batch, plan, step, 1, MASK)
        assert torch.equal(question(batch, plan, step, 1, MASK).inputs, asked.inputs)
        masked = asked.inputs == MASK
        assert not masked[batch.kinds == FRAME_KIND].any()
        assert (
            torch.equal(asked.targets, batch.tokens.flatten()[asked.positions])
            and masked.flatten()[asked.positions].all()
        )
        asked_for = torch.zeros_like(masked).flatten()
        asked_for[asked.positions] = True
        asked_for = asked_for.view_as(masked)
        content, text = batch.kinds == CONTENT, batch.kinds >= TEXT
        assert torch.equal(asked_for & text, masked & text)
        for row in range(len(masked)):
            if content[row].sum() > 4:
                if not masked[row][content[row]].any():
                    ways[0] += 1
                elif masked[row][content[row]].all() and not asked_for[row][content[row]].any():
                    ways[1] += 1
                else:
                    ways[2] += 1
            ts.append(float(masked[row][text[row]].float().mean()))
    shares = [way / sum(ways) for way in ways]
    assert 0.62 < shares[0] < 0.80 and 0.10 < shares[1] < 0.20 and 0.08 < shares[2] < 0.20, shares
    assert 0.45 < sum(ts) / len(ts) < 0.56


def test_the_expected_weight_of_a_token_is_one(tiny, rows):
    """1/t undoes the masking: over many draws, each text token counts once."""
    plan = replace(tiny.plan, clean=1.0, empty=0.0, padding=1.0, low=0.02, last_low=0.02)
    total = sum(
        float(asked.weights.sum()) / asked.count
        for asked in (question(rows.batch(step), plan, step, 1, MASK) for step in range(160, 240))
    )
    assert total / 80 == pytest.approx(1.0, abs=0.05)


def test_a_further_character_weighs_as_the_plan_says(tiny, rows):
    """The same positions are asked for; only the weights of these tokens change."""
    for step in (0, 200):
        batch = rows.batch(step)
        plain, asked = (question(batch, replace(tiny.plan, further=k), step, 1, MASK) for k in (1.0, 8.0))
        marked = (batch.kinds == FURTHER).flatten()[asked.positions + int(asked.causal)]
        assert marked.any() and torch.equal(plain.positions, asked.positions)
        assert torch.allclose(asked.weights, torch.where(marked, 8.0, 1.0) * plain.weights)


def test_half_a_minute_of_training_teaches(tiny, rows, made):
    """Fixed seed, fixed fall: what an untrained network finds as likely as anything becomes likelier by more
    than a nat."""
    trainer = Trainer(tiny.with_steps(120), rows, made, MASK)
    held = rows.batch(10_000)
    counted = held.kinds == TEXT
    start, count = sampling.bound(trainer.averaged(), held.tokens, counted, MASK)
    began = time.monotonic()
    while trainer.step < 120:
        trainer.advance()
    end, _ = sampling.bound(trainer.averaged(), held.tokens, counted, MASK)
    print(f"{start / count:.3f} -> {end / count:.3f} nats per token in {time.monotonic() - began:.0f} s")
    assert start / count == pytest.approx(6.9, abs=0.3)
    assert end / count < 5.8


def test_a_shorter_end_moves_the_phases(tiny):
    assert tiny.with_steps(100).plan.steps == 100 and tiny.with_steps(100).identity() == tiny.identity()
    assert replace(tiny, seed=2).identity() != tiny.identity()


def test_a_state_of_another_recipe_or_corpus_is_refused(tiny, tmp_path):
    mine = {"identity": tiny.identity(), "rows": "a"}
    check(mine, dict(mine), tmp_path)
    with pytest.raises(ValueError, match="another recipe"):
        check(mine, {**mine, "identity": {}}, tmp_path)
    with pytest.raises(ValueError, match="another grammar"):
        check(mine, {**mine, "rows": "b"}, tmp_path)


def test_recipes_are_read_and_unknown_keys_refused(tmp_path):
    assert {recipe.read(name).name for name in ("closing", "cpu", "gpu", "tiny")} == {
        "storyteller",
        "storyteller-large",
        "tiny",
    }
    with pytest.raises(ValueError, match="There is no recipe none; there are closing, cpu, "):
        recipe.read("none")
    (tmp_path / "x.toml").write_text("[plan]\nstep = 3\n")
    with pytest.raises(ValueError, match="no key step"):
        recipe.read(tmp_path / "x.toml")
    with pytest.raises(ValueError, match="There is no precision"):
        precision("half", "cpu")


def test_a_torn_write_leaves_the_old_state(tmp_path):
    state.write(tmp_path, {"a": torch.ones(3)}, {"step": 1})
    (tmp_path / (state.FILE + ".new")).write_bytes(b"torn")
    tensors, facts = state.read(tmp_path)
    assert facts == {"step": 1} and torch.equal(tensors["a"], torch.ones(3))


def short(folder: Path, *more: str) -> list[str]:
    """The arguments of a run of a very short recipe that keeps its state all the time."""
    (folder / "short.toml").write_text(
        (ROOT / "extensions/training/recipes/tiny.toml")
        .read_text()
        .replace("steps = 240", "steps = 24")
        .replace('name = "tiny"', 'name = "short"\nsave_minutes = 0.005\nexport_minutes = 60.0')
        .replace("report = 20", "report = 1")
        .replace("tokens = 1536", "tokens = 768")
        .replace("= 1500", "= 600")
        .replace("width = 64", "width = 32")
        + "\n[leg]\nsteps = 8\ncausal = 0.0\n"
    )
    places = ["--out", str(folder / "out"), "--state", str(folder / "state")]
    return ["--recipe", str(folder / "short.toml"), *places, "--threads", "1", *more]


def start(folder: Path, *more: str) -> subprocess.Popen:
    """The run in a process of its own, to be killed."""
    return subprocess.Popen(
        [sys.executable, "-m", "extensions.training.main", *short(folder, *more)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )


@pytest.fixture
def finish(monkeypatch, capsys):
    """`finish(folder, ...)` is the same run in this process, to its end; returns its exit status and what it
    printed."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def run(folder: Path, *more: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["main", *short(folder, *more)])
        monkeypatch.setitem(main.__globals__, "PROMPTS", PROMPTS[:2])  # without guidance and with it
        status = main()
        return status, "".join(capsys.readouterr())

    yield run
    for number, handler in before.items():
        signal.signal(number, handler)


def test_killed_at_any_moment_and_resumed_equals_never_interrupted(tmp_path, finish):
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    whole.mkdir(), torn.mkdir()
    assert finish(whole)[0] == 0
    dice = random.Random(os.getpid())
    process = start(torn)
    until = dice.randrange(4, 14)
    for line in process.stdout:  # let some steps pass and a state be kept, then a random moment
        until -= " step " in f" {line}"
        if until <= 0 and (torn / "state" / state.FILE).exists():
            break
    time.sleep(dice.random() * 0.3)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    status, text = finish(torn, "--resume")
    assert status == 0 and "from step 0 " not in text
    for file in ("state/state.safetensors", "out/model.safetensors"):
        assert (whole / file).read_bytes() == (torn / file).read_bytes(), file


def test_a_stopped_run_goes_on_to_an_earlier_end(tmp_path, finish):
    assert finish(tmp_path, "--stop", "10")[0] == 0
    assert state.read(tmp_path / "state")[1]["step"] == 10
    assert "stopped at step 16 of 16" in finish(tmp_path, "--steps", "16")[1]
    assert (tmp_path / "out" / "config.json").is_file()


def test_resuming_nothing_is_refused(tmp_path, finish):
    status, text = finish(tmp_path, "--resume")
    assert status == 2 and "There is no state" in text


def test_a_fine_tuning_recipe_starts_from_the_weights_and_tokenizer_of_a_checkpoint(
    tiny, rows, made, tmp_path
):
    first = Trainer(tiny, rows, made, MASK)
    first.advance()
    first.export(tmp_path / "first")
    again = Trainer(replace(tiny, seed=7), rows, made, MASK)
    again.begin(export.read(tmp_path / "first"))
    for name, one in again.network.named_parameters():
        assert torch.equal(one.bfloat16(), first.average[name].bfloat16()) and torch.equal(
            one, again.average[name]
        )
    with pytest.raises(ValueError, match="another shape"):
        again.begin({"wte": torch.ones(2, 2)})


def test_the_fables_recipe_fits_the_default_checkpoint():
    fables, cpu = recipe.read("fables"), recipe.read("cpu")
    assert fables.network == cpu.network and fables.start == cpu.name and fables.plan.causal == 0


def test_a_deepened_network_computes_the_same_and_learns_in_its_new_layers(tiny, rows, made):
    shallow = Trainer(tiny, rows, made, MASK)
    deep = replace(tiny, network=replace(tiny.network, layers=5))
    deeper = Trainer(deep, rows, made, MASK)
    deeper.begin(dict(shallow.network.named_parameters()))
    tokens = rows.batch(3).tokens
    assert torch.equal(deeper.network(tokens), shallow.network(tokens))
    deeper.advance()
    assert all(
        block.attn_out.abs().sum() > 0 and block.ff_out.abs().sum() > 0 for block in deeper.network.blocks
    )


def test_a_later_leg_goes_on_from_the_weights_of_the_one_before(tmp_path, finish):
    """Nothing but the checkpoint is left of the first leg; the second counts on from its tokens, on other rows."""
    assert finish(tmp_path, "--stop", "14")[0] == 0
    first = json.loads((tmp_path / "out" / "config.json").read_text())["training"]["tokens"]
    state.replace(tmp_path / "old", (tmp_path / "state" / state.FILE).read_bytes())
    (tmp_path / "state" / state.FILE).unlink()
    status, text = finish(tmp_path, "--leg", "2", "--state", str(tmp_path / "second"))
    assert status == 0
    assert f"{first / 1e6:.1f} M tokens before" in text and "next token" not in text
    assert "step 8 of 8" in text
    second = json.loads((tmp_path / "out" / "config.json").read_text())["training"]
    assert second["tokens"] > first and second["step"] == 8
    one, two = state.read(tmp_path / "second")[1], state.read(tmp_path)
    assert one["before"] == first and two is None
    assert one["identity"]["seed"] == 2


def test_a_recipe_without_a_table_of_legs_has_one_only(tiny):
    assert tiny.leg(1, "x") is tiny
    for number in (0, 2):
        with pytest.raises(ValueError, match=f"no leg {number}"):
            tiny.leg(number, "x")
    cpu = recipe.read("cpu")
    later = cpu.leg(3, "storyteller")
    assert later.seed == cpu.seed + 2 and later.start == "storyteller" and later.plan.causal == 0
    assert later.plan.decay == cpu.plan.decay and later.network == cpu.network
