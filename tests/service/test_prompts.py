"""What the service says about prompts, on the checkpoint that comes with the program."""

from __future__ import annotations

import pytest

from webui.application import App
from webui.settings import Settings


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    app = App(Settings(data=tmp_path_factory.mktemp("prompts")))
    yield app
    app.close()


def offered(app, text: str, cursor: int | None = None, **values) -> list[tuple]:
    found, failed = app.prompts.complete(
        {"prompt": text, **values}, "prompt", len(text) if cursor is None else cursor
    )
    assert not failed
    return [(one.start, one.end, one.text) for one in found]


def test_words_of_the_checkpoint_complete(app):
    assert (4, 9, "dragon") in offered(app, "the drago")
    assert (0, 5, "Dragon") in offered(app, "Drago, a", 5)
    assert offered(app, "a d") == [] and offered(app, "dragon", 3) == [] and offered(app, "dra ") == []
    assert offered(app, "the drago", model="not_here") == []


def test_fields_that_cannot_be_used_count_as_not_set(app):
    typed = app.prompts._typed(
        {"prompt": "a", "steps": "many", "syntax": "full", "guidance": {"scale": [], "negative_prompt": "b"}},
        "prompt",
    )
    assert typed.request.syntax == "full" and typed.request.steps is None and typed.mode == "full"
    assert app.prompts._typed({"prompt": "a", "syntax": "wrong"}, "prompt").mode == "safe"
