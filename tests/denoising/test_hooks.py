"""The hooks around runs, weights, samplers and results, each with an extension of tests/extensions that uses it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.extensions.low_rank import adapter
from tests.tiny_checkpoints import llada, rewrite
from webui.application import App
from webui.core.events import Failed, Finished, Loop, Progress, Started
from webui.core.request import Cell
from webui.core.result import Result, replay
from webui.denoising.runs import Passes
from webui.service.job import Job
from webui.settings import ROOT, Settings

USED = ("low_rank", "remasker", "word_count", "faulty")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("extensions")
    for name in USED:
        (folder / name).symlink_to(ROOT / "tests" / "extensions" / name)
    for name in ("guidance", "infill", "loopback", "prompt_matrix"):
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


def asked(app: App, **options):
    return app.Request(
        **{"prompt": "the ship", "length": 12, "steps": 6, "seed": 1, "temperature": 0.7, **options}
    )


def job_of(*requests) -> Job:
    return Job(requests[0], tuple(Cell(str(i), request) for i, request in enumerate(requests)))


def run(app: App, *requests) -> list[Result]:
    *_, last = app.engine.run(job_of(*requests))
    return list(last.result.parts or (last.result,))


def outcome(result: Result):
    return result.text, [change[:3] for change in result.trace], result.error


def saved(app: App) -> set[Path]:
    return set(app.settings.history.glob("*/*"))


# -- run -----------------------------------------------------------------------------------------------------


def test_run_calls_generate_as_often_as_it_wants_and_only_the_last_text_is_saved(app):
    before = saved(app)
    events = list(app.engine.run(job_of(asked(app, loopback={"loops": 2}), asked(app, seed=5))))
    assert [(e.k, e.of) for e in events if isinstance(e, Loop)] == [(0, 3), (1, 3), (2, 3)]
    assert [e.cell for e in events if isinstance(e, Started)] == ["0", "1", "0", "0"]
    finished = {e.cell: e.result for e in events if isinstance(e, Finished)}
    assert len(saved(app) - before) == 2 and set(finished) == {"0", "1", None}
    assert outcome(finished["1"]) == outcome(run(app, asked(app, seed=5))[0])
    assert finished["0"].request.loopback.loops == 2 and finished["0"].request.canvas is None
    assert finished["0"].request.seed == 1 and finished["0"].complete
    assert finished["0"].text != run(app, asked(app))[0].text


def test_a_saved_loopback_gives_the_same_text_again(app):
    (made,) = run(app, asked(app, steps=None, loopback={"loops": 1}))
    again, unknown = app.Request.read(app.history.get(made.id).model_dump_json())
    assert not unknown and outcome(run(app, again)[0]) == outcome(made)


def test_progress_of_a_job_with_loops_never_runs_backwards(app):
    job = app.queue.submit(asked(app, loopback={"loops": 2}, count=2))
    shares = [update["progress"] for update in job.subscribe().updates(0.0)]
    assert shares == sorted(shares) and shares[-1] == 1.0


def test_loops_within_loops_are_one():
    passes = Passes()
    seen = [
        passes.enter(Loop(k, of, name))
        for name, k, of in [
            ("a", 0, 2),
            ("b", 0, 3),
            ("b", 1, 3),
            ("b", 2, 3),
            ("a", 1, 2),
            ("b", 0, 3),
            ("b", 2, 3),
        ]
    ]
    assert [round(loop.k / loop.of, 3) for loop in seen] == [0, 0, 0.167, 0.333, 0.5, 0.5, 0.833]


RUNS = {
    "raises": "raise RuntimeError('on purpose')",
    "panics": "raise SystemExit(2)",
    "no event": "yield 3",
    "unknown cell": "yield Failed('99', 'who?')",
    "silent": "return",
    "wrong pass": "yield Loop(2, 2)",
}
REASONS = {
    "raises": "breaks: RuntimeError: on purpose",
    "panics": "breaks: SystemExit: 2",
    "no event": "breaks: gave int instead of an event.",
    "unknown cell": "breaks: finished the cell '99', which is not in the job.",
    "silent": "breaks: yielded no result for a cell.",
    "wrong pass": "breaks: gave a pass 2 of 2.",
}


@pytest.mark.parametrize("how", RUNS)
def test_a_run_that_fails_fails_its_cells_by_name(models, tmp_path, how):
    (tmp_path / "breaks").mkdir()
    (tmp_path / "breaks" / "__init__.py").write_text(
        f'''from webui import Extension, Failed, Loop, Options, field
class Breaks(Extension):
    """Breaks."""
    class Options(Options):
        on: bool = field(False, label="On", help="Tests.")
    @classmethod
    def run(cls, cells, generate):
        if any(cls.options(cell.request).on for cell in cells):
            {RUNS[how]}
        yield from generate(cells)
'''
    )
    app = App(Settings(models=models, built_in=tmp_path, data=tmp_path, device="cpu", threads=1))
    assert not app.registry.failed
    good, bad, other = run(app, asked(app), asked(app, breaks={"on": True}), asked(app, seed=3))
    assert bad.error == REASONS[how]
    assert [outcome(good), outcome(other)] == [
        outcome(run(app, asked(app))[0]),
        outcome(run(app, asked(app, seed=3))[0]),
    ]
    app.close()


def test_what_fails_inside_a_run_is_not_the_runs_fault(app):
    faulty = {"at": "denoise", "culprit": True}
    good, bad = run(app, asked(app, loopback={"loops": 1}), asked(app, loopback={"loops": 1}, faulty=faulty))
    assert bad.error == "faulty: RuntimeError: on purpose"
    assert outcome(good) == outcome(run(app, asked(app, loopback={"loops": 1}))[0])


def test_cancel_within_a_loop_keeps_what_is_there(app):
    job, loops, after = job_of(asked(app, loopback={"loops": 4}, steps=12)), 0, 0
    for event in app.engine.run(job):
        loops += isinstance(event, Loop)
        if loops == 2 and isinstance(event, Progress):
            after += 1
            job.cancel()
    assert (loops, after) == (2, 1)
    assert not event.result.complete and "…" in event.result.text and event.result.request.loopback.loops == 4


# -- patch ---------------------------------------------------------------------------------------------------


def hooks(app: App) -> int:
    module = app.checkpoints.load(None).module
    return sum(len(part._forward_hooks) for part in module.modules())


def test_a_patch_acts_per_row_as_if_it_were_merged(app, folder, tmp_path):
    rows = [asked(app, low_rank={"weight": weight}, guidance={"scale": 2.0}) for weight in (0.0, 0.3, 1.0)]
    together = run(app, *rows)
    assert [outcome(part) for part in together] == [outcome(run(app, row)[0]) for row in rows]
    assert outcome(together[0]) == outcome(run(app, asked(app, guidance={"scale": 2.0}))[0])
    assert len({part.text for part in together}) == 3 and hooks(app) == 0
    for weight, part in zip((0.3, 1.0), together[1:], strict=True):
        folder_ = tmp_path / str(weight)
        checkpoint = llada(folder_ / "checkpoints" / "storyteller")

        def merge(weights, weight=weight):
            name = "model.transformer.blocks.0.ff_out.weight"
            for key in list(weights):
                weights[key] = weights[key].double()  # so that the merged ones are not rounded
            down, up = adapter(*weights[name].shape)
            weights[name] = weights[name] + weight * (down @ up).T

        rewrite(checkpoint, merge)
        merged = App(
            Settings(models=folder_, built_in=folder, data=folder_, device="cpu", dtype="float64", threads=1)
        )
        assert outcome(run(merged, asked(merged, guidance={"scale": 2.0}))[0]) == outcome(part)
        merged.close()


def test_a_patch_is_taken_back_on_cancel_and_on_errors(app):
    job = job_of(asked(app, low_rank={"weight": 1.0}))
    for event in app.engine.run(job):
        if isinstance(event, Progress):
            assert hooks(app) == 1
            job.cancel()
    assert hooks(app) == 0
    (bad,) = run(app, asked(app, low_rank={"weight": 1.0}, faulty={"at": "pick", "culprit": True}))
    assert bad.error and hooks(app) == 0


@pytest.mark.parametrize("fail", ["leave", "keep"])
def test_a_model_that_a_patch_left_changed_is_read_anew(app, fail):
    plain = outcome(run(app, asked(app))[0])
    before = app.checkpoints.load(None)
    run(app, asked(app, low_rank={"weight": 1.0, "fail": fail}))
    assert outcome(run(app, asked(app))[0]) == plain
    assert hooks(app) == 0 and app.checkpoints.load(None) is not before


def test_a_patch_that_cannot_be_entered_fails_the_rows_that_want_it(app):
    good, bad, other = run(
        app,
        asked(app),
        asked(app, low_rank={"weight": 1.0, "fail": "enter"}),
        asked(app, low_rank={"weight": 1.0}),
    )
    assert bad.error == "low_rank: RuntimeError: no adapter"
    assert outcome(good) == outcome(run(app, asked(app))[0])
    assert outcome(other) == outcome(run(app, asked(app, low_rank={"weight": 1.0}))[0])


def test_a_patch_that_fails_in_the_forward_pass_is_named_whoever_called_the_model(app):
    others = {"guidance": {"scale": 2.0}, "faulty": {"at": "-"}}
    good, bad = run(
        app, asked(app, **others), asked(app, **others, low_rank={"weight": 1.0, "fail": "forward"})
    )
    assert bad.error == "low_rank: RuntimeError: wrong shape" and hooks(app) == 0
    assert outcome(good) == outcome(run(app, asked(app, **others))[0])


# -- samplers ------------------------------------------------------------------------------------------------


def remasked(app: App, **options):
    return asked(app, sampler="remasker", length=16, steps=12, block_length=8, **options)


def test_an_extension_brings_a_sampler_with_an_option_of_its_own(app):
    assert "remasker" in app.samplers()
    texts = run(
        app,
        remasked(app, remasker={"eta": 0.0}),
        remasked(app, remasker={"eta": 0.6}),
        asked(app, sampler="remasker"),
    )
    taken_back = [sum(change.token is None for change in part.trace) for part in texts]
    assert taken_back[0] == 0 and taken_back[1] > 3
    assert [outcome(part) for part in texts[:2]] == [
        outcome(run(app, remasked(app, remasker={"eta": eta}))[0]) for eta in (0.0, 0.6)
    ]
    for part in texts:
        assert part.complete and part.statistics.tokens == len(part.tokens) == part.request.length
        assert replay(part, part.statistics.forwards) == part.tokens


def test_remasked_positions_are_told_as_they_happen(app):
    job = job_of(remasked(app, remasker={"eta": 0.6}))
    shown: dict[int, int | None] = {}
    counts = []
    for event in app.engine.run(job):
        if isinstance(event, Progress):
            shown |= {change.column: change.token for change in event.changes["0"]}
            counts.append(sum(token is not None for token in shown.values()))
    assert counts != sorted(counts), "fewer positions are filled after some step than before it"
    assert tuple(shown[column] for column in sorted(shown)) == event.result.tokens


def test_given_text_is_never_remasked(app):
    text = "The ________ was ____________________ today."
    (part,) = run(
        app, asked(app, prompt=text, sampler="remasker", remasker={"eta": 0.9}, length=None, steps=9)
    )
    assert part.text.startswith("The ") and part.text.endswith(" today.") and " was" in part.text


def test_a_sampler_that_fails_fails_its_rows_by_the_extensions_name(app):
    good, bad = run(app, remasked(app), remasked(app, remasker={"broken": "yes"}))
    assert bad.error == "remasker: RuntimeError: on purpose"
    assert outcome(good) == outcome(run(app, remasked(app))[0])


def test_a_sampler_of_a_name_that_is_taken_is_left_out(models, tmp_path, capsys):
    (tmp_path / "double").mkdir()
    (tmp_path / "double" / "__init__.py").write_text(
        'from webui import Extension, Sampler\nclass Double(Extension):\n    """Brings what is there."""\n'
        '    @classmethod\n    def samplers(cls):\n        return {"threshold": Sampler("Mine.")}\n'
    )
    app = App(Settings(models=models, built_in=tmp_path, data=tmp_path, device="cpu", threads=1))
    assert "There is already a sampler 'threshold'" in app.engine.samplers.refused["double"]
    assert "Samplers are left out. double: " in capsys.readouterr().err
    assert run(app, asked(app, sampler="threshold"))[0].error is None
    app.close()


# -- finish --------------------------------------------------------------------------------------------------


def test_finish_adds_numbers_to_the_result_and_they_are_saved(app):
    counted, plain = run(app, asked(app, word_count={"on": True}), asked(app))
    assert counted.extras == {"word_count": {"words": len(counted.text.split()), "whole": True}}
    assert plain.extras == {}
    assert app.history.get(counted.id).extras == counted.extras


@pytest.mark.parametrize(
    ("wrong", "note"),
    [
        ("raise", "word_count: RuntimeError: on purpose"),
        ("list", "word_count: gave 'words' a value that is not a number, text or boolean."),
        ("nan", "word_count: gave 'words' a value that is not a number, text or boolean."),
    ],
)
def test_a_finish_that_fails_costs_its_numbers_and_not_the_text(app, wrong, note):
    (part,) = run(app, asked(app, word_count={"wrong": wrong}))
    assert part.error is None and part.complete and part.notes[-1] == note and part.extras == {}


# -- all together --------------------------------------------------------------------------------------------


def test_all_hooks_in_one_job(app):
    options = {
        "prompt": "a ship | a storm",
        "prompt_matrix": {"enabled": True},
        "guidance": {"scale": 1.5},
        "loopback": {"loops": 1},
        "low_rank": {"weight": 0.5},
        "sampler": "remasker",
        "word_count": {"on": True},
    }
    request = asked(app, **options)
    job = Job(request, app.registry.expand(request))
    events = list(app.engine.run(job))
    assert not [event for event in events if isinstance(event, Failed)]
    for part in events[-1].result.parts:
        assert part.complete and part.extras["word_count"]["whole"]
