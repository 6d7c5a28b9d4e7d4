"""Remasking samplers: the contract of all samplers, and ReMDM against its reference with the same noise."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.denoising.test_samplers import LogitsFn, answers, ask, oracle
from tests.reference import mutants, remdm
from tests.reference.toy import MASK, canvas, toy
from webui.canvas import Canvas
from webui.denoising import noise, samplers
from webui.denoising.sampler_registry import SamplerRegistry
from webui.denoising.samplers import Sampler, SamplerOptions, remasking, selections
from webui.extension.registry import Registry

BROUGHT = SamplerRegistry.of(Registry(Path(__file__).resolve().parents[1] / "extensions"))


def _least_confident(canvas: Canvas, plan: samplers.Plan, choice) -> Tensor:
    """Path planning: what is not among the most confident of all positions, committed or not, is masked."""
    rows, columns = canvas.at
    keep = plan.size - plan.after
    low = selections.rank(canvas, choice.confidence) >= keep[rows]
    masked = torch.zeros_like(canvas.active)
    masked[rows, columns] = low
    return masked & ~canvas.masked


def _most_confident(canvas: Canvas, confidence: Tensor, plan: samplers.Plan) -> Tensor:
    rows = canvas.at[0]
    return selections.rank(canvas, confidence) < (plan.size - plan.after)[rows]


TABLE = BROUGHT.table.extended(
    {
        "cap": Sampler(
            "", select=remasking.ancestral(remasking.capped), remask=remasking.remdm(remasking.capped)
        ),
        "path_planning": Sampler("", select=_most_confident, remask=_least_confident, revises=True),
    }
)
NAMES = {"rescale": "remdm_rescale", "cap": "cap"}


@dataclass(frozen=True)
class Case:
    """The same run written as options of both."""

    name: str
    seed: int
    sigma: str
    eta: float
    length: int
    block: int
    steps: int
    filled: float = 0.0

    @property
    def canvas(self) -> tuple[Tensor, int]:
        return canvas(self.seed, rows=3, prompt=4, length=self.length, filled=self.filled)

    def expected(self, sample=remdm.sample) -> list[list[int]]:
        tokens, answer = self.canvas

        def uniform(purpose: str, row: int, step: int) -> Tensor:
            stream = {"remask": noise.REMASK, "commit": noise.COMMIT}[purpose]
            seed, at = torch.tensor(self.seed + row), torch.arange(self.length)
            return noise.uniform(noise.counter(seed, stream, at, torch.tensor(step))).double()

        return sample(
            toy(self.seed),
            tokens,
            answer,
            steps=self.steps,
            block_length=self.block,
            mask_id=MASK,
            eta=self.eta,
            sigma=self.sigma,
            uniform=uniform,
            banned=(MASK,),
        )[:, answer:].tolist()

    def got(self) -> list[list[int]]:
        tokens, answer = self.canvas
        options = SamplerOptions(
            NAMES[self.sigma], "even", "probability", self.steps, self.block, own={"eta": self.eta}
        )
        made = Canvas.build(
            tokens[:, :answer].tolist(), tokens[:, answer:].tolist(), [self.seed + i for i in range(3)], MASK
        )
        return answers(finish(samplers.prepare(made, [options] * 3, TABLE), [toy(self.seed)] * 3))


def finish(canvas: Canvas, models: list[LogitsFn], steps: int = 1000) -> Canvas:
    """Up to `steps` steps; rows whose sampler has finished are left as they are."""
    for _ in range(steps):
        done = samplers.finished(canvas, TABLE)
        if done.all():
            break
        active = samplers.activate(canvas, TABLE)
        after = samplers.commit(active, samplers.choose(active, ask(active, models), TABLE))
        known = canvas.given
        assert torch.equal(after.tokens[known], canvas.tokens[known]), "given tokens are never touched"
        canvas = replace(after, tokens=torch.where(done[:, None], canvas.tokens, after.tokens))
    return canvas


CASES = [
    Case(f"{sigma} {eta} {length}-{block}-{steps}", seed, sigma, eta, length, block, steps, filled)
    for sigma, eta in (("rescale", 0.25), ("rescale", 1.0), ("cap", 0.25), ("cap", 0.0625))
    for seed, (length, block, steps, filled) in enumerate(
        [
            (16, 16, 8, 0.0),
            (16, 16, 16, 0.0),
            (16, 8, 12, 0.0),
            (24, 8, 9, 0.0),
            (16, 16, 5, 0.4),
            (8, 8, 1, 0.0),
        ]
    )
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_remdm_is_the_references(case):
    assert case.got() == case.expected()


@pytest.mark.parametrize("mutant", mutants.REMDM, ids=lambda mutant: mutant.name)
def test_mutants_of_remdm_are_told_apart(mutant):
    assert any(case.got() != case.expected(mutant.sample) for case in CASES)


@pytest.mark.parametrize("sampler", ["remdm_rescale", "cap", "path_planning"])
@pytest.mark.parametrize(("block", "steps"), [(20, 20), (20, 7), (5, 12)])
def test_a_remasking_sampler_reaches_the_target_in_its_steps(sampler, block, steps):
    """Beside a row of another kind, and saved and loaded on the way; something is masked again."""
    answer = [MASK if i % 7 else i % 10 for i in range(20)]
    target = [3 if token == MASK else token for token in answer]
    own = SamplerOptions(sampler, "even", "probability", steps, block, own={"eta": 0.5})
    other = SamplerOptions("low_confidence", "cosine", "margin", 6, 20)
    build = Canvas.build([[1, 2], [3]], [answer, [MASK] * 20], [5, 6], MASK)
    canvas = samplers.prepare(build, [own, other], TABLE)
    models = [oracle(1, target), oracle(2, [4] * 20)]
    again = 0
    for _ in range(steps):
        before = canvas
        canvas = finish(Canvas.load(canvas.dump()), models, 1)
        again += int((canvas.masked & ~before.masked).sum())
    assert samplers.finished(canvas, TABLE).tolist() == [True, True]
    assert answers(canvas) == [target, [4] * 20]
    assert again > 0 or sampler == "path_planning", (
        "an oracle that is always right leaves nothing to plan anew"
    )


def test_path_planning_takes_back_what_it_thinks_less_of():
    """Committed positions are active: a toy that changes its mind sees some of its tokens masked again."""
    options = SamplerOptions("path_planning", "even", "probability", 12, 24)
    canvas = samplers.prepare(Canvas.build([[1]], [[MASK] * 24], [0], MASK), [options], TABLE)
    again = 0
    while not samplers.finished(canvas, TABLE).all():
        before, canvas = canvas, finish(canvas, [toy(3)], 1)
        again += int((canvas.masked & ~before.masked).sum())
        left = int(canvas.masked.sum())
        assert left == 24 - 2 * int(canvas.step[0])
    assert again > 0
