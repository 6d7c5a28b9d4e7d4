"""What a request is said to cost: before it runs, and against what it then took."""

from __future__ import annotations

import pytest

from tests.contract.program import finished, program, write
from tests.extensions.seen import calls_of
from webui.core.events import Finished, Loop, Progress, Started
from webui.service.estimate import Estimate, Pace

GRID = {"x_field": "seed", "x_values": "1-40", "y_field": "steps", "y_values": "2, 4"}


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    app = program(tmp_path_factory.mktemp("estimate"), families=("LLaDA", "Dream"), batch_rows=16)
    yield app
    app.close()


def test_the_forwards_are_those_that_it_takes(app):
    request = app.Request(prompt="a", length=8, seed=1, xyz_grid=GRID, end_of_text="ban")
    found = app.estimate(request)
    assert (found.texts, found.different) == (80, 80)
    calls = []
    hook = app.checkpoints.load(None).body.register_forward_pre_hook(lambda *_: calls.append(1))
    try:
        finished(app, request)
    finally:
        hook.remove()
    assert found.forwards == 2 * 2 + 3 * 4  # batches of 16: two with two steps, one mixed, two with four
    assert abs(len(calls) - found.forwards) <= 2  # batches are packed by width, not by steps


def test_texts_that_are_alike_cost_nothing(app):
    grid = {"x_field": "temperature", "x_values": "0, 0, 0"}
    found = app.estimate(app.Request(prompt="a", length=8, seed=1, xyz_grid=grid))
    assert found == Estimate(texts=3, different=1, forwards=8, seconds=found.seconds)


@pytest.mark.parametrize("into", ["canvas", "prompt"])
def test_loops_and_guidance_are_counted(app, into, tmp_path, monkeypatch):
    """Against what it then takes: model calls of loops, rows of guidance."""
    options = {"loops": 3, "into": into, "strength": 0.5, "template": "{output} b"}
    request = app.Request(
        prompt="a", length=8, steps=8, seed=1, model="LLaDA", loopback=options, temperature=2
    )
    (tmp_path / "pace.json").write_text('{"LLaDA": [{"4": [8, 2.0]}, {}]}', "utf-8")
    monkeypatch.setattr(app, "pace", Pace(tmp_path / "pace.json"))
    plain, found = app.estimate(request.replace(loopback={})), app.estimate(request)
    assert (plain.forwards, found.forwards) == (8, 8 + 3 * (4 if into == "canvas" else 8))
    assert (plain.seconds, found.seconds) == pytest.approx((16, 2 * found.forwards))
    guided = app.estimate(request.replace(guidance={"scale": 2}, loopback={}))
    assert guided.forwards == 8 and guided.seconds == pytest.approx(16 * 2**0.75)
    calls = []
    hook = app.checkpoints.load("LLaDA").body.register_forward_pre_hook(lambda *_: calls.append(1))
    try:
        finished(app, request)
    finally:
        hook.remove()
    assert len(calls) == found.forwards


@pytest.mark.parametrize(
    "prompt, fields",
    [
        ("a", {}),
        ("a", {"guidance": {"scale": 2, "start": 0.5}}),
        ("a <style:dark>", {}),
        ("a <style:dark>", {"guidance": {"scale": 1}}),
        ("a <style:dark>", {"guidance": {"scale": 2, "negative_prompt": "b"}}),
        ("a", {"styles": {"names": ["dark"]}, "guidance": {"start": 0.6}}),
        ("a", {"styles": {"names": ["plain"]}}),
        ("a AND b", {}),
        ("a AND b", {"prompt_and": {"enabled": True}}),
        ("a :0.3 AND b :0.7", {"prompt_and": {"enabled": True}}),
        ("a AND b", {"prompt_and": {"enabled": True}, "guidance": {"scale": 2, "start": 0.5}}),
        ("a", {"prompt_and": {"enabled": True}, "guidance": {"negative_prompt": "c AND d"}}),
        (
            "a AND b",
            {"prompt_and": {"enabled": True}, "guidance": {"scale": 0, "negative_prompt": "c AND d"}},
        ),
        ("(a:2) (b:0.5) (c:2)", {"emphasis": {"method": "contrast"}}),
        ("(a:0)", {"emphasis": {"method": "contrast"}}),
        ("(a:2) (b:0.5)", {}),
        ("(a:2) b", {"emphasis": {"method": "contrast"}, "styles": {"names": ["dark"]}}),
    ],
)
def test_the_rows_are_those_of_its_model_calls(app, prompt, fields):
    """Guidance by its scale, by a negative prompt or by a style that brings one; parts of AND; contrast."""
    styles = app.settings.models / "styles" / "styles.csv"
    styles.parent.mkdir(exist_ok=True)
    styles.write_text("name,prompt,negative_prompt\ndark,night,sun\nplain,day,\n", "utf-8")
    calls = calls_of(app, prompt, **fields)
    said = app.registry.cost(app.Request(prompt=prompt, **fields), {}).rows
    assert said == pytest.approx(sum(map(len, calls)) / len(calls))


def test_what_will_be_refused_costs_a_row_until_it_is(app):
    for fields in (
        {"prompt": "<style:none>"},
        {"prompt": "(a:1000000)", "syntax": "full", "emphasis": {"method": "contrast"}},
        {"prompt": "a AND AND", "prompt_and": {"enabled": True}},
    ):
        assert app.estimate(app.Request(length=8, seed=1, **fields)).forwards == 8


def test_each_checkpoint_has_batches_of_its_own(app):
    grid = {"x_field": "model", "x_values": "*", "y_field": "seed", "y_values": "1-4"}
    found = app.estimate(app.Request(prompt="a", length=8, seed=1, xyz_grid=grid))
    assert (found.texts, found.forwards) == (8, 16)


def test_seconds_are_known_once_the_checkpoint_was_measured(app):
    request = app.Request(prompt="a", length=8, seed=1, model="Dream")
    write(app, prompt="a", model="LLaDA")
    assert app.estimate(request.replace(model="LLaDA")).seconds > 0
    write(app, prompt="a", model="Dream")
    small, large = app.estimate(request).seconds, app.estimate(request.replace(count=100)).seconds
    assert 0 < small < large


def test_pace_is_the_time_between_steps_of_a_batch(monkeypatch, tmp_path):
    clock = iter([10.0, 11.0, 12.0, 50.0, 52.0, 55.0])
    monkeypatch.setattr("webui.service.estimate.time.monotonic", lambda: next(clock))
    step = Progress({}, {"0": 1, "1": 1})
    alone = Progress({}, {"1": 1})
    result = write_result("here")
    events = [
        Started("0", 100, 4),
        Started("1", 30, 4),
        step,
        step,
        step,
        Loop(1, 2),  # what lies between two passes is no step
        step,
        alone,
        alone,
        Finished(result, "1"),
    ]
    pace = Pace(tmp_path / "pace.json")
    assert pace.of("here", 1) is None and pace.share("here", "random") == 1
    assert list(pace.watch(iter(events), lambda cell: 1 + 0.4 * int(cell))) == events
    for known in pace, Pace(tmp_path / "pace.json"):  # another process
        assert known.of("here", 100 + 1.4 * 30) == pytest.approx(1)
        assert known.of("here", 1.4 * 30) == pytest.approx(2.5)
        assert known.of("here", (142 * 42) ** 0.5) == pytest.approx(2.5**0.5)  # between the two
        assert known.of("here", 142 * 16) == pytest.approx(8) and known.of("here", 21) < 2.5
        assert known.share("here", "random") == 3 / 4
        assert known.of("elsewhere", 1) is None
    (tmp_path / "pace.json").write_text('{"here": 5}')
    assert Pace(tmp_path / "pace.json").of("here", 1) is None


def write_result(checkpoint: str):
    from webui.core.request import Request
    from webui.core.result import Provenance, Result, Statistics

    names = ("program", "fingerprint", "family", "device", "dtype", "torch", "created", "job", "cell")
    provenance = Provenance(checkpoint=checkpoint, **dict.fromkeys(names, ""))
    request, statistics = Request(sampler="random"), Statistics(forwards=3)
    return Result(
        id="1", text="", complete=True, request=request, provenance=provenance, statistics=statistics
    )


def test_more_than_a_thousand_texts_are_confirmed_with_what_they_cost(app):
    grid = {"x_field": "seed", "x_values": "1-1001"}
    request = app.Request(prompt="a", length=8, seed=1, xyz_grid=grid)
    sentence = r"^This makes 1001 texts, \d+ model calls(, about .*)?\. Set confirm to write more than 1000"
    with pytest.raises(ValueError, match=sentence):
        app.queue.submit(request)
    assert app.estimate(request).texts == 1001  # asking costs no confirmation
    expanded = app.expand(request.replace(confirm=True))
    assert len(expanded) == 1001 and not any(cell.request.confirm for cell in expanded)
    assert len(app.expand(request.replace(xyz_grid={"x_field": "seed", "x_values": "1-1000"}))) == 1000


@pytest.mark.parametrize(
    "seconds, words", [(None, ""), (0.1, ", about 1 s"), (100, ", about 100 s"), (150, ", about 2 min")]
)
def test_an_estimate_in_words(seconds, words):
    assert str(Estimate(3, 2, 5, seconds)) == f"3 texts, 5 model calls{words}"
    assert str(Estimate(3, 2, 5, 3 * 3600.0)).endswith(", about 3 h")
