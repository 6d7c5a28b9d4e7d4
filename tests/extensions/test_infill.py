"""Infill: what is given stays byte for byte, what is filled fits between."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.program import finished, program, write
from tests.tiny_checkpoints import FIRST_SPECIAL
from webui import Canvas, Cell, Draft, Gap, Piece, Prompt, Row

WARM = {"temperature": 1.0, "sampler": "random"}


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    app = program(tmp_path_factory.mktemp("infill"))
    yield app
    app.close()


def between(text: str, given: list[str]) -> list[str]:
    """What stands between the given texts, which must be there in order, the first at the start and the last
    at the end."""
    match = re.fullmatch("(.*?)".join(map(re.escape, given)), text, re.DOTALL)
    assert match, f"{given} are not in {text!r}"
    return list(match.groups())


@pytest.mark.parametrize(
    "prompt, given, tokens",
    [
        ("The ____ sat.", ["The ", " sat."], 1),
        ("____", ["", ""], 1),
        ("____ sat", ["", " sat"], 1),
        ("The ____", ["The ", ""], 1),
        ("The ________ sat", ["The ", " sat"], 2),
        ("____ and ____", ["", " and ", ""], 2),
        ("____ ____ ____", ["", " ", " ", ""], 3),
        ("a ____[[...3]] b", ["a ", " b"], 4),
        ("[[...]]\nThe end.", ["", "\nThe end."], 4),
        ("Once [[…]]", ["Once ", ""], 4),
        ("x\n____\n\n[[...2]]\ty", ["x\n", "\n\n", "\ty"], 3),
        ("two  ____  blanks ", ["two  ", "  blanks "], 1),
        ("é猫👩‍👩‍👧 ____ e\u0301\u202e\u0000\ufffd", ["é猫👩‍👩‍👧 ", " e\u0301\u202e\u0000\ufffd"], 1),
        ("<|mdm_mask|> ____ <|endoftext|>", ["<|mdm_mask|> ", " <|endoftext|>"], 1),
        (r"C:\new \____ and ____", [r"C:\new ____ and ", ""], 1),
        (r"\[[...]] is [[hero:...2]]", ["[[...]] is ", ""], 2),
        ("```\n____ [[9]]\n``` is ____", ["```\n____ [[9]]\n``` is ", ""], 1),
        ("__init__ = ____", ["__init__ = ", ""], 1),
        (
            "a = [[0]], np.array([[20]]) [[1]](b) [[x]] ____",
            ["a = [[0]], np.array([[20]]) [[1]](b) [[x]] ", ""],
            1,
        ),
        ("un____able snake_____case _____ ____.", ["un____able snake_____case ", " ", "."], 2),
        ('(____), "____"', ["(", '), "', '"'], 2),
        ("{{ ____ }} | (x:1.5) <a:b>", ["{{ ", " }} | (x:1.5) <a:b>"], 1),
    ],
)
def test_given_text_stays_and_gaps_have_their_tokens(app, prompt, given, tokens):
    for seed in range(3):
        result = write(app, prompt=prompt, seed=seed, infill={"passage": 4}, **WARM)
        between(result.text, given)
        assert len(result.trace) == tokens and "…" not in result.text.replace("[[…]]", "")
        assert not any(change.token >= FIRST_SPECIAL for change in result.trace), (
            "no end-of-text, no special token"
        )


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), min_size=2, max_size=4))
def test_any_given_text_stays(app, parts):
    parts = [re.sub(r"[_`\[\]\\]", "-", part) for part in parts]
    result = write(app, prompt="____".join(parts), syntax="full", **WARM)
    between(result.text, parts)
    assert len(result.trace) == len(parts) - 1


@pytest.mark.parametrize(
    "prompt",
    [
        "The ____ sat",
        "The ________ sat",
        "The ____________ sat.",
        "a ____ ____ b",
        "a ____ [[...3]] b",
        "the [[...2]] end",
    ],
)
def test_a_gap_never_doubles_a_blank_nor_grows_the_word_before(app, prompt):
    """Many seeds at a temperature where a random model writes anything."""
    words = re.split(r"____+|\[\[\.\.\.\d\]\]", prompt)
    result = write(app, prompt=prompt, count=48, temperature=3.0, sampler="random", seed=0)
    for part in result.parts:
        fillings = between(part.text, words)
        for filling in fillings:
            assert filling.strip(" "), "a gap holds something"
            assert not filling.startswith(" ") and not filling.endswith(" "), part.text
        if "[[" not in prompt:
            assert "  " not in part.text and not re.search(r"[\n\t]", part.text), part.text
    assert len({part.text for part in result.parts}) > 8, "and it is not always the same"


class Words:
    """A link to a model of a few tokens; 9 is given text, 0 the mask."""

    mask, device = 0, "cpu"

    def words(self):
        return ("", "cat", " cat", " ", "cat ", "  cat", "\n", " \n", "\ufffd", "given")

    def answer(self, row):
        return self.tokens

    def spans(self, row):
        return self.gaps


@pytest.mark.parametrize(
    "prompt, allowed",
    [
        ("un____able", [["cat", " cat", "\ufffd"]]),
        ("The ____ sat", [[" cat"]]),
        ("The ________ sat", [[" cat"], ["cat", " cat", "\ufffd"]]),
        ("The ____ [[1]]!", [[" cat"], [" cat"]]),
        ("x[[1]]y", [["cat", " cat", " ", "cat ", "  cat", "\n", " \n", "\ufffd", "given"]]),
        ("x [[1]]y", [[" cat"]]),
        ("x[[1]] y", [["cat", " cat", "  cat", "\n", " \n", "\ufffd", "given"]]),
    ],
)
def test_what_may_stand_in_a_gap(app, prompt, allowed):
    """A ____ holds words; after a blank a token brings it along, before one it ends in none; a passage may be
    anything else."""
    infill, link = app.registry.extensions["infill"], Words()
    request = app.Request(prompt=prompt, syntax="full")
    row = infill.prompt(Row(Cell("0", request), request, {"main": Prompt.of(prompt)}))
    link.tokens, link.gaps = [], []
    for part in row.draft.parts:
        start = len(link.tokens)
        link.tokens += [0] * part.tokens if isinstance(part, Gap) else [9]
        link.gaps += [(start, len(link.tokens))] if isinstance(part, Gap) else []
    canvas = Canvas.build([[]], [link.tokens], [0], mask=0)
    canvas = replace(canvas, active=canvas.masked)
    extension = infill([row])
    banned = extension.ban(extension.canvas(canvas, link), link)
    assert [
        [word for word, no in zip(link.words(), line, strict=True) if not no] for line in banned.tolist()
    ] == [
        [word for word in link.words() if word in some or word == "given" and "cat" in some]
        for some in allowed
    ]


def test_fillings_bring_their_blank_as_the_model_writes_words(app):
    """The token in the gap is " word", not "word": what the model sees is what it was trained on."""
    result = write(app, prompt="The ____ sat", count=8, **WARM)
    for part in result.parts:
        (change,) = part.trace
        assert change.text.startswith(" ") and part.text == f"The{change.text} sat"


def test_the_text_is_the_answer_and_the_prompt_is_what_it_is_about(app):
    about = [
        write(app, prompt="The ____ sat", infill={"about": text}).text for text in ("", "a story about dogs")
    ]
    empty = write(app, prompt="The ____ sat", template="raw", infill={"about": "Dogs."})
    assert about[0] != about[1]
    assert empty.statistics.prompt_tokens == len("Dogs.")
    assert empty.request.length == len(empty.pieces) and empty.request.steps == 1


@pytest.mark.parametrize("prompt", ["The ____ sat", "[[...]]", r"\____"])
def test_with_the_syntax_off_everything_is_the_prompt(app, prompt):
    off = write(app, prompt=prompt, syntax="off", template="raw")
    assert len(off.pieces) == 8 and off.statistics.prompt_tokens == len(
        app.checkpoints.load(None).tokenizer.encode(prompt)
    )


@pytest.mark.parametrize(
    "prompt, meant",
    [(r"\____ and \[[...]]", "____ and [[...]]"), ("__init__ ___ [[a]] [[7]]", "__init__ ___ [[a]] [[7]]")],
)
def test_without_a_gap_the_text_is_an_ordinary_prompt(app, prompt, meant):
    assert write(app, prompt=prompt).text == write(app, prompt=meant, syntax="off").text


@pytest.mark.parametrize(
    "prompt, syntax", [("a [[...0]] b", "safe"), ("a [[0]] b", "full"), ("a [[x:0]]", "full")]
)
def test_a_gap_of_nothing_is_refused_and_told_how_to_write_it(app, prompt, syntax):
    error = finished(app, app.Request(prompt=prompt, syntax=syntax)).error
    typed = re.search(r"\[\[.*\]\]", prompt)[0]
    assert error == f"infill: column 3: {typed} is a gap of no tokens. For the text itself write \\{typed}."
    assert write(app, prompt=prompt.replace("[[", r"\[["), syntax=syntax).text


@pytest.mark.parametrize("prompt, given", [("un____able", ["un", "able"]), ("a = [[1]]", ["a = ", ""])])
def test_in_full_more_is_a_gap(app, prompt, given):
    between(write(app, prompt=prompt, syntax="full", **WARM).text, given)


@pytest.mark.parametrize(
    "prompt", ["a = [[0]]", "np.array([[20]])", "x[[1]](y)", "snake____case", "__init__"]
)
def test_code_and_citations_are_an_ordinary_prompt(app, prompt):
    result = write(app, prompt=prompt)
    assert not [note for note in result.notes if "Infill" in note]  # wildcards say that __init__ is none
    assert result.text == write(app, prompt=prompt, syntax="off").text


def test_a_note_says_that_infill_took_the_prompt(app):
    (note,) = write(app, prompt="The cat ____ on [[...2]]").notes
    assert note == (
        r"Infill took the prompt as a text with 2 gaps, the first at column 9. For ____ itself write \____, "
        "or set the prompt syntax to off."
    )


def test_a_draft_of_another_extension_is_left_alone(app):
    infill = app.registry.extensions["infill"]
    request = app.Request(prompt="a ____ cat")
    row = Row(Cell("0", request), request, {"main": Prompt.of("no gap")}, Draft((Piece("Once"), Gap(3))))
    assert infill.neutral(infill.prompt(row)) and infill.prompt(row).draft == row.draft
    with pytest.raises(ValueError, match="already starts from a text"):
        infill.prompt(row.with_prompt("main", Prompt.of("a ____ cat")))


def test_a_named_gap_keeps_its_name(app):
    infill = app.registry.extensions["infill"]
    request = app.Request(prompt="[[hero:...3]] met [[...]]")
    row = infill.prompt(Row(Cell("0", request), request, {"main": Prompt.of(request.prompt)}))
    assert [(gap.tokens, gap.name) for gap in row.draft.gaps] == [(3, "hero"), (12, "")]


def test_a_text_that_does_not_fit_is_refused(app):
    with pytest.raises(ValueError, match="room for"):
        app.queue.submit(app.Request(prompt="long " * 200 + "____"))
    with pytest.raises(ValueError, match="room for"):
        app.queue.submit(app.Request(prompt="a [[...9999]] b"))


def test_rows_with_and_without_gaps_share_a_batch(app):
    fields = {"prompt": "The ____ sat | or [[...3]]", "prompt_matrix": {"enabled": True}, "seed": 3, **WARM}
    first, second = write(app, **fields).parts
    between(first.text, ["The ", " sat"])
    between(second.text, ["The ", " sat, or ", ""])
    assert write(app, prompt="The ____ sat", seed=3, **WARM).text == first.text
