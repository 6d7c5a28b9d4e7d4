"""What the page needs of the one version of Gradio it is written for."""

from __future__ import annotations

import inspect
import re

import gradio as gr
import pytest
from fastapi import FastAPI
from gradio import queueing

from tests.conftest import ROOT
from webui.application import App
from webui.page import gradio_internals
from webui.page.page import mount
from webui.settings import Settings


def test_the_version_is_the_one_that_requirements_txt_pins():
    pinned = re.search(r"^gradio==(\S+)$", (ROOT / "requirements.txt").read_text("utf-8"), re.MULTILINE)
    assert pinned and pinned[1] == gradio_internals.VERSION == gr.__version__


def test_another_version_is_refused_in_one_sentence(monkeypatch, tmp_path):
    with pytest.raises(ValueError, match=r"needs gradio 6\.31\.0, but 7\.0\.0 is installed; .* --api"):
        gradio_internals.check_version("7.0.0")
    monkeypatch.setattr(gradio_internals, "VERSION", "0.1")
    with pytest.raises(ValueError, match=r"needs gradio 0\.1"):
        gradio_internals.mount(FastAPI(), gr.Blocks())


def test_gradio_still_reads_the_attributes_that_are_set():
    demo = gr.Blocks()
    assert demo.has_launched is False
    assert {"sleep_when_free", "progress_update_sleep_when_free"} <= set(vars(demo._queue))
    source = inspect.getsource(queueing.Queue)
    assert "self.sleep_when_free" in source and "self.progress_update_sleep_when_free" in source


def test_the_page_is_marked_as_launched_and_its_queue_polls_seldom(tmp_path, models):
    app, server = App(Settings(built_in=tmp_path, models=models, data=tmp_path / "data")), FastAPI()
    try:
        mount(app, server)
    finally:
        app.close()
    served = [getattr(route, "app", None) for route in server.routes]
    (demo,) = [app.blocks for app in served if app is not None and hasattr(app, "blocks")]
    assert demo.has_launched and not any(event["queue"] for event in demo.get_config_file()["dependencies"])
    queue = demo._queue
    assert queue.sleep_when_free == queue.progress_update_sleep_when_free == gradio_internals.POLL


def test_no_other_module_touches_a_private_attribute_of_gradio():
    for file in (ROOT / "webui").rglob("*.py"):
        if file.name != "gradio_internals.py":
            assert not re.search(r"has_launched|demo\._|gradio\.\w+\._|\bgr\._", file.read_text("utf-8")), (
                file
            )
