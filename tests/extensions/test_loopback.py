"""Loopback: strengths as the specification has them, what stands in the next prompt, which positions are masked."""

from __future__ import annotations

import pytest

from extensions.loopback.strengths import strength
from extensions.loopback.template import parts
from tests.contract.program import cells, finished, program, texts, write
from webui.core.events import Finished, Started
from webui.core.request import Cell
from webui.service.job import Job


@pytest.mark.parametrize(
    "curve, expected",
    [
        ("linear", [0.8, 0.6, 0.4, 0.2]),
        ("aggressive", [0.8, 0.5, 0.28, 0.2]),
        ("lazy", [0.8, 0.72, 0.5, 0.2]),
    ],
)
def test_strengths_of_four_loops(curve, expected):
    made = [strength(0.8, 0.2, curve, k, 4) for k in range(4)]
    assert made == pytest.approx(expected, abs=0.005)


@pytest.mark.parametrize("curve", ["linear", "aggressive", "lazy"])
def test_one_loop_or_no_final_strength_has_the_first(curve):
    assert strength(0.8, 0.2, curve, 0, 1) == 0.8
    assert [strength(0.8, None, curve, k, 3) for k in range(3)] == [0.8] * 3


def test_a_template_is_taken_apart():
    assert parts("a {input} b {output}{instruction}") == [
        "a ",
        "{input}",
        " b ",
        "{output}",
        "{instruction}",
    ]
    assert parts("{x|y} {output} {other}") == ["{x|y} ", "{output}", " {other}"]
    with pytest.raises(ValueError, match="needs {output}"):
        parts("{input}")


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    app = program(tmp_path_factory.mktemp("loopback"), dtype="float64")
    yield app
    app.close()


def prompts_of(app, monkeypatch, **fields) -> list[str]:
    """The prompts that each pass of a request has, as the tokenizer sees them."""
    seen: list[str] = []
    kind = type(app.registry)
    prepare = kind.prepare

    def watched(registry, row):
        prepared = prepare(registry, row)
        seen.append(prepared.prompts["main"].text)
        return prepared

    request = app.Request(**{"length": 8, "seed": 1, "prompt": "a cat", **fields})
    job = Job(request, app.expand(request))
    monkeypatch.setattr(kind, "prepare", watched)
    list(app.engine.run(job))
    return seen


def test_the_text_stands_in_the_next_prompt(app, monkeypatch):
    first = write(app, prompt="a cat", temperature=1.0).text
    loopback = {"loops": 2, "into": "prompt", "template": "{input} + {output}"}
    seen = prompts_of(app, monkeypatch, temperature=1.0, loopback=loopback)
    assert seen[:2] == ["a cat", f"a cat + {first}"] and len(seen) == 3
    assert seen[2].startswith("a cat + ") and seen[2] != seen[1]


def test_each_loop_has_its_line_of_the_instructions(app, monkeypatch):
    loopback = {
        "loops": 3,
        "into": "prompt",
        "template": "{instruction}: {output}",
        "instructions": "Criticise\n\nRewrite\n",
    }
    seen = prompts_of(app, monkeypatch, temperature=1.0, loopback=loopback)
    assert [prompt.split(":")[0] for prompt in seen] == ["a cat", "Criticise", "Rewrite", "Rewrite"]


def test_nothing_acts_in_a_text_that_comes_back(app):
    """A text with the syntax of an extension is text in the next prompt; the prompt's own syntax acts again."""
    own = {"loop": 1, "output": "[[...4]] {red|blue} [x:y:0.5] (a:1.3)", "template": "{output}"}
    from webui.core.prompt import Prompt
    from webui.extension.row import Row

    request = app.Request(prompt="a [[...3]]", seed=1, loopback=own)
    row = app.registry.prepare(Row(Cell("0", request), request, {"main": Prompt.of(request.prompt)}))
    assert row.prompts["main"].text == own["output"] and row.draft is None
    request = request.replace(loopback={**own, "template": "{input} {output}"})
    row = app.registry.prepare(Row(Cell("0", request), request, {"main": Prompt.of(request.prompt)}))
    assert row.draft is not None and len(row.draft.gaps) == 1


def test_on_the_canvas_the_least_certain_positions_are_masked_again(app):
    request = app.Request(
        prompt="a cat",
        length=12,
        seed=1,
        temperature=1.0,
        end_of_text="ban",
        loopback={"loops": 2, "strength": 0.5, "final_strength": 0.25},
    )
    job = Job(request, app.expand(request))
    started = [event for event in app.engine.run(job) if isinstance(event, Started)]
    assert [12 - len(event.given) for event in started] == [12, 6, 3]
    first = write(app, prompt="a cat", length=12, temperature=1.0, end_of_text="ban")
    probable = {change.column: change.confidence for change in first.trace}
    masked = set(range(12)) - {change.column for change in started[1].given}
    assert masked == set(sorted(probable, key=probable.get)[:6])


def test_it_stops_when_nothing_changes(app):
    """At temperature 0 the same positions get the same tokens."""
    request = app.Request(prompt="a cat", length=8, seed=1, temperature=0.0, loopback={"loops": 64})
    job = Job(request, app.expand(request))
    events = list(app.engine.run(job))
    passes = sum(isinstance(event, Started) for event in events)
    result = events[-1].result
    assert passes < 64 and result.complete and result.request.loopback.loops == 64
    assert result.notes == (f"Written again {passes - 1} times." if passes > 2 else "Written again once.",)


def test_all_texts_make_each_loop_together(app):
    grid = {"x_field": "loopback.loops", "x_values": "0-3"}
    request = app.Request(
        prompt="a | b", length=8, seed=1, temperature=1.5, prompt_matrix={"enabled": True}, xyz_grid=grid
    )
    job = Job(request, app.expand(request))
    calls = []
    hook = app.checkpoints.load(None).body.register_forward_pre_hook(lambda *_: calls.append(1))
    try:
        events = list(app.engine.run(job))
    finally:
        hook.remove()
    ended = {event.cell: event.result for event in events if isinstance(event, Finished) and event.cell}
    assert len(ended) == 8 and all(result.complete for result in ended.values())
    # the first pass has eight steps, the others mask half of eight positions
    assert len(calls) == 8 + 3 * 4


@pytest.mark.parametrize("into", ["canvas", "prompt"])
def test_the_request_of_a_text_makes_it_again(app, into):
    loopback = {"loops": 2, "into": into, "template": "{output}"}
    made = write(app, prompt="a cat", temperature=1.0, count=2, loopback=loopback)
    for part in cells(made):
        assert part.request.loopback.loops == 2 and part.request.canvas is None
        again, unknown = app.Request.read(app.history.get(part.id).model_dump_json())
        assert not unknown and finished(app, again).text == part.text
    assert texts(made) != texts(write(app, prompt="a cat", temperature=1.0, count=2))


def test_given_text_stays(app):
    loopback = {"loops": 2, "strength": 1.0}
    result = write(app, prompt="The naïve ____ sat\n[[...3]] 猫.", temperature=1.0, loopback=loopback)
    assert result.text.startswith("The naïve ") and result.text.endswith(" 猫.")


def test_a_template_without_output_is_refused_before_anything_is_written(app):
    request = app.Request(prompt="a", length=4, loopback={"loops": 1, "into": "prompt", "template": "x"})
    result = finished(app, request)
    assert result.error == "loopback: the template needs {output}, where the text before stands."
