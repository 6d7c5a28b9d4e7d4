"""Finding constructs: nothing is lost, brackets nest, fences and backslashes keep what a user meant literally."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from webui import Bracket, Construct, Piece, Prompt, Syntax
from webui.core.syntax import FENCE, MAX_DEPTH

BAR = Syntax({"bar": r"\|"})
BOTH = Syntax({"gap": r"_{4,}", "tag": r"<(\w+):(\w*)>"})
NUMBER = re.compile(r":\s*\d\s*$")


def numbered(text: str, start: int, end: int, before: str) -> bool:
    """Emphasis of the mode safe, roughly: a number at the end, no identifier before."""
    return not before.isalnum() and NUMBER.search(text, max(start, end - 8), end) is not None


ROUND = Syntax(brackets={"round": Bracket("(", ")", ":")})
NESTED = Syntax(
    {"bar": r"\|"},
    {"round": Bracket("(", ")", ":"), "square": Bracket("[", "]", "|:")},
    frozenset({"square"}),
)
CAREFUL = Syntax(brackets={"round": Bracket("(", ")", ":", numbered)})
WORDS = ["|", "\\", "____", "<a:b>", "`", "```", "\n", " ", "x", "猫", "(", ")", "[", "]", ":1", "\0"]
PIECES = st.lists(st.sampled_from(WORDS), max_size=14).map("".join)


def shown(parts) -> list:
    """Runs of literal text joined; constructs as (name, groups or parts ...)."""
    found: list = []
    for part in parts:
        if isinstance(part, Construct):
            found.append((part.name, *part.groups, *shown(part.parts)))
        elif found and isinstance(found[-1], str):
            found[-1] += part.text
        else:
            found.append(part.text)
    return found


def scanned(text: str, syntax: Syntax, mode="full") -> list:
    return shown(Prompt.of(text).scan(syntax, mode).parts)


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
    assert scanned(text, BAR) == expected


def test_constructs_keep_their_names_and_groups_in_order_of_the_text():
    found = scanned("a ____ <lora:x> <tag:> \\____", BOTH)
    assert found == ["a ", ("gap",), " ", ("tag", "lora", "x"), " ", ("tag", "tag", ""), " ____"]


@pytest.mark.parametrize(
    "text, expected",
    [
        ("(a)", [("round", "a")]),
        ("((a))", [("round", ("round", "a"))]),
        ("()", [("round",)]),
        ("(a [b] c) d", [("round", "a ", ("square", "b"), " c"), " d"]),
        ("(a | b)", [("round", "a ", ("bar",), " b")]),
        (r"\(a\)", ["(a)"]),
        (r"(\(a\):1)", [("round", "(a):1")]),
        (r"(a \) b)", [("round", "a ) b")]),
        (r"(a\:b)", [("round", "a:b")]),  # in a group a backslash keeps a colon from meaning anything
        (r"a\:b", [r"a\:b"]),  # outside it would mean nothing anyway
        (r"\(a", [r"\(a"]),  # a bracket that is never closed would not have acted
        (r"(a\)", ["(a)"]),  # ... and one that would have been closed here is literal
        ("(a", ["(a"]),
        ("a) b", ["a) b"]),
        ("(a [b) c]", [("round", "a [b"), " c]"]),
        ("[a (b] c)", [("square", "a (b"), " c)"]),
        ("(a ```)``` b)", [("round", "a ```)``` b")]),
        (r"(a \| b)", [("round", "a | b")]),
        (r"((a\))", ["(", ("round", "a)")]),
    ],
)
def test_brackets_nest(text, expected):
    assert scanned(text, NESTED) == expected


@pytest.mark.parametrize(
    "text",
    ["f(x:2)", "(a)", "hi :(", r"\(x\)", "(John 3:16)", "(see (a) and b)", r"f\(x:2\)", "((((", "a:1)"],
)
def test_a_pair_that_is_not_accepted_is_text_with_its_backslashes(text):
    assert scanned(text, CAREFUL) == [text]


def test_what_is_in_a_pair_that_is_not_accepted_may_act():
    assert scanned("(see (a:2))", CAREFUL) == ["(see ", ("round", "a:2"), ")"]
    assert scanned(r"\(a:2\) \(b:2)", CAREFUL) == ["(a:2) (b:2)"]


def test_the_modes():
    assert scanned("[a] (b) |", NESTED, "safe") == ["[a] ", ("round", "b"), " ", ("bar",)]
    assert scanned(r"[a] (b) | \| \(", NESTED, "off") == [r"[a] (b) | \| \("]
    full_only = replace(BAR, full=frozenset({"bar"}))
    assert scanned(r"a|b \|", full_only, "safe") == [r"a|b \|"]
    assert scanned(r"a|b \|", full_only) == ["a", ("bar",), "b |"]


def test_patterns_may_be_kept_out_of_brackets():
    """What stands in the brackets is left as it is typed, for those who know them."""
    outside = replace(BAR, outside="()[]{}")
    assert scanned(r"a | (b | \| [c | d]) | {e|f} :( | [g \| h", outside) == [
        "a ", ("bar",), r" (b | \| [c | d]) ", ("bar",), " {e|f} :( ", ("bar",), " [g | h",
    ]  # fmt: skip


def test_brackets_that_are_never_closed_are_told_by_column():
    assert Prompt.of("ab (c [d) e").scan(NESTED).warnings == ('Column 7: "[" is never closed.',)
    assert Prompt.of("a ) b").scan(NESTED).warnings == ()
    assert len(Prompt.of("(" * 1000).scan(ROUND).warnings) == 10


def test_no_construct_is_all_literal():
    assert Prompt.of(r"a | \| b").scan(Syntax()).parts == (Piece(r"a | \| b", (0, 8)),)
    assert Prompt().scan(BAR).parts == ()


# -- extensions take their constructs out in turn ----------------------------------------------------------


def test_a_prompt_is_scanned_again_without_losing_spans_weights_and_locks():
    first = Prompt.of(r"a ____ (b \____ | c) d").scan(BOTH)
    assert [part.name for part in first.parts if isinstance(part, Construct)] == ["gap"]
    filled = tuple(
        Piece("(x|y)", None, 1.0, True) if isinstance(part, Construct) else part for part in first.parts
    )
    prompt = Prompt((*filled[:2], *(replace(piece, weight=2.0) for piece in filled[2:])))
    assert prompt.text == "a (x|y) (b ____ | c) d"
    scan = prompt.scan(NESTED)
    assert shown(scan.parts) == ["a (x|y) ", ("round", "b ____ ", ("bar",), " c"), " d"]
    (group,) = (part for part in scan.parts if isinstance(part, Construct))
    assert group.span == (7, 20) and {piece.weight for piece in group.pieces} == {2.0}
    assert "".join(piece.text for piece in group.pieces) == "(b ____ | c)"
    assert [piece.text for piece in prompt.scan(NESTED).literal if piece.locked] == ["(x|y)"]
    assert shown(Prompt(group.pieces).scan(BOTH).parts) == ["(b ____ | c)"], "what was escaped stays literal"


def test_constructs_reach_over_pieces_and_locked_text_is_not_looked_into():
    prompt = Prompt((Piece("(a ", (0, 3)), Piece(") | ```", None, locked=True), Piece(" b)", (9, 12))))
    assert shown(prompt.scan(NESTED).parts) == [("round", "a ) | ``` b")]
    assert Prompt((Piece("\\", locked=True), Piece("|"))).scan(BAR).acts, "a locked backslash escapes nothing"


@settings(max_examples=300, deadline=None)
@given(text=PIECES, mode=st.sampled_from(["safe", "full"]))
@example(r"\\|```\|```|", "full")
def test_spans_tell_where_everything_stood(text, mode):
    for syntax in (NESTED, Syntax({**BAR.patterns, **BOTH.patterns}), CAREFUL, BOTH):
        at = 0
        for part in Prompt.of(text).scan(syntax, mode).parts:
            start, end = part.span
            dropped = text[at:start]
            assert dropped in ("", "\\") and end > start
            pieces = part.pieces if isinstance(part, Construct) else (part,)
            assert "".join(piece.text for piece in pieces) == text[start:end]
            assert not dropped or part.locked, "what was escaped is locked"
            at = end
        assert at == len(text)


@settings(max_examples=300, deadline=None)
@given(text=PIECES)
@example(r"(\)\)")
def test_text_in_which_nothing_acts_comes_out_byte_for_byte(text):
    for syntax in (BAR, BOTH, NESTED, CAREFUL):
        scan = Prompt.of(text).scan(syntax)
        if not scan.acts and "\\" not in text:
            assert scan.parts == Prompt.of(text).pieces
        assert Prompt.of(text).scan(syntax, "off").parts == Prompt.of(text).pieces
        again = Prompt(scan.literal).scan(syntax)
        if not scan.acts:
            assert not again.acts and Prompt(again.literal).text == Prompt(scan.literal).text


@settings(max_examples=300, deadline=None)
@given(text=PIECES)
def test_only_a_backslash_that_did_something_is_removed(text):
    fences = [match.span() for match in FENCE.finditer(text)]
    expected = re.sub(r"\\\|", lambda m: m[0] if any(a <= m.start() < b for a, b in fences) else "|", text)
    scan = Prompt.of(text).scan(BAR)
    pieces = (part.pieces if isinstance(part, Construct) else (part,) for part in scan.parts)
    assert "".join(piece.text for some in pieces for piece in some) == expected


def printed(parts) -> str:
    """The parts as one would type them, in full mode: backslashes before what would act."""
    text = ""
    for part in parts:
        if isinstance(part, Construct):
            inner = printed(part.parts)
            text += {"bar": "|", "round": f"({inner})", "square": f"[{inner}]"}[part.name]
        else:
            text += re.sub(r"(?=[|])", r"\\", part.text)
    return text


@settings(max_examples=300, deadline=None)
@given(text=PIECES)
def test_printing_and_scanning_again_is_the_identity(text):
    text = re.sub(r"[\\`()\[\]]", "", text)
    first = Prompt.of(text).scan(NESTED)
    assert shown(Prompt.of(printed(first.parts)).scan(NESTED).parts) == shown(first.parts)


@st.composite
def trees(draw, depth: int = 3) -> str:
    """Balanced text of brackets and escapes."""
    kinds = ["word"] if depth == 0 else ["word", "round", "square", "escaped", "two"]
    kind = draw(st.sampled_from(kinds))
    if kind == "word":
        return draw(st.sampled_from(["a", " ", "b c", "|", r"\|", ":1"]))
    if kind == "two":
        return draw(trees(depth - 1)) + draw(trees(depth - 1))
    inner = draw(trees(depth - 1))
    return {"round": f"({inner})", "square": f"[{inner}]", "escaped": rf"\({inner}\)"}[kind]


@settings(max_examples=300, deadline=None)
@given(text=trees())
def test_balanced_text_is_printed_and_scanned_again(text):
    first = Prompt.of(text).scan(NESTED)

    def back(parts) -> str:
        out = ""
        for part in parts:
            if isinstance(part, Construct):
                out += {"bar": "|", "round": f"({back(part.parts)})", "square": f"[{back(part.parts)}]"}[
                    part.name
                ]
            else:
                out += "\\" * part.locked + part.text
        return out

    assert back(first.parts).replace("\\:", ":") == text.replace("\\:", ":")
    assert Prompt.of(back(first.parts)).scan(NESTED).parts == first.parts


# -- hostile input ---------------------------------------------------------------------------------------------

HOSTILE = {
    "nested": "(" * 10_000 + ")" * 10_000,
    "mixed": "([" * 10_000 + ")]" * 10_000,
    "opened": "(" * 100_000,
    "closed": ")" * 100_000,
    "backslashes": "\\" * 100_000,
    "escaped": r"\(" * 20_000 + r"\)" * 20_000,
    "backticks": "`" * 100_000,
    "fences": "```a``` | (" * 10_000,
    "bars": "|" * 20_000,
    "underscores": "_" * 100_000 + "a",
    "colons": "(a:" * 30_000,
    "digits": "(a:" + "1" * 100_000 + ")",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_texts_are_read_in_one_pass(text):
    """Quadratic work here would take minutes; the suite's own limit would end it."""
    for syntax in (BAR, BOTH, NESTED, CAREFUL, replace(BAR, outside="()[]")):
        scan = Prompt.of(text).scan(syntax)
        pieces = [part.pieces if isinstance(part, Construct) else (part,) for part in scan.parts]
        assert sum(len(piece.text) for some in pieces for piece in some) <= len(text)
        assert len(scan.warnings) <= 11


def test_brackets_nest_so_deep_and_no_deeper():
    scan = Prompt.of("(" * 100 + "a" + ")" * 100).scan(ROUND)
    depth, parts = 0, scan.parts
    while isinstance(parts[0], Construct):
        depth, parts = depth + 1, parts[0].parts
    assert depth == MAX_DEPTH and "".join(p.text for p in parts) == "(" * 36 + "a" + ")" * 36
    assert scan.warnings == ("Column 65: brackets are nested more than 64 deep.",)
