"""Samplers x schedules x families x extensions, through the whole program: what a user was promised holds for
each of them."""

from __future__ import annotations

import threading
from typing import get_args

import pytest

from tests.adapter_files import for_tiny_checkpoints
from tests.contract import (
    CACHES,
    CONFIDENCES,
    CROSSED,
    CROSSED_SAMPLERS,
    EXTENSIONS,
    FAMILIES,
    SAMPLERS,
    SCHEDULES,
    crossed,
)
from tests.contract.program import PATIENCE, cells, program, texts, write
from webui.checkpoints.families import FAMILIES as KNOWN_FAMILIES
from webui.settings import ROOT

ACTING = {"nothing": {}, **{name: fields for name, fields in EXTENSIONS.items() if fields is not None}}
WITHOUT_CACHE = {family.name for family in KNOWN_FAMILIES if not family.caches}
SEVERAL = ("LLaDA", "Dream", "SDAR")  # bidirectional, with shifted logits, block-causal
WARM = {"prompt": "a cat", "temperature": 0.9, "threshold": 0.5, "steps": 6}


def by_family(rows: list[tuple]) -> list[tuple]:
    """So that each checkpoint is loaded once; the family stands last."""
    return sorted(rows, key=lambda row: row[-1])


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    # float64: a text alone and in a batch is promised to be equal there whatever the shapes
    for_tiny_checkpoints((folder := tmp_path_factory.mktemp("contract")) / "models")
    app = program(folder, families=tuple(FAMILIES), dtype="float64")
    yield app
    app.close()


def test_everything_that_exists_is_in_the_lists(app):
    assert set(FAMILIES) == {family.name for family in KNOWN_FAMILIES}
    assert set(SAMPLERS) == set(app.samplers())
    assert set(SCHEDULES) == set(app.schedules())
    assert set(CONFIDENCES) == set(app.confidences())
    assert set(CACHES) == set(get_args(get_args(app.Request.model_fields["cache"].annotation)[0]))
    there = {path.name for path in (ROOT / "extensions").iterdir() if (path / "__init__.py").is_file()}
    assert set(EXTENSIONS) == there


def test_each_two_are_crossed(monkeypatch):
    monkeypatch.delenv("CROSS", raising=False)
    lists = ("ab", "cdef", "gh", "ijklmno")
    found = crossed(*lists)
    for i, j in ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)):
        assert {(row[i], row[j]) for row in found} == {(a, b) for a in lists[i] for b in lists[j]}
    assert len(found) < 32
    monkeypatch.setenv("CROSS", "all")
    assert len(crossed(*lists)) == 2 * 4 * 2 * 7


def test_the_crossed_families_are_one_of_each_kind():
    def kind(family):
        framed = any(family.frame)
        return family.attention, family.shift, "encoder" if framed else family.model_class

    crossed = [family for family in KNOWN_FAMILIES if family.name in CROSSED]
    known = [family for family in KNOWN_FAMILIES if family.model_class != "GPT2LMHeadModel"]  # alone, below
    for part in (lambda kind: kind[:2], lambda kind: kind[2]):
        assert {part(kind(family)) for family in crossed} == {part(kind(family)) for family in known}
    assert set(CROSSED) <= set(FAMILIES)


@pytest.mark.parametrize("sampler", CROSSED_SAMPLERS)
@pytest.mark.parametrize("family", [name for name in FAMILIES if name not in CROSSED])
def test_every_other_family_with_every_kind_of_sampler(app, family, sampler):
    fields = {"model": family, "sampler": sampler, **WARM, **EXTENSIONS["infill"]}
    result = write(app, **fields)
    assert result.provenance.family == family and write(app, **fields).text == result.text
    assert result.text.startswith("The naïve ") and result.text.endswith(" 猫.")


@pytest.mark.parametrize("family", CROSSED)
def test_the_examples_of_extensions_make_them_act(app, family):
    fields = {"model": family, **WARM, "length": 24, "steps": 12}
    plain = texts(write(app, **fields))
    for extension in ACTING:
        if extension != "nothing":
            assert texts(write(app, **{**fields, **ACTING[extension]})) != plain, extension


@pytest.mark.parametrize(
    "sampler, schedule, cache, extension, family",
    by_family(crossed(CROSSED_SAMPLERS, SCHEDULES, CACHES, ACTING, CROSSED)),
)
def test_all_together(app, sampler, schedule, cache, extension, family):
    fields = {"model": family, "sampler": sampler, "schedule": schedule, "cache": cache, **WARM}
    fields |= {"block_length": 4, **ACTING[extension]}
    if family in WITHOUT_CACHE:
        fields["cache"] = "exact"
    result = write(app, **fields)
    for part in cells(result):
        assert part.provenance.family == family
        given = given_columns(app, part)
        assert not given & {decision.column for decision in part.trace}, "given text was decided"
        stored = app.history.get(part.id)
        assert (stored.text, stored.trace, stored.request) == (part.text, part.trace, part.request)
    again = cells(result)[-1]  # alone now, from what was saved
    request, unknown = app.Request.read(app.history.get(again.id).model_dump_json())
    assert not unknown and write(app, **dict(request)).text == again.text, "the same seed, alone"


@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if name not in CROSSED_SAMPLERS])
@pytest.mark.parametrize("family", SEVERAL)
def test_every_other_sampler_gives_the_same_text_again(app, sampler, family):
    """With guidance, blocks and late end-of-text, alone and beside another row, and from what was saved."""
    fields = {
        "model": family,
        "sampler": sampler,
        **WARM,
        **EXTENSIONS["guidance"],
        "length": 12,
        "block_length": 6,
        "end_of_text": "late",
    }
    result = write(app, **fields)
    assert write(app, **fields, count=2).parts[0].text == result.text
    again, unknown = app.Request.read(app.history.get(result.id).model_dump_json())
    assert not unknown and write(app, **dict(again)).text == result.text


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_drafts_change_no_text(app, sampler):
    """With guidance, gaps, blocks and late end-of-text, two texts in a batch."""
    fields = {"model": "LLaDA", "sampler": sampler, **WARM, **EXTENSIONS["guidance"], **EXTENSIONS["infill"]}
    fields |= {"block_length": 6, "steps": 12, "end_of_text": "late", "count": 2}
    plain, drafted = write(app, **fields), write(app, **fields, draft_steps=4)
    assert texts(plain) == texts(drafted)
    for one, two in zip(plain.parts, drafted.parts, strict=True):
        assert one.trace == two.trace and two.statistics.forwards <= one.statistics.forwards


def test_drafts_with_a_cache_or_without_layers_to_leave_out_are_refused(app):
    with pytest.raises(AssertionError, match="drafts need the cache exact, not dual"):
        write(app, model="LLaDA", **WARM, cache="dual", draft_steps=2)
    with pytest.raises(AssertionError, match="draft_skip: LLaDA has no layers that a pass can leave out"):
        write(app, model="LLaDA", **WARM, draft_steps=2, draft_skip=0.5)


def given_columns(app, part) -> set[int]:
    """Columns of the answer that the request gave. The canvas of a job that is done still shows them, as step
    0."""
    job = app.queue.get(part.provenance.job)
    changes = job.since(0)["cells"][part.provenance.cell]["changes"]
    return {column for column, _, _, step in changes if step == 0}


@pytest.mark.parametrize("family", CROSSED)
def test_given_text_comes_out_as_it_went_in(app, family):
    for sampler in SAMPLERS:
        if sampler in CROSSED_SAMPLERS or family in SEVERAL:
            text = write(app, **{"model": family, "sampler": sampler, **WARM, **EXTENSIONS["infill"]}).text
            assert text.startswith("The naïve ") and text.endswith(" 猫.") and " sat\n" in text


@pytest.mark.parametrize(
    "sampler, confidence, family", by_family(crossed(CROSSED_SAMPLERS, CONFIDENCES, CROSSED))
)
def test_every_confidence_with_every_sampler(app, sampler, confidence, family):
    fields = {"model": family, "sampler": sampler, "confidence": confidence, **WARM}
    assert texts(write(app, **fields)) == texts(write(app, **fields))


@pytest.mark.parametrize("sampler, extension, family", by_family(crossed(CROSSED_SAMPLERS, ACTING, SEVERAL)))
def test_cancel_takes_effect_before_the_next_model_call(app, sampler, extension, family):
    fields = {
        "model": family,
        "sampler": sampler,
        **WARM,
        "threshold": 1.0,
        "length": 16,
        **ACTING[extension],
    }
    whole = write(app, **fields)
    second, go, calls = threading.Event(), threading.Event(), []

    def hold(*_):
        calls.append(1)
        if len(calls) == 2:
            second.set()
            go.wait(PATIENCE)

    hook = app.checkpoints.load(family).body.register_forward_pre_hook(hold)
    try:
        job = app.queue.submit(app.Request(**{"seed": 1, **fields}))
        assert second.wait(PATIENCE)
        job.cancel()
        go.set()
        assert job.wait(PATIENCE)
    finally:
        hook.remove()
    # what is judged unseen may take a second pass of the same step, which is ended first
    assert job.state == "cancelled" and len(calls) in ((2, 3) if sampler == "wino" else (2,))
    for part in cells(job.result):
        assert not part.complete and "…" in part.text and part.statistics.forwards == 2
        assert part.trace, "what was decided is kept"
    assert texts(write(app, **fields)) == texts(whole), "the program goes on"
