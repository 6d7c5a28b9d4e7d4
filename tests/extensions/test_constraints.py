"""Constraints: reachability and joint choice against trying everything, and that every finished text
matches, checked by `re` and `jsonschema`."""

from __future__ import annotations

import json
import random
import re
import sys
from collections import Counter
from dataclasses import replace

import jsonschema
import numpy as np
import pytest

from extensions.constraints import joint, reach, rules
from extensions.constraints.automaton import ByteAutomaton, after_optional
from extensions.constraints.tokens import Vocabulary, automaton
from tests.contract import SAMPLERS, crossed
from tests.contract.program import cells, finished, program, write
from tests.reference import constraints as reference
from webui.core.events import Failed
from webui.settings import ROOT

WORDS = ("", "a", "b", "ab", "ba", "c", "")  # the last one ends a text
END = len(WORDS) - 1
PATTERNS = ("(ab)*", "a+b?c", "(a|bc)*a", "[ab]{3,4}", "c|abba", "a?")
BYTES = Vocabulary.of([word.encode() for word in WORDS])


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    folder = tmp_path_factory.mktemp("constraints")
    (folder / "extensions").mkdir()
    for path in (ROOT / "extensions", ROOT / "tests" / "extensions"):
        for name in ("constraints", "infill", "logit_bias", "remasker", "xyz_grid"):
            if (path / name / "__init__.py").is_file():
                (folder / "extensions" / name).symlink_to(path / name)
    app = program(folder, folder / "extensions", ("LLaDA", "BERT"), dtype="float64")
    assert not app.registry.failed
    yield app
    app.close()


def made(pattern: str, end: int | None):
    ends = () if end is None else (end,)
    return automaton(rules.of_regex(pattern), BYTES, BYTES, ends, len(WORDS))


def answers(found, canvas):
    line = np.array([reach.FREE if token == reference.MASKED else found.class_of[token] for token in canvas])
    return reach.Answers(found, line[None], np.array([len(canvas)]), np.zeros((1, len(canvas)), dtype=int))


def canvases(seed: int, count: int):
    luck = random.Random(seed)
    for _ in range(count):
        masked = luck.random()
        yield [
            reference.MASKED if luck.random() < masked else luck.choice((1, 2, 3, 4, 5, END))
            for _ in range(4)
        ]


def differences(ahead=reach.forward, behind=reach.backward) -> int:
    """In how many canvases ours allows other tokens than trying everything does."""
    wrong = 0
    for number, pattern in enumerate(PATTERNS):
        for end in (END, None):
            found = made(pattern, end)
            for canvas in canvases(number, 12):
                if end is None and END in canvas:
                    continue
                answer = answers(found, canvas)
                f, b = ahead(answer), behind(answer)
                wrong += bool(reach.satisfiable(answer)[0]) != reference.satisfiable(
                    WORDS, end, canvas, pattern
                )
                for at, token in enumerate(canvas):
                    if token == reference.MASKED:
                        fits = reach.allowed(found, f[:, at], b[:, at + 1], np.zeros(1, dtype=int))[0]
                        ours = set(np.flatnonzero(fits[found.class_of]).tolist())
                        wrong += ours != reference.allowed(WORDS, end, canvas, at, pattern)
    return wrong


def test_reachability_equals_trying_everything_and_mutants_do_not():
    assert differences() == 0

    def everywhere(answer):
        return np.ones_like(reach.backward(answer))

    def of_masked(step):  # committed tokens are overlooked
        return lambda answer: step(replace(answer, classes=np.full_like(answer.classes, reach.FREE)))

    assert differences(behind=everywhere) > 0
    assert differences(ahead=everywhere) > 0
    assert differences(behind=of_masked(reach.backward)) > 0
    assert differences(ahead=of_masked(reach.forward)) > 0


def test_200_000_joint_choices_are_draws_from_the_restricted_product_and_left_to_right_ones_are_not():
    """A vocabulary of 5 tokens and 6 positions, all of them drawn in one step."""
    words, end, count, draws = ("a", "b", "ab", "c", ""), 4, 6, 200_000
    pattern, places = "(ab|c)*a?", list(range(count))
    vocabulary = Vocabulary.of([word.encode() for word in words])
    found = automaton(rules.of_regex(pattern), vocabulary, vocabulary, (end,), len(words))
    answer = answers(found, [reference.MASKED] * count)
    generator = np.random.default_rng(1)
    shares = generator.dirichlet(np.ones(len(words)), count)
    expected = reference.restricted(
        shares.tolist(), lambda tokens: reference.matches(words, end, tokens, pattern)
    )
    whole = joint.chain(answer, places, np.log(shares))
    assert whole is not None
    numbers = {key: number for number, key in enumerate(expected)}

    def chi_square(tokens):
        """Per degree of freedom and above it, in standard deviations; cells of less than 5 are one."""
        index = np.full(len(words) ** count, -1)
        powers = len(words) ** np.arange(count)
        index[np.array(list(numbers)) @ powers] = list(numbers.values())
        cells = index[tokens @ powers]
        assert cells.min() >= 0  # each one leaves the rule satisfiable
        seen = np.bincount(cells, minlength=len(expected))
        wanted = draws * np.array(list(expected.values()))
        rare = wanted < 5
        seen, wanted = (np.append(one[~rare], one[rare].sum()) for one in (seen, wanted))
        freedom = len(wanted) - 1
        return (((seen - wanted) ** 2 / wanted).sum() - freedom) / (2 * freedom) ** 0.5

    ours = whole.draws(generator.random((draws, count, 2)))
    assert len(expected) > 500 and abs(chi_square(ours)) < 5

    # As a step does it: each position for itself, and only what does not fit is drawn anew.
    alone = np.stack([generator.choice(len(words), draws, p=line) for line in shares], axis=1)
    every = reach.Answers(found, found.class_of[alone], np.full(draws, count), np.zeros_like(alone))
    fits = reach.satisfiable(every)
    assert 0.01 < fits.mean() < 0.99
    assert abs(chi_square(np.where(fits[:, None], alone, ours))) < 5

    # The mutant takes each token as likely as its position says among those that leave a match possible.
    blind = replace(whole, worth=[np.where(line > -np.inf, 0.0, line) for line in whole.worth])
    assert chi_square(blind.draws(generator.random((draws, count, 2)))) > 100


def test_a_joint_choice_of_some_positions_is_a_draw_from_the_restricted_product():
    pattern, places, draws = "(ab|c)*a?", [0, 2, 3], 20_000
    found, canvas = made(pattern, END), [reference.MASKED] * 5
    answer = answers(found, canvas)
    shares = np.random.default_rng(1).dirichlet(np.ones(len(WORDS)), 3)
    shares[:, 0] = 0
    shares /= shares.sum(1, keepdims=True)
    with np.errstate(divide="ignore"):
        scores = np.log(shares)

    def fits(tokens):
        filled = list(canvas)
        for place, token in zip(places, tokens, strict=True):
            filled[place] = token
        return reference.satisfiable(WORDS, END, filled, pattern)

    expected = reference.restricted(shares.tolist(), fits)
    whole = joint.chain(answer, places, scores)
    assert whole is not None
    drawn = Counter(map(tuple, whole.draws(np.random.default_rng(2).random((draws, 3, 2))).tolist()))
    assert set(drawn) <= set(expected)
    square = sum((drawn[key] - draws * share) ** 2 / (draws * share) for key, share in expected.items())
    assert square < len(expected) + 5 * (2 * len(expected)) ** 0.5
    likeliest = max(expected, key=lambda key: expected[key])
    assert joint.chosen(answer, places, scores, True, random.Random(0)) == list(likeliest)


def test_a_joint_choice_that_filters_make_impossible_is_none():
    answer = answers(made("(ab|ba)*", END), [reference.MASKED] * 4)
    scores = np.full((3, len(WORDS)), -np.inf)
    scores[:, 1] = 0.0  # each place alone may be an a, but not all of them
    assert joint.chosen(answer, [0, 1, 2], scores, False, random.Random(0)) is None


def test_a_prefix_that_is_taken_off_the_text():
    for pattern in ("a b", " a", "", "[ a]*", "  x"):
        rule = rules.of_regex(pattern)
        for prefix in (" ", "  ", " a"):
            wrapped = after_optional(rule, prefix)
            for text in ("", " ", "a", " a", "  a", "a b", " a b", "   x", "  x", " a a b"):
                expected = re.fullmatch(pattern, text.removeprefix(prefix)) is not None
                assert wrapped.accepts(text) == expected, (pattern, prefix, text)


RULES = {
    "regex": (r"[a-z]+( [a-z]+)*[.]", {"regex": r"^[a-z]+( [a-z]+)*\.$"}),
    "date": (rules.PRESETS["date"], {"preset": "date"}),
    "choices": (r"yes|no|maybe (not )?now|猫", {"choices": "yes\nno\n\nmaybe now\n maybe not now\n猫"}),
    "email": (rules.PRESETS["email"], {"preset": "email"}),
}


SHAPES = ((16, 2), (4, 6), (3, 16))  # of the block, and steps


@pytest.mark.parametrize(
    "sampler, number, shape", crossed([*SAMPLERS, "remasker"], range(len(RULES)), range(len(SHAPES)))
)
def test_every_finished_text_matches(app, sampler, number, shape):
    (pattern, options), (block_length, steps) = [*RULES.values()][number], SHAPES[shape]
    policy = ("stop", "late", "keep", "ban")[number] if pattern != RULES["choices"][0] else "stop"
    result = write(
        app,
        prompt="a cat",
        sampler=sampler,
        **({"remasker": {"eta": 0.6}} if sampler == "remasker" else {}),
        threshold=0.2,
        temperature=1.0 if number % 2 else 0.0,
        top_k=number * 5,
        length=16,
        steps=steps,
        block_length=block_length,
        end_of_text=policy,
        count=3,
        constraints=options,
    )
    for part in cells(result):
        assert re.fullmatch(pattern, part.text), (part.text, policy, block_length)
        assert part.extras == {"constraints": {"valid": True}}


def test_json_is_json(app):
    schema = {
        "type": "object",
        "properties": {"ok": {"type": "boolean"}, "n": {"type": "integer"}},
        "required": ["ok", "n"],
    }
    result = write(
        app,
        prompt="a cat",
        temperature=1.0,
        length=24,
        steps=5,
        count=4,
        constraints={"json_schema": json.dumps(schema)},
    )
    for part in cells(result):
        jsonschema.validate(json.loads(part.text), schema)
    result = write(app, prompt="a", temperature=1.0, length=24, steps=5, constraints={"preset": "json"})
    assert isinstance(json.loads(result.text), dict)


@pytest.mark.parametrize("model", ["LLaDA", "BERT"])
def test_gaps_have_rules_of_their_own(app, model):
    result = write(
        app,
        model=model,
        prompt="born [[year:...5]], [[word:...3]] and [[...2]]",
        temperature=1.0,
        steps=3,
        count=3,
        constraints={"gaps": "year = [0-9]+\nword = [a-m ]*"},
    )
    for part in cells(result):
        assert re.fullmatch(r"born [0-9 ]+, [a-m ]+ and .*", part.text, re.DOTALL), part.text
        assert part.extras["constraints"] == {"valid": True}


def test_a_rule_for_a_text_with_gaps(app):
    result = write(
        app,
        prompt="It is [[...3]] or ____ now.",
        temperature=1.0,
        steps=2,
        constraints={"regex": "It is [a-z]+ or [a-z]+ now[.]"},
    )
    assert re.fullmatch("It is [a-z]+ or [a-z]+ now[.]", result.text)


def test_rows_of_different_rules_are_as_alone(app):
    patterns = ["[ab]+", "[cd]{2,5}e", "x[ y]*"]
    fields = {"prompt": "a cat", "temperature": 1.0, "length": 12, "steps": 3}
    together = write(
        app, **fields, xyz_grid={"x_field": "constraints.regex.text", "x_values": json.dumps(patterns)[1:-1]}
    )
    assert len(cells(together)) == 3
    for pattern, part in zip(patterns, cells(together), strict=True):
        assert re.fullmatch(pattern, part.text)
        assert part.text == write(app, **fields, constraints={"regex": pattern}).text


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"regex": "a{9}"}, "needs at least 9 tokens; there are 8"),
        ({"regex": "(a"}, "the pattern (a cannot be used: missing )."),
        ({"regex": r"(a+)\1"}, "cannot be used: \\1 is not possible: automata look neither around nor back."),
        ({"regex": "(?=a)a"}, "cannot be used: (?= is not possible: automata look neither"),
        ({"regex": "a)(b"}, "cannot be used: unexpected )."),
        ({"regex": r"\ud800"}, r"cannot be used: \u is no escape sequence."),
        ({"regex": "[z-a]"}, "cannot be used: invalid character class range: z-a."),
        ({"regex": "*"}, "cannot be used: no argument for repetition operator: *."),
        ({"regex": "a{"}, "cannot be used: it is no regular expression"),
        (
            {"regex": "(" * 9000 + "a" + ")" * 9000},
            "cannot be used: it is no regular expression, or is nested",
        ),
        ({"regex": "a^b"}, "nothing can match it"),
        ({"regex": "([a-z]{1,99}[0-9]{1,99}){1,999}"}, "make its repetitions smaller"),
        ({"regex": "(a|b)*a(a|b){14}"}, "at most 30,000 are possible"),
        ({"regex": "(a|b)*a(a|b){12}"}, "at most 4,096 are possible"),
        ({"regex": "a", "preset": "date"}, "preset and regex are set"),
        ({"regex": "a", "gaps": "x = b"}, "for the whole answer and for gaps"),
        ({"json_schema": "{"}, "no JSON text"),
        ({"json_schema": '{"type": "unknown"}'}, "the JSON Schema cannot be read"),
        ({"choices": "\n\n"}, "write one choice a line"),
        (
            {"choices": "\n".join(f"{i * 0x9E3779B97F4A7C15 % 2**64:016x}" for i in range(5800))},
            "give fewer or shorter ones",
        ),
        ({"gaps": "when = a"}, "the prompt has no gap when"),
        ({"gaps": "when"}, "line 1 of the rules of gaps"),
        ({"gaps": "a = @never"}, "there is no preset @never"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence_before_the_first_forward(
    app, fields, sentence, monkeypatch
):
    module = app.registry.extensions["constraints"].__module__
    monkeypatch.setattr(sys.modules[f"{module}.automaton"], "SECONDS", 2.0)
    calls = []
    hook = app.checkpoints.load("LLaDA").body.register_forward_pre_hook(lambda *_: calls.append(1))
    try:
        asked = app.expand(app.Request(prompt="a cat", length=8, seed=1, constraints=fields))
        events = list(app.engine.generate(asked, "job", lambda: False))
    finally:
        hook.remove()
    (failed,) = [event for event in events if isinstance(event, Failed)]
    assert sentence in failed.sentence and failed.sentence.startswith("constraints: "), failed.sentence
    assert not calls and "\n" not in failed.sentence
    assert failed.code == "invalid" and not app.registry.faults.of("constraints"), "the request's fault alone"


@pytest.mark.filterwarnings("error")
def test_a_rule_and_a_word_that_is_never_written_are_the_fault_of_the_request(app):
    fields = {"length": 4, "seed": 1, "steps": 1, "logit_bias": {"never": "no"}}
    asked = app.expand(app.Request(prompt="a", **fields, constraints={"choices": "no\nnano"}))
    (failed,) = [one for one in app.engine.generate(asked, "job", lambda: False) if isinstance(one, Failed)]
    assert failed.sentence == "logit_bias and constraints: every token is forbidden at some position."
    assert failed.code == "invalid" and not app.registry.faults.of("constraints")
    assert write(app, prompt="a", **fields, constraints={"choices": "no\nyes"}).text == "yes"


def test_10_000_choices_are_one_small_automaton(app):
    luck = random.Random(1)
    for _ in range(100):
        texts = {"".join(luck.choices("abé", k=luck.randrange(6))) for _ in range(luck.randrange(1, 20))}
        found = ByteAutomaton.of_texts(texts)
        others = {"".join(luck.choices("abé", k=luck.randrange(7))) for _ in range(50)}
        assert all(found.accepts(text) == (text in texts) for text in texts | others)
    assert len(ByteAutomaton.of_texts(["walking", "talking", "king"]).final) == 8
    choices = [f"{i * 2654435761 % 2**20:05x}" for i in range(10_000)]
    for part in cells(
        write(app, prompt="a", temperature=1.0, steps=2, count=3, constraints={"choices": "\n".join(choices)})
    ):
        assert part.text in choices


def test_lengths_of_gaps_and_of_texts_that_fill_their_length(app):
    fields = {"prompt": "on [[when:...9]]!", "seed": 1, "constraints": {"gaps": "when = @date"}}
    error = finished(app, app.Request(**fields)).error
    assert "the gap when needs at least 1" in error
    fields = {"prompt": "a", "length": 8, "end_of_text": "ban", "constraints": {"choices": "a\nabc"}}
    error = finished(app, app.Request(**fields, seed=1)).error
    assert "no match of exactly 8 tokens" in error and "the nearest number is 3" in error


def test_hostile_patterns_are_texts_like_others(app):
    result = write(app, prompt="a", length=12, steps=3, temperature=1.0, constraints={"regex": "((a+)+)+$"})
    assert re.fullmatch("a+", result.text)
