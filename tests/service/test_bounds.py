"""The bound of finished texts: what is scored, that it is a text's own, kept, and stopped."""

from __future__ import annotations

import math

import pytest

from tests.contract.program import cells, program, write
from webui.checkpoints.likelihood import bounds
from webui.core.errors import NotFound
from webui.denoising.scoring import DRAWS, Text, text_of

GRID = {"x_field": "seed", "x_values": "1-9", "y_field": "length", "y_values": "4, 9"}


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    app = program(tmp_path_factory.mktemp("bounds"))
    yield app
    app.close()


def written(app, **fields):
    request = {"prompt": "a (dog:2)", "steps": 1, "temperature": 5.0, "end_of_text": "ban", **fields}
    job = app.queue.submit(app.Request(**request))
    assert job.wait(120) and job.state == "done"
    return job


def scored(app, job) -> list[float | None]:
    assert app.bounds.begin(job).wait(120) and job.scoring is None
    table = app.tables.of(job)
    assert not table.failed, table.failed
    return [row.metrics.get("bound") for row in table.rows]


def test_each_text_has_its_own_bound_which_is_kept_with_the_experiment(app):
    job = written(app, xyz_grid=GRID)
    assert "bound" not in app.tables.of(job).metrics  # it costs model calls: nobody asked
    found = scored(app, job)
    assert None not in found and len(set(found)) == 18
    alone = [app.engine.bounds([part], bool)[part.id] for part in job.result.parts[14:17]]
    assert found[14:17] == pytest.approx(alone, rel=1e-4)  # the same whatever else is scored
    assert "bound" in app.export(job, "csv").splitlines()[0]
    with pytest.raises(NotFound):
        app.bounds.begin(job)
    again = app.resume(job.experiment, writes="nothing")
    assert again.wait(120)
    assert [row.metrics["bound"] for row in app.tables.of(again).rows] == found


def packed_of(app, part):
    """The row of a text as it was before its first model call."""
    row, _ = app.engine._prepare(app.expand(part.request)[0], part.provenance.checkpoint, {})
    return app.engine._tokenized(row, (), app.checkpoints.load(None))


def test_it_is_the_bound_in_bits_for_each_byte_of_the_text(app):
    (part,) = cells(write(app, prompt="a", length=4, temperature=5.0, end_of_text="ban"))
    model = app.checkpoints.load(None)
    text = text_of(part, packed_of(app, part), model)
    assert text is not None and text.bytes == len(part.text.encode())
    (nats,) = bounds(model, [text], draws=DRAWS, alike=True)
    assert app.engine.bounds([part], bool)[part.id] == pytest.approx(nats / math.log(2) / text.bytes)


def test_given_text_and_what_follows_the_end_are_not_scored(app):
    model = app.checkpoints.load(None)
    (part,) = cells(write(app, prompt="a [[...]] b", length=8, end_of_text="ban"))
    packed = packed_of(app, part)
    text = text_of(part, packed, model)
    assert isinstance(text, Text) and len(text.scored) == packed.given.count(False)
    assert not any(packed.given[i] for i in text.scored)
    end = next(iter(model.ends))
    (part,) = cells(write(app, prompt="a", length=8, end_of_text="ban"))
    packed = packed_of(app, part)
    ended = part.model_copy(update={"tokens": (*part.tokens[:5], end, None, end)})
    text = text_of(ended, packed, model)
    assert text is not None and text.answer == [*part.tokens[:5], end] and list(text.scored) == [*range(6)]
    assert text_of(part.model_copy(update={"tokens": (*part.tokens[:7], None)}), packed, model) is None


def test_a_weight_of_the_prompt_counts(app):
    plain, heavy = (written(app, prompt=f"a (dog:{weight})", length=6, seed=1) for weight in (1, 9))
    texts = [job.result.model_copy(update={"tokens": plain.result.tokens}) for job in (plain, heavy)]
    first, second = (app.engine.bounds([text], bool)[text.id] for text in texts)
    assert first != second


def test_a_checkpoint_that_has_changed_is_a_sentence(app):
    job = written(app, xyz_grid={**GRID, "x_values": "1, 2"})
    for part in job.result.parts:
        object.__setattr__(part.provenance, "fingerprint", "other")
    assert app.bounds.begin(job).wait(120)
    assert "is not the checkpoint any more" in app.tables.of(job).failed["bound"]


def test_it_is_stopped_and_goes_on(app, monkeypatch):
    job = written(app, length=4, xyz_grid=GRID)
    compute = app.bounds._compute

    def once(results, stopped):
        found = compute(results, stopped)
        app.bounds.stop(job)
        return found

    monkeypatch.setattr(app.bounds, "_compute", once)
    assert app.bounds.begin(job).wait(120)
    known = len(job.bounds)
    assert 0 < known < 18
    monkeypatch.setattr(app.bounds, "_compute", compute)
    assert None not in scored(app, job)
