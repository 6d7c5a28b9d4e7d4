"""What an answer starts from: text that stays byte for byte, passages of text or tokens that are locked or not, gaps."""

from __future__ import annotations

import ast

import pytest

from webui import Gap, Passage
from webui.application import App
from webui.core.events import Started
from webui.core.prompt import Draft, Piece, Prompt
from webui.core.request import Cell
from webui.service.job import Job
from webui.settings import ROOT, Settings


@pytest.fixture(scope="module")
def app(models, tmp_path_factory):
    folder = tmp_path_factory.mktemp("extensions")
    for name in ("drafts", "remasker"):
        (folder / name).symlink_to(ROOT / "tests" / "extensions" / name)
    made = App(
        Settings(
            models=models, built_in=folder, data=tmp_path_factory.mktemp("data"), device="cpu", threads=1
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
    result, _ = run(app, drafts=drafts, sampler="remasker", steps=9, remasker={"eta": 0.9})
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


@pytest.mark.parametrize("words, length, left", [("One", 9, 1), ("One", 40, 1), ("One day", 4, 0)])
def test_a_gap_takes_what_is_left_of_the_length(app, words, length, left):
    from webui.denoising.packing import tokenize
    from webui.extension.row import Row

    tokenizer = app.checkpoints.tokenizer(None)
    request = app.Request(length=length, steps=3, block_length=64, sampler="random", schedule="even")
    request = request.replace(confidence="random", temperature=0, top_k=0, top_p=1, min_p=0)
    request = request.replace(end_of_text="stop", threshold=0.9, edit_threshold=0.9)
    row = Row(
        Cell("0", request), request, {"main": Prompt.of("a")}, Draft((Piece(words), Gap(None), Piece(".")))
    )
    if not left:
        with pytest.raises(ValueError, match="tokens, all of the length of 4; make it longer"):
            tokenize(row, (), tokenizer, 0, 200)
        return
    packed = tokenize(row, (), tokenizer, 0, 200)
    assert len(packed.answer) == length == packed.row.request.length
    ((start, end),) = packed.spans
    assert end == length - 1 and packed.answer[start:end] == (0,) * (end - start)
    assert len(tokenize(row, ("length",), tokenizer, 0, 36 + length // 4).answer) <= length


def test_only_one_gap_takes_what_is_left(app):
    from webui.extension.row import Row, checked_row

    row = Row(Cell("0", app.Request()), app.Request(), {"main": Prompt.of("a")})
    with pytest.raises(ValueError, match="two gaps of what is left"):
        checked_row(row.replace(draft=Draft((Gap(None), Piece("a"), Gap(None)))), row)
