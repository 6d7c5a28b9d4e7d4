"""The page is built from whatever the App has: without any one extension, without checkpoints, and its
handlers answer."""

from __future__ import annotations

from types import MappingProxyType

import gradio as gr
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from tests.conftest import ROOT
from webui.application import App
from webui.page.page import _Page, build, mount
from webui.settings import Settings

NAMES = sorted(path.parent.name for path in (ROOT / "extensions").glob("*/__init__.py"))


@pytest.fixture
def made(tmp_path, models):
    """`made(names)` is an App with these extensions."""
    apps = []

    def make(names, models=models) -> App:
        folder = tmp_path / "extensions"
        folder.mkdir()
        for name in names:
            source = ROOT / "extensions" / name  # or the folder of an extension of a test
            (folder / source.name).symlink_to(source)
        apps.append(App(Settings(built_in=folder, models=models, data=tmp_path / "data")))
        return apps[-1]

    yield make
    for app in apps:
        app.close()


@pytest.mark.parametrize("missing", [None, *NAMES])
def test_a_page_without_any_one_extension(made, missing):
    app = made([name for name in NAMES if name != missing])
    assert not app.registry.failed
    config = build(app).get_config_file()
    shown = {component["props"].get("elem_id") for component in config["components"]}
    assert {"generate", "interrupt", "field-prompt", "field-steps", "field-seed", "canvas"} <= shown
    with_options = {name for name, kind in app.registry.extensions.items() if kind.Options.model_fields}
    for name in NAMES:
        own = [id for id in shown if id and id.startswith(f"field-{name}-")]
        assert bool(own) == (name in with_options)


def test_a_page_without_extensions_or_checkpoints(made, tmp_path):
    page = _Page(made([], tmp_path / "nothing"))
    shown = [component.value for component in page.components]
    answer = page.submit(*shown, "a1")
    assert set(answer) == {"error"} and "no checkpoint" in answer["error"]


def test_the_handlers(made):
    page = _Page(made(NAMES))
    shown = [component.value for component in page.components]
    place = [control.path for control in page.controls].index(("steps",))
    shown[place] = "3"
    job = page.app.queue.get(page.submit(*shown, "a1 de")["job"])
    job.cancel()
    assert (
        job.client == "a1"
        and job.request.steps == 3
        and job.request.length is None
        and job.request.model is None
    )
    model, _, *values = page.resume({"job": job.id}["job"])[1:]
    assert values == shown and model == "storyteller"
    assert page.resume("unknown")[0] == {} and page.resume("")[0] == {}
    assert page.gather(*shown, "a1 en")["request"]["steps"] == 3
    assert page.fill(job.request.model_dump_json())[3:] == shown
    assert page.plan(*shown, "a1 en") == {
        "texts": 1,
        "different": 1,
        "forwards": 3,
        "seconds": None,
        "confirm": False,
        "off": [],
    }
    answer, *merged = page.merge('{"steps": 5, "length": null, "unknown": {"gone": 1}}', None)
    assert answer == {}
    changed = {
        page.controls[i].path[0]: value for i, value in enumerate(merged) if not isinstance(value, dict)
    }
    assert changed == {"steps": "5", "length": "128", "unknown": '{"gone": 1}'}
    wrong = [*shown[:place], "x", *shown[place + 1 :]]
    assert page.submit(*wrong, "a1 de")["error"] == "Schritte: das ist keine ganze Zahl."
    assert page.plan(*wrong, "a1 de") == {"error": "Schritte: das ist keine ganze Zahl.", "off": []}
    assert page.submit(*wrong, "a1 xx")["error"] == "Denoising steps: this is not a whole number."
    switched = page.switch("another", *shown)
    assert switched[0] == "storyteller" and switched[2 + place] == gr.skip(), "what is typed meanwhile stays"
    assert any(value != gr.skip() for value in switched[2:]), "what showed the preset shows the new one"
    assert page.switch("storyteller", *shown)[2 + place] == gr.skip(), "it is chosen already"


def test_nothing_of_the_page_is_sent_that_is_not_shown(made):
    """Gradio sends hidden values to the browser, too: neither paths nor settings may be among them."""
    app = made(NAMES)
    assert isinstance(app.registry.failed, MappingProxyType)
    text = str(build(app).get_config_file())
    assert str(app.settings.models) not in text and str(app.settings.data) not in text


def test_an_error_in_submitting_is_a_sentence_and_its_traceback_is_printed(made, monkeypatch, capsys):
    page = _Page(made(NAMES))
    shown = [component.value for component in page.components]

    def broken(*arguments, **options):
        raise RuntimeError("as rehearsed")

    monkeypatch.setattr(page.app.queue, "submit", broken)
    assert page.submit(*shown, "a1 en") == {
        "error": "The program failed; the terminal it runs in shows where."
    }
    assert "RuntimeError: as rehearsed" in capsys.readouterr().err


SLIDER = """
from webui import Extension, Options, field

class Narrow(Extension):
    title = "Narrow"

    class Options(Options):
        share: float = field(0.5, ge=0, le=1, label="Share", help="Between 0 and 1.")
"""


def test_gradio_takes_every_value_and_a_refusal_is_a_sentence(made, tmp_path):
    """Of every control: a slider that is empty or out of bounds, a choice that is gone, a number that is none."""
    folder = tmp_path / "narrow"
    folder.mkdir()
    (folder / "__init__.py").write_text(SLIDER, "utf-8")
    app = made(["guidance", folder])
    browser = TestClient(mount(app, FastAPI()))
    config = browser.get("/config").json()
    values = {component["id"]: component["props"].get("value") for component in config["components"]}
    names = {component["id"]: component["props"].get("elem_id") for component in config["components"]}
    submit = next(event for event in config["dependencies"] if event["api_name"] == "submit")

    def answer(place: int, value: object) -> dict:
        data = [value if k == place else values[id] for k, id in enumerate(submit["inputs"])]
        body = {"data": data, "fn_index": submit["id"], "session_hash": "a"}
        reply = browser.post("/gradio_api/run/predict", json=body)
        assert reply.status_code == 200, (names[submit["inputs"][place]], value, reply.text)
        return reply.json()["data"][0]

    assert not app.registry.failed and "field-narrow-share" in names.values()
    for place in range(len(submit["inputs"]) - 1):  # the last one is the browser's id
        for value in (None, "", "x", -5, 1e30, [], {"a": 1}, True, "[" * 100_000):
            said = answer(place, value)
            assert "terminal" not in said.get("error", ""), (names[submit["inputs"][place]], value, said)
            if "job" in said:
                app.queue.get(said["job"]).cancel()
    place = [names[id] for id in submit["inputs"]].index("field-narrow-share")
    assert answer(place, None) == {"error": "Share: a number is missing."}
    assert answer(place, 2) == {"error": "Share: this must be at most 1."}


def test_a_request_that_cannot_be_read_changes_no_control(made):
    page = _Page(made(NAMES))
    for stored in ("", "[1]", '{"steps": "x"}'):
        for answer, *values in (page.fill(stored), page.merge(stored, None)):
            assert set(answer) == {"error"} and all(value == gr.skip() for value in values)
