"""SEDD's sampler against its reference with the same noise, on toys whose probabilities do not sum to 1."""

from __future__ import annotations

import math
from functools import cache

import pytest
import torch
from torch import Tensor

from tests.denoising.test_samplers import ask
from tests.reference import mutants, sedd
from tests.reference.toy import MASK, VOCAB, canvas, mixed, toy
from webui.canvas import Canvas, noise
from webui.denoising import samplers
from webui.denoising.samplers import SamplerOptions

# seed, length, steps, share that is given, temperature, whether the model gives ratios
CASES = [
    (1, 16, 16, 0.0, 1.0, True),
    (2, 24, 9, 0.0, 1.0, True),
    (3, 16, 5, 0.4, 1.0, True),
    (4, 16, 12, 0.0, 0.0, True),
    (5, 12, 1, 0.0, 1.0, True),
    (6, 12, 2, 0.2, 1.0, True),
    (7, 20, 10, 0.0, 1.0, False),
]


def model(seed: int, ratios: bool):
    """Logs of probabilities, whose sum is 0.4 to 1.7 where the model gives ratios; otherwise 1."""

    def logits_fn(tokens: Tensor) -> Tensor:
        logits = toy(seed)(tokens)
        logits[..., MASK] = -torch.inf
        logs = logits.log_softmax(-1)
        much = mixed((logits[..., 0] * 2**20).long().abs()) % 1300 / 1000 + 0.4
        return logs + much.log()[..., None] if ratios else logs

    return logits_fn


def expected(case, predictor: str = "analytic", sample=sedd.sample) -> list[list[int]]:
    seed, length, steps, filled, temperature, ratios = case
    tokens, answer = canvas(seed, rows=3, prompt=4, length=length, filled=filled)
    seeds = torch.tensor([seed, seed + 1, seed + 2])[:, None]
    column = torch.arange(tokens.shape[1]) - answer

    def score(x: Tensor, level: float) -> Tensor:
        found = model(seed, ratios)(x).double().exp() / math.expm1(level)
        return found.scatter(-1, x[..., None], 1.0)

    def draw(weights: Tensor, step: int) -> Tensor:
        kept, step = weights.clamp(min=0), torch.tensor(step)
        luck = noise.uniform(noise.counter(seeds, noise.COMMIT, column, step)).double()
        lots = noise.gumbel(
            noise.counter(seeds, noise.DRAW, column, step)[..., None], torch.arange(VOCAB - 1)
        )
        token = (kept[..., :-1].log() + (lots if temperature else 0)).argmax(-1)
        return torch.where(luck < 1 - kept[..., -1] / kept.sum(-1), token, MASK)

    made = sample(score, tokens, answer, steps=steps, draw=draw, predictor=predictor)
    return made[:, answer:].tolist()


@cache
def got(case) -> list[list[int]]:
    seed, length, steps, filled, temperature, ratios = case
    tokens, answer = canvas(seed, rows=3, prompt=4, length=length, filled=filled)
    options = SamplerOptions(
        "sedd", "even", "probability", steps, length, temperature=temperature, own={"ratios": float(ratios)}
    )
    made = Canvas.build(
        tokens[:, :answer].tolist(), tokens[:, answer:].tolist(), [seed, seed + 1, seed + 2], MASK
    )
    made = samplers.prepare(made, [options] * 3)
    for step in range(steps):
        made = samplers.activate(Canvas.load(made.dump()))
        if made.active.any():
            moves = max(1, steps - 1)
            assert made.time[made.masked.any(1)].sub(1 - (1 - 1e-5) * step / moves).abs().amax() < 1e-12
            made = samplers.commit(made, samplers.choose(made, ask(made, [model(seed, ratios)] * 3)))
    assert samplers.finished(made).all()
    return [row[column >= 0].tolist() for row, column in zip(made.tokens, made.column, strict=True)]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_sedd_is_the_references_with_either_predictor(case):
    assert got(case) == expected(case) == expected(case, "euler")


@pytest.mark.parametrize("mutant", mutants.SEDD, ids=lambda mutant: mutant.name)
def test_mutants_of_sedd_are_told_apart(mutant):
    assert any(got(case) != expected(case, sample=mutant.sample) for case in CASES)


def test_what_the_reference_draws_from_sums_to_one():
    """Both predictors, wherever the model's ratios are not too large."""
    tokens = torch.tensor([[MASK, 3, MASK]])
    for t in (1.0, 0.5, 0.01):

        def score(x: Tensor, level: float) -> Tensor:
            return (model(1, False)(x).double().exp() / math.expm1(level)).scatter(-1, x[..., None], 1.0)

        for move in (sedd.analytic, sedd.euler):
            weights = move(tokens, score, t, 0.005)
            assert torch.allclose(weights.sum(-1), torch.ones(1, 3).double())
            assert weights[0, 1, 3] == pytest.approx(1.0)


def test_rows_beside_others_are_as_each_alone():
    """Beside samplers that say no time, whose models are told what is masked."""
    alone = samplers.activate(_prepared(["sedd"]))
    both = samplers.activate(_prepared(["low_confidence", "sedd"]))
    assert both.time.tolist() == [1.0, float(alone.time)]
    half = _prepared(["low_confidence"], [MASK, 3, MASK, 4])
    assert samplers.activate(half).time.tolist() == [0.5]


def _prepared(names: list[str], answer: list[int] | None = None) -> Canvas:
    rows = [SamplerOptions(name, "even", "probability", 8, 8) for name in names]
    made = Canvas.build([[1]] * len(names), [answer or [MASK] * 8] * len(names), [0] * len(names), MASK)
    return samplers.prepare(made, rows)
