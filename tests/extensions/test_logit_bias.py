"""Words and phrases: raised ones come more, lowered ones less, forbidden ones never."""

from __future__ import annotations

import random
import re
import string
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from extensions.logit_bias import phrases
from tests.contract.program import finished, program, write
from webui import Canvas, Choice

WARM = {"temperature": 1.0, "length": 12, "count": 16, "seed": 0, "end_of_text": "ban"}


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    app = program(tmp_path_factory.mktemp("bias"))
    yield app
    app.close()


def all_texts(app, **fields) -> list[str]:
    return [part.text for part in write(app, **{**WARM, **fields}).parts]


def words(phrase: str) -> re.Pattern:
    """A whole word or phrase, in any capitalisation."""
    return re.compile(rf"(?<!\w){re.escape(phrase)}(?!\w)", re.IGNORECASE)


def times(phrase: str, texts: list[str]) -> int:
    return sum(len(words(phrase).findall(text)) for text in texts)


# -- the list of words ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, expected",
    [
        ("", {}),
        (" , ,\n", {}),
        ("dragon", {"dragon": 3.0}),
        ("dragon, golden ring:5", {"dragon": 3.0, "golden ring": 5.0}),
        ('"salt, pepper", x', {"salt, pepper": 3.0, "x": 3.0}),
        ('"say ""hi""":2', None),
        ('"say ""hi"":2"', {'say "hi"': 2.0}),
        ("a:.5, b: 1. , c :-2", {"a": 0.5, "b": 1.0, "c": -2.0}),
        ("10:30:2", {"10:30": 2.0}),
        ("a:b, x:1e3, :5", {"a:b": 3.0, "x:1e3": 3.0, ":5": 3.0}),
        ("one\ntwo", {"one": 3.0, "two": 3.0}),
        ("猫:2, naïve", {"猫": 2.0, "naïve": 3.0}),
    ],
)
def test_lists_are_read_as_typed(text, expected):
    if expected is None:
        with pytest.raises(ValueError, match="cannot be read"):
            phrases.parse(text, 3.0)
    else:
        assert phrases.parse(text, 3.0) == expected


@pytest.mark.parametrize(
    "text, reason", [('a, "b', "cannot be read"), ("a:51", "at most 50"), ("a:" + "9" * 400, "at most 50")]
)
def test_a_list_that_cannot_be_meant_fails_with_a_sentence(app, text, reason):
    for name in ("more", "less", "never"):
        error = finished(app, app.Request(logit_bias={name: text})).error
        assert error.startswith("logit_bias: ") and reason in error and "\n" not in error


def test_a_phrase_is_meant_in_all_its_spellings():
    assert set(phrases.spellings("golden ring")) == {
        blank + form
        for blank in ("", " ")
        for form in ("golden ring", "Golden ring", "Golden Ring", "GOLDEN RING")
    }


# -- more and less -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("phrase", ["and", "cat", "a cat", "猫"])  # one token, two, three with a blank, bytes
def test_raised_words_come_more(app, phrase):
    plain, raised = all_texts(app), all_texts(app, logit_bias={"more": f"{phrase}:12"})
    count = [sum(text.lower().count(phrase) for text in texts) for texts in (plain, raised)]
    assert count[1] > count[0] + 4


def test_lowered_words_come_less_and_strength_counts(app):
    raised = {"more": "and:9"}
    counts = [
        times("and", all_texts(app, logit_bias={**raised, "less": less}))
        for less in ("", "and:4", "and:9", "and:30")
    ]
    assert counts[0] > counts[1] > counts[2] >= counts[3] == 0
    assert all_texts(app, logit_bias={**raised, "less": "and:9"}) == all_texts(app), (
        "what is raised and lowered is as it was"
    )


def test_the_strength_field_is_for_words_without_a_number(app):
    assert all_texts(app, logit_bias={"more": "and", "strength": 7}) == all_texts(
        app, logit_bias={"more": "and:7", "strength": 1}
    )


# -- never ---------------------------------------------------------------------------------------------------

LETTERS = "t:7, h:5, a:9"  # texts of these letters and blanks, in every way of cutting words into tokens
FORBIDDEN = ("aa", "aaa", "aaaa", "aaaaa", "ta", "ata", "taa", "a a")  # none of them is one token


@pytest.mark.parametrize(
    "how",
    [
        {"sampler": "random"},
        {"sampler": "random", "steps": 2},
        {"sampler": "low_confidence"},
        {"sampler": "low_confidence", "steps": 4, "block_length": 8},
        {"sampler": "threshold", "threshold": 0.05},
    ],
    ids=str,
)
def test_forbidden_words_never_come_however_they_are_cut_into_tokens(app, how):
    control = all_texts(app, **how, logit_bias={"more": LETTERS})
    texts = all_texts(app, **how, logit_bias={"more": LETTERS, "never": ",".join(FORBIDDEN)})
    assert sum(times(word, control) for word in FORBIDDEN) > 2, "they would come"
    assert {word: times(word, texts) for word in FORBIDDEN} == dict.fromkeys(FORBIDDEN, 0)


def test_a_forbidden_character_of_several_tokens_never_comes(app):
    raised = {"more": "猫:30"}
    assert "猫" in "".join(all_texts(app, logit_bias=raised))
    assert "猫" not in "".join(all_texts(app, logit_bias={**raised, "never": "猫"}))


def test_a_word_that_is_forbidden_in_given_text_stays_there_only(app):
    text = write(
        app,
        prompt="that cat ________ that",
        count=8,
        temperature=1.0,
        logit_bias={"more": LETTERS, "never": "that,cat"},
    )
    for part in text.parts:
        assert part.text.startswith("that cat ") and part.text.endswith(" that")
        assert (times("that", [part.text]), times("cat", [part.text])) == (2, 1)


class Letters:
    """A link to a model whose tokens are characters; token 0 is the mask, 1 has no text."""

    mask, device = 0, "cpu"
    characters = ("", "", *string.ascii_letters, *" \nß猫黑在é—.+1")
    vocabulary = len(characters)

    def encode(self, text):
        return [self.characters.index(c, 2) for c in text]

    def decode(self, tokens):
        return "".join(self.characters[token] for token in tokens)


def decided(phrase: str, text: str, groups: list[list[int]]) -> str:
    """What is left of `text` when its characters are decided in these groups, with the phrase forbidden; "_"
    where it is open."""
    link = Letters()
    options = type("Options", (), {"never": phrase, "more": "", "less": "", "strength": 0.0})()
    never = phrases.Never([options], link)
    canvas = Canvas.build([[]], [[0] * len(text)], [0], mask=0)
    start = int(canvas.answer[0])
    for group in groups:
        active = torch.zeros_like(canvas.active)
        active[0, [start + i for i in group]] = True
        canvas = replace(canvas, active=active)
        tokens = torch.tensor([link.encode(text[i])[0] if text[i] != "\0" else 1 for i in sorted(group)])
        sure = torch.tensor([1.0 - group.index(i) / 100 for i in sorted(group)])
        choice = never.check(canvas, Choice(tokens, sure, torch.ones_like(tokens, dtype=torch.bool), sure))
        canvas = canvas.fill(choice.commit, tokens)
    return "".join("_" if token == 0 else link.decode([token]) for token in canvas.tokens[0, start:].tolist())


STANDS = [
    ("cat", "a cat sat"),
    ("cat", "cat"),
    ("cat", "CAT."),
    ("cat", "c\0at"),  # a token without a text between
    ("golden ring", "a golden \n ring"),
    ("golden ring", "Golden Ring"),
    ("straße", "STRASSE"),
    ("—", "wat—what"),
    ("...", "no...a"),
    ("C++", "a C++ cat"),
    ("猫", "黑猫在"),
    ("abcde abcde abcde abcde abcde", "x abcde abcde abcde abcde abcde x"),
]
OTHER = [
    ("cat", "concatenation"),
    ("cat", "cats"),
    ("cat", "cat1"),
    ("golden ring", "goldenring"),
    ("...", "no.. ."),
    ("a", "—at—"),
]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6))
@pytest.mark.parametrize("phrase, text", STANDS)
def test_a_forbidden_phrase_is_broken_in_whatever_order_it_comes(phrase, text, seed):
    order = list(range(len(text)))
    random.Random(seed).shuffle(order)
    groups, at = [], 0
    while at < len(order):
        size = random.Random(seed + at).randint(1, len(order))
        groups.append(order[at : at + size])
        at += size
    left = decided(phrase, text, groups)
    assert "_" in left and phrases._pattern([phrase]).search(left) is None
    assert left.replace("_", ""), "no more is withdrawn than it takes"


@pytest.mark.parametrize("phrase, text", OTHER)
def test_longer_words_that_hold_a_forbidden_one_are_allowed(phrase, text):
    """When they come from their end: what stands alone while its neighbours are open could still become the
    word."""
    assert decided(phrase, text, [[i] for i in reversed(range(len(text)))]) == text


# -- rows ----------------------------------------------------------------------------------------------------


def test_rows_with_other_words_or_none_do_not_touch_each_other(tmp_path):
    app = program(tmp_path, dtype="float64")
    request = app.Request(temperature=1.0, length=12, seed=4)
    biases = [{}, {"more": LETTERS}, {"less": "L:20"}, {"more": LETTERS, "never": "a"}, {}]
    cells = [
        replace(app.expand(request.replace(logit_bias=bias))[0], id=str(i)) for i, bias in enumerate(biases)
    ]
    together = {
        e.cell: e.result.text for e in app.engine.generate(cells, "j", lambda: False) if hasattr(e, "result")
    }
    for cell in cells:
        (alone,) = [
            e.result.text for e in app.engine.generate([cell], "j", lambda: False) if hasattr(e, "result")
        ]
        assert together[cell.id] == alone
    assert len(set(together.values())) == 4, "each of them acts"
    app.close()
