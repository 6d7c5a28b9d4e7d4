"""Ancestral sampling: the sampler `random` is first-hitting sampling, the schedule `bernoulli` MDLM's numbers."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from unittest.mock import patch

import pytest
import torch
from torch import Tensor

from tests.denoising.test_samplers import answers, finish
from tests.reference import ancestral
from tests.reference.toy import MASK, canvas, toy
from webui.canvas import Canvas, noise
from webui.denoising import samplers
from webui.denoising.samplers import BUILT_IN, SamplerOptions

ROWS, PROMPT = 3, 4
SHAPES = [(0, 16, 16, 0.0), (1, 24, 8, 0.0), (2, 16, 16, 0.4)]


@cache
def got(shape) -> list[list[int]]:
    seed, length, block, filled = shape
    tokens, answer = canvas(seed, rows=ROWS, prompt=PROMPT, length=length, filled=filled)
    options = SamplerOptions("random", "even", "random", steps=length, block_length=block)
    made = Canvas.build(tokens[:, :answer].tolist(), tokens[:, answer:].tolist(), range(ROWS), MASK)
    return answers(finish(samplers.prepare(made, [options] * ROWS), [toy(seed)] * ROWS))


def expected(shape) -> list[list[int]]:
    seed, length, block, filled = shape
    tokens, answer = canvas(seed, rows=ROWS, prompt=PROMPT, length=length, filled=filled)

    def uniform(row: int, step: int) -> Tensor:
        key = noise.counter(torch.tensor(row), noise.ORDER, torch.arange(length), torch.tensor(step))
        return noise.uniform(key).double()

    options = {"block_length": block, "mask_id": MASK, "banned": (MASK,), "uniform": uniform}
    return ancestral.first_hitting(toy(seed), tokens, answer, **options)[:, answer:].tolist()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_random_order_with_a_step_for_each_token_is_first_hitting_sampling(shape):
    assert got(shape) == expected(shape)


def two_at_once(masked: Tensor, luck: Tensor) -> Tensor:
    one = HIT(masked, luck)
    return one | HIT(masked & ~one, luck) & masked


HIT = ancestral.hit
MUTANTS: dict[str, Callable] = {
    "two at once": two_at_once,
    "the leftmost": lambda masked, luck: HIT(masked, -torch.arange(len(masked), dtype=luck.dtype)),
    "the lowest number": lambda masked, luck: HIT(masked, -luck),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_mutants_of_first_hitting_are_told_apart(name):
    with patch.object(ancestral, "hit", MUTANTS[name]):
        assert any(got(shape) != expected(shape) for shape in SHAPES)


def test_hitting_times_are_those_of_masks_that_each_have_a_uniform_time():
    """With n masks the first time is the largest of n uniform numbers, the last the smallest."""
    numbers = torch.rand(4000, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    times = torch.tensor([ancestral.hitting_times(5, row) for row in numbers.tolist()])
    assert (times.diff(dim=1) < 0).all()
    exact = torch.tensor([5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6])
    assert (times.mean(0) - exact).abs().max() < 0.02


# -- bernoulli -----------------------------------------------------------------------------------------------


def prepared(seeds: range, length: int, steps: int) -> Canvas:
    options = SamplerOptions("random", "bernoulli", "random", steps=steps, block_length=length)
    made = Canvas.build([[]] * len(seeds), [[MASK] * length] * len(seeds), seeds, MASK)
    return samplers.activate(samplers.prepare(made, [options] * len(seeds)))


def left(made: Canvas, n: int, steps: int) -> Tensor:
    """(B, steps): masked positions that our schedule leaves after each step."""
    wide = torch.full_like(made.seed, n)
    each = [BUILT_IN.schedules["bernoulli"](wide, wide * 0 + s, wide * 0 + steps, made) for s in range(steps)]
    return torch.stack(each, 1)


def as_published(case: tuple[int, int], seed: int) -> list[int]:
    n, steps = case
    key = noise.counter(torch.tensor(seed), noise.SCHEDULE, torch.arange(n), torch.tensor(0))
    counts = ancestral.called(ancestral.revealed(n, steps, noise.uniform(key).tolist()))
    gone = torch.tensor([*counts, *[0] * (steps - len(counts))]).cumsum(0)
    return (n - gone).tolist()


CASES = [(n, steps) for n in (1, 7, 16) for steps in (1, 5, 16, 40)]


@cache
def ours(case) -> list[list[int]]:
    return left(prepared(range(6), 16, case[1]), *case).tolist()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_bernoulli_is_the_reference(case):
    assert ours(case) == [as_published(case, seed) for seed in range(6)]


COUNTS: dict[str, tuple[str, Callable]] = {
    "steps that reveal nothing are made": ("called", lambda counts: counts),
    "the same number in each step": (
        "revealed",
        lambda n, steps, uniform: [n // steps + (i < n % steps) for i in range(steps)],
    ),
    "never in the last step": (
        "revealed",
        lambda n, steps, uniform: REVEALED(n, max(steps - 1, 1), uniform) + [0] * (steps > 1),
    ),
}
REVEALED = ancestral.revealed


@pytest.mark.parametrize("name", COUNTS)
def test_mutants_of_bernoulli_are_told_apart(name):
    part, wrong = COUNTS[name]
    with patch.object(ancestral, part, wrong):
        assert any(ours(case) != [as_published(case, seed) for seed in range(6)] for case in CASES)


def test_the_numbers_have_the_distribution_of_positions_that_come_by_chance():
    """Of a step with n masks before it, 1 / (S - i) come on average, in pairs that vary as they should."""
    n, steps = 12, 3
    counts = torch.tensor([REVEALED(n, steps, row) for row in _numbers(4000, n)]).double()
    assert (counts.mean(0) - n / steps).abs().max() < 0.1
    assert (counts.var(0) - n * (1 / 3) * (2 / 3)).abs().max() < 0.2


def _numbers(rows: int, n: int) -> list[list[float]]:
    return noise.uniform(
        noise.counter(torch.arange(rows)[:, None], noise.SCHEDULE, torch.arange(n)[None], torch.tensor(0))
    ).tolist()
