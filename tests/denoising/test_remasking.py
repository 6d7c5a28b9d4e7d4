"""Remasking samplers: the contract of all samplers, and each against its reference with the same noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import pytest
import torch
from torch import Tensor

from tests.denoising.test_samplers import LogitsFn, answers, ask, oracle
from tests.reference import mutants, path_planning, remdm, remdm_llada, wino
from tests.reference.toy import MASK, VOCAB, canvas, toy
from webui.canvas import Canvas, noise
from webui.denoising import samplers
from webui.denoising.samplers import SamplerOptions

TABLE = samplers.BUILT_IN
LOOP = {"t_on": 0.7, "t_off": 0.3, "alpha_on": 0.75}
NAMES = {name: f"remdm_{name}" for name in ("rescale", "cap", "conf", "loop")}


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
            **LOOP,
        )[:, answer:].tolist()

    def got(self) -> list[list[int]]:
        tokens, answer = self.canvas
        options = SamplerOptions(
            NAMES[self.sigma],
            "even",
            "probability",
            self.steps,
            self.block,
            own={"eta": self.eta, **LOOP},
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
    for sigma, eta in (
        ("rescale", 0.25),
        ("rescale", 1.0),
        ("cap", 0.25),
        ("cap", 0.0625),
        ("conf", 1.0),
        ("loop", 0.25),
    )
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


got = cache(Case.got)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_remdm_is_the_references(case):
    assert got(case) == case.expected()


@pytest.mark.parametrize("mutant", mutants.REMDM, ids=lambda mutant: mutant.name)
def test_mutants_of_remdm_are_told_apart(mutant):
    assert any(got(case) != case.expected(mutant.sample) for case in CASES)


OWN = {
    "eta": 0.5,
    "t_on": 0.55,
    "t_off": 0.05,
    "alpha_on": 0.75,
    "loops": 6,
    "again": 2,
    "threshold": 0.2,
    "threshold_back": 0.7,
    "standing": 1,
    "unseen": 1,
    "entropy_bound": 1.0,
    "t_max": 0.8,
    "t_min": 0.4,
    "stable": 1,
    "confident": 0.005,
}
REMASKING = [name for name, sampler in TABLE.samplers.items() if sampler.remask is not None]


@pytest.mark.parametrize("sampler", REMASKING)
@pytest.mark.parametrize(("block", "steps"), [(20, 20), (20, 7), (5, 12)])
def test_a_remasking_sampler_reaches_the_target_in_its_steps(sampler, block, steps):
    """Beside a row of another kind, and saved and loaded on the way."""
    answer = [MASK if i % 7 else i % 10 for i in range(20)]
    target = [3 if token == MASK else token for token in answer]
    own = SamplerOptions(sampler, "linear", "probability", steps, block, own=OWN)
    other = SamplerOptions("low_confidence", "cosine", "margin", 6, 20)
    build = Canvas.build([[1, 2], [3]], [answer, [MASK] * 20], [5, 6], MASK)
    canvas = samplers.prepare(build, [own, other], TABLE)
    models = [oracle(1, target), oracle(2, [4] * 20)]
    for _ in range(steps):
        canvas = finish(Canvas.load(canvas.dump()), models, 1)
    assert samplers.finished(canvas, TABLE).tolist() == [True, True]
    assert answers(canvas) == [target, [4] * 20]


@pytest.mark.parametrize("sampler", REMASKING)
def test_a_remasking_sampler_takes_back_what_it_thinks_less_of(sampler):
    """A toy that changes its mind sees some of its tokens masked again."""
    options = SamplerOptions(sampler, "linear", "probability", 24, 24, own=OWN)
    canvas = samplers.prepare(Canvas.build([[1]], [[MASK] * 24], [0], MASK), [options], TABLE)
    again = 0
    while not samplers.finished(canvas, TABLE).all():
        before, canvas = canvas, finish(canvas, [toy(3)], 1)
        again += int((canvas.masked & ~before.masked).sum())
        assert int(canvas.step[0]) <= 24
    assert again > 0


@pytest.mark.parametrize("sampler", REMASKING)
def test_rows_of_remasking_samplers_are_as_each_alone(sampler):
    """Beside each other one, at a temperature, whatever their options."""
    rows = [
        SamplerOptions(sampler, "linear", "probability", 9 + i, 12, temperature=i / 2, own=OWN)
        for i in range(3)
    ]
    rows += [
        SamplerOptions(name, "linear", "margin", 10, 6, temperature=0.5, own={**OWN, "eta": 0.2})
        for name in REMASKING
    ]

    def text(chosen: list[int]) -> list[list[int]]:
        build = Canvas.build([[1] * i for i in chosen], [[MASK] * 12] * len(chosen), chosen, MASK)
        canvas = samplers.prepare(build, [rows[i] for i in chosen], TABLE)
        return answers(finish(canvas, [toy(i) for i in chosen]))

    together = text(list(range(len(rows))))
    for i in (0, 1, 2):
        assert text([i]) == [together[i]]


# -- path planning -------------------------------------------------------------------------------------------


def block_run(
    sampler: str, tokens: Tensor, answer: int, model: LogitsFn, steps: int, block: int, own: dict
) -> list:
    options = SamplerOptions(sampler, "linear", "probability", steps, block, own=own)
    rows = len(tokens)
    build = Canvas.build(tokens[:, :answer].tolist(), tokens[:, answer:].tolist(), [0] * rows, MASK)
    return answers(finish(samplers.prepare(build, [options] * rows, TABLE), [model] * rows))


PLANNED = [
    (seed, length, block, steps, eta, judge, filled)
    for judge in ("drawn", "standing")
    for seed, (length, block, steps, eta, filled) in enumerate(
        [
            (16, 16, 16, 1.0, 0.0),
            (16, 16, 5, 1.0, 0.0),
            (24, 24, 36, 1.0, 0.0),
            (16, 16, 9, 2.5, 0.4),
            (16, 8, 12, 0.4, 0.0),
        ]
    )
]


def planned(case, sample=path_planning.sample) -> list:
    seed, length, block, steps, eta, judge, filled = case
    tokens, answer = canvas(seed, rows=3, prompt=4, length=length, filled=filled)
    options = {"steps": steps, "block_length": block, "mask_id": MASK, "banned": (MASK,)}
    return sample(toy(seed), tokens, answer, eta=eta, judge=judge, **options)[:, answer:].tolist()


@cache
def our_plan(case) -> list:
    seed, length, block, steps, eta, judge, filled = case
    tokens, answer = canvas(seed, rows=3, prompt=4, length=length, filled=filled)
    own = {"eta": eta, "standing": judge == "standing", "unseen": 0}
    return block_run("p2", tokens, answer, toy(seed), steps, block, own)


@pytest.mark.parametrize("case", PLANNED, ids=str)
def test_path_planning_is_the_references(case):
    assert our_plan(case) == planned(case)


@pytest.mark.parametrize("mutant", mutants.PATH_PLANNING, ids=lambda mutant: mutant.name)
def test_mutants_of_path_planning_are_told_apart(mutant):
    assert any(our_plan(case) != planned(case, mutant.sample) for case in PLANNED)


# -- ReMDM for LLaDA -----------------------------------------------------------------------------------------


LOOPS = [(0, 16, 24, 8, 1, 0.75), (1, 16, 20, 4, 3, 0.5), (2, 24, 40, 16, 2, 0.9), (3, 16, 10, 6, 1, 0.875)]


def looped(case, sample=remdm_llada.sample) -> list:
    seed, length, steps, loops, again, alpha = case
    tokens, answer = canvas(seed, rows=3, prompt=4, length=length, filled=0.1 * seed)
    options = {"steps": steps, "loops": loops, "again": again, "alpha_on": alpha}
    return sample(toy(seed), tokens, answer, mask_id=MASK, banned=(MASK,), **options)[:, answer:].tolist()


@cache
def our_loop(case) -> list:
    seed, length, steps, loops, again, alpha = case
    tokens, answer = canvas(seed, rows=3, prompt=4, length=length, filled=0.1 * seed)
    own = {"loops": loops, "again": again, "alpha_on": alpha, "standing": 1, "unseen": 0}
    return block_run("remdm_llada", tokens, answer, toy(seed), steps, length, own)


@pytest.mark.parametrize("case", LOOPS, ids=str)
def test_remdm_for_llada_is_the_references(case):
    assert our_loop(case) == looped(case)


@pytest.mark.parametrize("mutant", mutants.REMDM_LLADA, ids=lambda mutant: mutant.name)
def test_mutants_of_remdm_for_llada_are_told_apart(mutant):
    assert any(our_loop(case) != looped(case, mutant.sample) for case in LOOPS)


def test_blocks_share_the_loops_of_remdm_for_llada():
    """With two blocks of 8 in 24 steps and 8 loops each block has 12 steps, 4 of them loops."""
    options = SamplerOptions(
        "remdm_llada", "linear", "probability", 24, 8, own={**OWN, "loops": 8, "again": 1, "unseen": 0}
    )
    canvas = samplers.prepare(Canvas.build([[1]], [[MASK] * 16], [0], MASK), [options], TABLE)
    again = 0
    while not samplers.finished(canvas, TABLE).all():
        before, canvas = canvas, finish(canvas, [toy(3)], 1)
        again += int((canvas.masked & ~before.masked).sum())
    assert again == 8 and int(canvas.step[0]) == 24


# -- WINO ----------------------------------------------------------------------------------------------------


def shadow_of(model: LogitsFn) -> Callable[[Tensor, Tensor], Tensor]:
    """The toy's logits of each committed position with that position masked."""

    def shadow_fn(tokens: Tensor, committed: Tensor) -> Tensor:
        logits = torch.zeros(tokens.shape[1], VOCAB)
        for column in committed.nonzero()[:, 0].tolist():
            masked = tokens.clone()
            masked[0, column] = MASK
            logits[column] = model(masked)[0, column]
        return logits

    return shadow_fn


def unseen_aware(model: LogitsFn, canvas: Canvas) -> Tensor:
    """Logits as a model gives them, unseen positions included."""
    logits, (rows, columns) = ask(canvas, [model] * len(canvas.tokens)), canvas.at
    for n in canvas.unseen[canvas.at].nonzero()[:, 0].tolist():
        row, column = int(rows[n]), int(columns[n])
        real = ~canvas.padding[row]
        masked = canvas.tokens[row].clone()
        masked[column] = canvas.mask
        logits[n] = model(masked[real][None])[0, column - int(canvas.start[row])]
    logits[:, canvas.mask] = -torch.inf
    return logits


DRAFTED = [
    (seed, length, block, threshold, back, filled)
    for seed, (length, block, threshold, back, filled) in enumerate(
        [
            (16, 16, 0.6, 0.9, 0.0),
            (32, 32, 0.3, 0.7, 0.0),
            (32, 32, 0.0, 0.4, 0.0),
            (24, 8, 0.2, 0.8, 0.0),
            (32, 16, 0.3, 0.9, 0.4),
        ]
    )
]


def drafted(case, sample=wino.sample, trace: list | None = None) -> list:
    seed, length, block, threshold, back, filled = case
    tokens, answer = canvas(seed, rows=2, prompt=4, length=length, filled=filled)
    options = {"block_length": block, "threshold": threshold, "threshold_back": back, "trace": trace}
    model = toy(seed)
    options |= {"shadow_fn": shadow_of(model), "mask_id": MASK, "banned": (MASK,)}
    return sample(model, tokens, answer, **options)[:, answer:].tolist()


@cache
def our_draft(case) -> list:
    seed, length, block, threshold, back, filled = case
    tokens, answer = canvas(seed, rows=2, prompt=4, length=length, filled=filled)
    own = {"threshold": threshold, "threshold_back": back, "standing": 1, "unseen": 1}
    options = SamplerOptions("wino", "even", "probability", length, block, own=own)
    build = Canvas.build(tokens[:, :answer].tolist(), tokens[:, answer:].tolist(), [0, 1], MASK)
    made = samplers.prepare(build, [options] * 2, TABLE)
    for _ in range(1000):
        done = samplers.finished(made, TABLE)
        if done.all():
            return answers(made)
        active = samplers.activate(made, TABLE)
        after = samplers.commit(active, samplers.choose(active, unseen_aware(toy(seed), active), TABLE))
        made = replace(after, tokens=torch.where(done[:, None], made.tokens, after.tokens))
    raise AssertionError("it never ended")


@pytest.mark.parametrize("case", DRAFTED, ids=str)
def test_wino_is_the_references(case):
    assert our_draft(case) == drafted(case)


def test_the_cases_of_wino_take_tokens_back():
    trace: list[tuple[int, int]] = []
    for case in DRAFTED:
        drafted(case, trace=trace)
    assert sum(again for _, again in trace) > 10
    assert any(come > 5 for come, _ in trace)


@pytest.mark.parametrize("mutant", mutants.WINO, ids=lambda mutant: mutant.name)
def test_mutants_of_wino_are_told_apart(mutant):
    assert any(our_draft(case) != drafted(case, mutant.sample) for case in DRAFTED)
