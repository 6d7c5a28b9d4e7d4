"""Metrics of texts: what each number is."""

from __future__ import annotations

import pytest

from webui.core.result import Result
from webui.extension.registry import Registry
from webui.settings import ROOT


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry(ROOT / "extensions")


def measured(registry: Registry, text: str, **options) -> dict:
    request = registry.Request(text_metrics=options)
    found, failed = registry.metrics(Result(id="1", text=text, complete=True, request=request))
    assert not failed, failed
    return {name.removeprefix("text_metrics."): value for name, value in found.items()}


@pytest.mark.parametrize(
    "text, words, one, two",
    [
        ("a cat and a dog", 5, 4 / 5, 1.0),
        ("the the the", 3, 1 / 3, 1 / 2),
        ("It's O\N{RIGHT SINGLE QUOTATION MARK}Neil, well-known; it's", 4, 3 / 4, 1.0),
        ("猫 犬 猫", 3, 2 / 3, 1.0),
    ],
)
def test_words_and_distinct_n(registry, text, words, one, two):
    assert measured(registry, text) == {"words": words, "distinct-1": one, "distinct-2": two}


def test_a_text_too_short_for_a_number_does_not_have_it(registry):
    assert measured(registry, "") == {"words": 0}
    assert measured(registry, "word") == {"words": 1, "distinct-1": 1.0}


@pytest.mark.parametrize(
    "keywords, share",
    [
        ("cat", 1.0),
        ("CAT, dragon", 0.5),
        ("at", 0.0),  # no whole word
        ("black cat\nc++ ,, dragon", 2 / 3),
        ("cat, cat", 1.0),
    ],
)
def test_keywords_are_whole_words_in_any_case(registry, keywords, share):
    assert measured(registry, "A Black cat. C++!", keywords=keywords)["keywords"] == share


@pytest.mark.parametrize(
    "text, options, valid",
    [
        ('{"a": 1}', {"valid": "json"}, True),
        ("{a: 1}", {"valid": "json"}, False),
        ("[" * 100_000, {"valid": "json"}, False),
        ("2026-11-26", {"valid": "expression", "expression": r"\d{4}-\d\d-\d\d"}, True),
        ("on 2026-11-26", {"valid": "expression", "expression": r"\d{4}-\d\d-\d\d"}, False),
        ("a" * 50_000, {"valid": "expression", "expression": "(a*)*b"}, False),  # takes no time
    ],
)
def test_validity(registry, text, options, valid):
    assert measured(registry, text, **options)["valid"] is valid


def test_what_is_no_expression_is_a_sentence(registry):
    request = registry.Request(text_metrics={"valid": "expression", "expression": "("})
    found, failed = registry.metrics(Result(id="1", text="a", complete=True, request=request))
    assert not found or "text_metrics.valid" not in found
    assert failed["text_metrics"].startswith("text_metrics: the expression is not a regular expression")
