"""Metrics of texts as columns of tables: length, distinct-n, keywords, validity."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from webui import Extension, Options, Result, field

WORD = re.compile(r"\w+(?:['\N{RIGHT SINGLE QUOTATION MARK}-]\w+)*")
GRAMS = (1, 2)
MOST_KEYWORDS = 200


class TextMetrics(Extension):
    """Numbers about each text, as columns of tables.

    words       how many words it has
    distinct-n  Li et al. 2016, arXiv:1510.03055: different sequences of n words, divided by all of them
    keywords    the share of the keywords that occur in it as whole words, whatever their case
    valid       whether it is JSON, or matches a regular expression as a whole
    """

    title = "Text metrics"
    about = "Numbers about each text, as columns of tables: words, distinct-n, keywords, validity."

    class Options(Options):
        keywords: str = field(
            "",
            label="Keywords",
            help="Separated by commas; the share of them in the text is a column.",
            axis=False,
            max_length=2000,
        )
        valid: Literal["off", "json", "expression"] = field(
            "off", label="Check validity", help="Whether the text is JSON, or matches.", axis=False
        )
        expression: str = field(
            "",
            label="Expression",
            help="A regular expression (RE2) that a valid text matches as a whole.",
            axis=False,
            max_length=500,
        )

    @classmethod
    def neutral(cls, row) -> bool:
        return True  # it looks at texts that are finished

    @classmethod
    def metrics(cls, result: Result) -> Mapping[str, int | float | bool]:
        options = cls.options(result.request)
        words = [word.lower() for word in WORD.findall(result.text)]
        found: dict[str, int | float | bool] = {"words": len(words)}
        found |= {f"distinct-{n}": _distinct(words, n) for n in GRAMS if len(words) >= n}
        if keywords := _keywords(options.keywords):
            found["keywords"] = sum(_occurs(word, result.text) for word in keywords) / len(keywords)
        if options.valid == "json":
            found["valid"] = _is_json(result.text)
        elif options.valid == "expression":
            found["valid"] = _matches(options.expression, result.text)
        return found


def _distinct(words: Sequence[str], n: int) -> float:
    grams = list(zip(*(words[i:] for i in range(n)), strict=False))
    return len(set(grams)) / len(grams)


def _keywords(typed: str) -> list[str]:
    return list(dict.fromkeys(_split(typed)))[:MOST_KEYWORDS]


def _split(typed: str) -> Iterator[str]:
    for word in re.split(r"[,\n]", typed.lower()):
        if word.strip():
            yield word.strip()


def _occurs(keyword: str, text: str) -> bool:
    """Whether the keyword stands in the text and no letter or digit goes on with it."""
    return re.search(rf"(?<!\w){re.escape(keyword)}(?!\w)", text.lower()) is not None


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _matches(expression: str, text: str) -> bool:
    """ValueError if the expression is not one. RE2 needs linear time, whatever it is."""
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(expression, options).fullmatch(text) is not None
    except re2.error as error:
        raise ValueError(f"the expression is not a regular expression: {error}.") from None
