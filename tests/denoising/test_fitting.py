"""A request that cannot fit its checkpoint is refused when it is submitted, in one sentence, before any weights are read."""

from __future__ import annotations

import re

import pytest

from webui import Draft, Gap, Prompt, Row
from webui.application import App
from webui.checkpoints.tokenizer import Encoded
from webui.core.request import Cell, Request
from webui.denoising import packing
from webui.denoising.fitting import CHECKED
from webui.settings import ROOT, Settings

LONG = "once upon a time " * 40


@pytest.fixture(scope="module")
def app(models, tmp_path_factory):
    """The tiny checkpoint has room for 256 tokens."""
    made = App(
        Settings(
            models=models,
            built_in=ROOT / "extensions",
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
        ({"prompt": "[[...9999]]"}, r"The gaps take 9999 tokens; beside the prompt there is room for \d+\."),
        ({"prompt": "[[...9999]]" * 9000}, r"The gaps take 89991000 tokens; .*"),
        ({"prompt": "[[...]]", "infill": {"passage": 4096}}, r"The gaps take 4096 tokens; .*"),
        ({"prompt": "a", "canvas": {"tokens": [None] * 300}}, r"The prompt takes .* not 300\."),
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


def test_of_many_cells_a_few_are_tokenized_those_with_the_least_text_first(app, monkeypatch):
    tokenized: list[int] = []
    tokenize = packing.tokenize

    def counted(row, *more):
        tokenized.append(len(row.request.prompt))
        return tokenize(row, *more)

    monkeypatch.setattr(packing, "tokenize", counted)
    long = "word " * 2000 + "| aaaa | bbb | cc | dd | ee | ff | gg"
    with pytest.raises(ValueError, match="The prompt takes"):
        app.queue.submit(app.Request(prompt=long, length=8, prompt_matrix={"enabled": True}))
    assert len(tokenized) == CHECKED and tokenized == sorted(tokenized)
    tokenized.clear()
    with pytest.raises(ValueError, match="The prompt takes"):
        app.queue.submit(app.Request(prompt=LONG, length=8, count=200))
    assert len(tokenized) == 1, "the same text is looked at once"
    assert not app.queue.all()


def test_nothing_of_the_size_of_a_gap_is_made_before_the_gaps_are_counted(monkeypatch):
    def built(*_):
        raise AssertionError

    monkeypatch.setattr(packing, "_draft", built)
    monkeypatch.setattr(packing, "encode", lambda *_: Encoded((1, 2), (True, True)))
    request = Request(prompt="", length=8, sampler="random")
    row = Row(Cell("0", request), request, {"main": Prompt()}, Draft((Gap(32768),) * 100_000))
    with pytest.raises(packing.Unfit, match="The gaps take 3276800000 tokens"):
        packing.tokenize(row, (), None, packing.NO_MASK, 256)


@pytest.mark.parametrize("tokens", [0, -1, 32769, 10**9])
def test_a_gap_has_bounds(tokens):
    with pytest.raises(ValueError, match="gap"):
        Gap(tokens)
