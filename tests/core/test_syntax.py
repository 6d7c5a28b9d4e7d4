"""Finding constructs: nothing is lost, fences and backslashes keep what a user meant literally."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from webui import Plain, scan
from webui.core.syntax import FENCE

BAR = {"bar": r"\|"}
BOTH = {"gap": r"_{4,}", "tag": r"<(\w+):(\w*)>"}
PIECES = st.lists(
    st.sampled_from(["|", "\\", "____", "<a:b>", "`", "```", "\n", " ", "x", "猫"]), max_size=12
).map("".join)


def shown(found) -> list:
    return [part.text if isinstance(part, Plain) else (part.name, *part.groups) for part in found]


@pytest.mark.parametrize(
    "text, expected",
    [
        ("", []),
        ("plain words", ["plain words"]),
        ("a|b", ["a", ("bar",), "b"]),
        ("||", [("bar",), ("bar",)]),
        (r"a\|b|c", ["a|b", ("bar",), "c"]),
        (r"\|", ["|"]),
        (r"|\|", [("bar",), "|"]),
        (r"\\|", [r"\|"]),  # the backslash at the bar goes, the one before it is text
        (r"\\server\share C:\new \[x\] | y", [r"\\server\share C:\new \[x\] ", ("bar",), " y"]),
        ("a ``` x|y ``` b|c", ["a ``` x|y ``` b", ("bar",), "c"]),
        (r"``` \| ```", [r"``` \| ```"]),
        ("``` never | closed", ["``` never | closed"]),
        ("``` a ```|``` b|c ```", ["``` a ```", ("bar",), "``` b|c ```"]),
        ("`a|b`", ["`a", ("bar",), "b`"]),
    ],
)
def test_what_acts_and_what_is_text(text, expected):
    assert shown(scan(text, BAR)) == expected


def test_constructs_keep_their_names_and_groups_in_order_of_the_text():
    found = scan("a ____ <lora:x> <tag:> \\____", BOTH)
    assert shown(found) == ["a ", ("gap",), " ", ("tag", "lora", "x"), " ", ("tag", "tag", ""), " ____"]


def test_no_construct_is_all_literal():
    assert scan(r"a | \| b", {}) == [Plain(r"a | \| b", 0, 8)]
    assert scan("", {}) == []


@settings(max_examples=300, deadline=None)
@given(text=PIECES)
@example(r"\\|```\|```|")
def test_spans_tell_where_everything_stood(text):
    found = scan(text, {**BAR, **BOTH})
    assert "".join(text[part.start : part.end] for part in found) == text
    for before, after in zip(found, found[1:], strict=False):
        assert before.end == after.start and not (isinstance(before, Plain) and isinstance(after, Plain))


@settings(max_examples=300, deadline=None)
@given(text=PIECES)
def test_only_a_backslash_that_did_something_is_removed(text):
    for part in scan(text, BAR):
        if isinstance(part, Plain):
            source = text[part.start : part.end]
            inside = [span.span() for span in FENCE.finditer(text)]
            expected = re.sub(
                r"\\\|",
                lambda m: m[0] if any(a <= part.start + m.start() < b for a, b in inside) else "|",  # noqa: B023
                source,
            )
            assert part.text == expected


@settings(max_examples=300, deadline=None)
@given(text=PIECES)
def test_printing_and_scanning_again_is_the_identity(text):
    """Escapes written back before everything that would act: the same parts again."""
    fenceless = text.replace("`", "'")
    found = scan(fenceless, BAR)
    printed = "".join(part.text.replace("|", r"\|") if isinstance(part, Plain) else "|" for part in found)
    assert shown(scan(printed, BAR)) == shown(found)


@settings(max_examples=100, deadline=None)
@given(text=PIECES)
def test_text_in_which_nothing_acts_comes_out_byte_for_byte(text):
    if "|" not in text:
        assert scan(text, BAR) == ([Plain(text, 0, len(text))] if text else [])


def test_long_texts_of_fences_and_bars_are_read_once():
    text = "```a``` | " * 10_000
    assert len(scan(text, BAR)) == 20_001
