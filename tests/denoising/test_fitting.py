"""A request that cannot fit its checkpoint is refused when it is submitted, in one sentence, before any weights are read."""

from __future__ import annotations

import re

import pytest

from webui.application import App
from webui.settings import ROOT, Settings

LONG = "once upon a time " * 40


@pytest.fixture(scope="module")
def app(models, tmp_path_factory):
    """The tiny checkpoint has room for 256 tokens."""
    made = App(
        Settings(
            models=models,
            extensions=ROOT / "extensions",
            data=tmp_path_factory.mktemp("data"),
            device="cpu",
            threads=1,
        )
    )
    yield made
    made.close()


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"prompt": LONG}, r"The prompt takes \d+ tokens; this checkpoint has room for 256 in all\."),
        (
            {"prompt": "a", "length": 300},
            r"The prompt takes \d+ tokens: the length can be at most \d+, not 300\.",
        ),
        (
            {"prompt": "a", "length": 8, "guidance": {"scale": 2.0, "negative_prompt": LONG}},
            r"The negative prompt takes \d+ tokens; beside the answer there is room for 248\.",
        ),
        (
            {"prompt": f"{LONG} ____"},
            r"Text and gaps take \d+ tokens; beside the prompt there is room for \d+\.",
        ),
        ({"prompt": "a", "system": LONG, "template": "chat"}, r"The prompt takes \d+ tokens; .*"),
        (
            {"prompt": "a | b", "length": 300, "prompt_matrix": {"enabled": True}},
            r"The prompt takes .* not 300\.",
        ),
    ],
)
def test_what_cannot_fit_is_refused_at_submit(app, fields, sentence):
    with pytest.raises(ValueError) as refused:
        app.queue.submit(app.Request(**fields))
    assert re.fullmatch(sentence, str(refused.value))
    assert app.checkpoints.loaded is None and not app.queue.all()


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": "a", "guidance": {"scale": 1.0, "negative_prompt": "b"}},
        {"prompt": "a" * 100},  # its bytes might not fit, its tokens do
        {"prompt": f"a | {LONG}", "prompt_matrix": {"enabled": True}},  # one of the cells fits
        {"prompt": "a", "model": "storyteller", "length": None},
    ],
)
def test_what_may_fit_is_not_refused(app, fields):
    assert app.expand(app.Request(**{"length": 8, **fields}))
