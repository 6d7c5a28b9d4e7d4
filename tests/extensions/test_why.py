"""Why: the same text once more without something; what there is to leave out."""

from __future__ import annotations

import pytest

from webui.application import App
from webui.core.request import Cell
from webui.service.job import Job
from webui.settings import ROOT, Settings

NAMES = ("why", "emphasis", "guidance", "styles", "prompt_matrix")


@pytest.fixture(scope="module")
def app(models, tmp_path_factory):
    folder, data = tmp_path_factory.mktemp("extensions"), tmp_path_factory.mktemp("data")
    for name in NAMES:
        (folder / name).symlink_to(ROOT / "extensions" / name)
    made = App(Settings(models=models, built_in=folder, data=data, device="cpu", dtype="float64"))
    assert not made.registry.failed
    yield made
    made.close()


def asked(app: App, *without: str, **options):
    common = {"prompt": "a (dragon:1.5), cake", "length": 8, "block_length": 8, "steps": 8, "seed": 3}
    return app.Request(**{**common, "why": {"without": without}, **options})


def test_each_line_is_one_text_more_with_the_same_seed(app):
    lines = (
        "guidance.scale",
        'prompt = "a dragon, cake"',
        "temperature = 0.5",
        "guidance.negative_prompt = 7",
    )
    guided = {"scale": 3.0, "negative_prompt": "rain"}
    cells = app.expand(asked(app, *lines, guidance=guided))
    labels = [cell.axes for cell in cells]
    assert [axes[0][2] for axes in labels] == [
        "nothing",
        "guidance.scale",
        "(dragon:1.5)",
        "temperature",
        "rain",
    ]
    assert {axes[0][0] for axes in labels} == {"without"} and labels[2][0][1] == lines[1]
    first, unguided, unweighted, cold, other = (cell.request for cell in cells)
    assert first == asked(app, guidance=guided) and {cell.request.seed for cell in cells} == {3}
    assert unguided == asked(app, guidance={"negative_prompt": "rain"})
    assert unweighted == asked(app, guidance=guided, prompt="a dragon, cake")
    assert cold.temperature == 0.5 and other.guidance.negative_prompt == "7"


def test_the_texts_are_rows_of_one_batch_and_the_first_is_the_text_alone(app):
    cells = app.expand(asked(app, 'prompt = "a dragon, cake"', alternatives=1))
    *_, last = app.engine.run(Job(cells[0].request, cells))
    *_, alone = app.engine.run(Job(cells[0].request, (Cell("0", cells[0].request),)))
    assert last.result.parts[0].text == alone.result.text
    assert len({part.provenance.job for part in last.result.parts}) == 1


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("nothing.here", "'nothing.here' is no field"),
        ("guidance.scal", "guidance.scale"),
        ("temperature = hot", "temperature"),
        ("prompt_matrix.enabled", "is no field"),
        ("guidance.scale = 99", "scale"),
    ],
)
def test_what_cannot_be_left_out_is_refused(app, line, sentence):
    with pytest.raises(ValueError, match="^why: ") as refused:
        app.expand(asked(app, line))
    assert sentence in str(refused.value) and "\n" not in str(refused.value)


def test_with_other_grids_it_is_the_outermost_axis(app):
    request = asked(app, "temperature", prompt="a | b", prompt_matrix={"enabled": True}, temperature=0.3)
    cells = app.expand(request)
    assert [cell.axes[0][2] for cell in cells] == ["nothing"] * 2 + ["temperature"] * 2


def listed(app: App, request) -> list[tuple[str, str]]:
    answer = app.registry.call("why", "list", app, {"request": request.model_dump(mode="json")})
    for choice in answer["choices"]:
        assert len(app.expand(request.replace(why={"without": [choice["line"]]}))) == 2
    return [(choice["path"], choice["text"]) for choice in answer["choices"]]


def test_fields_that_differ_and_weights_in_every_prompt_can_be_left_out(app):
    plain = app.Request(prompt="a dragon", seed=1)
    assert listed(app, plain) == []
    request = plain.replace(
        prompt="a (dragon (of (gold:2)):1.5) (x:0)",
        temperature=0.5,
        guidance={"negative_prompt": "(rain:0.5) sun"},
    )
    assert listed(app, request) == [
        ("temperature", ""),
        ("guidance.negative_prompt", ""),
        ("prompt", "(dragon (of (gold:2)):1.5)"),
        ("prompt", "(gold:2)"),
        ("prompt", "(x:0)"),
        ("guidance.negative_prompt", "(rain:0.5)"),
    ]
    answer = app.registry.call("why", "list", app, {"request": request.model_dump(mode="json")})
    lines = [choice["line"] for choice in answer["choices"]]
    assert lines[2] == 'prompt = "a dragon (of (gold:2)) (x:0)"' and lines[4].endswith(' x"')
    full = plain.replace(prompt="[sea] ((fox))", syntax="full")
    assert listed(app, full) == [
        ("syntax", ""),
        ("prompt", "[sea]"),
        ("prompt", "((fox))"),
        ("prompt", "(fox)"),
    ]
