"""The model's forward pass over a canvas: which keys are attended to, and where positions are counted from."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.reference.llada_model import reference_logits
from tests.tiny_checkpoints import llada
from webui.canvas import Canvas
from webui.checkpoints.catalogue import Checkpoints
from webui.settings import Settings


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return llada(tmp_path_factory.mktemp("models") / "checkpoints" / "tiny")


@pytest.fixture(scope="module")
def model(folder):
    settings = Settings(models=folder.parents[1], model="tiny", device="cpu", dtype="float64")
    return Checkpoints(settings).load(None)


def build(model, prompts, answers) -> Canvas:
    canvas = Canvas.build(prompts, answers, [0] * len(answers), model.mask)
    return canvas.activate(canvas.masked)


def test_a_key_of_weight_zero_is_absent_and_moves_no_position(model):
    """An emphasis of 0 is a log-weight of minus infinity. The key contributes nothing, and what follows it
    stays where it is: its token and its own weight are all the same to the other positions."""
    prompt, answer = [5, 6, 7, 8], [model.mask] * 4
    canvas = build(model, [prompt], [answer])
    key = int(canvas.start[0]) + 1
    weights = canvas.weights.clone()
    weights[0, key] = -torch.inf
    without = canvas.with_weights(weights)
    logits = model(without)
    assert torch.equal(without.position, canvas.position)
    other = without.tokens.clone()
    other[0, key] = 99
    assert torch.equal(model(replace(without, tokens=other)), logits), "the key's token does not matter"
    assert (logits - model(canvas)).abs().max() > 1e-3, "with the key it does"
    shifted = build(model, [[5, 7, 8]], [answer])
    assert (logits - model(shifted)).abs().max() > 1e-3, "taken out of the prompt, others would move up"


def test_a_faint_key_is_nearly_an_absent_one(model):
    """A weight of 0 is the limit of small weights: nothing jumps."""
    canvas = build(model, [[5, 6, 7, 8]], [[model.mask] * 4])
    absent, faint = canvas.weights.clone(), canvas.weights.clone()
    key = int(canvas.start[0]) + 2
    absent[0, key], faint[0, key] = -torch.inf, -30.0
    difference = model(canvas.with_weights(absent)) - model(canvas.with_weights(faint))
    assert difference.abs().max() < 1e-6


def test_padding_is_never_attended_to_whatever_its_weight(model, folder):
    canvas = build(model, [[5, 6]], [[model.mask] * 3])
    weights = torch.where(canvas.padding, 3.0, canvas.weights)
    expected = reference_logits(folder, canvas.tokens[:, int(canvas.start[0]) :], dtype=torch.float64)
    for each in (canvas, canvas.with_weights(weights)):
        assert (model(each) - expected[0, 2:]).abs().max() < 5e-6
