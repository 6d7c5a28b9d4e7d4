"""The model's forward pass over a canvas: which keys are attended to, and where positions are counted from."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.reference.llada_model import reference_logits
from tests.tiny_checkpoints import llada
from webui.canvas import Canvas
from webui.checkpoints.loading import Checkpoints
from webui.checkpoints.model import Model
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


def variant(model: Model, block_length: int = 0, **family) -> Model:
    """The same weights as of a family with other properties."""
    facts = replace(model.description, block_length=block_length)
    return Model(
        model.module, replace(model.family, **family), model.tokenizer, model.mask, model.ends, facts
    )


def test_a_shifted_family_reads_the_column_before(model):
    """The output at i - 1 predicts position i; the first column of a row stands for itself too."""
    rows = [[5, 6, 7], []], [[model.mask] * 4, [model.mask, 9, model.mask]]
    canvas = build(model, *rows)
    plain = model(canvas.activate(~canvas.padding))
    shifted = variant(model, shift=True)(canvas.activate(~canvas.padding))
    first, second = plain.split([7, 3])
    expected = torch.cat([first[:1], first[:-1], second[:1], second[:-1]])
    assert torch.equal(shifted, expected)


@pytest.mark.parametrize(("attention", "block"), [("causal", 1), ("block-causal", 3), ("block-causal", 4)])
def test_attention_sees_no_later_block(model, attention, block):
    """Blocks are counted from the row's first position, padding or not. A token changes the outputs of its own
    block and later ones, and no earlier one; within a block all see all."""
    limited = variant(model, block, attention=attention)
    prompts, answers = [[5, 6, 7, 8, 9], [3]], [[model.mask] * 8, [model.mask] * 4]
    canvas = build(limited, prompts, answers)
    canvas = canvas.activate(~canvas.padding)
    before = limited(canvas).split([13, 5])
    for changed in (2, 7, 12):
        tokens = canvas.tokens.clone()
        tokens[0, int(canvas.start[0]) + changed] = 100
        after = limited(replace(canvas, tokens=tokens)).split([13, 5])
        moved = (after[0] != before[0]).any(1).tolist()
        assert moved == [i // block >= changed // block for i in range(13)]
        assert torch.equal(after[1], before[1])
    end = 2 * block
    assert (limited(beginning(limited, prompts[0] + answers[0], end)) - before[0][:end]).abs().max() < 1e-9
    first = model(beginning(model, prompts[0] + answers[0], block))
    assert (first - before[0][:block]).abs().max() < 1e-9, "within a block attention is bidirectional"


def beginning(model: Model, line: list[int], end: int) -> Canvas:
    """The first `end` positions of a row, all of them active."""
    canvas = Canvas.build([line[: end - 1]], [line[end - 1 : end]], [0], model.mask)
    return canvas.activate(~canvas.padding)
