"""Emphasis: what acts in a prompt, and that each method is what its reference says."""

from __future__ import annotations

import math
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from extensions.emphasis import Emphasis
from extensions.emphasis.syntax import SYNTAX, weighed
from tests.contract.program import finished, program, write
from tests.extensions.seen import alone_as_together, calls_of
from tests.reference import emphasis
from tests.reference.llada_model import reference_logits
from tests.tiny_checkpoints import MASK
from webui.core.prompt import Prompt
from webui.core.request import Cell
from webui.extension.registry import Registry
from webui.extension.row import Row
from webui.extension.typed import Typed
from webui.settings import ROOT

REGISTRY = Registry(ROOT / "extensions")
METHODS = ("attention", "contrast", "vocabulary")


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    app = program(tmp_path_factory.mktemp("emphasis"), families=("LLaDA", "LLaDA2"), dtype="float64")
    yield app
    app.close()


def prepared(prompt: str, syntax: str = "safe", method: str = "attention", **more) -> Row:
    request = REGISTRY.Request(prompt=prompt, syntax=syntax, seed=1, emphasis={"method": method}, **more)
    return REGISTRY.prepare(Row(Cell("0", request), request, {"main": Prompt.of(prompt)}))


def joined(prompt: Prompt) -> list[tuple[str, float]]:
    """Runs of equal weight."""
    found: list[tuple[str, float]] = []
    for piece in prompt.pieces:
        if found and abs(found[-1][1] - piece.weight) < 1e-9:
            found[-1] = (found[-1][0] + piece.text, piece.weight)
        elif piece.text:
            found.append((piece.text, piece.weight))
    return found


def runs(prompt: Prompt) -> str:
    """Runs of equal weight: text@weight, or only the text where it is 1."""
    return "|".join(text if weight == 1 else f"{text}@{weight:.6g}" for text, weight in joined(prompt))


def read(text: str, syntax: str) -> str:
    return runs(weighed(Prompt.of(text).scan(SYNTAX, syntax).parts))


# -- the grammar ---------------------------------------------------------------------------------------------


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
        ("(a:nan)", "a:nan@1.1"),
        ("(a:1e308)", "a:1e308@1.1"),
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
def test_in_full(text, expected):
    assert read(text, "full") == expected


@pytest.mark.parametrize(
    "text",
    [
        "f(x)", "foo(timeout:30)", "(meeting at 10:30)", "(John 3:16)", "(16:9)", "hi :(", "[1]", "[12:30] Alice:",
        "x[0:5]", "a[1:10:2]", r"\[x\]", r"\(x\)", r"\\server\share C:\new", "a = [[0]]", "np.array([[20]])",
        "[[1]](link)", "<div> {'a': 1}", "```\n(a:1.3)\n```", "(a:11)", "(a:-1)", "(:1.3)", "SELECT (a) FROM b",
        "(a:1e308)", "(a:nan)",
    ],
)  # fmt: skip
def test_what_is_literal_in_safe(text):
    assert read(text, "safe") == text


@pytest.mark.parametrize(
    "text, expected",
    [
        ("(a:1.3)", "a@1.3"),
        ("a (big red:1.2) b", "a |big red@1.2| b"),
        ("((a) b:2)", "(a) b@2"),
        ("(a:0)", "a@0"),
        (r"\(a:1.3)", "(a:1.3)"),
    ],
)
def test_what_acts_in_safe(text, expected):
    assert read(text, "safe") == expected


def test_off_is_off():
    assert read(r"(a:1.3) \(b:2)", "off") == r"(a:1.3) \(b:2)"


def test_warnings_say_the_column():
    assert prepared("a (b [c)", "full").notes == ("Column 6: this [ is never closed, so it is text.",)
    assert prepared("(unclosed", "full").notes == ("Column 1: this ( is never closed, so it is text.",)
    assert prepared("hi :( and (a:2)", "safe").notes == ()
    (note,) = prepared("a (b:1.5.2)", "full").notes
    assert note == "Column 3: 1.5.2 is no number, so it is text and the group counts 1.1 times."


def test_what_infill_left_keeps_its_locks_and_spans():
    row = prepared(r"a (big \____ cat:1.2) \[[...]]", "full")
    assert runs(row.prompts["main"]) == "a |big ____ cat@1.2| [[...]]", (
        "what was escaped for infill is text here too"
    )


@pytest.mark.parametrize("method", ["attention", "vocabulary"])
def test_a_weight_below_zero_needs_contrast(method):
    with pytest.raises(ValueError, match="^emphasis: column 4: a weight below 0"):
        prepared("ab (c:-1)", "full", method)
    assert prepared("ab (c:-1)", "full", "contrast").own["emphasis"].contrasts["main"][0][1] == -2


@pytest.mark.parametrize("text", ["(a:2000)", "((a:100):100)", f"(a:{'9' * 18})"])
def test_a_weight_that_is_too_large_is_refused(text):
    with pytest.raises(ValueError, match=r"column 1: a weight is not above 1000\.|column 2: a weight"):
        prepared(text, "full")


@pytest.mark.parametrize(
    "text", ["(" * 10_000, "(" * 10_000 + "a" + ")" * 10_000, "[(" * 5_000, "(a:1.2" * 2_000]
)
def test_brackets_without_end_are_read_or_refused_in_a_sentence(text):
    try:
        prepared(text, "full")
    except ValueError as error:
        assert len(str(error)) < 300 and "column" in str(error)


@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=80))
@settings(max_examples=300, deadline=None)
def test_in_safe_a_text_in_which_nothing_acts_comes_out_byte_for_byte(text):
    scan = Prompt.of(text).scan(SYNTAX, "safe")
    if not scan.acts and "\\" not in text:
        assert weighed(scan.parts).text == text


@given(
    st.recursive(
        st.from_regex(r"[ab,.]([ab:,.1 ]{0,5}[ab,.])?", fullmatch=True).map(
            lambda text: [(text, 1.0)]
        ),  # no blank or colon next to a bracket
        lambda inner: st.tuples(
            st.lists(inner, min_size=1, max_size=3), st.sampled_from([0.0, 0.5, 1.3, 2.0])
        ).map(lambda made: [(text, weight * made[1]) for part in made[0] for text, weight in part]),
        max_leaves=6,
    )
)
@settings(max_examples=200, deadline=None)
def test_printed_and_read_again_it_is_the_same(pieces):
    printed = "".join(_printed(text, weight) for text, weight in pieces)
    first = weighed(Prompt.of(printed).scan(SYNTAX, "full").parts)
    again = weighed(Prompt.of("".join(_printed(*run) for run in joined(first))).scan(SYNTAX, "full").parts)
    assert runs(first) == runs(again)
    assert "".join(piece.text for piece in first.pieces) == "".join(text for text, _ in pieces)


def _printed(text: str, weight: float) -> str:
    escaped = re.sub(r"([()\[\]])", r"\\\1", text)
    return escaped if weight == 1 else f"({escaped.replace(':', chr(92) + ':')}:{weight:.9f})"


# -- on the page ---------------------------------------------------------------------------------------------


def test_marks():
    def found(text: str, method: str = "attention") -> list:
        typed = Typed(text, REGISTRY.Request(syntax="full", emphasis={"method": method}))
        return [(u.start, u.end, u.construct, u.effect) for u in Emphasis.marks(typed)]

    assert found("a (b:1.5)") == [(2, 9, "group", "acts")]
    assert found("((a:2))") == [(0, 7, "group", "acts"), (1, 6, "group", "acts")]
    assert found("(b:-1)") == [(0, 6, "negative", "refused")]
    assert found("(b:-1)", "contrast") == [(0, 6, "group", "acts")]
    assert found("(b:9999)") == [(0, 8, "large", "refused")]
    assert found("(b:1.2.3)") == [(0, 9, "nearly", "acts")]
    assert found("plain :( text") == [(7, 8, "unclosed", "literal")]


# -- attention -----------------------------------------------------------------------------------------------


def prompt_of(app, text: str, request=None) -> tuple[list[int], list[float]]:
    """A prompt of the raw template in tokens, and the weight that the program gives each."""
    from webui.denoising.packing import encode, log_weights

    request = app.Request(prompt=text, template="raw")
    row = app.registry.prepare(Row(Cell("0", request), request, {"main": Prompt.of(text)}))
    encoded = encode(row, "main", app.checkpoints.load(None).tokenizer, MASK)
    logs = log_weights(row, "main", encoded)
    return list(encoded.tokens), [1.0] * len(encoded.tokens) if logs is None else [math.exp(w) for w in logs]


def logits_seen(app, text: str, **fields) -> torch.Tensor:
    """What the model gives for the answer at the first call."""
    network, seen = app.checkpoints.load(None), []
    original = network.head.forward if hasattr(network.head, "forward") else None
    assert original is not None
    hook = network.head.register_forward_hook(lambda module, inputs, output: seen.append(output.clone()))
    try:
        write(app, prompt=text, template="raw", length=6, steps=1, end_of_text="keep", **fields)
    finally:
        hook.remove()
    return seen[0][:6]


@pytest.mark.parametrize(
    "text", ["the (cat:2) sat", "(the cat:0) sat", "(the:3) cat (sat:0) in", "(a (b:2):1) c"]
)
def test_a_whole_weight_is_the_token_that_many_times(app, text):
    tokens, weights = prompt_of(app, text)
    assert any(weight != 1 for weight in weights)
    folder = app.checkpoints.entry(None).folder

    def model(tokens, positions):
        return reference_logits(folder, tokens, dtype=torch.float64, positions=positions)

    expected = emphasis.attended(model, tokens, [round(weight) for weight in weights], [MASK] * 6)
    assert (logits_seen(app, text) - expected).abs().max() < 1e-5
    other = emphasis.attended(model, tokens, [1] * len(tokens), [MASK] * 6)
    assert (expected - other).abs().max() > 1e-3, "the weight matters"


@pytest.mark.parametrize(
    "mutant", [{"copies": lambda w: w + 1}, {"copies": lambda w: max(w, 1)}, {"copies": lambda w: min(w, 1)}]
)
def test_mutants_of_the_reference_are_told_apart(app, monkeypatch, mutant):
    for name, function in mutant.items():
        monkeypatch.setattr(emphasis, name, function)
    with pytest.raises((AssertionError, IndexError)):
        test_a_whole_weight_is_the_token_that_many_times(app, "the (cat:2) sat (on:0) it")


def test_weights_of_one_change_nothing(app):
    plain = write(app, prompt="the cat sat", temperature=0.9)
    for method in METHODS:
        same = write(app, prompt="the (cat:1) sat", temperature=0.9, emphasis={"method": method})
        assert same.text == plain.text
    assert Emphasis.neutral(prepared("the (cat:1) sat", method="contrast"))


def test_attention_costs_no_row_and_no_link(app):
    for calls in (calls_of(app, "the (cat:2) sat"), calls_of(app, "the cat sat")):
        assert all(len(call) == 1 for call in calls)
    assert Emphasis.neutral(prepared("the (cat:2) sat"))


def test_it_acts_in_negative_prompts_and_parts_and_schedules():
    row = prepared(
        "a (cat:2) [(dog:3):(cow:0):0.5] AND (rain:1.5)",
        prompt_and={"enabled": True},
        guidance={"scale": 2.0, "negative_prompt": "(bird:0.5)"},
    )
    found = {name: runs(prompt) for name, prompt in row.prompts.items()}
    assert found["negative"] == "bird@0.5"
    assert "rain@1.5" in found.values()
    assert any(text.startswith("a |cat@2| |dog@3") for text in found.values())
    assert any(text.startswith("a |cat@2| |cow@0") for text in found.values())
    row = prepared("([a:b:0.5]:1.3)", "full")
    assert {runs(prompt) for prompt in row.prompts.values()} == {"a@1.3", "b@1.3"}


@pytest.mark.parametrize("method", METHODS)
def test_rows_of_one_batch_are_what_each_is_alone(app, method):
    fields = {"length": 8, "steps": 4, "temperature": 0.9, "emphasis": {"method": method}}
    requests = [
        app.Request(prompt=prompt, seed=seed, **fields, **more)
        for seed, (prompt, more) in enumerate(
            [
                ("the (cat:2) sat", {}),
                ("(a:0.5) much longer prompt about (rain:3)", {}),
                ("plain", {}),
                ("(the cat:0) sat", {"guidance": {"negative_prompt": "a (dog:2)", "scale": 2.0}}),
                ("the ____ sat", {"infill": {"about": "(cat:2)"}}),
                ("a (cat:1.5) AND (rain:0.5)", {"prompt_and": {"enabled": True}}),
                ("[(a:2):b:0.5]", {}),
            ]
        )
    ]
    alone_as_together(app, requests)


@pytest.mark.parametrize("model", ["LLaDA", "LLaDA2"])
def test_gaps_matrix_blocks_and_a_weighted_negative_prompt_in_one_request(app, model):
    """Prompts of several lengths in one batch, so rows are padded; LLaDA2 sees blocks causally."""

    def request(weight: float):
        return app.Request(
            model=model,
            prompt="the ____ sat | in [[...3]] rain",
            seed=1,
            temperature=0.9,
            steps=3,
            prompt_matrix={"enabled": True},
            infill={"about": f"a (cat:{weight}), big"},
            guidance={"scale": 2.0, "negative_prompt": "a (much longer:3) dog in the house"},
        )

    alone_as_together(app, [request(3), request(0)])
    first, second = ([part.text for part in finished(app, request(w)).parts] for w in (3, 0))
    assert len(first) == 2 and first != second, "the weight matters"


# -- contrast ------------------------------------------------------------------------------------------------


def test_contrast_is_the_formula():
    logits = {name: torch.randn(3, 7, dtype=torch.float64) for name in ("all", "a", "b")}
    expected = emphasis.contrasted(logits["all"], {0.5: logits["a"], 2.0: logits["b"]})
    by_hand = logits["all"] - 0.5 * (logits["all"] - logits["a"]) + 1.0 * (logits["all"] - logits["b"])
    assert torch.allclose(expected, by_hand)


def test_contrast_at_zero_writes_as_attention_at_zero(app):
    """Both are the prompt without the span, its positions kept."""
    some = {"prompt": "the (cat:0) sat in the rain", "temperature": 0.9, "length": 12}
    texts = [write(app, **some, emphasis={"method": method}).text for method in ("contrast", "attention")]
    assert texts[0] == texts[1]
    assert write(app, **{**some, "prompt": "the cat sat in the rain"}).text != texts[0]


def test_contrast_takes_one_row_for_each_weight_and_only_where_it_acts(app):
    calls = calls_of(app, "the (cat:2) (sat:2) (in:0.5)", emphasis={"method": "contrast"})
    assert all(len(call) == 3 for call in calls)
    for prompt in ("the cat", "the (cat:0)"):
        calls = calls_of(app, prompt, emphasis={"method": "contrast"})
        assert all(len(call) == 1 for call in calls)


# -- vocabulary ----------------------------------------------------------------------------------------------


def words_there(app) -> list[str]:
    """Words of letters that are one token here."""
    texts = app.checkpoints.load(None).words
    return sorted({text.strip().lower() for text in texts if re.fullmatch(r" ?[A-Za-z]{1,}", text)})


def test_vocabulary_says_that_weights_in_the_negative_prompt_do_nothing():
    row = prepared(
        "a (fox:2)", method="vocabulary", guidance={"negative_prompt": "rain (sun:2)", "scale": 2.0}
    )
    assert row.prompts["negative"].text == "rain sun"
    assert [note for note in row.notes if "negative prompt has no effect" in note and "Column 6" in note]
    assert set(row.own["emphasis"].words) == {"main"}
    typed = Typed("rain (sun:2)", row.request, "guidance.negative_prompt")
    assert [(mark.construct, mark.effect) for mark in Emphasis.marks(typed)] == [("base", "literal")]
    assert [mark.construct for mark in Emphasis.marks(Typed("(sun:2)", row.request))] == ["group"]


def test_vocabulary_raises_words_and_zero_bans_them(app):
    word = words_there(app)[0]
    fields = {"temperature": 0.8, "length": 24, "steps": 8, "end_of_text": "ban", "count": 4, "seed": 1}

    def share(weight: float) -> float:
        request = app.Request(
            prompt=f"x ({word}:{weight})", emphasis={"method": "vocabulary", "strength": 20.0}, **fields
        )
        texts = [part.text.lower() for part in finished(app, request).parts]
        return sum(text.count(word) for text in texts)

    assert share(0) == 0 < share(10)


def test_a_word_of_several_tokens_is_named(app):
    made = write(app, prompt="(unbelievably:2)", emphasis={"method": "vocabulary"})
    assert made.extras["emphasis"] == {"several_tokens": "unbelievably"}
