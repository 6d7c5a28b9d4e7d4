"""Cells with the same request are computed once, and each has its own result."""

from __future__ import annotations

import pytest

from tests.contract.program import cells, finished, program
from webui.core.events import Failed, Finished, Progress, Started
from webui.core.request import Cell, Request
from webui.core.result import Change, Result
from webui.denoising.alike import once


def result_of(cell: Cell) -> Result:
    return Result(id=f"of {cell.id}", text="text", complete=True, request=cell.request, axes=cell.axes)


def events_of(cells):
    for cell in cells:
        yield Started(cell.id, 4, 2)
    yield Progress({cell.id: (Change(1, 0, 5, "a", 0.5),) for cell in cells}, {cell.id: 1 for cell in cells})
    for cell in cells:
        failed = cell.request.prompt == "wrong"
        yield Failed(cell.id, "Wrong.") if failed else Finished(result_of(cell), cell.id)


def test_each_request_is_generated_once_and_every_cell_has_all_events():
    a, b, wrong = (Request(prompt=prompt, seed=1) for prompt in ("a", "b", "wrong"))
    made = [a, b, a, wrong, a.replace(seed=2), wrong, a]
    given = [Cell(str(i), request, (("x", i, str(i)),)) for i, request in enumerate(made)]
    asked = []

    def generate(some):
        asked.extend(cell.id for cell in some)
        yield from events_of(some)

    events = list(once(given, generate))
    assert asked == ["0", "1", "3", "4"]
    assert {event.cell for event in events if isinstance(event, Started)} == set("0123456")
    (progress,) = [event for event in events if isinstance(event, Progress)]
    assert set(progress.changes) == set(progress.step) == set("0123456")
    assert {event.cell for event in events if isinstance(event, Failed)} == {"3", "5"}
    results = {event.cell: event.result for event in events if isinstance(event, Finished)}
    assert set(results) == set("01246") and len({result.id for result in results.values()}) == 5
    assert all(results[cell.id].axes == cell.axes for cell in given if cell.id in results)
    assert all(results[cell.id].request is cell.request for cell in given if cell.id in results)


def test_leaving_early_leaves_what_is_inside():
    left = []

    def generate(some):
        try:
            yield from events_of(some)
        finally:
            left.append(True)

    events = once([Cell("0", Request()), Cell("1", Request())], generate)
    next(events)
    events.close()
    assert left == [True]


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    app = program(tmp_path_factory.mktemp("alike"), batch_rows=4, dtype="float64")
    yield app
    app.close()


def test_a_grid_whose_cells_are_alike_calls_the_model_for_one(app):
    calls = []
    hook = app.checkpoints.load(None).body.register_forward_pre_hook(lambda *_: calls.append(1))
    grid = {"x_field": "temperature", "x_values": "0.5, 0.5, 0.5", "y_field": "seed", "y_values": "1, 2, 1"}
    try:
        result = finished(app, app.Request(prompt="a", length=8, seed=1, xyz_grid=grid))
    finally:
        hook.remove()
    parts = cells(result)
    assert len(parts) == 9 and len(calls) == 8  # two rows of one batch
    assert len({part.id for part in parts}) == 9 and all(part.complete for part in parts)
    assert [part.provenance.cell for part in parts] == [str(i) for i in range(9)]
    assert len({part.text for part in parts if part.request.seed == 1}) == 1
    assert [part.statistics.forwards for part in parts] == [8, 0, 0, 8, 0, 0, 0, 0, 0]
    assert all(app.history.get(part.id).text == part.text for part in parts)
