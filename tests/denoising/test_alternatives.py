"""What else was likely: kept with each committed token when a request asks for it, and nothing changes by it."""

from __future__ import annotations

import pytest
import torch

from webui.application import App
from webui.core.request import Cell
from webui.core.result import Result
from webui.service.job import Job
from webui.settings import Settings


@pytest.fixture(scope="module")
def app(models, tmp_path_factory):
    (folder := tmp_path_factory.mktemp("extensions")).joinpath("watch").mkdir()
    (folder / "watch" / "__init__.py").write_text(
        "from webui import Extension, Options, field\n"
        "class Watch(Extension):\n"
        '    """Notes the logits of every model call."""\n'
        "    seen = []\n"
        "    class Options(Options):\n"
        '        on: bool = field(False, label="On", help="Tests.")\n'
        "    def pick(self, canvas, model, logits, choice):\n"
        "        self.seen.append((canvas, logits.clone()))\n"
        "        return choice\n"
    )
    data = tmp_path_factory.mktemp("data")
    made = App(Settings(models=models, built_in=folder, data=data, device="cpu", dtype="float64"))
    assert not made.registry.failed
    yield made
    made.close()


def asked(app: App, **options):
    common = {"prompt": "the ship", "length": 12, "block_length": 6, "steps": 6, "seed": 3}
    return app.Request(**{**common, "temperature": 0.8, **options})


def run(app: App, *requests) -> list[Result]:
    *_, last = app.engine.run(
        Job(requests[0], tuple(Cell(str(i), request) for i, request in enumerate(requests)))
    )
    return list(last.result.parts or [last.result])


def test_the_likeliest_are_those_of_the_model_and_hold_the_committed_tokens_confidence(app):
    watch = app.registry.extensions["watch"]
    watch.seen.clear()
    (result,) = run(app, asked(app, alternatives=5, watch={"on": True}))
    assert len(result.alternatives) == len(result.trace) == 12
    known = {
        (int(canvas.step[0]) + 1, int(column) - int(canvas.answer[0])): line.softmax(0)
        for canvas, logits in watch.seen
        for column, line in zip(canvas.at[1], logits, strict=True)
    }
    for change, kept in zip(result.trace, result.alternatives, strict=True):
        chances = known[change.step, change.column]
        expected = chances.topk(5)
        assert [one.token for one in kept] == expected.indices.tolist()
        assert [one.probability for one in kept] == pytest.approx(expected.values.tolist(), rel=1e-6)
        assert change.confidence == pytest.approx(float(chances[change.token]), rel=1e-6)
        assert all(isinstance(one.text, str) for one in kept)


def test_a_text_is_the_same_with_and_without_and_a_row_that_does_not_ask_has_none(app):
    plain, more, few = run(app, *(asked(app, alternatives=count) for count in (0, 20, 2)))
    assert plain.alternatives == ()
    assert plain.text == more.text == few.text and plain.trace == more.trace == few.trace
    assert {len(kept) for kept in more.alternatives} == {20} and {len(k) for k in few.alternatives} == {2}
    assert [kept[:2] for kept in more.alternatives] == list(few.alternatives)


def test_remasked_and_replayed_positions_have_none_and_saving_keeps_the_others(app):
    (first,) = run(app, asked(app, alternatives=3))
    part = {"trace": [list(change) for change in first.trace], "step": 2}
    (again,) = run(app, asked(app, alternatives=3, canvas=part))
    assert again.text == first.text
    behind = [change.step <= 2 for change in again.trace]
    assert [not kept for kept in again.alternatives] == behind and any(behind)
    assert again.alternatives[sum(behind) :] == first.alternatives[sum(behind) :]
    assert app.history.get(first.id).alternatives == first.alternatives


def test_impossible_tokens_are_no_alternatives(app):
    from webui.denoising.alternatives import likeliest

    logits = torch.tensor([[0.0, -torch.inf, 2.0], [1.0, 1.0, 1.0]])
    (found,) = likeliest(logits, [0], 3)
    assert [token for token, _ in found] == [2, 0]
    assert sum(chance for _, chance in found) == pytest.approx(1)
    assert likeliest(logits, [], 3) == []
