"""Pause, go on, branch and edit by making a trace again: no model call is needed, and no process has to stay."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from webui.application import App
from webui.core.events import Progress, Started
from webui.core.request import Cell
from webui.core.result import Result, replay
from webui.service.job import Job
from webui.settings import ROOT, Settings

ALL = {
    "low confidence": {},
    "cosine, warm": {"schedule": "cosine", "temperature": 0.8, "top_p": 0.9},
    "random": {"sampler": "random", "temperature": 0.5},
    "threshold": {"sampler": "threshold", "threshold": 0.05, "temperature": 0.5},
    "late": {"end_of_text": "late", "temperature": 0.9},
    "remasking": {"sampler": "remasker", "temperature": 0.7, "remasker": {"eta": 0.5}},
    "memory": {"sampler": "remdm_conf", "temperature": 0.7, "steps": 12},
    "path planning": {"sampler": "p2", "temperature": 0.7, "p2": {"judge": "unseen"}},
    "wino": {"sampler": "wino", "temperature": 0.7, "wino": {"threshold": 0.02}, "steps": 16},
    "until settled": {"sampler": "editing", "temperature": 0.7, "edit_threshold": 0.3, "steps": 16},
    "edits of a full block": {
        "sampler": "joint_threshold",
        "temperature": 0.7,
        "joint": {"post_edit_steps": 2, "penalty": 3.0},
        "steps": 16,
    },
    "guidance": {"guidance": {"scale": 2.0}, "temperature": 0.6},
    "words": {"logit_bias": {"more": "zebra cat:9, it", "less": "the"}, "temperature": 0.6, "length": 24},
    "infill": {
        "prompt": "The ____ was [[...8]] and ____ home.",
        "length": None,
        "steps": 8,
        "temperature": 0.6,
    },
}
PROGRAM = """
import json, sys
from pathlib import Path
from webui.application import App
from webui.core.request import Cell
from webui.service.job import Job
from webui.settings import Settings
models, extensions, data = map(Path, sys.argv[1:4])
app = App(Settings(models=models, built_in=extensions, data=data, device="cpu", dtype="float64", threads=1))
requests = [app.Request.read(line)[0] for line in sys.stdin]
job = Job(requests[0], tuple(Cell(str(i), request) for i, request in enumerate(requests)))
*_, last = app.engine.run(job)
for part in last.result.parts:
    print(part.model_dump_json())
app.close()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("extensions")
    (folder / "remasker").symlink_to(ROOT / "tests" / "extensions" / "remasker")
    for name in ("guidance", "infill", "logit_bias"):
        (folder / name).symlink_to(ROOT / "extensions" / name)
    return folder


@pytest.fixture(scope="module")
def app(models, folder, tmp_path_factory):
    made = App(
        Settings(
            models=models,
            built_in=folder,
            data=tmp_path_factory.mktemp("data"),
            device="cpu",
            dtype="float64",
            threads=1,
        )
    )
    assert not made.registry.failed
    yield made
    made.close()


@pytest.fixture(scope="module")
def whole(app) -> dict[str, Result]:
    """What becomes of every request when nothing stops it."""
    return dict(zip(ALL, run(app, *(asked(app, **options) for options in ALL.values())), strict=True))


def asked(app: App, **options):
    return app.Request(
        **{"prompt": "the ship", "length": 16, "block_length": 8, "steps": 10, "seed": 4, **options}
    )


def run(app: App, *requests) -> list[Result]:
    job = Job(requests[0], tuple(Cell(str(i), request) for i, request in enumerate(requests)))
    *_, last = app.engine.run(job)
    return list(last.result.parts or (last.result,))


def outcome(result: Result):
    return result.text, result.trace, result.tokens, result.error


def onwards(result: Result, step: int | None, **changes):
    """The request that goes on with a result from a step."""
    trace = result.model_dump(mode="json")["trace"]
    return result.request.replace(canvas={"trace": trace, "step": step}, **changes)


def test_to_any_step_replay_in_a_new_process_go_on_gives_the_same_text(app, whole, models, folder, tmp_path):
    """All samplers, every third step of each, in one batch."""
    wanted, lines = [], []
    for result in whole.values():
        assert result.error is None and result.complete
        for step in range(0, result.statistics.forwards + 1, 3):
            wanted.append((result, step))
            lines.append(onwards(result, step).model_dump_json())
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(models), str(folder), str(tmp_path)],
        input="\n".join(lines) + "\n",
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    made = [app_result(app, line) for line in done.stdout.splitlines()]
    assert len(made) == len(wanted) > 20
    for (result, step), again in zip(wanted, made, strict=True):
        assert outcome(again) == outcome(result), (result.request.sampler, step)
        assert again.statistics.forwards == result.statistics.forwards - step


def app_result(app: App, line: str) -> Result:
    data = json.loads(line)
    return Result.model_validate({**data, "request": app.Request.read(data)[0]})


def test_a_cancelled_text_goes_on_to_what_it_would_have_been(app, whole):
    for name, result in whole.items():
        job = Job(result.request, (Cell("0", result.request),))
        steps = 0
        for event in app.engine.run(job):
            steps += isinstance(event, Progress)
            if steps == 3:
                job.cancel()
        stopped = event.result
        assert not stopped.complete and None in stopped.tokens
        (again,) = run(app, onwards(stopped, None))
        assert outcome(again) == outcome(result), name


def test_any_step_can_be_shown_without_a_model(app, whole):
    for result in whole.values():
        assert replay(result, result.statistics.forwards) == result.tokens
        start = replay(result, 0)
        given = {i for i, token in enumerate(start) if token is not None}
        assert not given & {change.column for change in result.trace}
        for step in range(result.statistics.forwards):
            before, after = replay(result, step), replay(result, step + 1)
            changed = {i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b}
            assert changed <= {change.column for change in result.trace if change.step == step + 1}


def test_another_seed_branches_off_and_keeps_what_was_there(app, whole):
    result = whole["cosine, warm"]
    kept = {change.column: change.token for change in result.trace if change.step <= 5}
    branches = run(app, *(onwards(result, 5, seed=100 + i) for i in range(4)))
    assert len({branch.text for branch in (*branches, result)}) > 2
    for branch in branches:
        assert {column: branch.tokens[column] for column in kept} == kept
        assert branch.trace[: len(kept)] == result.trace[: len(kept)]


def test_an_edit_is_given_from_then_on(app, whole):
    """Also by a sampler that would remask it; an edit may mask a position again."""
    for name in ("remasking", "low confidence"):
        result = whole[name]
        entries = [change for change in result.trace if change.step <= 4]
        committed = next(change.column for change in entries if replay(result, 4)[change.column] is not None)
        later = next(i for i in range(16) if replay(result, 4)[i] is None)
        edits = [(4, committed, None, "", None), (4, later, 65, "b", None)]
        (edited,) = run(app, result.request.replace(canvas={"trace": [*entries, *edits], "step": 4}))
        assert edited.error is None and edited.complete and edited.tokens[later] == 65
        assert [change for change in edited.trace if change.column == later][-1].step == 4
        assert replay(edited, 4)[committed] is None and edited.tokens[committed] is not None
        (again,) = run(app, onwards(edited, 6))
        assert outcome(again) == outcome(edited), "an edited text can be gone on with too"


def test_a_text_can_start_from_tokens(app, whole):
    tokens = list(whole["low confidence"].tokens)
    masked = [None if i % 3 == 0 else token for i, token in enumerate(tokens)]
    request = asked(app, length=None, steps=None, canvas={"tokens": masked})
    (again,) = run(app, request)
    assert again.complete and again.request.length == 16 and again.request.steps == 6
    assert [token for i, token in enumerate(again.tokens) if i % 3] == [
        t for i, t in enumerate(tokens) if i % 3
    ]
    assert {change.column for change in again.trace} == set(range(0, 16, 3))
    assert replay(again, 0) == tuple(masked)
    (remasked,) = run(app, request.replace(sampler="remasker", steps=12, remasker={"eta": 0.9}))
    assert any(change.token is None and change.column % 3 for change in remasked.trace), "it is not given"


def test_a_sampler_that_has_forgotten_its_steps_is_noted(app):
    (result,) = run(app, asked(app, sampler="klass", steps=4))
    (again,) = run(app, onwards(result, 2))
    assert not result.notes and "klass remembers the last steps" in again.notes[0]


def test_subscribers_see_what_was_there_when_a_text_goes_on(app, whole):
    result = whole["remasking"]
    request = onwards(result, 6)
    events = list(app.engine.run(Job(request, (Cell("0", request),))))
    started, first = [event for event in events if isinstance(event, Started | Progress)][:2]
    assert isinstance(started, Started) and first.step == {"0": 6}
    assert first.changes["0"] == tuple(change for change in result.trace if change.step <= 6)


REFUSED = [
    ({"trace": [[1, 99, 5, "", 0.5]]}, "canvas: the trace has position 99, the answer only 16 tokens."),
    ({"trace": [[1, 0, 99999, "", 0.5]]}, "canvas: 99999 in the trace is no token of this checkpoint."),
    ({"tokens": [1, 2, 99999]}, "canvas: 99999 is no token of this checkpoint."),
]


@pytest.mark.parametrize(("canvas", "sentence"), REFUSED)
def test_a_canvas_that_does_not_fit_is_refused_in_one_sentence(app, canvas, sentence):
    assert run(app, asked(app, canvas=canvas))[0].error == sentence


def test_a_trace_may_not_change_what_is_given(app, whole):
    infill = whole["infill"]
    trace = [[1, 0, 65, "", 0.5]]
    assert run(app, infill.request.replace(canvas={"trace": trace}))[0].error == (
        "canvas: the trace changes position 0, which is given."
    )


@pytest.mark.parametrize(
    ("canvas", "sentence"),
    [
        (
            {"trace": [[2, 0, 5, "", 0.5], [1, 1, 5, "", 0.5]]},
            "canvas: has a trace whose steps are not in order.",
        ),
        ({"trace": [[1, -1, 5, "", 0.5]]}, "canvas: has a trace with a negative number."),
        ({"step": -1}, "canvas.step: Input should be greater than or equal to 0."),
    ],
)
def test_a_canvas_that_makes_no_sense_is_no_request(app, canvas, sentence):
    with pytest.raises(ValueError, match="^" + sentence):
        asked(app).replace(canvas=canvas)


def test_steps_that_change_nothing_cost_nothing(app, monkeypatch):
    """Counted by the calls of the samplers, which a trace of two changes needs about twice."""
    from webui.denoising import samplers

    calls: list[int] = []
    activate = samplers.activate

    def counted(*arguments):
        calls.append(1)
        return activate(*arguments)

    monkeypatch.setattr(samplers, "activate", counted)
    trace = [[1, 0, 5, 0.5], [30_000, 1, 6, 0.5]]
    (part,) = run(app, asked(app, length=4, block_length=4, steps=None, canvas={"trace": trace}))
    assert part.complete and len(calls) < 20


def test_a_trace_that_is_being_replayed_can_be_cancelled(app):
    """Many steps with many changes each, which are read once however many steps there are."""
    trace = [[i // 2, i % 16, 5 if i % 2 else None, 0.5] for i in range(20_000)]
    job = Job(request := asked(app, canvas={"trace": trace}), (Cell("0", request),))
    asked_for: list[int] = []

    def cancelled() -> bool:
        asked_for.append(1)
        return len(asked_for) > 100

    job.cancelled = cancelled
    *_, last = app.engine.run(job)
    assert not last.result.parts and len(asked_for) < 110
