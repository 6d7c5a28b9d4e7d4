"""LLaDA2, Steerling and MDLM: weights that are cut and stacked, experts in groups, clamped projections, modulation. They compute
what plain torch computes from the published names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.reference.llada2_model import llada2_logits, steerling_logits
from tests.reference.mdlm_model import mdlm_logits
from tests.tiny_checkpoints import MASK, ROWS, write_json
from tests.tiny_mixtures import llada2, mdlm, steerling
from webui import Canvas
from webui.checkpoints.loading import Checkpoints
from webui.settings import Settings

TOKENS = torch.randint(0, ROWS, (3, 72), generator=torch.Generator().manual_seed(1))
FORWARDS = {
    "LLaDA2": llada2_logits,
    "Steerling": steerling_logits,
    "Steerling plain": steerling_logits,
    "MDLM": mdlm_logits,
}


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    llada2(folder / "checkpoints" / "LLaDA2")
    steerling(folder / "checkpoints" / "Steerling")
    steerling(folder / "checkpoints" / "Steerling plain", interpretable=False, seed=2)
    mdlm(folder / "checkpoints" / "MDLM")
    return folder


def checkpoints(models: Path, dtype: str = "float64") -> Checkpoints:
    return Checkpoints(Settings(models=models, model="LLaDA2", device="cpu", dtype=dtype))


def logits_of(models: Path, name: str, dtype: str) -> torch.Tensor:
    model = checkpoints(models, dtype).load(name)
    canvas = Canvas.build([[]] * 3, TOKENS[:, :64].tolist(), [0] * 3, model.mask)
    return model(canvas.activate(~canvas.padding)).unflatten(0, (3, 64))


@pytest.mark.parametrize("dtype, tolerance", [("float32", 3e-5), ("float64", 5e-6)])
@pytest.mark.parametrize("name", FORWARDS)
def test_logits_are_those_of_the_plain_forward(models, name, dtype, tolerance):
    expected = FORWARDS[name](models / "checkpoints" / name, TOKENS[:, :64], getattr(torch, dtype))
    assert expected.std() > 0.3
    assert (logits_of(models, name, dtype) - expected).abs().max() < tolerance


def test_mistakes_would_be_seen(models):
    folder = models / "checkpoints"
    made = logits_of(models, "LLaDA2", "float32")
    assert (llada2_logits(folder / "LLaDA2", TOKENS[:, :64], grouped=False) - made).abs().max() > 0.05
    assert (llada2_logits(folder / "LLaDA2", TOKENS[:, :64], block=64) - made).abs().max() > 0.05
    made = logits_of(models, "Steerling", "float32")
    assert (steerling_logits(folder / "Steerling", TOKENS[:, :64], clamped=False) - made).abs().max() > 0.05
    made = logits_of(models, "MDLM", "float32")
    assert (mdlm_logits(folder / "MDLM", TOKENS[:, :64], gated=False) - made).abs().max() > 0.05
    assert (mdlm_logits(folder / "MDLM", TOKENS[:, :64], level=3.0) - made).abs().max() > 0.01


@pytest.mark.parametrize("name", FORWARDS)
def test_a_row_beside_others_equals_the_row_alone(models, name):
    model = checkpoints(models).load(name)
    prompts, answers = [[5, 6], list(range(20, 61)), []], [[MASK] * 16, [MASK, 7, MASK], [9] * 5]
    canvas = Canvas.build(prompts, answers, [0] * 3, model.mask)
    canvas = canvas.activate(~canvas.padding)
    logits = model(canvas)
    for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        tokens = torch.tensor([prompt + answer])
        expected = FORWARDS[name](models / "checkpoints" / name, tokens, torch.float64)[0]
        assert (logits[canvas.at[0] == row] - expected).abs().max() < 5e-6


def test_a_later_version_is_refused_by_its_name(tmp_path):
    llada2(tmp_path / "checkpoints" / "LLaDA2.2-flash")
    assert "LLaDA2.2, which is not loaded" in (checkpoints(tmp_path).list()[0].error or "")


@pytest.mark.parametrize(
    "build, change, sentence",
    [
        (llada2, {"use_bias": True}, "use_bias = True"),
        (llada2, {"n_group": 3}, "groups must be equal"),
        (llada2, {"num_experts_per_tok": 1}, "num_experts_per_tok = 1"),
        (llada2, {"num_shared_experts": None}, "num_shared_experts = None"),
        (steerling, {"norm_order": "pre"}, "norm_order = 'pre'"),
        (steerling, {"mlp_type": "standard"}, "mlp_type = 'standard'"),
        (steerling, {"n_kv_heads": 3}, "each must be a multiple"),
        (mdlm, {"time_conditioning": True}, "time_conditioning = True"),
        (mdlm, {"n_heads": 5}, "equal, even width"),
        (mdlm, {"cond_dim": None}, "cond_dim = None"),
        (steerling, {"clip_qkv": "x"}, "clip_qkv = 'x'"),
    ],
)
def test_what_is_not_computed_is_refused(tmp_path, build, change, sentence):
    folder = build(tmp_path / "checkpoints" / "tiny")
    config = json.loads((folder / "config.json").read_text("utf-8"))
    write_json(folder / "config.json", {**config, **change})
    error = checkpoints(tmp_path).list()[0].error
    assert error is not None and sentence in error and error.startswith("tiny")
