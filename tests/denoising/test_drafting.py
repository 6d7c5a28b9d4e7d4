"""Draft and verify: the text of stepwise denoising, in as few model calls as the reference needs."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from unittest.mock import patch

import pytest
import torch
from torch import Tensor

from tests.denoising.test_against_reference import Toy, ours
from tests.denoising.test_parallel import calm
from tests.reference import free_dave, llada
from tests.reference.toy import MASK, canvas, toy

MODELS: dict[str, Callable] = {"calm": calm, "toy": toy}
CASES = [
    (name, (seed, length, block, filled), draft_steps)
    for name in MODELS
    for seed, (length, block, filled) in enumerate([(16, 16, 0.0), (24, 8, 0.0), (16, 16, 0.4)])
    for draft_steps in (2, 5)
]


class Counted(Toy):
    """Counts its calls, and the rows that they are of."""

    calls = 0

    def __call__(self, canvas) -> Tensor:
        self.calls += 1
        return super().__call__(canvas)


@cache
def got(case) -> tuple[list[list[int]], list[int]]:
    """Our texts, each row alone, and the calls that each took."""
    name, (seed, length, block, filled), draft_steps = case
    tokens, answer = canvas(seed, rows=2, prompt=4, length=length, filled=filled)
    texts, calls = [], []
    for row in tokens:
        model = Counted(MODELS[name](seed))
        (text,) = ours(model, row[None], answer, block_length=block, draft_steps=draft_steps)
        texts.append(text)
        calls.append(model.calls)
    return texts, calls


def expected(case) -> tuple[list[list[int]], list[int]]:
    name, (seed, length, block, filled), draft_steps = case
    tokens, answer = canvas(seed, rows=2, prompt=4, length=length, filled=filled)
    options = {"block_length": block, "mask_id": MASK, "banned": (MASK,), "draft_steps": draft_steps}
    texts, passes = free_dave.sample(MODELS[name](seed), tokens, answer, **options)
    return texts[:, answer:].tolist(), passes


@pytest.mark.parametrize("case", CASES, ids=str)
def test_drafts_are_the_references(case):
    """With several blocks ours needs a call less for each: the first canvas of the next one is a draft too."""
    (texts, calls), (wanted, passes) = got(case), expected(case)
    assert texts == wanted
    several = case[1][1] > case[1][2]
    for ours_made, made in zip(calls, passes, strict=True):
        assert ours_made <= made if several else ours_made == made


@pytest.mark.parametrize("case", [case for case in CASES if case[1][3] == 0], ids=str)
def test_the_reference_is_stepwise_denoising_in_fewer_passes(case):
    name, (seed, length, block, filled), _ = case
    tokens, answer = canvas(seed, rows=2, prompt=4, length=length, filled=filled)
    options = {"steps": length, "block_length": block, "mask_id": MASK, "banned": (MASK,)}
    stepwise = llada.sample(MODELS[name](seed), tokens, answer, **options)[:, answer:].tolist()
    texts, passes = expected(case)
    assert texts == stepwise and max(passes) <= length
    if name == "calm":
        assert min(passes) < length


def test_rows_of_a_batch_have_drafts_of_their_own_or_none():
    tokens, answer = canvas(3, rows=4, prompt=4, length=16)
    plain = ours(Toy(calm(3)), tokens, answer, temperature=0.7)
    assert ours(Toy(calm(3)), tokens, answer, temperature=0.7, draft_steps=4) == plain


MOST, ACCEPTED = free_dave.most_confident, free_dave.accepted
MUTANTS: dict[str, tuple[str, Callable]] = {
    "all drafts are accepted": ("accepted", lambda drafts, logits, inside, mask_id: len(drafts)),
    "only the first draft is accepted": ("accepted", lambda drafts, logits, inside, mask_id: 1),
    "one draft more": (
        "drafted",
        lambda tokens, logits, masked, steps: DRAFTED(tokens, logits, masked, steps + 1),
    ),
    "the least confident": (
        "most_confident",
        lambda logits, masked, count: MOST(torch.where(masked[:, None], -logits, logits), masked, count),
    ),
}
DRAFTED = free_dave.drafted


@pytest.mark.parametrize("name", MUTANTS)
def test_mutants_of_drafts_are_told_apart(name):
    part, wrong = MUTANTS[name]
    with patch.object(free_dave, part, wrong):
        told = [got(case) != expected(case) for case in CASES if case[1][1] == case[1][2]]
    assert any(told)
