"""X/Y/Z grids: every example of the values, what each kind of field does with them, and that every cell is the
text that its request alone gives."""

from __future__ import annotations

from itertools import product
from typing import Literal, get_args, get_origin

import pytest

from extensions.xyz_grid.values import items, numbers
from tests.adapter_files import for_tiny_checkpoints
from tests.contract import EXTENSIONS
from tests.contract.program import cells, program, texts, write
from tests.tiny_checkpoints import llada
from webui import axis_fields
from webui.core.flags import leaves
from webui.extension.registry import Registry
from webui.settings import ROOT


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry(ROOT / "extensions")


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    folder = tmp_path_factory.mktemp("grid")
    for seed, name in enumerate(("second", "third"), 7):
        llada(folder / "models" / "checkpoints" / name, seed=seed)
    for_tiny_checkpoints(folder / "models")
    app = program(folder, families=("LLaDA", "Dream"), dtype="float64")
    styles = folder / "models" / "styles" / "weather.csv"
    styles.parent.mkdir(parents=True)
    styles.write_text("name,prompt,negative_prompt\nrain,{prompt} in the rain,\nsnow,{prompt} and snow,\n")
    yield app
    app.close()


def values(registry: Registry, name: str, typed: str, **fields) -> list:
    """What an axis over a field sets it to."""
    grid = {"x_field": name, "x_values": typed}
    request = registry.Request(**{"seed": 1, **fields}, xyz_grid=grid)
    return [cell.axes[0][1] for cell in registry.expand(request)]


@pytest.mark.parametrize(
    "typed, expected",
    [
        ("1-5", [1, 2, 3, 4, 5]),
        ("1-10(+2)", [1, 3, 5, 7, 9]),
        ("10-1(-3)", [10, 7, 4, 1]),
        ("10-1", [10, 9, 8, 7, 6, 5, 4, 3, 2, 1]),
        ("1-10[5]", [1, 3, 5, 7, 10]),
        ("-2--1", [-2, -1]),
        ("-1-1", [-1, 0, 1]),
        ("1--1", [1, 0, -1]),
        ("+1-+3", [1, 2, 3]),
        ("-10--1[3]", [-10, -5, -1]),  # truncated toward zero
        ("3-3", [3]),
        ("5-9[1]", [5]),
        (" 1 - 10 ( +2 ) ", [1, 3, 5, 7, 9]),
        ("-1", None),  # a number
        ("5", None),
        ("1-", None),
        ("1-5-9", None),
        ("1e3-2e3", None),
        ("1-10(2)", None),  # a step has a sign
        ("a-b", None),
    ],
)
def test_ranges_of_whole_numbers(typed, expected):
    assert numbers(typed.strip(), whole=True) == expected


@pytest.mark.parametrize(
    "typed, expected",
    [
        ("0-1[5]", [0, 0.25, 0.5, 0.75, 1]),
        (".5-1(+.25)", [0.5, 0.75, 1]),
        ("0-1(+0.1)", [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1]),  # and not 0.30000000000000004
        ("1.-0.(-.5)", [1, 0.5, 0]),
        ("1-10[5]", [1, 3.25, 5.5, 7.75, 10]),
        ("1-3", [1, 2, 3]),
        (".5-3", [0.5, 1.5, 2.5]),
    ],
)
def test_ranges_of_decimals(typed, expected):
    assert numbers(typed, whole=False) == expected


@pytest.mark.parametrize(
    "typed, sentence",
    [
        ("1-10(-2)", "1-10(-2) never reaches 10 in steps of -2."),
        ("10-1(+2)", "10-1(+2) never reaches 1 in steps of +2."),
        ("1-10(+0)", "1-10(+0) never reaches 10 in steps of +0."),
        ("1-10[0]", "1-10[0] has 0 values; 1 to 10000 are possible."),
        ("1-999999999", "1-999999999 has 999999999 values; at most 10000 are possible."),
        ("0-1(+.00001)", "0-1(+.00001) has 100001 values; at most 10000 are possible."),
        (f"{'9' * 99}-1", f"{'9' * 20}... has too many digits."),
    ],
)
def test_ranges_that_are_refused(typed, sentence):
    with pytest.raises(ValueError) as error:
        numbers(typed, whole=True)
    assert str(error.value) == sentence


@pytest.mark.parametrize(
    "typed, expected",
    [
        ('cat, "dog, big", cow', ["cat", "dog, big", "cow"]),
        ("cat\ndog\r\ncow", ["cat", "dog", "cow"]),
        ("  cat ,\tdog \n", ["cat", "dog"]),
        ('"two\nlines", x', ["two\nlines", "x"]),
        ('"a ""quoted"" word"', ['a "quoted" word']),
        ('a "b" c', ['a "b" c']),
        ('cat, ""', ["cat", ""]),
        ('"  blanks stay "', ["  blanks stay "]),
        ("猫, 犬", ["猫", "犬"]),
    ],
)
def test_items(typed, expected):
    assert [item.text for item in items(typed)] == expected


@pytest.mark.parametrize("typed, number", [("a,,b", 2), ("a, ,b", 2), (",a", 1), ("a,", 2), ("a,\nb", 2)])
def test_a_blank_item_is_refused(typed, number):
    with pytest.raises(ValueError, match=rf"^value {number} is blank; remove its comma, or write"):
        items(typed)


@pytest.mark.parametrize("typed", ['"a', 'b, "a', '"a" b', '"a"b"'])
def test_a_quote_that_does_not_enclose_is_refused(typed):
    with pytest.raises(ValueError, match="has a quote that does not enclose it"):
        items(typed)


def test_reading_values_is_linear():
    """Twenty thousand blanks or quotes within a value: no expression looks at them again and again."""
    assert len(items("a" + " " * 200_000 + "b")) == 1
    with pytest.raises(ValueError):
        items('"' + '""' * 100_000)


@pytest.mark.parametrize(
    "name, typed, expected",
    [
        ("steps", "1-10[5]", [1, 3, 5, 7, 10]),
        ("temperature", "0-1[5]", [0.0, 0.25, 0.5, 0.75, 1.0]),
        ("temperature", ".5, 1e0, preset", [0.5, 1.0, None]),
        ("top_k", "40, preset", [40, None]),
        ("guidance.scale", "1-3", [1.0, 2.0, 3.0]),
        ("seed", "1-3", [1, 2, 3]),
        ("template", "*", ["auto", "chat", "raw"]),
        ("template", "raw, auto", ["raw", "auto"]),
        ("prompt_and.enabled", "*", [False, True]),
        ("prompt_and.enabled", "true, no", [True, False]),
        ("end_of_text", "*, preset", ["stop", "late", "ban", "keep", None]),
        ("system.text", 'a, "1-5, *"', ["a", "1-5, *"]),
        ("system.text", "1-5, *, preset", ["1-5", "*", "preset"]),  # a text is a text
    ],
)
def test_values_are_read_by_the_field(registry, name, typed, expected):
    assert values(registry, name, typed) == expected


def test_all_choices_of_checkpoints_and_samplers(app):
    for name, known in (("model", app.checkpoints.names()), ("sampler", list(app.samplers()))):
        request = app.Request(prompt="a", xyz_grid={"x_field": name, "x_values": "*"})
        assert [cell.axes[0][1] for cell in app.expand(request)] == list(known)


@pytest.mark.parametrize(
    "name, typed, sentence",
    [
        (
            "temperature",
            "0, warm",
            "X, Temperature (temperature): 'warm' is refused: input should be a valid number",
        ),
        (
            "temperature",
            "11",
            "X, Temperature (temperature): '11' is refused: input should be less than or equal to 10",
        ),
        (
            "guidance.scale",
            "0-30[2]",
            "X, Guidance scale (guidance.scale): '30' is refused: input should be less",
        ),
        (
            "steps",
            "0.5-2(+0.5)",
            "X, Denoising steps (steps): '0.5' is refused: input should be a valid integer",
        ),
        ("steps", "preset, all", "X, Denoising steps (steps): 'all' is refused"),
        ("seed", "preset", "X, Seed (seed): 'preset' is refused"),
        (
            "template",
            "chat, row",
            "X, Template (template): 'row' is refused: input should be 'auto', 'chat' or 'raw'",
        ),
        ("temperature", "*", "X, Temperature (temperature): '*' is refused"),
        ("temperature", "", "X, Temperature (temperature): give at least one value"),
        ("temperature", "1,,2", "X, Temperature (temperature): value 2 is blank"),
        (
            "temprature",
            "1",
            "X: 'temprature' is no field that a grid can vary. The nearest: Temperature (temperature)",
        ),
        (
            "Temp",
            "1",
            "X: 'Temp' is no field that a grid can vary. The nearest: Template (template), Loopback",
        ),
        ("scale", "1", "X: 'scale' is no field that a grid can vary. It is written guidance.scale."),
        ("Guidance scale", "1", "X: 'Guidance scale' is no field that a grid can vary. It is written guid"),
        ("Strength", "1", "X: 'Strength' is no field that a grid can vary. It is written emphasis.strength"),
        ("zebra", "1", "X: 'zebra' is no field that a grid can vary. None has a name like it."),
        ("count", "1-3", "X: 'count' is no field that a grid can vary"),
        ("xyz_grid.x_field", "a", "X: 'xyz_grid.x_field' is no field"),
        ("steps.text", "1", "X: Denoising steps (steps) is no text; write steps as the field"),
        ("template.order", "raw", "X: Template (template) is no text; write template as the field"),
        ("prompt", "dog, cat", "X, Prompt (prompt): the first value, 'dog', does not occur in the text"),
        ("prompt", '"", cat', "X, Prompt (prompt): the first value, '', does not occur in the text"),
        (
            "prompt.order",
            "sat, dog",
            "X, Prompt, word order (prompt.order): 'dog' does not occur in the text",
        ),
        ("prompt.order", "cat, at", "X, Prompt, word order (prompt.order): two of the words overlap"),
        (
            "prompt.order",
            "a, b, c, d, e, f, g",
            "X, Prompt, word order (prompt.order): 7 words have too many orders",
        ),
        ("seed", "1-1000000", "X, Seed (seed): 1-1000000 has 1000000 values; at most 10000"),
        ("", "1, 2", "X has values but no field"),
    ],
)
def test_what_is_wrong_is_one_sentence_with_axis_and_value(registry, name, typed, sentence):
    with pytest.raises(ValueError) as error:
        values(registry, name, typed, prompt="a cat sat")
    assert str(error.value).startswith(f"xyz_grid: {sentence}")
    assert "\n" not in str(error.value) and str(error.value).endswith(".")


def test_words_that_make_a_text_too_long_are_refused_with_their_axis(registry):
    grid = {"x_field": "steps", "x_values": "1, 2", "y_field": "prompt", "y_values": "a, " + "b" * 200}
    with pytest.raises(ValueError) as error:
        registry.expand(registry.Request(prompt="a" * 60_000, seed=1, xyz_grid=grid))
    assert str(error.value).startswith("xyz_grid: Y, Prompt (prompt), with 'bbbb")
    assert str(error.value).endswith("…': string should have at most 100000 characters.")
    grid = {"x_field": "guidance.negative_prompt", "x_values": "a, bb"}
    request = registry.Request(prompt="a", guidance={"negative_prompt": "a" * 60_000}, xyz_grid=grid)
    with pytest.raises(
        ValueError, match=r"^xyz_grid: X, Negative prompt \(guidance.negative_prompt\), with 'bb'"
    ):
        registry.expand(request)


def test_two_axes_over_one_field_are_refused(registry):
    grid = {"x_field": "steps", "x_values": "1", "y_field": "steps", "y_values": "2"}
    with pytest.raises(
        ValueError, match="^xyz_grid: X and Y both vary Denoising steps \\(steps\\); give it one axis"
    ):
        registry.expand(registry.Request(prompt="a", xyz_grid=grid))
    grid = {"x_field": "prompt", "x_values": "a", "z_field": "prompt.text", "z_values": "b"}
    with pytest.raises(ValueError, match="^xyz_grid: X and Z both vary Prompt"):
        registry.expand(registry.Request(prompt="a", xyz_grid=grid))


def prompts(registry: Registry, prompt: str, **grid) -> list[str]:
    request = registry.Request(prompt=prompt, seed=1, xyz_grid=grid)
    return [cell.request.prompt for cell in registry.expand(request)]


def test_text_axes_replace_the_first_value(registry):
    made = prompts(registry, "a cat and a cat", x_field="prompt", x_values='cat, "dog, big", ""')
    assert made == ["a cat and a cat", "a dog, big and a dog, big", "a  and a "]


def test_two_text_axes_replace_in_the_prompt_as_it_was_typed(registry):
    """What one axis puts there is not replaced by the other."""
    grid = {"x_field": "prompt", "x_values": "cat, dog", "y_field": "prompt", "y_values": "dog, cat"}
    assert prompts(registry, "cat dog", **grid) == ["cat dog", "dog dog", "cat cat", "dog cat"]


def test_word_order(registry):
    made = prompts(registry, "red, big, old cat", x_field="prompt.order", x_values="red, big, old")
    assert made == [
        "red, big, old cat",
        "red, old, big cat",
        "big, red, old cat",
        "big, old, red cat",
        "old, red, big cat",
        "old, big, red cat",
    ]


def test_text_of_another_field(registry):
    request = registry.Request(
        prompt="a",
        guidance={"negative_prompt": "rain", "scale": 2},
        xyz_grid={"x_field": "guidance.negative_prompt", "x_values": "rain, snow"},
    )
    expanded = registry.expand(request)
    assert [cell.request.guidance.negative_prompt for cell in expanded] == ["rain", "snow"]
    assert {cell.request.guidance.scale for cell in expanded} == {2}


def test_cells_are_in_the_order_of_the_axes_x_the_fastest(registry):
    grid = {
        "x_field": "temperature",
        "x_values": "0, 1",
        "y_field": "guidance.scale",
        "y_values": "1, 2",
        "z_field": "seed",
        "z_values": "5, 6",
        "more": ["guidance.start = 0, 0.5"],
    }
    expanded = registry.expand(registry.Request(prompt="a", seed=1, xyz_grid=grid))
    names = [name for name, _, _ in expanded[0].axes]
    assert names == ["guidance.start", "seed", "guidance.scale", "temperature"]
    assert [tuple(value for _, value, _ in cell.axes) for cell in expanded] == list(
        product((0, 0.5), (5, 6), (1, 2), (0, 1))
    )
    for cell in expanded:
        request = cell.request
        shown = (request.guidance.start, request.seed, request.guidance.scale, request.temperature)
        assert shown == tuple(value for _, value, _ in cell.axes) and request.xyz_grid.defaults()
    assert expanded[0].axes[1][2] == "seed 5" and expanded[0].axes[2][2] == "scale 1"


def test_an_axis_of_the_list_is_named_by_its_number(registry):
    for line, sentence in (
        ("steps", "axis 4: write it as field = values"),
        ("steps = x", "axis 4, Denoising steps \\(steps\\): 'x' is"),
    ):
        with pytest.raises(ValueError, match=f"^xyz_grid: {sentence}"):
            registry.expand(registry.Request(prompt="a", xyz_grid={"more": [line]}))


def test_a_grid_multiplies_with_the_matrix_and_count_and_sees_the_prompt_before_it(registry):
    request = registry.Request(
        prompt="cat | hat",
        seed=1,
        count=2,
        prompt_matrix={"enabled": True},
        xyz_grid={"x_field": "prompt", "x_values": "cat | hat, dog | log"},
    )
    expanded = registry.expand(request)
    made = ["cat", "cat, hat", "dog", "dog, log"]
    assert [cell.request.prompt for cell in expanded] == [prompt for prompt in made for _ in range(2)]
    assert [[name for name, _, _ in cell.axes] for cell in expanded[::4]] == [
        ["prompt", "hat", "seed"],
        ["prompt", "log", "seed"],
    ]


def test_drawn_seeds_are_the_same_for_the_same_request(registry):
    drawn = values(registry, "seed", "-1, -1, 7")
    assert drawn == values(registry, "seed", "-1, -1, 7") and drawn[2] == 7
    assert len(set(drawn)) == 3 and min(drawn) >= 0
    assert drawn != values(registry, "seed", "-1, -1, 7", seed=2)


def test_a_field_of_several_texts_takes_several_in_quotes(registry):
    assert values(registry, "styles.names", 'a, "a, b", "", "c"') == [["a"], ["a", "b"], [], ["c"]]


def test_more_cells_than_allowed_are_refused_before_they_are_made(registry):
    grid = dict.fromkeys(("x_values", "y_values", "z_values"), "1-2000")
    grid |= {"x_field": "seed", "y_field": "top_k", "z_field": "steps"}
    with pytest.raises(ValueError, match=r"[\d,]{6,} texts or more"):
        registry.expand(registry.Request(prompt="a", xyz_grid=grid))


# -- every field, through the whole program -------------------------------------------------------------------

VALUES = {
    "threshold": "0, 1",
    "edit_threshold": "0.05, 1",
    "steps": "1, 2",
    "length": "4, 8",
    "block_length": "2, 8",
    "temperature": "0, 2",
    "top_k": "1, 0",
    "top_p": "0.01, 1",
    "min_p": "0, 0.99",
    "seed": "1, 2",
    "guidance.start": "0, 0.9",
    "guidance.end": "0.1, 1",
    "infill.passage": "2, 5",
    "logit_bias.strength": "0, 20",
    "emphasis.strength": "0, 20",
    "constraints.preset": "number, list",
    "styles.names": 'rain, "rain, snow", ""',
    "variation_seed": "1, 2",
    "variation_strength": "0, 1",
    "p2.eta": "0, 10",
    "joint.threshold": "0, 1",
    "draft_steps": "1, 4",
    "draft_skip": "0, 0.5",
    "joint.edit_threshold": "0, 1",
    "joint.post_edit_steps": "0, 16",
    "joint.penalty": "0, 100",
    "remdm.eta": "0, 0.9",
    "remdm.t_on": "0.2, 0.9",
    "remdm.t_off": "0, 0.54",
    "remdm.alpha_on": "0.1, 0.9",
    "remdm.loops": "0, 6",
    "remdm.again": "1, 4",
    "renoise.entropy_bound": "0, 100",
    "renoise.t_max": "0.1, 10",
    "renoise.t_min": "0, 10",
    "renoise.stable": "0, 64",
    "renoise.confident": "0, 100",
    "wino.threshold": "0.001, 1",
    "wino.threshold_back": "0, 1",
    "dream.alg_temp": "0, 5",
    "dream.eps": "0.001, 0.9",
    "dreamon.begin": "1, 3",
    "dreamon.most": "1, 9",
    "daedal.begin": "1, 3",
    "daedal.factor": "2, 3",
    "daedal.high": "0, 1",
    "daedal.low": "0, 1",
    "daedal.end_threshold": "0, 1",
    "daedal.insert_threshold": "0, 1",
    "daedal.checked": "2, 4",
    "parallel.factor": "0, 50",
    "parallel.gamma": "0, 100",
    "parallel.threshold": "0, 1",
    "parallel.low": "0, 1",
    "klass.threshold": "0, 1",
    "klass.kl_threshold": "0, 1000",
    "klass.history": "1, 5",
    "checkpoint_merger.b": '"", second',
    "checkpoint_merger.weight": "0, 1",
    "checkpoint_merger.method": "weighted_sum, slerp, ties, dare",
    "checkpoint_merger.c": "LLaDA, third",
    "checkpoint_merger.density": "0.1, 1",
    "checkpoint_merger.seed": "1, 2",
    "constraints.depth": "1, 4",
}
TEXTS = {
    "prompt": ("prompt.text", "a cat, the dog in the rain"),
    "logit_bias.more": ("logit_bias.more.text", "the, and"),
    "logit_bias.less": ("logit_bias.less.text", '"", the end'),
    "logit_bias.never": ("logit_bias.never.text", '"", e'),
    "infill.about": ("infill.about.text", "cats, dogs in the rain"),
    "constraints.regex": ("constraints.regex.text", '[a-z]+, "[0-9]{1,9}"'),
    "constraints.choices": ("constraints.choices.text", "cat, dog"),
    "constraints.json_schema": (
        "constraints.json_schema.text",
        '"{""type"": ""integer""}", "{""type"": ""boolean""}"',
    ),
    "constraints.grammar": (
        "constraints.grammar.text",
        '"start: ""cat"" | ""dog""", "start: NUMBER\nNUMBER: /[0-9]+/"',
    ),
    "constraints.gaps": ("constraints.gaps.text", "when = [0-9]+, when = [a-z]+"),
}
ACTING = {  # what makes a field matter, besides the contract's example of its extension
    "threshold": {"sampler": "threshold", "steps": 8},
    "edit_threshold": {"sampler": "editing", "steps": 8},
    "block_length": {"steps": 8},
    "confidence": {"temperature": 0.0, "steps": 4},
    "emphasis.strength": {"emphasis": {"method": "vocabulary"}, "prompt": "a (the end:9)"},
    "prompt": {"guidance": {"scale": 8}, "steps": 8},
    "guidance.adaptive": {"steps": 4},
    "prompt_schedule.scope": {"block_length": 4, "steps": 4},
    "infill.passage": {"prompt": "a [[...]] b"},
    "sampler": {"temperature": 0.0},
    **{f"constraints.{name}": {"constraints": {}} for name in ("preset", "choices", "json_schema")},
    "constraints.grammar": {"constraints": {}},
    "constraints.depth": {"constraints": {"grammar": 'start: "(" start start ")" | /[a-z]/'}},
    **{
        f"checkpoint_merger.{name}": {"checkpoint_merger": {"b": "second", "weight": 2, **options}}
        for name, options in {
            "weight": {},
            "method": {},
            "c": {"method": "add_difference"},
            "density": {"method": "ties"},
            "seed": {"method": "dare", "density": 0.2},
        }.items()
    },
    "constraints.gaps": {"constraints": {}, "prompt": "at [[when:...6]] or later"},
    "variation_seed": {"variation_strength": 0.7},
    "variation_strength": {"variation_seed": 8},
    "p2.eta": {"sampler": "p2", "steps": 8},
    **{
        f"joint.{name}": {"sampler": "joint_threshold", "steps": 24}
        for name in ("threshold", "edit_threshold", "post_edit_steps", "penalty")
    },
    "p2.judge": {"sampler": "p2", "steps": 8},
    "remdm.eta": {"sampler": "remdm_rescale", "steps": 8},
    **{
        f"remdm.{name}": {"sampler": "remdm_loop", "steps": 12, "remdm": {"eta": 0.9}, "end_of_text": "ban"}
        for name in ("t_on", "t_off")
    },
    "remdm.alpha_on": {"sampler": "remdm_loop", "steps": 12},
    **{f"remdm.{name}": {"sampler": "remdm_llada", "steps": 14} for name in ("loops", "again", "judge")},
    **{f"renoise.{name}": {"sampler": "renoise", "steps": 6} for name in ("entropy_bound", "t_max", "t_min")},
    "renoise.stable": {"sampler": "renoise", "steps": 6, "renoise": {"confident": 100.0}},
    "renoise.confident": {"sampler": "renoise", "steps": 6, "renoise": {"stable": 0}},
    "wino.threshold": {"sampler": "wino", "steps": 8},
    "wino.threshold_back": {"sampler": "wino", "steps": 8, "wino": {"threshold": 0.001}, "length": 16},
    "dream.alg_temp": {"sampler": "dream", "steps": 6},
    "dream.eps": {"sampler": "dream", "steps": 6},
    "daedal.high": {"sampler": "daedal", "end_of_text": "keep"},
    "parallel.factor": {"sampler": "factor", "steps": 8},
    "parallel.gamma": {"sampler": "entropy_bound", "steps": 8},
    "parallel.threshold": {"sampler": "hierarchical", "steps": 8, "parallel": {"low": 1.0}},
    "parallel.low": {"sampler": "hierarchical", "steps": 8},
    **{
        f"klass.{name}": {"sampler": "klass", "steps": 8, "klass": {"threshold": 0.0, "kl_threshold": 1000}}
        for name in ("threshold", "kl_threshold", "history")
    },
}
# not with this checkpoint and prompt, or with the few loops of the contract's example
NO_DIFFERENCE = {
    "template",
    "system",
    "syntax",
    "cache",  # what it changes needs more than one block
    "lora.merged",  # the same weights in another way
    "dreamon.begin",  # only DreamOn has a token for it
    "dreamon.most",
    "daedal.begin",  # this checkpoint is never sure that a text ends
    "daedal.factor",
    "daedal.low",
    "daedal.end_threshold",
    "daedal.insert_threshold",
    "daedal.checked",
    "draft_steps",  # the same text
    "draft_skip",
    "confidence_dtype",  # in fp32 the same text
    "guidance.empty",  # a tokenizer without a template has no frame
    "loopback.curve",
    "loopback.template",
    "loopback.instructions",
}


def test_a_grid_over_the_weights_of_a_lora(app):
    grid = {"x_field": "prompt", "x_values": "<lora:tiny:0>, <lora:tiny:0.5>, <lora:tiny:2>"}
    fields = {"steps": 4, "seed": 3, "temperature": 1.0}
    made = cells(write(app, prompt="a cat <lora:tiny:0>", **fields, xyz_grid=grid))
    assert [part.text for part in made] == [write(app, **dict(part.request)).text for part in made]
    assert len({part.text for part in made}) == 3


def paths() -> list[str]:
    registry = Registry(ROOT / "extensions")
    return list(axis_fields(registry.Request))


def axis_of(app, path: str) -> tuple[str, str]:
    """A field as the grid names it, and two values or more that it takes."""
    info = axis_fields(app.Request)[path]
    kinds = leaves(info.annotation)
    literal = any(get_origin(kind) is Literal for kind in (info.annotation, *get_args(info.annotation)))
    if path in VALUES:
        return path, VALUES[path]
    if app.registry.extensions["xyz_grid"].choices(info) is not None or literal or bool in kinds:
        return path, "*"
    if str in kinds:
        return TEXTS.get(path, (f"{path}.text", "a cat, the dog in the rain"))
    low = max([getattr(one, "ge", None) or getattr(one, "gt", None) or 0 for one in info.metadata] or [0])
    high = min([getattr(one, "le", None) or getattr(one, "lt", None) or 9 for one in info.metadata] or [9])
    return path, f"{low:g}-{min(high, low + 4):g}[2]"


@pytest.mark.parametrize("path", paths())
def test_a_grid_over_every_field(app, path):
    """Each cell is the text of its request alone, and the cells differ where the field can matter."""
    name, typed = axis_of(app, path)
    extension = path.partition(".")[0]
    fields = {"prompt": "a cat", "temperature": 1.0, "steps": 2, "seed": 3}
    fields |= (EXTENSIONS.get(extension) or {}) | ACTING.get(path, {})
    grid = write(app, **fields, xyz_grid={"x_field": name, "x_values": typed})
    made = cells(grid)
    assert len(made) > 1
    for part in made:
        alone = write(app, **{**dict(part.request), "canvas": None})
        assert alone.text == part.text, part.axes
    if path not in NO_DIFFERENCE:
        assert len(set(texts(grid))) > 1, f"{name} = {typed} makes no difference"
