"""The sampler `renoise` against its reference, whose mutants are told apart."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from unittest.mock import patch

import pytest
import torch
from torch import Tensor

from tests.denoising.test_samplers import answers, ask
from tests.reference import renoise
from tests.reference.toy import MASK, canvas, toy
from webui.canvas import Canvas
from webui.denoising import samplers
from webui.denoising.samplers import SamplerOptions

PROMPT = 4


def calming(seed: int) -> Callable[[Tensor], Tensor]:
    """A toy that is the surer the more is filled in, and that changes its mind little, with odd seeds hardly."""
    share = 0.002 if seed % 2 else 0.08

    def logits_fn(tokens: Tensor) -> Tensor:
        sure = 1 + 12 * (tokens[:, PROMPT:] != MASK).double().mean(1)[:, None, None].to(torch.float32)
        still = toy(seed + 1)(torch.full_like(tokens, MASK))
        return sure * ((1 - share) * still + share * toy(seed)(tokens))

    return logits_fn


# seed, length, block length, share that is given; steps of a block, and the options
CASES = [
    ((seed, *shape), steps, own)
    for seed, (shape, steps, own) in enumerate(
        [
            ((16, 16, 0.0), 12, {}),
            ((16, 16, 0.0), 12, {"entropy_bound": 2.0}),
            ((24, 24, 0.3), 16, {"entropy_bound": 6.0, "confident": 0.5}),
            ((24, 8, 0.0), 9, {"entropy_bound": 1.0, "confident": 0.9}),
            ((24, 8, 0.3), 9, {"entropy_bound": 4.0, "confident": 0.9, "stable": 3}),
            ((16, 16, 0.0), 10, {"entropy_bound": 30.0, "confident": 1.5, "stable": 0}),
            ((16, 16, 0.0), 5, {"entropy_bound": 3.0, "t_max": 3.0, "t_min": 0.1}),
            ((16, 16, 0.0), 10, {"entropy_bound": 30.0, "confident": 0.0}),
            ((16, 16, 0.0), 1, {}),
        ]
    )
]
DEFAULTS = {"entropy_bound": 0.1, "t_max": 0.8, "t_min": 0.4, "stable": 1, "confident": 0.005}


@cache
def ours(number: int) -> tuple[list[list[int]], list[list[int]]]:
    """The answers of three rows, each by itself, and how many tokens stood after each step."""
    (seed, length, block, filled), steps, own = CASES[number]
    tokens, answer = canvas(seed, rows=3, prompt=PROMPT, length=length, filled=filled)
    blocks = length // block
    row = SamplerOptions("renoise", "even", "entropy", steps * blocks, block, own={**DEFAULTS, **own})
    found, standing = [], []
    for line in tokens:
        made = Canvas.build([line[:answer].tolist()], [line[answer:].tolist()], [0], MASK)
        made = samplers.prepare(made, [row])
        stood = []
        while not bool(samplers.finished(made).all()):
            active = samplers.activate(made)
            logits = ask(active, [calming(seed)])
            active = samplers.observe(active, logits)
            made = samplers.commit(active, samplers.choose(active, logits))
            stood.append(int((~made.masked).sum()))
        found += answers(made)
        standing.append(stood)
    return found, standing


def expected(number: int) -> tuple[list[list[int]], list[list[int]]]:
    (seed, length, block, filled), steps, own = CASES[number]
    tokens, answer = canvas(seed, rows=3, prompt=PROMPT, length=length, filled=filled)
    found, lengths = [], []
    for line in tokens:
        trace: list[Tensor] = []
        whole = renoise.sample(
            calming(seed), line[None], answer, steps=steps, block_length=block, mask_id=MASK, banned=(MASK,),
            trace=trace, **own,
        )  # fmt: skip
        found.append(whole[0, answer:].tolist())
        lengths.append([len(trace)])
    return found, lengths


def agree(number: int) -> bool:
    (mine, standing), (theirs, lengths) = ours(number), expected(number)
    return mine == theirs and [[len(one)] for one in standing] == lengths


@pytest.mark.parametrize("number", range(len(CASES)))
def test_renoise_is_the_reference(number):
    """The same tokens in as many steps."""
    assert agree(number)


def test_the_cases_end_early_and_late_and_take_back_what_stood():
    steps = [(len(one), most * length // block) for number in range(len(CASES))
             for (_, length, block, _), most, _ in [CASES[number]] for one in ours(number)[1]]  # fmt: skip
    assert any(made < most for made, most in steps) and any(made == most for made, most in steps)
    stood = [one for number in range(len(CASES)) for one in ours(number)[1]]
    assert any(later < before for one in stood for before, later in zip(one, one[1:], strict=False))


ACCEPTED, SETTLED, TEMPERATURE = renoise.accepted, renoise.settled, renoise.temperature
MUTANTS: dict[str, tuple[str, Callable]] = {
    "its own entropy counts too": (
        "accepted",
        lambda entropies, bound: torch.zeros_like(entropies, dtype=torch.bool).scatter(
            0, entropies.argsort(stable=True), entropies.sort(stable=True).values.cumsum(0) <= bound
        ),
    ),
    "the least sure first": ("accepted", lambda entropies, bound: ACCEPTED(-entropies, bound - 3)),
    "all are accepted": ("accepted", lambda entropies, bound: ACCEPTED(entropies, 1e9)),
    "what stood stays": ("kept", lambda now, before: now | before),
    "one temperature": ("temperature", lambda left, steps, t_max, t_min: t_max),
    "it rises": ("temperature", lambda left, steps, *t: TEMPERATURE(steps - left, steps, *t)),
    "falls to the end": ("temperature", lambda left, steps, *t: TEMPERATURE(left - 1, steps, *t)),
    "stable is enough": ("calm", lambda entropies, confident: True),
    "confident is enough": ("settled", lambda history, best, stable: True),
    "one step less": ("settled", lambda history, best, stable: SETTLED(history, best, max(stable - 1, 0))),
    "never ends early": ("settled", lambda history, best, stable: False),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_mutants_are_told_apart(name):
    part, wrong = MUTANTS[name]
    with patch.object(renoise, part, wrong):
        assert not all(agree(number) for number in range(len(CASES)))
