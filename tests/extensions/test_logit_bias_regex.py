"""Regular expressions in the lists of words: what is one, which words it stands for, what is refused."""

from __future__ import annotations

import re

import pytest

from extensions.logit_bias import phrases
from extensions.logit_bias.regex import Expression, Finder, matching
from tests.contract.program import finished, program, texts, write

VOCABULARY = [" dragon", " Dragon", " dragons", " drag", "dragonfly", " cake", " 12", " a", "", " x1", "\n"]
WARM = {"temperature": 1.0, "length": 16, "count": 12, "seed": 0, "end_of_text": "ban"}


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    app = program(tmp_path_factory.mktemp("regex"))
    yield app
    app.close()


@pytest.mark.parametrize(
    "text, expected",
    [
        ("/drag.*/", {"/drag.*/": 3.0}),
        ("cake, /drag.*/:5, /a{1,2}/", {"cake": 3.0, "/drag.*/": 5.0, "/a{1,2}/": 3.0}),
        ("/a:b/: -2", {"/a:b/": -2.0}),
        (r"/a\/b/", {r"/a\/b/": 3.0}),
    ],
)
def test_what_is_an_expression(text, expected):
    found = phrases.weighted(text, 3.0)
    assert found == expected
    assert all(isinstance(one, Expression) == one.startswith("/") for one in found)


@pytest.mark.parametrize("text", ["/usr/bin", "and/or", "/", "//", "/never closed", '"/drag.*/"', "a /b/"])
def test_what_is_none(text):
    assert not any(isinstance(one, Expression) for one in phrases.weighted(text, 3.0))


@pytest.mark.parametrize(
    "expression, words",
    [
        ("/drag.*/", ["dragon", "dragons", "drag"]),
        ("/DRAGONS?/", ["dragon", "dragons"]),
        ("/drag/", ["drag"]),
        ("/cake|drag/", ["drag", "cake"]),
        ("/zebra/", []),
    ],
)
def test_the_words_of_a_vocabulary(expression, words):
    assert matching(Expression(expression), VOCABULARY, 10) == words


def test_where_no_token_begins_with_a_blank_all_that_are_words_count():
    assert matching(Expression("/dr.*/"), ["dragon", "##on", "dry", "7"], 10) == ["dragon", "dry"]


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("/drag(/", "/drag(/ cannot be read as a regular expression: missing )"),
        ("/(?=a)b/", "/(?=a)b/ cannot be read as a regular expression"),
        (r"/(a)\1/", "cannot be read as a regular expression"),
        ("/" + "a" * 300 + "/", "has 302 characters; at most 200 are possible."),
        ("/(a{1,900}){1,900}/", "cannot be read as a regular expression"),
        ("/a/:1e308", "it must be a number from -50 to 50"),
        ("/zzzz/", "/zzzz/ matches no word that this checkpoint has a token for."),
    ],
)
@pytest.mark.parametrize("field", ["more", "less"])
def test_what_cannot_be_used_is_refused_in_a_sentence(app, field, text, sentence):
    result = finished(app, app.Request(prompt="a", seed=1, length=4, logit_bias={field: text}))
    assert sentence in str(result.error)


def test_too_many_words_are_refused():
    words = [f" {a}{b}" for a in "abcdefghijklmnopqrstuvwxyz" for b in "abcdefghij"]
    with pytest.raises(ValueError, match=r"^/\.\*/ matches 260 words of this checkpoint; at most 200"):
        list(phrases.written_out([Expression("/.*/")], words, 200))
    with pytest.raises(ValueError, match="stands for more than 200 words"):
        list(phrases.written_out([Expression("/[a-m].*/"), Expression("/[n-z].*/")], words, 200))


@pytest.mark.parametrize(
    "expression, found", [("/(a*)*b/", False), ("/(a|aa)+/", True), ("/(.*)(.*)(.*)(.*)x/", False)]
)
def test_what_would_backtrack_without_end_does_not(expression, found):
    """With Python's own engine some of these would not end within a lifetime."""
    assert (Finder([Expression(expression)], None).search("a" * 5_000 + "!") is not None) == found


def test_never_holds_for_words_of_several_tokens_too(app):
    plain = write(app, prompt="a", **WARM)
    forbidden = "/[a-m].*/"
    assert any(matches(forbidden, text) for text in texts(plain))
    assert not any(
        matches(forbidden, t) for t in texts(write(app, prompt="a", **WARM, logit_bias={"never": forbidden}))
    )


def matches(expression: str, text: str) -> list[str]:
    """Whole words of a text that match, by another engine."""
    words = re.findall(r"[^\W\d_][\w'’-]*", text)
    return [word for word in words if re.fullmatch(expression[1:-1], word, re.IGNORECASE)]


def test_a_raised_expression_raises_each_of_its_words(app):
    words = app.checkpoints.load(None).words
    some = sorted({w.strip().casefold() for w in words if re.fullmatch(r" [a-z]{3,}", w)})[:3]
    expression = f"/{'|'.join(some)}/"
    one = write(app, prompt="a", **WARM, logit_bias={"more": f"{expression}:8"})
    listed = write(app, prompt="a", **WARM, logit_bias={"more": ", ".join(f"{word}:8" for word in some)})
    plain = write(app, prompt="a", **WARM)
    assert texts(one) == texts(listed) != texts(plain)


def test_what_never_forbids_is_not_raised(app):
    words = app.checkpoints.load(None).words
    word = next(w.strip() for w in words if re.fullmatch(r" [a-z]{3,}", w))
    result = write(app, prompt="a", length=6, logit_bias={"more": word, "never": f"/{word[:2]}.*/"})
    assert f"'{word}' is not raised, because Never forbids it." in result.notes
    assert not matches(f"/{word[:2]}.*/", result.text)
