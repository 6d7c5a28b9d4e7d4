"""Failures carry rows: whoever is at fault is named, only the rows at fault fail, and the others get their texts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.tiny_checkpoints import llada, rewrite
from webui.application import App
from webui.core.events import Failed, Started
from webui.core.request import Cell
from webui.core.result import Result
from webui.service.job import Job
from webui.settings import ROOT, Settings


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Extensions: `faulty` under three names, the first nearest the model, and the shipped ones that act on logits."""
    folder = tmp_path_factory.mktemp("extensions")
    for name in ("faulty", "other_faulty", "third_faulty"):
        (folder / name).symlink_to(ROOT / "tests" / "extensions" / "faulty")
    for name in ("guidance", "logit_bias"):
        (folder / name).symlink_to(ROOT / "extensions" / name)
    return folder


@pytest.fixture(scope="module")
def app(models, folder, tmp_path_factory):
    made = App(
        Settings(
            models=models, built_in=folder, data=tmp_path_factory.mktemp("data"), device="cpu", threads=1
        )
    )
    assert not made.registry.failed
    yield made
    made.close()


def asked(app: App, **options):
    return app.Request(
        **{"prompt": "the ship", "length": 12, "steps": 6, "seed": 1, "temperature": 0.7, **options}
    )


def run(app: App, *requests) -> tuple[list[Result], list]:
    """What became of each request, all as cells of one job; and the events."""
    events = list(app.engine.run(Job(requests[0], tuple(Cell(str(i), r) for i, r in enumerate(requests)))))
    whole = events[-1].result
    return list(whole.parts or (whole,)), events


def outcome(result: Result):
    return result.text, [change[:3] for change in result.trace], result.error


def check(app: App, name: str, sentence: str, after: int = 0, **options) -> list:
    """Four rows, three of them with the extension, the third at fault: only that one fails, by this sentence."""
    rows = [{"culprit": False}, None, {"culprit": True}, {"culprit": False}]
    requests = [
        asked(app, seed=i, **({name: {**options, **row, "after": after}} if row else {}))
        for i, row in enumerate(rows)
    ]
    parts, events = run(app, *requests)
    assert [part.error for part in parts] == [None, None, sentence, None]
    for part, request in zip(parts, requests, strict=True):
        if part.error is None:
            assert outcome(part) == outcome(run(app, request)[0][0]), "as if the others were not there"
    failed = [event for event in events if isinstance(event, Failed)]
    assert [(event.cell, event.code) for event in failed] == [("2", "extension")]
    return events


@pytest.mark.parametrize("how", ["raise", "exit", "panic"])
@pytest.mark.parametrize(
    ("hook", "after"),
    [("init", 0), ("canvas", 0), ("denoise", 0), ("denoise", 3), ("ban", 2), ("pick", 2), ("review", 2)],
)
def test_only_the_row_at_fault_fails_whatever_the_hook_raises(app, hook, after, how):
    reason = {
        "raise": "RuntimeError: on purpose",
        "exit": "SystemExit: 3",
        "panic": "PanicException: index out of bounds",
    }
    check(app, "faulty", f"faulty: {reason[how]}", after, at=hook, how=how)


CHOICES = {
    "none": "gave NoneType instead of a choice.",
    "no choice": "gave tuple instead of a choice.",
    "outside": "chose a token that the checkpoint does not have.",
    "negative": "chose a token that the checkpoint does not have.",
    "mask": "chose a token that is forbidden.",
    "float token": "gave a choice of tokens of type torch.float32, not torch.int64.",
    "short token": "gave a choice of tokens of shape (11,), not (12,).",
    "int commit": "gave a choice of commits of type torch.int64, not torch.bool.",
    "short commit": "gave a choice of commits of shape (11,), not (12,).",
    "no confidence": "gave NoneType instead of a choice of confidences.",
    "nan confidence": "gave a confidence that is not a number or a probability outside 0 to 1.",
    "probability": "gave a confidence that is not a number or a probability outside 0 to 1.",
    "short probability": "gave a choice of probabilities of shape (11,), not (12,).",
    "remask type": "gave a choice of positions to remask of type torch.int64, not torch.bool.",
    "remask given": "remasked a position that is given or not committed.",
}


@pytest.mark.parametrize("how", CHOICES)
def test_every_field_of_a_choice_is_checked(app, how):
    events = check(app, "faulty", f"faulty: {CHOICES[how]}", at="pick", how=how)
    if how in ("outside", "negative", "mask", "nan confidence", "probability", "remask given"):
        assert sum(isinstance(event, Started) for event in events) == 4, "known at once whose fault it is"


REVIEWS = {
    "none": "gave NoneType instead of the positions to withdraw.",
    "outside": "withdrew a position that is not a number from 0 to 11.",
    "negative": "withdrew a position that is not a number from 0 to 11.",
    "no number": "withdrew a position that is not a number from 0 to 11.",
    "tensor": "withdrew a position that is not a number from 0 to 11.",
    "raise late": "ZeroDivisionError: integer division or modulo by zero",
}


@pytest.mark.parametrize("how", REVIEWS)
def test_what_is_withdrawn_is_checked(app, how):
    check(app, "faulty", f"faulty: {REVIEWS[how]}", at="review", how=how)


def test_a_remasking_of_the_wrong_shape(app):
    (part,), _ = run(app, asked(app, faulty={"at": "pick", "how": "remask shape", "culprit": True}))
    assert part.error.startswith("faulty: gave a choice of positions to remask of shape (1, ")


@pytest.mark.parametrize("name", ["faulty", "other_faulty", "third_faulty"])
@pytest.mark.parametrize("after", [0, 2])
def test_logits_that_are_not_finite_are_traced_to_the_link_that_made_them(app, name, after):
    """Whatever lies above it in the chain."""
    others = {other: {"at": "-"} for other in ("faulty", "other_faulty", "third_faulty") if other != name}
    bad = {name: {"at": "denoise", "how": "nan", "culprit": True, "after": after}}
    good = {name: {"at": "denoise", "how": "nan", "after": after}}
    more = {"guidance": {"scale": 2.0}, "logit_bias": {"less": "e"}}
    parts, _ = run(app, asked(app, **bad, **others, **more), asked(app, **good, **others, **more))
    assert [part.error for part in parts] == [f"{name}: gave logits that are not finite numbers.", None]


def test_a_canvas_that_no_model_can_compute_is_the_fault_of_who_made_it(app):
    check(
        app,
        "other_faulty",
        "other_faulty: made a canvas whose logits are not finite numbers.",
        at="denoise",
        how="weights",
    )


@pytest.mark.parametrize("name", ["faulty", "other_faulty", "third_faulty"])
def test_a_canvas_that_makes_the_model_fail_is_the_fault_of_who_made_it(app, name):
    others = {other: {"at": "-"} for other in ("faulty", "other_faulty", "third_faulty") if other != name}
    bad = {name: {"at": "denoise", "how": "tokens", "culprit": True}}
    good = {name: {"at": "denoise", "how": "tokens"}}
    parts, _ = run(app, asked(app, **bad, **others), asked(app, **good, **others, guidance={"scale": 2.0}))
    assert [part.error for part in parts] == [f"{name}: IndexError: index out of range in self", None]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"guidance": {"scale": 3.0}},
        {"logit_bias": {"less": "e"}},
        {"guidance": {"scale": 3.0}, "faulty": {"at": "-"}},
    ],
)
def test_weights_that_are_not_finite_are_blamed_on_the_checkpoint(tmp_path, folder, options):
    broken = llada(tmp_path / "checkpoints" / "storyteller")
    rewrite(broken, lambda weights: weights["model.transformer.ff_out.weight"].fill_(torch.nan))
    app = App(Settings(models=tmp_path, built_in=folder, data=tmp_path, device="cpu", threads=1))
    parts, events = run(app, asked(app, **options), asked(app))
    assert [part.error for part in parts] == [
        "storyteller: has weights that are not finite numbers, lm_head.weight among them."
    ] * 2
    assert {event.code for event in events if isinstance(event, Failed)} == {"invalid"}
    app.close()


def test_bans_that_leave_nothing_together_name_both(app):
    bans = {
        "faulty": {"at": "ban", "how": "even", "culprit": True},
        "third_faulty": {"at": "ban", "how": "odd", "culprit": True},
        "other_faulty": {"at": "-"},
    }
    alone = [{name: options} for name, options in bans.items()]
    parts, events = run(app, asked(app, **bans), *(asked(app, **options) for options in alone))
    assert parts[0].error == "faulty and third_faulty: every token is forbidden at some position."
    assert [event.code for event in events if isinstance(event, Failed)] == ["invalid"]
    assert [part.error for part in parts[1:]] == [None] * 3


def test_the_worker_survives_what_is_no_exception(app):
    for how in ("exit", "panic"):
        job = app.queue.submit(asked(app, faulty={"at": "denoise", "how": how, "culprit": True}))
        assert job.wait(60) and job.state == "failed" and job.error.startswith("faulty: ")
    good = app.queue.submit(asked(app))
    assert good.wait(60) and good.state == "done"


def test_a_batch_that_is_too_large_for_the_memory_is_halved(app):
    """The extension runs out of memory with more than one row."""
    requests = [
        asked(app, seed=i, faulty={"at": "denoise", "how": "memory", "culprit": True}) for i in range(3)
    ]
    parts, events = run(app, *requests)
    assert [part.error for part in parts] == [None] * 3
    assert [outcome(part) for part in parts] == [outcome(run(app, request)[0][0]) for request in requests]


def test_a_text_that_is_too_large_for_the_memory_alone_is_told_so(app):
    large = {"at": "denoise", "how": "memory", "culprit": True, "after": 1}
    good, bad = run(app, asked(app), asked(app, faulty=large))[0]
    assert bad.error == "The memory of cpu is too small for this text; make it shorter."
    assert outcome(good) == outcome(run(app, asked(app))[0][0])


def test_cancel_while_a_fault_is_looked_for_keeps_what_is_there(app):
    job = Job(
        asked(app),
        tuple(
            Cell(str(i), asked(app, seed=i, faulty={"at": "pick", "after": 3, "culprit": i == 2}))
            for i in range(4)
        ),
    )
    started = 0
    for event in app.engine.run(job):
        started += isinstance(event, Started)
        if started == 5:  # begun anew
            job.cancel()
    assert job.cancelled() and event.result.parts
