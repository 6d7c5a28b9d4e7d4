"""Schedules: every row of the specification, as the texts that the model is given call by call."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extensions.prompt_schedule import PromptSchedule
from extensions.prompt_schedule.timeline import MOST, SYNTAX, read, times
from tests.contract.program import finished, program, write
from tests.extensions.seen import alone_as_together, calls_of, prompts_per_call
from webui.core.prompt import Prompt
from webui.core.request import Cell
from webui.extension.registry import Registry
from webui.extension.row import Row
from webui.extension.typed import Typed
from webui.settings import ROOT

REGISTRY = Registry(ROOT / "extensions")


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    app = program(tmp_path_factory.mktemp("schedule"), dtype="float64")
    yield app
    app.close()


@pytest.mark.parametrize(
    "prompt, texts",
    [
        ("[a:b:0.5]", ["a"] * 5 + ["b"] * 5),
        ("[a:b:5]", ["a"] * 5 + ["b"] * 5),
        ("[b:0.5]", [""] * 5 + ["b"] * 5),
        ("[:b:0.5]", [""] * 5 + ["b"] * 5),
        ("[a::0.5]", ["a"] * 5 + [""] * 5),
        ("[a:b:1]", ["a"] + ["b"] * 9),
        ("[a:b:1.0]", ["a"] * 10),
        ("[a:b:0]", ["b"] * 10),
        ("[a:b:15]", ["a"] * 10),
        ("[a:b:0.25]", ["a"] * 3 + ["b"] * 7),
        ("[a:b: .3 ]", ["a"] * 3 + ["b"] * 7),
        ("[a:[b:c:0.7]:0.3]", ["a"] * 3 + ["b"] * 4 + ["c"] * 3),
        ("x [a:b:0.5] y [c:d:0.3]", ["x a y c"] * 3 + ["x a y d"] * 2 + ["x b y d"] * 5),
        ("[a|b|c]", ["a", "b", "c"] * 3 + ["a"]),
        ("[[a|b]:c:0.3]", ["a", "b", "a"] + ["c"] * 7),
        ("[a|b] [c|d|e]", [f"{'ab'[i % 2]} {'cde'[i % 3]}" for i in range(10)]),
        (r"[a\|b|c]", ["a|b", "c"] * 5),
        (r"[a\:b:c:0.5]", ["a:b"] * 5 + ["c"] * 5),
        ("[a:b]", ["a:b"] * 10),  # no schedule, but emphasis of the mode full
        ("[a:b:x]", ["a:b:x"] * 10),
        ("[a:b:c:0.5]", ["a:b:c:0.5"] * 10),
        ("time 10:30", ["time 10:30"] * 10),
        ("[a:b:-1]", ["a:b:-1"] * 10),
        ("[a:b:0.5", ["[a:b:0.5"] * 10),
        (r"\[a:b:0.5\]", ["[a:b:0.5]"] * 10),
        ("```[a:b:0.5]```", ["```[a:b:0.5]```"] * 10),
    ],
)
def test_the_text_of_each_model_call(app, prompt, texts):
    assert prompts_per_call(app, prompt) == texts


def timeline(prompt: str, syntax: str = "full") -> list[str]:
    """The different texts of a prompt, as the extension gives them to emphasis."""
    return [prompt.text for prompt in times(read(Prompt.of(prompt).scan(SYNTAX, syntax).parts))[1]]


def test_within_emphasis_each_text_keeps_the_group_around_it():
    assert timeline("([a:b:0.5]:1.3)") == ["(a:1.3)", "(b:1.3)"]
    assert timeline("[(a:1.3):(b:2):0.5]") == ["(a:1.3)", "(b:2)"]
    assert timeline("[(a, b:1.2)|c]") == ["(a, b:1.2)", "c"]
    assert timeline("[hi :(:b:0.5]") == ["[hi :(:b:0.5]"], "three colons: no schedule"


@pytest.mark.parametrize(
    "text",
    [
        "[12:30] Alice: hi",
        "[12:30:01.5] Alice: hi",
        "x[0:5]",
        "a[1:10:2]",
        "a[1:10:0.5]",
        "[a|b]",
        "| a | b |",
        "[a:b:5]",
        "SELECT a[1:2] FROM t WHERE x LIKE '[a-z]'",
        "[[1]](link) [1] [x] [a](b:c)",
        r"\[x\] \\server\share C:\new",
        '{"a": ["b:c", [1, 2.5]]}',
        "hi :( [",
    ],
)
def test_what_is_literal_in_safe(text):
    row = prepared(text, "safe")
    assert row.prompts["main"].text == text and set(row.prompts) == {"main"}
    assert PromptSchedule.neutral(row)


def test_safe_takes_a_letter_and_a_decimal_point():
    assert timeline("a [red:blue:0.5] cat", "safe") == ["a red cat", "a blue cat"]
    assert timeline("a [red::.5] cat", "safe") == ["a red cat", "a  cat"]
    assert timeline("[red:blue:5]", "safe") == ["[red:blue:5]"]
    assert timeline("[red:blue:0.5]", "off") == ["[red:blue:0.5]"]


def prepared(prompt: str, syntax: str = "full", **fields) -> Row:
    request = REGISTRY.Request(prompt=prompt, syntax=syntax, seed=1, **fields)
    row = Row(Cell("0", request), request, {"main": Prompt.of(prompt)})
    return PromptSchedule.prompt(row)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="ab:|[]()\\.05 1\n`{}é😀", max_size=60))
def test_text_in_which_nothing_acts_comes_out_byte_for_byte(text):
    for mode in ("safe", "full"):
        scan = Prompt.of(text).scan(SYNTAX, mode)
        row = prepared(text, mode)
        if not scan.acts and not any(piece.locked for piece in scan.literal):
            assert row.prompts["main"].text == text
        every = [prompt.text for prompt in row.prompts.values()]
        assert all(len(one) <= len(text) for one in every)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="[]"), max_size=200))
def test_without_square_brackets_nothing_acts(text):
    assert prepared(text, "full").prompts["main"].text == text


@settings(max_examples=200, deadline=None)
@given(st.recursive(st.sampled_from("abc"), lambda inner: st.tuples(inner, inner, st.integers(0, 9))))
def test_what_is_built_is_read_again(tree):
    """A nested schedule means, at each share, what its own definition says."""

    def written(node) -> str:
        return node if isinstance(node, str) else f"[{written(node[0])}:{written(node[1])}:0.{node[2]}]"

    def meant(node, tenth: int) -> str:
        return node if isinstance(node, str) else meant(node[1] if tenth >= node[2] else node[0], tenth)

    parts = read(Prompt.of(written(tree)).scan(SYNTAX, "full").parts)
    line, texts = times(parts)
    for tenth in range(10):
        assert texts[line.text(tenth / 10, tenth)].text == meant(tree, tenth)


def test_the_negative_prompt_and_the_empty_branch_have_their_own(app):
    options = {"scale": 2.0, "negative_prompt": "[u:v:0.3]"}
    calls = calls_of(app, "[a:b:0.5]", guidance=options)
    assert [dict(call) for call in calls] == [
        {("at/1" if i >= 5 else ""): "ab"[i >= 5], ("negative/at/1" if i >= 3 else "negative"): "uv"[i >= 3]}
        for i in range(10)
    ]


def test_within_a_block_the_share_is_of_the_block(app):
    found = prompts_per_call(app, "[a:b:0.4]", block_length=5, prompt_schedule={"scope": "block"})
    assert found == (["a"] * 2 + ["b"] * 3) * 2
    assert prompts_per_call(app, "[a:b:0.4]", block_length=5) == ["a"] * 4 + ["b"] * 6


def test_rows_of_one_batch_have_their_own_schedules(app):
    prompts = ["[a cat:a dog:0.5]", "plain", "[the sea|the moon and the stars]", "[:rain:0.3]", "[x::2]"]
    common = {"syntax": "full", "temperature": 0.8, "end_of_text": "keep", "seed": 2}
    guided = {"scale": 2.0, "negative_prompt": "[rain|snow]"}
    requests = [app.Request(prompt=p, length=6 + 3 * i, **common) for i, p in enumerate(prompts)]
    requests += [app.Request(prompt=p, length=8, guidance=guided, **common) for p in prompts]
    alone_as_together(app, requests)


def test_one_forward_pass_per_step_and_no_more_rows(app):
    calls = calls_of(app, "[a:b:0.5]", guidance={"scale": 2.0})
    assert [len(call) for call in calls] == [2] * 10
    calls = calls_of(app, "[a|b]")
    assert [len(call) for call in calls] == [1] * 10


def test_a_text_goes_on_from_a_trace_with_the_same_schedule(app):
    fields = {"prompt": "[a cat|the sea]", "syntax": "full", "length": 10, "temperature": 0.9}
    whole = write(app, **fields, end_of_text="keep")
    trace = [[c.step, c.column, c.token, c.confidence] for c in whole.trace]
    again = write(app, **fields, end_of_text="keep", canvas={"trace": trace, "step": 5})
    assert again.text == whole.text


@pytest.mark.parametrize(
    "prompt, sentence",
    [
        (
            "x " + "".join(f"[a:b:0.{i:03}]" for i in range(1, 99)),
            f"column 3: the schedule gives the prompt more than {MOST} different texts",
        ),
        ("a [b:c:0.5]" + "[a:b:0.5]" * 3_000, "column 3: the prompt has more than 256 schedules; use fewer."),
        ("[" + "[a:b:0.5]" * 300 + ":c:0.5]", "column 1: the prompt has more than 256 schedules; use fewer."),
        ("".join(f"[{'|'.join('a' * n)}]" for n in (11, 13, 17, 19)), "column 1: the schedule changes"),
    ],
)
def test_too_much_is_refused_with_its_column(app, prompt, sentence):
    result = finished(app, app.Request(prompt=prompt, syntax="full", seed=1, length=4))
    assert sentence in str(result.error)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 10_000,
        "[" * 5_000 + "a:b:0.5" + "]" * 5_000,
        "[a:" * 5_000 + "b:0.5]",
        ":" * 50_000 + "]",
        "[" + "a:" * 20_000 + "0.5]",
        "[a:b:" + "9" * 10_000 + "]",
        "[" + "(" * 20_000 + ":0.5]",
    ],
)
def test_hostile_text_is_read_in_linear_time(text):
    """Counted by the calls Python makes, not by a clock: see the limits of the mode."""
    parts = read(Prompt.of(text).scan(SYNTAX, "full").parts)
    assert sum(1 for _ in parts) <= len(text)


def test_marks_say_what_acts():
    def found(text: str, syntax: str = "full") -> list[tuple[int, int, str]]:
        typed = Typed(text, REGISTRY.Request(syntax=syntax))
        return [(one.start, one.end, one.construct) for one in PromptSchedule.marks(typed)]

    assert found("a [b:c:0.5] d") == [(2, 11, "share")]
    assert found("[b:c:5]") == [(0, 7, "call")] and found("[b:c:5]", "safe") == []
    assert found("[a|b]") == [(0, 5, "turns")]
    assert sorted(found("[[a|b]:c:0.5]")) == [(0, 13, "share"), (1, 6, "turns")]
    assert found("[a:b:c:0.5] [x]") == []


def test_the_row_says_at_which_share_it_changes():
    row = prepared("[a:b:0.5]")
    assert {name: prompt.text for name, prompt in row.prompts.items()} == {"main": "a", "main/at/1": "b"}
    assert row.own["prompt_schedule"]["main"].shares == (0.0, 0.5)
