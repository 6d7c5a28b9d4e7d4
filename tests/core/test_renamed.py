"""Former names of extensions and options: what was saved with them is read with today's."""

from __future__ import annotations

import json

import pytest

from tests.contract.program import program, write
from webui.core.options import validate
from webui.core.renamed import current, current_path
from webui.core.result import Result
from webui.settings import Settings

RENAMED = {"negative_prompt": ("guidance", {"text": "negative_prompt"})}
OLD = {"text": "rain", "scale": 2.0}
NEW = {"negative_prompt": "rain", "scale": 2.0}


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    app = program(tmp_path_factory.mktemp("renamed"))
    yield app
    app.close()


@pytest.mark.parametrize(
    "data, expected",
    [
        ({}, {}),
        ({"prompt": "a"}, {"prompt": "a"}),
        ({"negative_prompt": OLD}, {"guidance": NEW}),
        (
            {"negative_prompt": {"text": "x"}, "guidance": {"scale": 3}},
            {"guidance": {"negative_prompt": "x", "scale": 3}},
        ),
        ({"guidance": NEW}, {"guidance": NEW}),
        ({"negative_prompt": [1]}, {"guidance": [1]}),
        ({"negative_prompt": {"gone": 1}}, {"guidance": {"gone": 1}}),
    ],
)
def test_old_names_become_todays(data, expected):
    before = json.dumps(data)
    assert current(data, RENAMED) == expected and json.dumps(data) == before


@pytest.mark.parametrize(
    "data",
    [
        {"negative_prompt": {"text": "x"}, "guidance": {"negative_prompt": "y"}},
        {"negative_prompt": {"text": "x", "negative_prompt": "y"}},
        {"negative_prompt": None, "guidance": {}},
    ],
)
def test_an_option_under_both_names_is_refused(data):
    with pytest.raises(ValueError, match="given twice"):
        current(data, RENAMED)


def test_paths():
    assert current_path("negative_prompt.text", RENAMED) == "guidance.negative_prompt"
    assert current_path("negative_prompt.scale", RENAMED) == "guidance.scale"
    assert current_path("negative_prompt", RENAMED) == "guidance"
    assert (
        current_path("guidance.scale", RENAMED) == "guidance.scale"
        and current_path("steps", RENAMED) == "steps"
    )


def test_an_old_body_is_the_same_request(app):
    new = app.Request(prompt="a", guidance=NEW)
    stored = {"prompt": "a", "negative_prompt": OLD}
    assert validate(app.Request, stored) == new
    for text in (json.dumps(stored), json.dumps(stored).encode()):
        assert validate(app.Request, text, strict=True) == new
    for file in (stored, {"request": stored}, {"prompt": "a", "unknown": {"negative_prompt": OLD}}):
        assert app.Request.read(file) == (new, {})
    with pytest.raises(ValueError, match=r"guidance\.scale"):
        app.Request.read({"negative_prompt": {"scale": "x"}})


def test_an_old_saved_result_is_read_and_counted_by_todays_name(app):
    result = write(app, prompt="a cat", guidance=NEW)
    data = json.loads(result.model_dump_json())
    data["request"]["negative_prompt"] = {
        "text": "rain",
        **{k: v for k, v in data["request"].pop("guidance").items() if k != "negative_prompt"},
    }
    data |= {
        "preset": ["steps", "negative_prompt.scale"],
        "extensions": ["negative_prompt"],
        "favourite": False,
    }
    app.history.keep = True
    app.history.save(result)
    (path,) = app.settings.history.rglob(f"{result.id}.json")
    path.write_text(json.dumps(data))
    again, about = app.history.entry(result.id)
    assert isinstance(again, Result) and again.request == result.request
    assert again.preset == ("steps", "guidance.scale")
    assert about["extensions"] == ["guidance"] and about["unknown"] == []


def test_an_old_preset_of_a_checkpoint_and_of_a_person(tmp_path):
    app = program(tmp_path)
    folder = app.checkpoints.entry(None).folder
    (folder / "profile.json").write_text('{"preset": {"negative_prompt": {"scale": 3.0}}}')
    result = write(app, prompt="a cat")
    assert result.request.guidance.scale == 3.0 and "guidance.scale" in result.preset
    assert app.presets.put("mine", {"negative_prompt": OLD})["request"] == {"guidance": NEW}
    app.close()


def test_quick_settings_follow(tmp_path):
    from webui import App

    app = App(Settings(data=tmp_path, quick_settings=("negative_prompt.scale", "steps")))
    assert app.settings.quick_settings == ("guidance.scale", "steps")


def test_a_name_that_an_extension_has_today_is_its_own(tmp_path):
    for name, more in (("one", "replaces = {'two': {}, 'old': {}}"), ("two", "pass")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(
            "from webui import Extension, Options, field\n\n\n"
            f"class It(Extension):\n    {more}\n\n"
            "    class Options(Options):\n        x: int = field(0, label='X', help='X')\n"
        )
    from webui.extension.registry import Registry

    request = validate(Registry(tmp_path).Request, {"two": {"x": 2}, "old": {"x": 1}})
    assert (request.one.x, request.two.x) == (1, 2)
