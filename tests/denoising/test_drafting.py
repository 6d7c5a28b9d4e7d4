"""Draft and verify: the text of stepwise denoising, in as few model calls as the reference needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from torch import Tensor

from tests.denoising.test_against_reference import REGISTRY, Toy, ours
from tests.denoising.test_parallel import calm
from tests.reference import free_dave, llada, swift
from tests.reference.toy import MASK, canvas, toy
from tests.tiny_checkpoints import llada as llada_folder
from webui.canvas import Canvas
from webui.checkpoints.loading import Checkpoints
from webui.checkpoints.skipping import kept_layers
from webui.core.errors import Refusal
from webui.core.events import Finished
from webui.core.request import Cell
from webui.denoising.engine import Engine
from webui.settings import Settings

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


class Skipping(Counted):
    """A model whose passes without layers give the logits of `drafter`."""

    def __init__(self, logits_fn: Callable, drafter: Callable):
        super().__init__(logits_fn)
        self._drafter = drafter

    @contextmanager
    def skipping(self, share: float) -> Iterator[None]:
        whole, calls = self._logits_fn, self.calls
        self._logits_fn = self._drafter
        yield
        self._logits_fn, self.calls = whole, calls


def nearly(logits_fn: Callable) -> Callable:
    """What a model without some layers may say: mostly the same."""

    def draft(tokens: Tensor) -> Tensor:
        logits = logits_fn(tokens)
        noise = torch.randn(logits.shape, generator=torch.Generator().manual_seed(int(tokens.sum())))
        return logits + 0.5 * noise

    return draft


SKIPS = [case for case in CASES if case[2] == 5]


@cache
def skipped(case) -> tuple[list[list[int]], list[int]]:
    """Our texts with drafts by a cheaper model, each row alone, and the calls of the whole one."""
    name, (seed, length, block, filled), draft_steps = case
    tokens, answer = canvas(seed, rows=2, prompt=4, length=length, filled=filled)
    texts, calls = [], []
    for row in tokens:
        model = Skipping(MODELS[name](seed), nearly(MODELS[name](seed)))
        (text,) = ours(model, row[None], answer, block_length=block, draft_steps=draft_steps, draft_skip=0.5)
        texts.append(text)
        calls.append(model.calls)
    return texts, calls


def by_swift(case) -> tuple[list[list[int]], list[int]]:
    name, (seed, length, block, filled), draft_steps = case
    tokens, answer = canvas(seed, rows=2, prompt=4, length=length, filled=filled)
    options = {"block_length": block, "mask_id": MASK, "banned": (MASK,), "draft_steps": draft_steps}
    whole = MODELS[name](seed)
    texts, passes = swift.sample(whole, nearly(whole), tokens, answer, **options)
    return texts[:, answer:].tolist(), passes


@pytest.mark.parametrize("case", SKIPS, ids=str)
def test_drafts_by_a_cheaper_model_are_the_references(case):
    assert skipped(case) == by_swift(case)
    assert skipped(case)[0] == got(case)[0], "and the text is that of the whole model"


SWIFT_MUTANTS: dict[str, tuple[str, Callable]] = {
    "all drafts are accepted": ("followed", lambda drafts, nexts: len(drafts)),
    "only the first canvas holds": ("followed", lambda drafts, nexts: 1),
    "one draft less holds": ("followed", lambda drafts, nexts: max(1, FOLLOWED(drafts, nexts) - 1)),
    "blocks are not kept": (
        "step",
        lambda tokens, logits, answer, block, mask: STEP(tokens, logits, answer, 99, mask),
    ),
}
FOLLOWED, STEP = swift.followed, swift.step


@pytest.mark.parametrize("name", SWIFT_MUTANTS)
def test_mutants_of_swift_are_told_apart(name):
    part, wrong = SWIFT_MUTANTS[name]
    with patch.object(swift, part, wrong):
        told = [skipped(case) != by_swift(case) for case in SKIPS]
    assert any(told)


def deep(folder: Path) -> Checkpoints:
    made = llada_folder(folder / "checkpoints" / "deep", n_layers=6)
    return Checkpoints(Settings(models=folder, model=made.name, device="cpu", dtype="float32"))


@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_drafts_of_a_checkpoint_without_layers_change_no_text(tmp_path, temperature):
    """With guidance and blocks; texts of other drafts are in the same job."""
    engine = Engine(deep(tmp_path), REGISTRY, lambda result: None, 64)
    fields = {"prompt": "a cat", "length": 18, "steps": 18, "block_length": 6, "temperature": temperature}
    fields |= {"end_of_text": "ban", "guidance": {"scale": 2.0, "negative_prompt": "sad"}}
    drafts = ({}, {"draft_steps": 4, "draft_skip": 0.5}, {"draft_steps": 3, "draft_skip": 0.25})
    requests = [engine.registry.Request.read({**fields, **one})[0].replace(seed=7) for one in drafts]
    cells = [Cell(str(i), request) for i, request in enumerate(requests)]
    events = engine.generate(cells, "job", lambda: False)
    done = {event.cell: event.result for event in events if isinstance(event, Finished)}
    assert done["0"].trace == done["1"].trace == done["2"].trace
    assert done["0"].statistics.forwards == 18 > done["1"].statistics.forwards


@pytest.mark.parametrize("sampler", ["klass", "renoise"])
def test_drafts_of_a_checkpoint_without_layers_come_before_a_sampler_remembers_logits(tmp_path, sampler):
    engine = Engine(deep(tmp_path), REGISTRY, lambda result: None, 64)
    fields = {"prompt": "a cat", "length": 12, "steps": 6, "sampler": sampler, "temperature": 0.7}
    drafts = ({}, {"draft_steps": 2, "draft_skip": 1.0}, {"draft_steps": 4, "draft_skip": 0.5})
    requests = [engine.registry.Request.read({**fields, **one})[0].replace(seed=7) for one in drafts]
    cells = [Cell(str(i), request) for i, request in enumerate(requests)]
    events = engine.generate(cells, "job", lambda: False)
    done = {event.cell: event.result for event in events if isinstance(event, Finished)}
    assert len(done) == 3 and done["0"].trace == done["1"].trace == done["2"].trace


def test_layers_are_left_out_evenly_and_come_back(tmp_path):
    model = deep(tmp_path).load(None)
    row = Canvas.build([[1, 2, 3]], [[model.mask] * 9], [1], model.mask)
    row = row.activate(row.masked)
    whole, layers = model(row), model.body.layers
    kept = [kept_layers(model.body, share, "deep") for share in (0.0, 0.1, 0.5, 1.0)]
    assert kept == [[0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5], [0, 2, 4, 5], [0, 5]]
    with pytest.raises(KeyError), model.skipping(0.5):
        assert len(model.body.layers) == 4 and not torch.equal(model(row), whole)
        raise KeyError
    assert model.body.layers is layers and torch.equal(model(row), whole)
    with pytest.raises(Refusal, match="draft_skip: deep has no layers"):
        kept_layers(torch.nn.Linear(2, 2), 0.5, "deep")
