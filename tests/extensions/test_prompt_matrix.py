"""The prompt matrix, as docs promise it: every combination, counted in binary, or one option at a time."""

from __future__ import annotations

import pytest

from tests.contract.program import cells, program, write
from webui.extension.registry import Registry
from webui.extension.typed import Typed
from webui.settings import ROOT


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry(ROOT / "extensions", max_cells=1024)


def prompts(registry: Registry, prompt: str, syntax: str = "safe", **options) -> list[str]:
    request = registry.Request(
        prompt=prompt, syntax=syntax, seed=1, prompt_matrix={"enabled": True, **options}
    )
    return [cell.request.prompt for cell in registry.expand(request)]


@pytest.mark.parametrize(
    "prompt, expected",
    [
        ("base | x | y", ["base", "base, x", "base, y", "base, x, y"]),
        ("base | x", ["base", "base, x"]),
        (
            "base|x|y|z",
            [
                "base",
                "base, x",
                "base, y",
                "base, x, y",
                "base, z",
                "base, x, z",
                "base, y, z",
                "base, x, y, z",
            ],
        ),
        (
            " base, | , x , \n| y,",
            ["base", "base, x", "base, y", "base, x, y"],
        ),  # trimmed of blanks and commas
        ("| x | y", ["", "x", "y", "x, y"]),
        ("a, b | c, d", ["a, b", "a, b, c, d"]),  # commas inside stay
        (r"base \| really | x", ["base | really", "base | really, x"]),
        (r"C:\new | \[x\]", [r"C:\new", r"C:\new, \[x\]"]),
        ("```\na | b\n``` | x", ["```\na | b\n```", "```\na | b\n```, x"]),
        ("猫 | 犬", ["猫", "猫, 犬"]),
        ("a (b | c) | x", ["a (b | c)", "a (b | c), x"]),  # bars within brackets are for those who know them
        (r"{a|b} \(:1) | [a\|b]", [r"{a|b} \(:1)", r"{a|b} \(:1), [a\|b]"]),
        ("hi :( | [x", ["hi :(", "hi :(, [x"]),  # a bracket that is never closed is text
        ("The ____ | sat", ["The ____", "The ____, sat"]),  # other extensions' syntax passes through
        (r"\____ | x", [r"\____", r"\____, x"]),  # and so do its escapes
    ],
)
def test_every_combination(registry, prompt, expected):
    assert prompts(registry, prompt) == expected
    assert prompts(registry, prompt, syntax="full") == expected


def test_one_of(registry):
    assert prompts(registry, "base | x | y", one_of=True) == ["base, x", "base, y"]
    assert prompts(registry, "base | x", one_of=True) == ["base, x"]


def test_joined_by_a_blank(registry):
    assert prompts(registry, "base | x | y", join="blank") == ["base", "base x", "base y", "base x y"]
    assert prompts(registry, "base | x | y", join="blank", one_of=True) == ["base x", "base y"]


def test_off_by_default_so_that_tables_are_text(registry):
    request = registry.Request(prompt="| a | b |\n|---|---|", seed=1)
    assert [cell.request for cell in registry.expand(request)] == [request]


def test_nothing_to_combine_is_a_sentence(registry):
    for prompt in ("no bars", r"only \| literal", "``` a | b ```", ""):
        with pytest.raises(ValueError, match=r"^prompt_matrix: the prompt has no \| .*write base \| option"):
            prompts(registry, prompt)


@pytest.mark.parametrize("prompt, number", [("a | | b", 1), ("a | b |", 2), ("a | , | b", 1), ("|", 1)])
def test_an_empty_option_is_refused(registry, prompt, number):
    with pytest.raises(
        ValueError, match=rf"^prompt_matrix: option {number} is empty; remove its \|, or write"
    ):
        prompts(registry, prompt)


def test_with_the_syntax_off_a_bar_is_text_and_the_matrix_says_so(registry):
    with pytest.raises(ValueError, match="^prompt_matrix: with the prompt syntax off"):
        prompts(registry, "a | b", syntax="off")


@pytest.mark.parametrize(
    "options, sentence",
    [
        (12, r"4,096 texts or more.*allows 1,024"),
        (32, "4,294,967,296 texts or more"),
        (40_000, "more than 32"),
    ],
)
def test_too_many_options_are_refused_before_they_are_made(registry, options, sentence):
    """4096, 4 billion and 2 ** 40000 combinations: nothing is made that is not needed to see that it is too
    many."""
    with pytest.raises(ValueError, match=sentence):
        prompts(registry, "base" + "|x" * options)
    assert len(prompts(registry, "base" + "|x" * 10)) == 1024


def test_the_options_are_the_axes_of_the_cells(registry):
    request = registry.Request(prompt="base | x | y", seed=1, count=2, prompt_matrix={"enabled": True})
    expanded = registry.expand(request)
    assert [cell.axes[:2] for cell in expanded[::2]] == [
        (("x", False, "− x"), ("y", False, "− y")),
        (("x", True, "+ x"), ("y", False, "− y")),
        (("x", False, "− x"), ("y", True, "+ y")),
        (("x", True, "+ x"), ("y", True, "+ y")),
    ]
    assert [cell.axes[2] for cell in expanded[:2]] == [("seed", 1, "seed 1"), ("seed", 2, "seed 2")]
    assert [cell.request.seed for cell in expanded] == [1, 2] * 4
    assert all(cell.request.prompt_matrix.defaults() for cell in expanded)


def test_with_one_of_the_chosen_option_is_the_axis(registry):
    request = registry.Request(prompt="a | x | y", seed=1, prompt_matrix={"enabled": True, "one_of": True})
    assert [cell.axes for cell in registry.expand(request)] == [
        (("option", "x", "x"),),
        (("option", "y", "y"),),
    ]


def test_an_option_that_occurs_twice_has_two_axes(registry):
    request = registry.Request(prompt="a | x | x", seed=1, prompt_matrix={"enabled": True})
    axes = [[name for name, _, _ in cell.axes] for cell in registry.expand(request)]
    assert axes == [["x (1)", "x (2)"]] * 4


@pytest.mark.parametrize(
    "options, texts",
    [
        ({}, ["rain", "rain, night", "rain, a | b", "rain, night, a | b"]),
        ({"one_of": True}, ["rain, night", "rain, a | b"]),
        ({"join": "blank"}, ["rain", "rain night", "rain a | b", "rain night a | b"]),
    ],
)
def test_over_the_negative_prompt(registry, options, texts):
    request = registry.Request(
        prompt="| a | table |",
        seed=1,
        guidance={"negative_prompt": r"rain | night | a \| b", "scale": 2.0},
        prompt_matrix={"enabled": True, "over": "negative prompt", **options},
    )
    expanded = registry.expand(request)
    assert [cell.request.guidance.negative_prompt for cell in expanded] == texts
    assert {cell.request.prompt for cell in expanded} == {"| a | table |"}
    assert {cell.request.guidance.scale for cell in expanded} == {2.0}


def test_over_the_negative_prompt_faults_name_it(registry):
    options = {"enabled": True, "over": "negative prompt"}
    with pytest.raises(ValueError, match=r"^prompt_matrix: the negative prompt has no \|"):
        registry.expand(registry.Request(prompt="a | b", prompt_matrix=options))


def test_without_guidance_there_is_no_negative_prompt(tmp_path):
    (tmp_path / "prompt_matrix").symlink_to(ROOT / "extensions" / "prompt_matrix")
    alone = Registry(tmp_path)
    options = {"enabled": True, "over": "negative prompt"}
    with pytest.raises(ValueError, match="^prompt_matrix: there is no negative prompt without the extension"):
        alone.expand(alone.Request(prompt="a | b", prompt_matrix=options))
    assert len(alone.expand(alone.Request(prompt="a | b", prompt_matrix={"enabled": True}))) == 2


def test_what_is_underlined_follows_the_text_that_has_the_options(registry):
    request = registry.Request(prompt_matrix={"enabled": True, "over": "negative prompt"})
    for field, count in (("prompt", 0), ("guidance.negative_prompt", 1)):
        found, failed = registry.marks(Typed("a | b", request, field))
        assert not failed and len(found) == count


def test_cells_are_the_texts_that_their_prompts_alone_give(tmp_path):
    app = program(tmp_path, dtype="float64")
    grid = write(app, prompt="a cat | in the rain | at sea", temperature=0.8, prompt_matrix={"enabled": True})
    assert [part.request.prompt for part in cells(grid)] == [
        "a cat",
        "a cat, in the rain",
        "a cat, at sea",
        "a cat, in the rain, at sea",
    ]
    for part in cells(grid):
        assert write(app, prompt=part.request.prompt, temperature=0.8).text == part.text
    assert len({part.text for part in cells(grid)}) == 4
    app.close()


@pytest.mark.parametrize(
    "prompt, hinted",
    [
        ("a | b", True),
        ("a {b|c} | d", True),
        (r"a \{ | d", True),
        ("a {b", False),
        ("a {b|c", False),  # a choice that is being typed
        ("a {b|c}", False),
        ("a [b|c", False),
        ("a {b|{c|d}|e", False),
        ("a | {b|c", True),
        ("{" * 20_000 + "|", False),
    ],
)
def test_a_bar_that_is_text_is_pointed_out_but_not_within_a_bracket_that_is_open(registry, prompt, hinted):
    found = list(registry.off(Typed(prompt, registry.Request(prompt=prompt))))
    assert ("prompt_matrix.enabled" in [one.path for one in found]) is hinted
