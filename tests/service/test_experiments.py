"""Experiments: what is finished is kept, whatever is left of the files."""

from __future__ import annotations

import json

import pytest

from tests.contract.program import program
from webui.core.errors import Busy, NotFound
from webui.core.request import Cell
from webui.service.experiments import key

GRID = {"x_field": "seed", "x_values": "1-4"}


@pytest.fixture
def app(tmp_path):
    app = program(tmp_path)
    yield app
    app.close()


def written(app, **fields):
    job = app.queue.submit(
        app.Request(**{"prompt": "a", "length": 4, "steps": 1, "xyz_grid": GRID, **fields})
    )
    assert job.wait(120) and job.state == "done"
    return job


def resumed(app, job, **options):
    other = app.resume(job.experiment, **options)
    assert other.wait(120) and other.state == "done"
    return other


def texts(job) -> list[str]:
    return [result.id for _, result, _ in job.results()]


def test_a_finished_experiment_is_taken_as_it_is(app):
    job = written(app)
    (one,) = app.experiments.all()
    assert (one.id, one.texts, one.done, one.failed, one.source) == (job.id, 4, 4, 0, "")
    again = resumed(app, job)
    assert texts(again) == texts(job) and again.experiment == job.id
    assert again.result.complete and len(app.experiments.all()) == 1


def test_a_text_that_was_deleted_is_written_again(app):
    job = written(app)
    app.history.delete(texts(job)[1])
    again = resumed(app, job)
    assert [a == b for a, b in zip(texts(again), texts(job), strict=True)] == [True, False, True, True]
    assert [part.text for part in again.result.parts] == [part.text for part in job.result.parts]


def test_other_values_and_axes_keep_what_is_the_same(app):
    job = written(app)
    more = {**GRID, "x_values": "4, 2, 9", "y_field": "temperature", "y_values": "preset, 2"}
    again = resumed(app, job, request=job.request.replace(xyz_grid=more))
    assert texts(again)[:2] == [texts(job)[3], texts(job)[1]]
    assert not set(texts(again)[2:]) & set(texts(job))
    assert [{n: v for n, v, _ in r.axes} for _, r, _ in again.results()][0] == {
        "seed": 4,
        "temperature": None,
    }


def test_a_drawn_seed_stays(app):
    job = written(app, seed=-1, xyz_grid={"x_field": "temperature", "x_values": "0, 1"})
    assert texts(resumed(app, job)) == texts(job)
    assert texts(resumed(app, job, request=job.request)) == texts(job)


def test_only_what_is_finished_can_be_shown(app):
    job = written(app)
    app.history.delete(texts(job)[0])
    assert texts(resumed(app, job, writes="nothing")) == texts(job)[1:]
    assert app.experiments.get(job.id).texts == 4
    with pytest.raises(ValueError, match="has failed"):
        app.resume(job.experiment, writes="failed")


def test_a_file_that_was_cut_off_or_overwritten_costs_only_what_is_missing(app):
    job = written(app)
    journal = app.settings.experiments / job.id / "cells.jsonl"
    lines = journal.read_bytes().splitlines()
    journal.write_bytes(b"\n".join([*lines[:-1], lines[-1][:20], b"\xff{", b"[]", b'{"key": 3}']))
    again = resumed(app, job)
    same = sum(a == b for a, b in zip(texts(again), texts(job), strict=True))
    assert same == 3 and texts(resumed(app, job)) == texts(again)


def test_one_text_is_no_experiment_and_without_a_history_there_is_none(app):
    written(app, xyz_grid={})
    app.history.keep = False
    assert written(app).experiment is None
    assert app.experiments.all() == []


def test_what_is_not_there_or_cannot_be_read_is_a_sentence(app):
    for name in ("0" * 16, "../history", ""):
        with pytest.raises(NotFound):
            app.resume(name)
        with pytest.raises(NotFound):
            app.forget(name)
    job = written(app)
    path = app.settings.experiments / job.id / "experiment.json"
    path.write_text('{"request": []}')
    with pytest.raises(ValueError, match="cannot be read"):
        app.resume(job.id)
    assert app.experiments.all() == []


def test_one_job_at_a_time_works_on_an_experiment(app):
    job = written(app)
    slow = {**GRID, "x_values": "1-400"}
    going = app.resume(job.id, request=job.request.replace(length=64, steps=64, xyz_grid=slow))
    with pytest.raises(Busy):
        app.resume(job.id)
    with pytest.raises(Busy):
        app.forget(job.id)
    going.cancel()
    assert going.wait(120)
    app.forget(job.id)
    assert app.experiments.all() == [] and app.history.has(texts(job)[0])


def test_votes_stay_with_the_experiment_and_are_exported(app):
    job = written(app)
    for a, b, better in (("0", "1", "a"), ("2", "0", "same"), ("1", "0", "a")):
        app.experiments.vote(job, a, b, better)
    more = {**GRID, "x_values": "2, 1, 9"}
    again = resumed(app, job, request=job.request.replace(xyz_grid=more))
    table = app.tables.of(again)
    assert [row.metrics.get("votes.share") for row in table.rows] == [0.5, 0.5, None]
    assert [row.metrics.get("votes.number") for row in table.rows] == [2, 3, None]
    assert "votes.share" in app.export(again, "csv").splitlines()[0]
    for a, b in (("0", "0"), ("0", "7")):
        with pytest.raises(ValueError, match="two different texts"):
            app.experiments.vote(job, a, b, "a")


def test_options_at_their_defaults_do_not_count_in_a_key(app):
    request = app.Request(prompt="a", seed=1)
    bare = Cell("0", request)
    assert key(bare) == key(Cell("1", app.Request.model_validate(request.model_dump()), (("x", 1, "1"),)))
    assert key(bare) != key(Cell("0", request.replace(guidance={"scale": 2})))
    fields = json.loads(request.model_dump_json())
    assert "guidance" in fields  # so that the next line says something
    assert key(bare) == key(Cell("0", request.replace(guidance={})))


def stored_in(html: str) -> dict:
    return json.loads(html.split('id="request">')[1].split("</script>")[0])


def test_an_exported_file_is_the_experiment_with_its_texts(app, tmp_path_factory):
    job = written(app, seed=-1, xyz_grid={"x_field": "temperature", "x_values": "0, 1, 2"})
    app.bounds.begin(job).wait(120)
    file = stored_in(app.export(job, "html"))
    other = program(tmp_path_factory.mktemp("elsewhere"))
    request, _ = other.Request.read(file["request"])
    experiment = other.restore(request, file["seed"])
    for text in file["texts"]:
        other.experiments.take_in(experiment, [text])
    shown = other.resume(experiment, writes="nothing")
    assert shown.wait(120)
    for name in ("text", "tokens", "trace", "axes", "statistics", "provenance"):
        assert [getattr(part, name) for part in shown.result.parts] == [
            getattr(part, name) for part in job.result.parts
        ]
    asked = [[part.request.model_dump() for part in one.result.parts] for one in (shown, job)]
    assert asked[0] == asked[1]
    assert other.tables.of(shown).rows[0].metrics == app.tables.of(job).rows[0].metrics
    more = {**GRID, "x_field": "temperature", "x_values": "0, 2, 3"}
    going = other.resume(experiment, request=request.replace(xyz_grid=more))
    assert going.wait(120) and texts(going)[:2] == [texts(job)[0], texts(job)[2]]
    other.history.keep = False
    with pytest.raises(ValueError, match="not kept"):
        other.restore(request, 1)
    other.close()


@pytest.mark.parametrize(
    "change",
    [
        {"key": "../x"},
        {"result": {}},
        {"result": {"id": "../../x", "request": {}}},
        {"result": {"id": "0" * 20, "request": {"length": "x"}}},
        {"result": {"id": "0" * 20, "request": {}, "text": 3}},
    ],
)
def test_what_is_no_exported_text_is_a_sentence(app, change):
    experiment = app.restore(app.Request(prompt="a", seed=1, xyz_grid=GRID), None)
    text = {
        "key": "0" * 32,
        "cell": "0",
        "result": {"id": "0" * 20, "request": {}, "text": "", "complete": True},
    }
    with pytest.raises(ValueError, match="This is not"):
        app.experiments.take_in(experiment, [{**text, **change}])
    assert not app.history.list()
