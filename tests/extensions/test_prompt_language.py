"""The prompt language as a whole, all extensions together: what is literal, in which order constructs act, and that
what is refused is one sentence with its column. What each construct means is in the tests of its extension."""

from __future__ import annotations

import pytest

from webui.core.prompt import Prompt
from webui.core.request import Cell
from webui.extension.registry import Registry
from webui.extension.row import Row
from webui.extension.typed import Typed
from webui.settings import ROOT

LITERAL = (
    "f(x)", "foo(timeout:30)", "(meeting at 10:30)", "(John 3:16)", "(16:9)", "hi :(", "[1]", "[12:30] Alice:", "x[0:5]",
    "a[1:10:2]", "a { b | c } d", "if (x) { y(); } else { z(); }", '{"a": "b|c", "d": [1, 2]}', "a AND b",
    "SELECT a FROM t WHERE a = 1 AND b IN (2, 3)", "[a|b]", "| a | b |\n|---|---|\n| 1 | 2 |", "- [ ] item", "a = [[0]]",
    "np.array([[20]])", "[[1]](link)", "__init__", "un____able", "<https://x.y>", "<div>", "a <b:c> d", "a | b",
    r"\[x\]", r"\\server\share C:\new", r"\frac{a|b}{c}", "```\n(a:1.3) {a|b} [a:b:0.5] ____\n```", "(unclosed", "a {b|c",
    "extra) paren", "# not a comment", "time 10:30", "[a:b]", "a:1.5", "\N{SNOWMAN}(\N{GRINNING FACE})", "",
)  # fmt: skip


@pytest.fixture(scope="module")
def registry(tmp_path_factory) -> Registry:
    models = tmp_path_factory.mktemp("language")
    for name, text in {
        "wildcards/animal.txt": "(fox:1.5)\n",
        "wildcards/again.txt": "__again__\n",
        "styles/styles.csv": "name,prompt,negative_prompt\nfable,<<{prompt}>>,\n",
    }.items():
        (models / name).parent.mkdir(parents=True, exist_ok=True)
        (models / name).write_text(text, "utf-8")
    return Registry(ROOT / "extensions", models=models)


def rows(registry: Registry, prompt: str, **fields) -> list[Row]:
    request = registry.Request(**{"prompt": prompt, "seed": 1, **fields})
    return [
        registry.prepare(
            Row(Cell(cell.id, cell.request), cell.request, {"main": Prompt.of(cell.request.prompt)})
        )
        for cell in registry.expand(request)
    ]


@pytest.mark.parametrize("text", LITERAL)
def test_what_is_literal_in_safe_comes_out_byte_for_byte(registry, text):
    (row,) = rows(registry, text)
    assert row.prompts["main"].text == text and row.draft is None
    assert not row.prompts["main"].weighted and set(row.prompts) == {"main"}


def test_constructs_act_in_their_order(registry):
    """The grid replaces in the prompt as it was typed; the matrix splits; a wildcard's line may have a weight; AND
    splits; each part has its schedule and its weights; the style is around each text."""
    found = rows(
        registry,
        "king {and|and} __animal__ AND a [cake:pie:0.5] | (owl:2)",
        styles={"names": ["fable"]},
        prompt_matrix={"enabled": True},
        prompt_and={"enabled": True},
        xyz_grid={"x_field": "prompt", "x_values": "king, queen"},
    )
    texts = [{name: prompt.text for name, prompt in row.prompts.items()} for row in found]
    assert len(texts) == 4
    assert [next(iter(one.values())).split()[0] for one in texts] == [
        "<<king",
        "<<king",
        "<<queen",
        "<<queen",
    ]
    whole = [" ".join(one.values()) for one in texts]
    assert all("and fox" in text and "cake" in text and "AND" not in text for text in whole)
    assert ["owl" in text for text in whole] == [False, True, False, True]
    assert all(any(prompt.weighted for prompt in row.prompts.values()) for row in found)


def test_a_bar_in_a_style_separates_nothing(registry):
    texts = [
        row.prompts["main"].text
        for row in rows(registry, "a | b", prompt_matrix={"enabled": True}, styles={"names": ["fable"]})
    ]
    assert texts == ["<<a>>", "<<a, b>>"]


@pytest.mark.parametrize(
    "prompt, fields, sentence",
    [
        ("(" * 10_000 + "a" + ")" * 10_000, {"syntax": "full"}, None),
        ("a (b:1e308)", {}, None),
        ("a (b:nan)", {}, None),
        ("ab (c:-1)", {"syntax": "full"}, "column 4"),
        ("a (b:2000)", {"syntax": "full"}, "column 3"),
        ("a <lora:none:1>", {}, "column 3"),
        ("a <style:none>", {}, "column 3"),
        ("a <none:x>", {}, None),
        ("a __again__", {}, "column 3"),
        ("a __../outside__", {}, None),
        ("a <lora:../outside:1>", {}, "column 3"),
        ("a <style:../outside>", {}, "column 3"),
        ("a (b", {"syntax": "full"}, None),
        ("a b)", {"syntax": "full"}, None),
        ("(" * 10_000, {"syntax": "full"}, None),
        ("{" * 10_000 + "|", {}, None),
        ("[a:" * 10_000, {"syntax": "full"}, None),
    ],
)
def test_bad_input_is_one_sentence_with_its_column_or_text_with_a_note(registry, prompt, fields, sentence):
    try:
        (row,) = rows(registry, prompt, **fields)
    except ValueError as error:
        assert sentence is not None and sentence in str(error) and "\n" not in str(error)
        assert len(str(error)) < 400 and "Traceback" not in str(error)
    else:
        assert sentence is None
        assert all("olumn " in note for note in row.notes), row.notes
    found, failed = registry.marks(Typed(prompt, registry.Request(prompt=prompt, **fields)))
    assert not failed and (sentence is None or any(one.underline.effect == "refused" for one in found))
