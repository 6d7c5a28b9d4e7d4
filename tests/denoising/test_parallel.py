"""Samplers that commit many positions in a step, and Dream's, against their references; each reference's
mutants are told apart."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from unittest.mock import patch

import pytest
import torch
from torch import Tensor

from tests.denoising.test_samplers import answers, ask
from tests.reference import block_refinement, dream, klass, parallel
from tests.reference.toy import MASK, canvas, toy
from webui.canvas import Canvas, noise
from webui.denoising import samplers
from webui.denoising.samplers import SamplerOptions

ROWS, PROMPT = 3, 4


def ours(
    sampler: str, case: tuple, own: dict, confidence: str, steps: int, model=toy, **options
) -> list[list[int]]:
    """A toy's text by our sampler; seeds of the rows are 0, 1, 2."""
    seed, length, block, filled = case
    tokens, answer = canvas(seed, rows=ROWS, prompt=PROMPT, length=length, filled=filled)
    row = SamplerOptions(sampler, "even", confidence, steps, block, own=own, **options)
    made = Canvas.build(tokens[:, :answer].tolist(), tokens[:, answer:].tolist(), range(ROWS), MASK)
    made = samplers.prepare(made, [row] * ROWS)
    while made.masked.any():
        active = samplers.activate(made)
        logits = ask(active, [model(seed)] * ROWS)
        active = samplers.observe(active, logits)
        made = samplers.commit(active, samplers.choose(active, logits))
    return answers(made)


SHAPES = [(0, 16, 16, 0.0), (1, 24, 24, 0.0), (2, 24, 8, 0.0), (3, 24, 24, 0.4), (4, 32, 32, 0.2)]
KINDS = {  # sampler: its options, and the confidence that orders
    "factor": ([{"factor": 1.0}, {"factor": 4.0}], "probability"),
    "entropy_bound": ([{"gamma": 0.1}, {"gamma": 2.0}], "entropy"),
    "hierarchical": ([{"threshold": 0.9, "low": 0.4}, {"threshold": 0.7, "low": 0.2}], "probability"),
    "prophet": ([{}], "probability"),
}
CASES = [
    (kind, i, shape) for kind, (options, _) in KINDS.items() for i in range(len(options)) for shape in SHAPES
]


@cache
def got(case) -> list[list[int]]:
    kind, i, shape = case
    options, confidence = KINDS[kind]
    return ours(kind, shape, options[i], confidence, steps=shape[1])


def expected(case) -> list[list[int]]:
    kind, i, (seed, length, block, filled) = case
    tokens, answer = canvas(seed, rows=ROWS, prompt=PROMPT, length=length, filled=filled)
    options = {"f": KINDS[kind][0][i]["factor"]} if kind == "factor" else KINDS[kind][0][i]
    options = {"kind": kind, "options": options, "block_length": block, "mask_id": MASK, "banned": (MASK,)}
    return parallel.sample(toy(seed), tokens, answer, **options)[:, answer:].tolist()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_parallel_samplers_are_the_references(case):
    assert got(case) == expected(case)


def _with_the_largest(prefix: list[float]) -> float:
    return sum(prefix)


RUNS, GAP = parallel.runs, parallel.gap
MUTANTS: dict[str, tuple[str, str, Callable]] = {
    "m instead of m + 1": ("factor", "bound_of", lambda factor, place: 1 - factor / place),
    "the least confident of all decides": ("factor", "bound_of", lambda factor, place: 1 - factor / 2),
    "the largest entropy counts too": ("entropy_bound", "risk", _with_the_largest),
    "any number at once": ("entropy_bound", "risk", lambda prefix: 0.0),
    "one run": ("hierarchical", "runs", lambda masked: [sum(RUNS(masked), [])]),
    "runs of one": ("hierarchical", "runs", lambda masked: [[i] for run in RUNS(masked) for i in run]),
    "the bound does not fall": ("prophet", "needed", lambda progress: 7.5),
    "the gap of all positions": (
        "prophet",
        "gap",
        lambda logits, masked: GAP(logits, torch.ones_like(masked)),
    ),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_mutants_of_parallel_samplers_are_told_apart(name):
    kind, part, wrong = MUTANTS[name]
    with patch.object(parallel, part, wrong):
        assert any(got(case) != expected(case) for case in CASES if case[0] == kind)


# -- Dream ---------------------------------------------------------------------------------------------------


ALGS = {"maskgit_plus": "probability", "topk_margin": "margin", "entropy": "entropy", "origin": "probability"}
DREAMT = [
    (alg, (seed, 16, 16, filled), steps, options)
    for alg in ALGS
    for seed, (steps, filled, options) in enumerate(
        [(16, 0.0, ()), (5, 0.0, ()), (24, 0.4, ()), (8, 0.0, (("top_p", 0.8),)), (9, 0.0, (("top_k", 2),))]
    )
] + [
    ("entropy", (7, 16, 16, 0.0), 8, (("alg_temp", 0.5),)),
    ("topk_margin", (8, 16, 16, 0.3), 9, (("alg_temp", 2.0),)),
]


@cache
def dreamt(case) -> list[list[int]]:
    alg, shape, steps, given = case
    options = dict(given)
    own = {"alg_temp": options.pop("alg_temp", 0.0), "eps": 1e-3}
    return ours("dream_origin" if alg == "origin" else "dream", shape, own, ALGS[alg], steps, **options)


def as_published(case) -> list[list[int]]:
    alg, (seed, length, _, filled), steps, options = case
    tokens, answer = canvas(seed, rows=ROWS, prompt=PROMPT, length=length, filled=filled)

    def uniform(purpose: str, row: int, step: int) -> Tensor:
        stream = {"order": noise.ORDER, "commit": noise.COMMIT}[purpose]
        key = noise.counter(torch.tensor(row), stream, torch.arange(length), torch.tensor(step))
        return noise.uniform(key).double()

    shared = {"alg": alg, "steps": steps, "uniform": uniform, "mask_id": MASK, "banned": (MASK,)}
    return dream.sample(toy(seed), tokens, answer, **shared, **dict(options))[:, answer:].tolist()


@pytest.mark.parametrize("case", DREAMT, ids=str)
def test_dreams_samplers_are_the_references(case):
    assert dreamt(case) == as_published(case)


ORDER, COUNT = dream.order, dream.count
DREAM_MUTANTS: dict[str, tuple[str, Callable]] = {
    "rounded": ("count", lambda masked, t, s, last: masked if last else round(masked * (1 - s / t))),
    "at least one": ("count", lambda *of: max(1, COUNT(*of))),
    "times to 0": ("times", lambda steps, eps: [1 - i / steps for i in range(steps)] + [1e-9]),
    "no temperature of the order": ("order", lambda value, alg_temp, uniform: value),
    "confidence before the filters": ("filtered", lambda logits, *of: logits),
}


@pytest.mark.parametrize("name", DREAM_MUTANTS)
def test_mutants_of_dreams_samplers_are_told_apart(name):
    part, wrong = DREAM_MUTANTS[name]
    with patch.object(dream, part, wrong):
        assert any(dreamt(case) != as_published(case) for case in DREAMT)


# -- block refinement ----------------------------------------------------------------------------------------


STRATEGIES = {  # the strategy: our sampler, and the confidence that orders
    "dynamic": ("threshold", "probability"),
    "static": ("low_confidence", "probability"),
    "sequential": ("low_confidence", "leftmost"),
}
REFINED = [(name, shape, bound) for name in STRATEGIES for shape in SHAPES[:3] for bound in (0.95, 0.85)]


@cache
def refined(case) -> list[list[int]]:
    strategy, shape, threshold = case
    sampler, confidence = STRATEGIES[strategy]
    return ours(sampler, shape, {"threshold": threshold}, confidence, steps=shape[1])


def refinement(case) -> list[list[int]]:
    strategy, (seed, length, block, filled), threshold = case
    tokens, answer = canvas(seed, rows=ROWS, prompt=PROMPT, length=length, filled=filled)
    options = {"block_length": block, "steps": block, "threshold": threshold, "strategy": strategy}
    options |= {"mask_id": MASK, "banned": (MASK,)}
    return block_refinement.sample(toy(seed), tokens, answer, **options)[:, answer:].tolist()


@pytest.mark.parametrize("case", REFINED, ids=str)
def test_block_refinement_is_the_threshold_sampler(case):
    """LLaDA2.0's refinement and SDAR's strategies, where each step has to commit one."""
    assert refined(case) == refinement(case)


TAKEN = block_refinement.taken
REFINED_MUTANTS: dict[str, Callable] = {
    "below": lambda confidence, masked, *of: TAKEN(1 - confidence, masked, *of),
    "never more than the count": lambda confidence, masked, count, *of: TAKEN(
        confidence, masked, count, 2.0, of[1]
    ),
    "always dynamic": lambda confidence, masked, count, bound, _: TAKEN(
        confidence, masked, count, bound, "dynamic"
    ),
}


@pytest.mark.parametrize("name", REFINED_MUTANTS)
def test_mutants_of_block_refinement_are_told_apart(name):
    with patch.object(block_refinement, "taken", REFINED_MUTANTS[name]):
        assert any(refined(case) != refinement(case) for case in REFINED)


# -- KLASS ---------------------------------------------------------------------------------------------------


def calm(seed: int) -> Callable[[Tensor], Tensor]:
    """The toy with a share of its logits that the canvas does not change, another one in each column: some
    positions are stable from step to step, others are not."""

    def logits_fn(tokens: Tensor) -> Tensor:
        still = toy(seed + 1)(torch.full_like(tokens, MASK))
        share = 0.4 ** (torch.arange(tokens.shape[1]) % 6 + 1.0)[None, :, None]
        return still + share * (toy(seed)(tokens) - still)

    return logits_fn


KLASS = [
    ((seed, length, block, filled), {"threshold": threshold, "kl_threshold": kl, "history": history})
    for seed, (length, block, filled) in enumerate([(24, 24, 0.0), (24, 24, 0.4), (24, 8, 0.0)])
    for threshold, kl, history in [(0.9, 0.01, 2), (0.5, 0.1, 1), (0.6, 0.05, 3)]
]


@cache
def stable_ones(number: int) -> list[list[int]]:
    shape, own = KLASS[number]
    return ours("klass", shape, own, "probability", steps=shape[1], model=calm)


def klass_expected(number: int) -> list[list[int]]:
    (seed, length, block, filled), own = KLASS[number]
    tokens, answer = canvas(seed, rows=ROWS, prompt=PROMPT, length=length, filled=filled)
    options = {"steps": block, "block_length": block, "mask_id": MASK, "banned": (MASK,), "forgets": True}
    return klass.sample(calm(seed), tokens, answer, **options, **own)[:, answer:].tolist()


@pytest.mark.parametrize("number", range(len(KLASS)), ids=lambda number: str(KLASS[number]))
def test_klass_is_the_reference(number):
    assert stable_ones(number) == klass_expected(number)


def test_with_one_block_the_published_program_forgets_nothing_that_ours_keeps():
    for number, ((seed, length, block, filled), own) in enumerate(KLASS):
        if length == block:
            tokens, answer = canvas(seed, rows=ROWS, prompt=PROMPT, length=length, filled=filled)
            options = {"steps": block, "block_length": block, "mask_id": MASK, "banned": (MASK,)}
            published = klass.sample(calm(seed), tokens, answer, **options, **own)
            assert stable_ones(number) == published[:, answer:].tolist()


DIVERGENCE, STABLE = klass.divergence, klass.stable
KLASS_MUTANTS: dict[str, tuple[str, Callable]] = {
    "the divergence the other way": ("divergence", lambda now, before: DIVERGENCE(before, now)),
    "one step less": ("stable", lambda past, bound, history: STABLE(past, bound, max(history - 1, 1))),
    "stable once": ("stable", lambda past, bound, history: torch.stack(past[-history:]).lt(bound).any(0)),
    "stability alone": ("sure", lambda confidence, threshold: confidence >= 0),
    "confidence alone": ("stable", lambda past, bound, history: torch.ones_like(past[0]).bool()),
    "the first of what is masked": (
        "fallback",
        lambda confidence, masked, count: masked & (masked.cumsum(0) <= count),
    ),
}


@pytest.mark.parametrize("name", KLASS_MUTANTS)
def test_mutants_of_klass_are_told_apart(name):
    part, wrong = KLASS_MUTANTS[name]
    with patch.object(klass, part, wrong):
        assert any(stable_ones(number) != klass_expected(number) for number in range(len(KLASS)))
