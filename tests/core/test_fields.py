"""`field`: one declaration with everything that page, API and command line need."""

from __future__ import annotations

import pytest

from tests.contract.program import program
from webui import Options, field
from webui.core.fields import choices_of
from webui.extension.registry import Registry
from webui.settings import ROOT


class Example(Options):
    size: int = field(3, label="Size", help="How large.", ge=1, le=9, step=2, place="parameters", axis=False)
    colour: str = field("red", label="Colour", help="Which one.", choices=["red", "blue"])
    model: str | None = field(None, label="Model", help="Whose.", choices=lambda app: app["models"])


def test_a_declaration_is_a_checked_value():
    assert Example().size == 3
    with pytest.raises(ValueError):
        Example(size=10)


def test_the_schema_tells_how_to_show_it():
    size = Example.model_json_schema()["properties"]["size"]
    assert size["title"] == "Size" and size["description"] == "How large."
    assert (size["minimum"], size["maximum"], size["step"], size["place"], size["axis"]) == (
        1,
        9,
        2,
        "parameters",
        False,
    )


def test_choices_are_a_list_or_asked_of_the_program_when_they_are_needed():
    app = {"models": ("a", "b")}
    assert choices_of(Example.model_fields["colour"], app) == ["red", "blue"]
    assert choices_of(Example.model_fields["model"], app) == ["a", "b"]
    assert choices_of(Example.model_fields["size"], app) is None
    assert "function" not in str(Example.model_json_schema()), "the schema is JSON"


def test_label_and_help_are_required():
    with pytest.raises(TypeError):
        field(1, label="No help")


def test_every_field_of_the_program_says_what_it_is(tmp_path):
    request = Registry(ROOT / "extensions").Request
    models = [
        request,
        *(
            info.annotation
            for name, info in request.model_fields.items()
            if name in request().model_dump() and isinstance(info.default, Options)
        ),
    ]
    for model in models:
        for name, info in model.model_fields.items():
            assert info.title and info.description, name
            if not isinstance(info.default, Options):
                assert info.json_schema_extra["place"] in ("prompt", "parameters", "accordion", "hidden"), (
                    name
                )


def test_the_choices_of_the_requests_fields_are_what_there_is(tmp_path):
    app = program(tmp_path)
    fields = app.Request.model_fields
    assert choices_of(fields["model"], app) == app.checkpoints.names()
    for name in ("sampler", "schedule", "confidence"):
        assert choices_of(fields[name], app) == list(getattr(app, f"{name}s")())
