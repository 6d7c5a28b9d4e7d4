"""Fields become controls and controls a request: one generic way, tried on fields of every kind."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace
from typing import Any, Literal

import gradio as gr
import pytest
from pydantic import Field, create_model

from webui import Options, field
from webui.core.request import Request
from webui.page import controls
from webui.page.controls import controls_of, draw, request_of, show, take, values_of


class Feature(Options):
    """An extension's options with a field of every kind."""

    text: str = field("", label="Words", help="h", place="prompt", max_length=9)
    lines: str = field("", label="Lines", help="h", widget="lines")
    scale: float | None = field(None, ge=0, le=20, step=0.1, label="Scale", help="h", place="parameters")
    share: float = field(0.5, ge=0, le=1, step=0.05, label="Share", help="h")
    wide: int = field(8, ge=1, le=4096, label="Wide", help="h")
    mode: Literal["off", "on"] = field("off", label="Mode", help="h")
    pick: str | None = field(None, label="Pick", help="h", choices=lambda app: app.picks)
    flag: bool = field(False, label="Flag", help="h")
    maybe: bool | None = field(None, label="Maybe", help="h")
    names: tuple[str, ...] = field((), label="Names", help="h")
    varied: str = field("", label="Varied", help="h", choices=["", "steps"], widget="field")
    table: dict[str, float] = field({}, label="Table", help="h")
    secret: int = field(1, label="Secret", help="h", place="hidden")


Composed: Any = create_model("Composed", __base__=Request, feature=(Feature, Field(default_factory=Feature)))
PRESET = {"sampler": "fast", "steps": 32, "temperature": 0.7, "feature": {"scale": 1.5}}


@pytest.fixture
def app():
    return SimpleNamespace(
        picks=["left", "right"],
        checkpoints=SimpleNamespace(names=lambda: ["tiny"]),
        samplers=lambda: {"fast": "", "slow": ""},
        schedules=lambda: {"even": ""},
        confidences=lambda: {"probability": ""},
    )


@pytest.fixture
def made(app):
    return controls_of(Composed, app)


def by(made, *path: str):
    return next(control for control in made if control.path == path)


def read(made, preset=PRESET, **shown):
    """The request that an untouched page makes after these components were changed (a_b names a.b)."""
    values = dict(zip([".".join(c.path) for c in made], values_of(made, None, preset), strict=True))
    for name, value in shown.items():
        assert name.replace("__", ".") in values
        values[name.replace("__", ".")] = value
    return request_of(Composed, made, list(values.values()), preset)


def test_the_kind_follows_the_declaration(made):
    kinds = {control.path[-1]: control.kind for control in made if control.path[0] == "feature"}
    assert kinds == {
        "text": "text",
        "lines": "lines",
        "scale": "number",
        "share": "slider",
        "wide": "number",
        "mode": "dropdown",
        "pick": "dropdown",
        "flag": "checkbox",
        "maybe": "dropdown",
        "names": "list",
        "varied": "dropdown",
        "table": "json",
    }
    assert (
        by(made, "seed").kind == "seed"
        and by(made, "prompt").kind == "lines"
        and by(made, "sampler").kind == "dropdown"
    )


def test_every_field_is_drawn_with_its_label_and_help(made):
    kinds = {
        "checkbox": gr.Checkbox,
        "dropdown": gr.Dropdown,
        "slider": gr.Slider,
        "seed": gr.Number,
        "text": gr.Textbox,
        "lines": gr.Textbox,
        "list": gr.Textbox,
        "json": gr.Textbox,
    }
    for control, value in zip(made, values_of(made, None, PRESET), strict=True):
        component = draw(control, value)
        assert component.label == control.info.title and component.info == control.info.description
        assert component.value == value, control.path
        assert isinstance(component, kinds.get(control.kind, gr.Textbox if control.empty else gr.Number))
    slider = draw(by(made, "feature", "share"), 0.5)
    assert isinstance(slider, gr.Slider)
    assert (slider.minimum, slider.maximum, slider.step) == (0, 1, 0.05)


def test_choices_come_from_the_field_its_type_or_the_app(made):
    assert by(made, "feature", "mode").choices == ("off", "on")
    assert by(made, "feature", "pick").choices == (("preset", ""), "left", "right")
    assert by(made, "feature", "maybe").choices == (("preset", ""), "true", "false")
    assert by(made, "model").choices == (("preset", ""), "tiny")


def test_a_hidden_field_has_no_control(made):
    assert ("feature", "secret") not in [control.path for control in made]


def test_an_untouched_page_shows_the_preset_and_asks_for_it(made):
    shown = dict(zip([c.path for c in made], values_of(made, None, PRESET), strict=True))
    assert shown["sampler",] == "fast" and shown["steps",] == "32" and shown["feature", "scale"] == "1.5"
    assert shown["length",] == "" and shown["seed",] == -1
    assert read(made) == Composed()


def test_what_differs_from_the_preset_is_asked_for(made):
    request = read(
        made, steps="16", temperature="0.7", sampler="slow", feature__scale="2", feature__maybe="false"
    )
    assert (request.steps, request.temperature, request.sampler) == (16, None, "slow")
    assert request.feature.scale == 2.0 and request.feature.maybe is False


@pytest.mark.parametrize("preset", [{}, {"steps": None}, {"feature": 3}])
def test_an_empty_number_is_left_to_the_preset(made, preset):
    assert read(made, preset, steps=" ", feature__scale="").steps is None


@pytest.mark.parametrize(
    ("name", "value", "read_as"),
    [
        ("names", "a b\n\n c ", ["a b", " c "]),
        ("table", '{"a": 1.5}', {"a": 1.5}),
        ("table", "", {}),
        ("pick", "left", "left"),
        ("pick", "", None),
        ("scale", "1e-3", 0.001),
    ],
)
def test_a_component_is_read_as_its_field_wants_it(made, name, value, read_as):
    assert take(by(made, "feature", name), value) == read_as


def test_a_decimal_comma_is_a_point_where_the_language_writes_one(made):
    control = by(made, "temperature")
    assert take(control, "0,5", ",") == take(control, "0.5", ",") == take(control, "0.5") == 0.5
    assert take(control, "0,5") == "0,5", "the request model refuses it"


def test_a_request_shown_and_read_again_is_the_same(made):
    request = Composed(
        prompt="a\nb",
        steps=32,
        length=1_000_000 // 100,
        seed=2**53 - 1,
        top_p=0.95,
        feature=Feature(names=("x", "y"), table={"k": 1.0}, share=0.25, maybe=True, pick="right", scale=0.1),
    )
    shown = values_of(made, request, PRESET)
    assert json.loads(json.dumps(shown)) == shown
    again = request_of(Composed, made, shown, PRESET)
    assert again == request.replace(steps=None)  # 32 is the preset's value


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"steps": "many"}, "Denoising steps: this is not a whole number."),
        ({"steps": "1.5"}, "Denoising steps: this is not a whole number."),
        ({"steps": "0"}, "Denoising steps: this must be at least 1."),
        ({"temperature": "warm"}, "Temperature: this is not a number."),
        ({"temperature": "nan"}, "Temperature: this must be a finite number."),
        ({"count": None}, "Count: a number is missing."),
        ({"feature__text": "x" * 10}, "Words: this may have at most 9 characters."),
        (
            {"feature__table": "{"},
            "Table is not valid JSON: Expecting property name enclosed in double quotes at character 2.",
        ),
        ({"feature__table": '{"a": "b"}'}, "Table: this is not a number."),
    ],
)
def test_bad_input_is_one_sentence_with_the_controls_name(made, changes, words):
    with pytest.raises(ValueError) as error:
        read(made, **changes)
    assert str(error.value) == words


def test_a_value_that_is_no_longer_offered_is_shown_as_it_is(made):
    assert show(by(made, "sampler"), "gone") == "gone"


def test_nothing_is_said_about_the_input_itself(made):
    with pytest.raises(ValueError) as error:
        read(made, temperature="my secret")
    assert "secret" not in str(error.value)


def test_no_extension_is_named_in_the_page():
    folder = __import__("pathlib").Path(controls.__file__).parent
    names = [path.parent.name for path in (folder.parent.parent / "extensions").glob("*/__init__.py")]
    for file in folder.iterdir():
        if file.suffix in (".py", ".js", ".css"):
            text = file.read_text("utf-8")
            found = [name for name in names if re.search(rf"\b{name}\b", text) and name != "training"]
            assert not found, f"{file.name} names {found}"
