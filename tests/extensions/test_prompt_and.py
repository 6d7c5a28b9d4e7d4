"""AND: what splits, and that the text is the one of the formula, computed slowly one prompt at a time."""

from __future__ import annotations

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from extensions.prompt_and import PromptAnd
from extensions.prompt_and.parts import MOST, SYNTAX, split
from tests.contract.program import finished, program, write
from tests.extensions.seen import alone_as_together, calls_of
from tests.extensions.test_guidance import LENGTH, frame, tokens
from tests.reference.guidance import adaptive, composed
from tests.reference.llada import sample
from tests.reference.llada_model import reference_logits
from tests.tiny_checkpoints import MASK
from webui.core.prompt import Prompt
from webui.core.request import Cell
from webui.extension.registry import Registry
from webui.extension.row import Row
from webui.extension.typed import Typed
from webui.settings import ROOT

REGISTRY = Registry(ROOT / "extensions")
ON = {"enabled": True}


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    app = program(tmp_path_factory.mktemp("and"), dtype="float64")
    yield app
    app.close()


def parts(text: str, mode: str = "safe") -> list[tuple[str, float]]:
    return [(part.prompt.text, part.weight) for part in split(Prompt.of(text).scan(SYNTAX, mode).parts, mode)]


@pytest.mark.parametrize(
    "text, expected",
    [
        ("a :1.2 AND b :-0.5", [("a", 1.2), ("b", -0.5)]),
        ("a AND b", [("a", 1.0), ("b", 1.0)]),
        ("a:2AND b", [("a:2AND b", 1.0)]),
        ("a:2 AND b: 3 AND c:.5", [("a", 2.0), ("b", 3.0), ("c", 0.5)]),
        ("a\nAND\nb", [("a", 1.0), ("b", 1.0)]),
        ("a and b", [("a and b", 1.0)]),
        ("aANDb, BAND, ANDY", [("aANDb, BAND, ANDY", 1.0)]),
        (r"a \AND b AND c", [("a AND b", 1.0), ("c", 1.0)]),
        ("(a AND b:1.3) AND c", [("(a AND b:1.3)", 1.0), ("c", 1.0)]),
        ("[a AND b:c:0.5] AND {a AND b}", [("[a AND b:c:0.5]", 1.0), ("{a AND b}", 1.0)]),
        ("```a AND b``` AND c", [("```a AND b```", 1.0), ("c", 1.0)]),
        ("at 10:30 AND John 3:16", [("at 10:30", 1.0), ("John 3:16", 1.0)]),
        ("a :1e3 AND b :1.2.3", [("a :1e3", 1.0), ("b :1.2.3", 1.0)]),
        ("a, AND b", [("a,", 1.0), ("b", 1.0)]),
        ("猫 AND 犬:0.5", [("猫", 1.0), ("犬", 0.5)]),
    ],
)
def test_what_splits_and_what_is_a_weight(text, expected):
    assert parts(text) == expected


def test_in_full_a_weight_may_follow_a_digit():
    assert parts("R2:0.5 AND b", "full") == [("R2", 0.5), ("b", 1.0)]
    assert parts("a AND b", "off") == [("a AND b", 1.0)]


def prepared(prompt: str, syntax: str = "safe", enabled: bool = True) -> Row:
    request = REGISTRY.Request(prompt=prompt, syntax=syntax, seed=1, prompt_and={"enabled": enabled})
    return PromptAnd.prompt(Row(Cell("0", request), request, {"main": Prompt.of(prompt)}))


@settings(max_examples=300, deadline=None)
@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=200), st.sampled_from(["safe", "full", "off"])
)
def test_text_without_and_comes_out_byte_for_byte(text, mode):
    if "AND" not in text:
        row = prepared(text, mode)
        assert row.prompts["main"].text == text and PromptAnd.neutral(row)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM t WHERE a = 1 AND b = 'x:2' AND c IN (1, 2)",
        "if (a AND b) { return x[0:5]; }",
        "[12:30] Alice: this AND that\n[12:31] Bob: :)",
        "See [1], [2:3] AND (Smith 2020: 15).",
        r"\AND $a \AND b$ \\server\AND",
        '{"AND": ["a:1", "b"]}',
    ],
)
def test_off_it_leaves_everything_alone(text):
    row = prepared(text, enabled=False)
    assert row.prompts["main"].text == text and set(row.prompts) == {"main"} and PromptAnd.neutral(row)


WORDS = st.text("abcdef ,.é猫", min_size=1, max_size=12).filter(lambda text: text.strip())
WEIGHTS = st.none() | st.decimals(-20, 20, places=2)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(WORDS, WEIGHTS), min_size=2, max_size=MOST))
def test_what_is_written_is_read_again(given_parts):
    text = " AND ".join(word + (f" :{weight}" if weight is not None else "") for word, weight in given_parts)
    expected = [(word.strip(), 1.0 if weight is None else float(weight)) for word, weight in given_parts]
    assert parts(text) == expected
    row = prepared(text)
    assert [prompt.text for prompt in row.prompts.values()] == [word for word, _ in expected]
    assert row.own["prompt_and"] == {"main": tuple(weight for _, weight in expected)}


@pytest.mark.parametrize(
    "prompt, sentence",
    [
        ("a AND ", "column 3: there is no text beside this AND; write \\AND for the word."),
        ("AND b", "column 1: there is no text beside this AND"),
        ("a AND :2 AND b", "column 3: there is no text beside this AND"),
        ("a AND b :999", "column 9: a weight is from -20 to 20."),
        ("a :" + "9" * 20 + " AND b", "column 3: a weight is from -20 to 20."),
        (" AND ".join("a" * (MOST + 1)), f"column 93: more than {MOST} parts."),
        (" AND " * 10_000, "column 2: there is no text beside this AND"),
    ],
)
def test_what_is_refused_says_where(app, prompt, sentence):
    result = finished(app, app.Request(prompt=prompt, seed=1, length=4, prompt_and=ON))
    assert sentence in str(result.error)


def slowly(app, named: dict[str, list], scale: float, base: list) -> list[int]:
    """The answer's tokens by the formula: `named` main and negative parts as (prompt, weight)."""
    folder = app.checkpoints.entry(None).folder
    first = frame(app, named["main"][0][0])

    def logits_of(before: list[int], answer: torch.Tensor) -> torch.Tensor:
        whole = torch.cat([torch.tensor([before]), answer], 1)
        return reference_logits(folder, whole, dtype=torch.float64)[:, len(before) :]

    def combined(parts: list, under: torch.Tensor, answer: torch.Tensor, by: float) -> torch.Tensor:
        made = [logits_of(frame(app, text), answer) for text, _ in parts]
        return composed(under, made, [weight for _, weight in parts], by)

    def logits_fn(tokens: torch.Tensor) -> torch.Tensor:
        answer = tokens[:, len(first) :]
        under = logits_of(base, answer)
        if "negative" in named:
            under = combined(named["negative"], under, answer, 1.0)
        logits = combined(named["main"], under, answer, scale)
        return torch.cat([logits.new_zeros(1, len(first), logits.shape[2]), logits], 1)

    canvas = torch.tensor([first + [MASK] * LENGTH])
    done = sample(
        logits_fn, canvas, len(first), steps=LENGTH, block_length=LENGTH, mask_id=MASK, banned=(MASK,)
    )
    return done[0, len(first) :].tolist()


TWO = [("a cat", 1.2), ("the sea", -0.5)]
NEGATIVE = [("rain", 1.0), ("snow at night", 0.7), ("x", -0.4)]


def typed(some: list) -> str:
    return " AND ".join(f"{text} :{weight}" for text, weight in some)


@pytest.mark.parametrize("scale", [None, 1.0, 2.5])
@pytest.mark.parametrize("weights", [(1.2, -0.5), (1.0, 1.0), (0.3, 0.7), (0.0, 1.5)])
def test_the_formula(app, scale, weights):
    some = [(text, weight) for (text, _), weight in zip(TWO, weights, strict=True)]
    options = {} if scale is None else {"scale": scale}
    result = made(app, typed(some), **options)
    assert tokens(result) == slowly(app, {"main": some}, scale or 1.0, frame(app, None, masked=some[0][0]))


@pytest.mark.parametrize("negative", [NEGATIVE[:1], NEGATIVE])
@pytest.mark.parametrize("main", [TWO[:1], TWO])
def test_the_formula_in_the_negative_prompt_too(app, main, negative):
    text = "a cat" if len(main) == 1 else typed(main)
    against = "rain" if len(negative) == 1 else typed(negative)
    main = [("a cat", 1.0)] if len(main) == 1 else main
    result = made(app, text, scale=2.0, negative_prompt=against)
    named = {"main": main, "negative": negative}
    assert tokens(result) == slowly(app, named, 2.0, frame(app, None, masked=main[0][0]))


def made(app, prompt: str, **options):
    fields = {"prompt": prompt, "length": LENGTH, "block_length": LENGTH, "end_of_text": "keep"}
    return write(app, **fields, prompt_and=ON, guidance=options)


def rows(app, prompt: str, **fields) -> list[int]:
    return [len(call) for call in calls_of(app, prompt, prompt_and=ON, **fields)]


def test_all_parts_and_the_base_are_rows_of_one_forward_pass(app):
    assert rows(app, "a AND b") == [3] * 10
    assert rows(app, "a :0.3 AND b :0.7") == [2] * 10, "the base cancels out"
    assert rows(app, "a AND b", guidance={"scale": 2.0}) == [3] * 10
    assert rows(app, "a AND b", guidance={"scale": 2.0, "negative_prompt": "c"}) == [3] * 10
    assert rows(app, "a AND b", guidance={"scale": 2.0, "negative_prompt": "c AND d"}) == [5] * 10
    assert rows(app, "a", guidance={"scale": 2.0, "negative_prompt": "c AND d"}) == [4] * 10
    assert rows(app, "a", guidance={"scale": 2.0, "start": 0.5}) == [1] * 5 + [2] * 5
    assert rows(app, "a AND b", guidance={"scale": 2.0, "start": 0.5}) == [3] * 10
    assert rows(app, "a") == [1] * 10, "a single part needs no base"


def test_each_part_has_its_own_schedule(app):
    calls = calls_of(app, "[a:b:0.5] AND c[d:0.3]", prompt_and=ON)
    texts = [sorted(text for _, text in call) for call in calls]
    expected = [["ab"[i >= 5], "cd" if i >= 3 else "c"] for i in range(10)]
    assert [[text for text in some if not re.search("mdm", text)][-2:] for some in texts] == expected


def test_rows_of_one_batch_are_what_they_are_alone(app):
    guided = {"scale": 2.0, "negative_prompt": "rain AND [snow:the sun:0.5]"}
    doubting = {"scale": 1.5, "adaptive": 0.4, "rescale": 0.5}
    prompts = ["a cat AND the sea", "plain", "a :0.5 AND b :0.5 AND c :-1", "[a:b:0.4] AND c"]
    common = {"syntax": "full", "temperature": 0.8, "end_of_text": "keep", "seed": 2, "prompt_and": ON}
    requests = [
        app.Request(prompt=prompt, length=6 + i + j, guidance=options, **common)
        for i, prompt in enumerate(prompts)
        for j, options in enumerate(({}, guided, doubting, {**guided, "adaptive": 0.3, "start": 0.3}))
    ]
    alone_as_together(app, requests)


def test_marks_say_what_separates_and_what_is_refused():
    def found(text: str, **options) -> list[tuple[int, int, str, str]]:
        typed = Typed(text, REGISTRY.Request(prompt_and=options))
        return [(u.start, u.end, u.construct, u.effect) for u in PromptAnd.marks(typed)]

    assert found("a :1.2 AND b", enabled=True) == [(2, 6, "weight", "acts"), (7, 10, "and", "acts")]
    assert found("a AND ", enabled=True) == [(2, 5, "empty", "refused")]
    assert found("a AND b :99", enabled=True) == [(8, 11, "large", "refused")]
    assert found("a AND b") == []


def test_adaptive_guidance_is_the_reference_with_and_without_a_negative_prompt(app):
    folder = app.checkpoints.entry(None).folder
    before = frame(app, "a cat")

    def logits_fn(tokens: torch.Tensor) -> torch.Tensor:
        return reference_logits(folder, tokens, dtype=torch.float64)

    canvas = torch.tensor([before + [MASK] * LENGTH])
    given_ = torch.arange(canvas.shape[1])[None] < len(before)
    for rho in (0.2, 0.5, 1.0):
        done = sample(
            adaptive(logits_fn, given_, 3.0, rho, MASK),
            canvas,
            len(before),
            steps=LENGTH,
            block_length=LENGTH,
            mask_id=MASK,
            banned=(MASK,),
        )
        result = write(
            app,
            prompt="a cat",
            length=LENGTH,
            block_length=LENGTH,
            end_of_text="keep",
            guidance={"scale": 3.0, "adaptive": rho},
        )
        assert tokens(result) == done[0, len(before) :].tolist()
    away = {"scale": 3.0, "negative_prompt": "rain"}
    assert tokens(made(app, "a cat", **away)) != tokens(made(app, "a cat", **away, adaptive=0.5))


def test_the_base_of_adaptive_guidance_is_a_pass_of_its_own_where_it_counts(app):
    assert rows(app, "a", guidance={"scale": 2.0, "adaptive": 0.5}) == [1] + [1, 1] * 9
    options = {"scale": 2.0, "adaptive": 0.5, "start": 0.5}
    assert rows(app, "a", guidance=options) == [1] * 5 + [1, 1] * 5
    options = {"scale": 2.0, "adaptive": 0.5, "negative_prompt": "b AND c"}
    assert rows(app, "a", guidance=options) == [1, 3] * 10


def test_rescale_acts_and_zero_is_off(app):
    plain = made(app, "a cat", scale=4.0)
    assert made(app, "a cat", scale=4.0, rescale=0.0).trace == plain.trace
    assert made(app, "a cat", scale=4.0, rescale=0.7).trace != plain.trace
