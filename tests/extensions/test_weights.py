"""Nested syntax: an extension for tests reads the grammar of emphasis with the core's brackets, after others took
theirs out."""

from __future__ import annotations

from pathlib import Path

import pytest

from webui import Cell, Prompt, Row
from webui.extension.registry import Registry
from webui.settings import ROOT


@pytest.fixture(scope="module")
def registry(tmp_path_factory) -> Registry:
    folder = tmp_path_factory.mktemp("extensions")
    (folder / "weights").symlink_to(Path(__file__).parent / "weights")
    (folder / "infill").symlink_to(ROOT / "extensions" / "infill")
    return Registry(folder)


def read(registry: Registry, prompt: str, syntax: str) -> tuple[Row, str]:
    """The prepared row, and its runs of weights."""
    request = registry.Request(prompt=prompt, syntax=syntax, weights={"on": True})
    row = registry.prepare(Row(Cell("0", request), request, {"main": Prompt.of(prompt)}))
    return row, row.notes[0]


@pytest.mark.parametrize(
    "text, expected",
    [
        ("plain words", "plain words"),
        ("(a)", "a@1.1"),
        ("((a))", "a@1.21"),
        ("[a]", "a@0.909091"),
        ("[[a]]", "a@0.826446"),
        ("([a])", "a"),
        ("(a:1.5)", "a@1.5"),
        ("(a: 1.5 )", "a@1.5"),
        ("(a:.5)", "a@0.5"),
        ("(a:-1)", "a@-1"),
        ("((a:1.5))", "a@1.65"),
        ("((a:1.5) b:2)", "a@3| b@2"),
        ("(a:)", "a:@1.1"),
        ("(a:b)", "a:b@1.1"),
        ("(a:1e3)", "a:1e3@1.1"),
        ("(a:1.5.2)", "a:1.5.2@1.1"),
        ("a:1.5", "a:1.5"),
        ("extra) paren", "extra) paren"),
        ("(unclosed", "(unclosed"),
        ("(a)(b)", "ab@1.1"),
        ("a, (b, c:1.2), d", "a, |b, c@1.2|, d"),
        (r"\(a\)", "(a)"),
        (r"(\(a\):1.3)", "(a)@1.3"),
        (r"(a\:2)", "a:2@1.1"),
    ],
)
def test_in_full(registry, text, expected):
    assert read(registry, text, "full")[1] == expected


@pytest.mark.parametrize(
    "text",
    [
        "f(x)", "foo(timeout:30)", "(meeting at 10:30)", "(John 3:16)", "(16:9)", "hi :(", "[1]", "[12:30] Alice:",
        "x[0:5]", "a[1:10:2]", r"\[x\]", r"\(x\)", r"\\server\share C:\new", "a = [[0]]", "np.array([[20]])",
        "[[1]](link)", "__init__", "un____able", "<div> {'a': 1}", "```\n(a:1.3)\n```", "(a:11)", "(a:-1)",
    ],
)  # fmt: skip
def test_what_is_literal_in_safe(registry, text):
    row, runs = read(registry, text, "safe")
    assert runs == text == row.prompts["main"].text


@pytest.mark.parametrize(
    "text, expected",
    [
        ("(a:1.3)", "a@1.3"),
        ("a (big red:1.2) b", "a |big red@1.2| b"),
        ("((a) b:2)", "(a) b@2"),
        (r"\(a:1.3)", "(a:1.3)"),
    ],
)
def test_what_acts_in_safe(registry, text, expected):
    assert read(registry, text, "safe")[1] == expected


def test_off_is_off(registry):
    assert read(registry, r"(a:1.3) \(b:2) ____", "off")[1] == r"(a:1.3) \(b:2) ____"


def test_warnings_tell_the_column(registry):
    row, _ = read(registry, "a (b [c)", "full")
    assert row.notes[1:] == ('Column 6: "[" is never closed.',)


def test_what_infill_left_keeps_its_locks_and_spans(registry):
    row, runs = read(registry, r"a (big \____ cat:1.2) \[[...]]", "full")
    assert runs == "a |big ____ cat@1.2| [[...]]", "what was escaped for infill is text for the next one too"
    pieces = row.prompts["main"].pieces
    assert [(piece.text, piece.span) for piece in pieces] == [
        ("a ", (0, 2)), ("big ", (3, 7)), ("____", (8, 12)), (" cat", (12, 16)), (" ", (21, 22)), ("[[...]]", (23, 30)),
    ]  # fmt: skip
