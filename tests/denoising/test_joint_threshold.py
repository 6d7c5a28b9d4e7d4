"""LLaDA2.x's joint threshold against its reference; each of the reference's mutants is told apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from unittest.mock import patch

import pytest
import torch
from torch import Tensor

from tests.denoising.test_parallel import calm
from tests.denoising.test_samplers import answers, ask
from tests.reference import joint_threshold
from tests.reference.toy import MASK, canvas, toy
from webui.canvas import Canvas
from webui.denoising import samplers
from webui.denoising.samplers import SamplerOptions

ROWS, PROMPT = 3, 4
MODELS: dict[str, Callable] = {"calm": calm, "toy": toy}
CASES = [
    (name, (seed, length, block, filled), options)
    for name in MODELS
    for seed, (length, block, filled) in enumerate([(16, 16, 0.0), (16, 8, 0.0), (16, 16, 0.4)])
    for options in (
        (0.5, 0.0, 16, 0.0),
        (0.9, 0.8, 3, 0.0),
        (0.7, 0.5, 0, 2.0),
        (0.5, 0.0, 5, 8.0),
    )
]


def options_of(case) -> dict[str, float]:
    return dict(zip(("threshold", "edit_threshold", "post_edit_steps", "penalty"), case[2], strict=True))


@cache
def got(case) -> list[list[int]]:
    model, (seed, length, block, filled), _ = case
    tokens, answer = canvas(seed, rows=ROWS, prompt=PROMPT, length=length, filled=filled)
    own = options_of(case)
    own["post_edit_steps"] += 1
    blocks = length // block
    # so many steps that no block is cut short, and no more than one position is asked for in a step
    row = SamplerOptions("joint_threshold", "even", "probability", 40 * blocks, block, own=own)
    made = Canvas.build(tokens[:, :answer].tolist(), tokens[:, answer:].tolist(), range(ROWS), MASK)
    made = samplers.prepare(made, [row] * ROWS)
    models = [MODELS[model](seed)] * ROWS
    while not (done := samplers.finished(made)).all():
        active = samplers.activate(made)
        after = samplers.commit(active, samplers.choose(active, ask(active, models)))
        made = replace(after, tokens=torch.where(done[:, None], made.tokens, after.tokens))
    return answers(made)


def expected(case) -> list[list[int]]:
    model, (seed, length, block, filled), _ = case
    tokens, answer = canvas(seed, rows=ROWS, prompt=PROMPT, length=length, filled=filled)
    options = {"block_length": block, "mask_id": MASK, "banned": (MASK,), **options_of(case)}
    return joint_threshold.sample(MODELS[model](seed), tokens, answer, **options)[:, answer:].tolist()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_joint_threshold_is_the_reference(case):
    assert got(case) == expected(case)


def of_the_first_too(logits: Tensor, tokens: Tensor, start: int, end: int, penalty: float) -> Tensor:
    return PENALIZED(logits, tokens, start - 1, end, penalty)


PENALIZED, OVER = joint_threshold.penalized, joint_threshold.over
MUTANTS: dict[str, tuple[str, Callable]] = {
    "no penalty": ("penalized", lambda logits, *of: logits),
    "the first position of a block too": ("penalized", of_the_first_too),
    "of the token that stands after": (
        "penalized",
        lambda logits, tokens, *of: PENALIZED(logits, tokens.roll(-2), *of),
    ),
    "edits without a limit of steps": ("over", lambda passes, limit: passes > 39),
    "one step of edits less": ("over", lambda passes, limit: passes >= max(limit, 1)),
    "never edits": ("replaced", lambda confidence, changed, own, threshold: own & (confidence > 2)),
    "edits above the threshold of masks": (
        "replaced",
        lambda confidence, changed, own, threshold: own & changed & (confidence > 0.9),
    ),
    "all that is masked": ("accepted", lambda confidence, masked, threshold: masked),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_mutants_of_joint_threshold_are_told_apart(name):
    part, wrong = MUTANTS[name]
    with patch.object(joint_threshold, part, wrong):
        assert any(got(case) != expected(case) for case in CASES)
