"""What an answer starts from: text that stays byte for byte, passages of text or tokens that are locked or not, gaps."""

from __future__ import annotations

import ast

import pytest

from webui import Gap, Passage
from webui.application import App
from webui.core.events import Started
from webui.core.prompt import Draft, Piece
from webui.core.request import Cell
from webui.service.job import Job
from webui.settings import ROOT, Settings


@pytest.fixture(scope="module")
def app(models, tmp_path_factory):
    folder = tmp_path_factory.mktemp("extensions")
    for name in ("drafts", "remdm"):
        (folder / name).symlink_to(ROOT / "tests" / "extensions" / name)
    made = App(
        Settings(
            models=models, extensions=folder, data=tmp_path_factory.mktemp("data"), device="cpu", threads=1
        )
    )
    assert not made.registry.failed
    yield made
    made.close()


def run(app: App, **options):
    request = app.Request(**{"prompt": "a", "seed": 1, "temperature": 0.7, **options})
    events = list(app.engine.run(Job(request, (Cell("0", request),))))
    return events[-1].result, next((event for event in events if isinstance(event, Started)), None)


def test_locked_tokens_stay_and_the_text_is_put_together_from_its_parts(app):
    tokens = app.checkpoints.load(None).tokenizer.encode(" the")
    result, started = run(app, drafts={"tokens": tokens * 2})
    assert result.error is None and result.complete
    assert result.text.startswith("One day the the ") and " in the end" in result.text
    assert len(result.trace) == 5 == result.statistics.tokens
    given = {change.column: change.token for change in started.given}
    assert len(given) == started.length - 5
    assert {column: result.tokens[column] for column in given} == given


def test_the_packer_says_where_gaps_are_also_next_to_passages(app, tmp_path):
    tokens = app.checkpoints.load(None).tokenizer.encode(" the")
    for locked in (True, False):
        run(app, drafts={"tokens": tokens * 2, "locked": locked, "seen": str(tmp_path / "seen")})
    first, second = (tmp_path / "seen").read_text().splitlines()
    assert first == second
    (a, b), (c, d) = ast.literal_eval(first)
    assert b - a == 3 and d - c == 2 and c > b


def test_loose_tokens_are_there_at_the_start_and_may_be_remasked(app):
    tokens = app.checkpoints.load(None).tokenizer.encode(" the")
    drafts = {"tokens": tokens * 3, "locked": False}
    quiet, started = run(app, drafts=drafts)
    assert quiet.text.startswith("One day the the the ") and len(quiet.trace) == 5
    assert len(started.given) == started.length - 5
    begin = len(app.checkpoints.load(None).tokenizer.encode("One day"))
    result, _ = run(app, drafts=drafts, sampler="remdm", steps=9, remdm={"eta": 0.9})
    assert result.text.startswith("One day")
    remasked = {change.column for change in result.trace if change.token is None}
    assert remasked & set(range(begin, begin + 3 * len(tokens)))
    assert not remasked & set(range(begin)), "the piece of text is given"


def test_a_passage_of_what_is_no_token_is_refused_in_one_sentence(app):
    result, _ = run(app, drafts={"tokens": [99999]})
    assert result.error == "The draft has a passage with token 99999, which this checkpoint does not have."
    mask = app.checkpoints.load(None).mask
    assert f"passage with token {mask}," in run(app, drafts={"tokens": [mask]})[0].error


def test_a_draft_puts_passages_into_its_text():
    draft = Draft((Piece("a"), Passage(tokens=(1, 2)), Gap(1, lead=" "), Passage(text="d")))
    assert draft.filled(["b", " c", "D"]) == "ab cD"
    with pytest.raises(ValueError, match="either a text or tokens"):
        Passage(text="a", tokens=(1,))
