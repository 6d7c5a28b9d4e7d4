"""Families that are an ancestor's decoder under its own names: recognized, loaded, and their logits those of a
plain forward pass."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.contract.program import write
from tests.reference.decoder_model import decoder_logits
from tests.tiny_checkpoints import MASK, ROWS, write_json
from tests.tiny_decoders import BLOCKS, PUBLISHED, SHIFTED, decoder
from webui import App, Canvas
from webui.checkpoints.families import REFUSED
from webui.checkpoints.loading import Checkpoints
from webui.settings import Settings

TOKENS = torch.randint(0, ROWS, (3, 24), generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for name, fields in PUBLISHED.items():
        decoder(folder / "checkpoints" / name, **fields)
    return folder


def checkpoints(models: Path, dtype: str = "float64") -> Checkpoints:
    return Checkpoints(Settings(models=models, model="Dream", device="cpu", dtype=dtype))


def reference(models: Path, name: str, tokens: torch.Tensor, dtype=torch.float64) -> torch.Tensor:
    folder = models / "checkpoints" / name
    return decoder_logits(folder, tokens, name in SHIFTED, BLOCKS.get(name, 0), dtype)


def test_each_is_recognized(models):
    entries = {entry.name: entry for entry in checkpoints(models).list()}
    assert {name: entry.family for name, entry in entries.items()} == {name: name for name in PUBLISHED}
    assert all(entry.error is None for entry in entries.values())


@pytest.mark.parametrize("dtype, tolerance", [("float32", 3e-5), ("float64", 5e-6)])
@pytest.mark.parametrize("name", PUBLISHED)
def test_logits_are_those_of_the_plain_forward(models, name, dtype, tolerance):
    model = checkpoints(models, dtype).load(name)
    canvas = Canvas.build([[]] * 3, TOKENS.tolist(), [0] * 3, model.mask)
    expected = reference(models, name, TOKENS, getattr(torch, dtype))
    assert expected.std() > 0.3
    logits = model(canvas.activate(~canvas.padding))
    assert (logits - expected.flatten(0, 1)).abs().max() < tolerance


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_row_beside_others_equals_the_row_alone(models, name):
    model = checkpoints(models).load(name)
    prompts, answers = [[5, 6], list(range(20, 45)), []], [[MASK] * 16, [MASK, 7, MASK], [9] * 5]
    canvas = Canvas.build(prompts, answers, [0] * 3, model.mask)
    canvas = canvas.activate(~canvas.padding)
    logits = model(canvas)
    for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        expected = reference(models, name, torch.tensor([prompt + answer]))[0]
        assert (logits[canvas.at[0] == row] - expected).abs().max() < 5e-6


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_a_column_sees(models, name):
    """Another last token changes every output of a bidirectional model, and only its own block's (a shifted one's
    output counts for the next column) of a block-causal one."""
    other = TOKENS.clone()
    other[:, -1] = (other[:, -1] + 1) % ROWS
    changed = (reference(models, name, other) - reference(models, name, TOKENS)).abs().amax((0, 2)) > 1e-9
    first = 24 - BLOCKS[name] if name in BLOCKS else 0
    first = max(first, 0) + (name in SHIFTED and name in BLOCKS)
    assert changed.tolist() == [column >= first for column in range(24)]


@pytest.mark.parametrize("name", BLOCKS)
def test_the_samplers_blocks_are_the_models(tmp_path, models, name):
    """Blocks are counted from the row's begin, the prompt included: no token is committed before all of an
    earlier block."""
    app = App(Settings(models=models, data=tmp_path, model=name, device="cpu", dtype="float64", threads=1))
    size = BLOCKS[name]
    assert app.checkpoints.profile(name)["preset"]["block_length"] in (size, 8)
    before = len(app.checkpoints.load(name).tokenizer.prompt("the cats").tokens)
    assert before % size
    result = write(
        app, prompt="the cats", model=name, length=20, block_length=size, temperature=0.0, end_of_text="keep"
    )
    steps = [(change.step, (before + change.column) // size) for change in result.trace]
    blocks = [block for _, block in sorted(steps)]
    assert blocks == sorted(blocks) and len(set(blocks)) == (before + 19) // size - before // size + 1
    app.close()


def test_experts_that_are_normalized_differ(models, tmp_path):
    """The mutant: LLaDA-MoE's published code never normalizes the experts' weights, SDAR's does."""
    folder = models / "checkpoints" / "LLaDA-MoE"
    config = json.loads((folder / "config.json").read_text("utf-8"))
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    write_json(tmp_path / "config.json", {**config, "norm_topk_prob": True})
    assert (decoder_logits(tmp_path, TOKENS) - decoder_logits(folder, TOKENS)).abs().max() > 0.01
    (tmp_path / "checkpoints").mkdir()
    there = tmp_path / "checkpoints" / "LLaDA-MoE"
    decoder(there, **{**PUBLISHED["LLaDA-MoE"], "norm_topk_prob": True})
    model = checkpoints(tmp_path, "float32").load("LLaDA-MoE")
    canvas = Canvas.build([[]] * 3, TOKENS.tolist(), [0] * 3, model.mask)
    logits = model(canvas.activate(~canvas.padding))
    assert (logits - decoder_logits(folder, TOKENS).flatten(0, 1)).abs().max() < 3e-5


@pytest.mark.parametrize(
    "name, change, sentence",
    [
        ("SDAR", {"block_size": 0}, "block_size = 0"),
        ("SDAR", {"block_size": "4"}, "block_size = '4'"),
        ("SDAR", {"num_attention_heads": 3}, "each must be a multiple"),
        ("SDAR", {"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, "rope_scaling = 'yarn'"),
        ("Dream", {"hidden_act": "gelu"}, "hidden_act = 'gelu'"),
        ("Dream", {"use_sliding_window": True}, "use_sliding_window = True"),
        ("Dream", {"hidden_size": None}, "hidden_size = None"),
        ("LLaDA-MoE", {"clip_qkv": 8.0}, "clip_qkv = 8.0"),
        ("LLaDA-MoE", {"shared_expert_intermediate_size": 32}, "shared_expert_intermediate_size"),
        ("LLaDA-MoE", {"expert_intermediate_size": None}, "expert_intermediate_size = None"),
        ("RND1", {"mlp_only_layers": [0]}, "layers without experts"),
        ("iLLaDA", {"layer_norm_eps": 1e-5}, "layer_norm_eps"),
    ],
)
def test_what_is_not_computed_is_refused(tmp_path, name, change, sentence):
    folder = decoder(tmp_path / "checkpoints" / name, **PUBLISHED[name])
    config = json.loads((folder / "config.json").read_text("utf-8"))
    write_json(folder / "config.json", {**config, **change})
    error = checkpoints(tmp_path).list()[0].error
    assert error is not None and sentence in error and error.startswith(name)


def test_a_profile_names_the_family(tmp_path):
    fields = {**PUBLISHED["Open-dLLM"], "named": False}
    folder = decoder(tmp_path / "checkpoints" / "plain", **fields)
    there = checkpoints(tmp_path)
    assert '{"family": "Dream"}' in (there.list()[0].error or "")
    write_json(folder / "profile.json", {"family": "Open-dLLM"})
    assert there.list()[0].family == "Open-dLLM"
    write_json(folder / "profile.json", {"family": "Closed-dLLM"})
    assert "there is no family 'Closed-dLLM'. There are: LLaDA, " in (there.list()[0].error or "")


@pytest.mark.parametrize("kind", REFUSED)
def test_a_known_family_that_is_not_loaded_is_refused_by_its_name(tmp_path, kind):
    decoder(tmp_path / "checkpoints" / "theirs", shape="llama", model_type=kind)
    name, reason = REFUSED[kind]
    assert checkpoints(tmp_path).list()[0].error == (
        f"theirs is of the family {name}, which is not loaded: {reason}."
    )
