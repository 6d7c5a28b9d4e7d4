"""What extensions say of a text while it is typed: places, explanations, completions, tags; whatever is typed."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webui import Prompt, Syntax, nearest, tag
from webui.core.tags import TAGS
from webui.extension.registry import Registry
from webui.extension.typed import MAX_COMPLETIONS, MAX_MARKS, Typed
from webui.settings import ROOT

FAULTY = """
    from webui import Completion, Extension, Underline
    class Faulty(Extension):
        "Fails in its hooks."
        explanations = {{"known": "Known."}}
        @classmethod
        def marks(cls, typed):
            {marks}
        @classmethod
        def complete(cls, typed, cursor):
            {complete}
"""


@pytest.fixture(scope="module")
def registry():
    return Registry(ROOT / "extensions")


def marks(registry, text: str, field: str = "prompt", **values) -> list[tuple]:
    found, failed = registry.marks(Typed(text, registry.Request(prompt=text, **values), field))
    assert not failed
    return [(text[one.underline.start : one.underline.end], one.underline.effect, one.about) for one in found]


def test_infill_explains_its_gaps(registry):
    found = marks(registry, "The ________ sat. [[...]] or [[...20]] or [[...0]]", infill={"passage": 7})
    assert [(text, effect) for text, effect, _ in found] == [
        ("________", "acts"),
        ("[[...]]", "acts"),
        ("[[...20]]", "acts"),
        ("[[...0]]", "refused"),
    ]
    assert "2 tokens" in found[0][2] and "7 tokens" in found[1][2] and "20 tokens" in found[2][2]
    assert found[3][2].startswith("Column 43: [[...0]]")
    assert (
        marks(registry, "a ____", "guidance.negative_prompt") == marks(registry, "a ____", syntax="off") == []
    )
    assert [text for text, *_ in marks(registry, "[[20]]", syntax="full")] == ["[[20]]"]


def test_what_infill_refuses_is_what_is_marked(registry):
    from webui import Cell, Row

    text = "a [[...0]]"
    request = registry.Request(prompt=text)
    with pytest.raises(ValueError) as refusal:
        registry.prepare(Row(Cell("0", request), request, {"main": Prompt.of(text)}))
    ((_, effect, about),) = marks(registry, text)
    assert effect == "refused" and str(refusal.value).casefold() == f"infill: {about}".casefold()


def test_the_matrix_explains_its_bars(registry):
    on = {"prompt_matrix": {"enabled": True}}
    found = marks(registry, "a | b (c|d) | e", **on)
    assert [text for text, *_ in found] == ["|", "|"] and "4 texts" in found[0][2]
    assert "2 texts" in marks(registry, "a | b | e", prompt_matrix={"enabled": True, "one_of": True})[0][2]
    assert [effect for _, effect, _ in marks(registry, "a | | e", **on)] == ["refused", "acts"]
    assert marks(registry, "a | b") == []
    assert {effect for _, effect, _ in marks(registry, "a" + "| b" * 33, **on)} == {"acts", "refused"}


def test_constructs_of_options_that_are_off(registry):
    def off(text: str, **fields) -> list[tuple[str, str]]:
        found = registry.off(Typed(text, registry.Request(**fields)))
        return [(one.path, one.text) for one in found]

    assert off("a fox | red AND a hen") == [("prompt_and.enabled", "AND"), ("prompt_matrix.enabled", "|")]
    assert off("a fox | red", prompt_matrix={"enabled": True}) == []
    assert off("a fox | red", syntax="off") == off("a fox") == off("a \\| b") == []


def test_tags_of_unknown_kinds_are_text(registry):
    found = marks(registry, r"<https://x.y> <div> <nope:a:1> \<nope:b> ```<nope:c>```")
    assert [(text, effect) for text, effect, _ in found] == [
        ("<https://x.y>", "literal"),
        ("<nope:a:1>", "literal"),
    ]
    assert found[1][2].startswith("Column 21: no extension has tags of the kind nope")


@pytest.mark.parametrize(
    "text, groups",
    [
        ("<lora:cat>", ("cat", None)),
        ("<lora:my cat_2.v1:0.8>", ("my cat_2.v1", "0.8")),
        ("<lora:cat:0.8:0-0.5>", ("cat", "0.8:0-0.5")),
        ("<lora:folder/cat:>", ("folder/cat", "")),
        ("<lora:>", None),
        ("<lora: cat>", None),
        ("<lora:cat >", None),
        ("<loras:cat>", None),
        ("<lora:a\nb>", None),
        ("<lora:<lora:a>", ("a", None)),
    ],
)
def test_a_tag_has_a_name_and_arguments(text, groups):
    found = [
        part for part in Prompt.of(text).scan(Syntax({"lora": tag("lora")})).parts if hasattr(part, "groups")
    ]
    assert [part.groups for part in found] == ([groups] if groups else [])
    assert Prompt.of(text).scan(TAGS).acts == (groups is not None or text == "<loras:cat>")


def test_the_nearest_names_are_named():
    assert nearest("dragn", ["dragon", "castle", "Dragons"]) == "The nearest: dragon, Dragons."
    assert nearest("temp", ["top_k", "temperature"]) == "The nearest: temperature."
    assert nearest("zzz", ["b", "a"]) == "There are only a, b."
    assert nearest("zzz", ["a"]) == "There is only a."
    assert nearest("zzz", list("abcdef")) == "None of the 6 that there are is like it."
    assert nearest("zzz", []) == "There are none."


WORDS = [
    "|",
    "\\",
    "____",
    "<a:b>",
    "<",
    ":",
    ">",
    "[[",
    "...",
    "]]",
    "7",
    "```",
    "\n",
    " ",
    "x",
    "猫",
    "{",
    "}",
]


@settings(max_examples=150, deadline=None)
@given(
    st.text() | st.lists(st.sampled_from(WORDS), max_size=20).map("".join),
    st.sampled_from(["safe", "full", "off"]),
)
def test_any_text_can_be_looked_at(registry, text, mode):
    typed = Typed(text, registry.Request(syntax=mode, prompt_matrix={"enabled": True}))
    found, failed = registry.marks(typed)
    assert not failed and (mode != "off" or not found)
    for one in found:
        assert 0 <= one.underline.start < one.underline.end <= len(text)
        column = re.match(r"Column (\d+): ", one.about)
        assert one.underline.effect == "acts" or (column and int(column[1]) == one.underline.start + 1)
    for cursor in {0, len(text) // 2, len(text)}:
        offered, failed = registry.complete(typed, cursor)
        assert not failed and all(one.start <= cursor <= one.end for one in offered)


def test_a_long_text_has_a_bounded_number_of_marks(registry):
    found, _ = registry.marks(Typed("____ " * 20_000, registry.Request()))
    assert len(found) == MAX_MARKS


def test_infill_completes_passages(registry):
    offered, _ = registry.complete(Typed("a [[", registry.Request()), 4)
    assert [(one.start, one.end, one.text) for one in offered][0] == (2, 4, "[[...]]")
    assert registry.complete(Typed("a [[", registry.Request(syntax="off")), 4) == ([], {})


@pytest.mark.parametrize(
    "marks, complete, sentence",
    [
        ("return [1]", "return [2]", "gave int instead of"),
        ("return [Underline(0, 9, 'known')]", "return [Completion(-1, 0, 'a')]", "that is not in the text"),
        ("1 / 0", "1 / 0", "ZeroDivisionError"),
        ("raise SystemExit", "raise SystemExit", "SystemExit"),
    ],
)
def test_an_extension_that_fails_is_named_and_leaves_the_others_alone(tmp_path, marks, complete, sentence):
    import textwrap

    (tmp_path / "faulty").mkdir()
    source = textwrap.dedent(FAULTY.format(marks=marks, complete=complete))
    (tmp_path / "faulty" / "__init__.py").write_text(source, "utf-8")
    registry = Registry(tmp_path)
    for _, failed in (
        registry.marks(Typed("a b", registry.Request())),
        registry.complete(Typed("a b", registry.Request()), 1),
    ):
        assert list(failed) == ["faulty"] and sentence in failed["faulty"]


def test_completions_are_bounded(tmp_path):
    import textwrap

    (tmp_path / "many").mkdir()
    source = FAULTY.replace("Faulty", "Many").format(
        marks="return ()", complete="return (Completion(0, 1, str(i)) for i in range(10**9))"
    )
    (tmp_path / "many" / "__init__.py").write_text(textwrap.dedent(source), "utf-8")
    registry = Registry(tmp_path)
    assert len(registry.complete(Typed("a", registry.Request()), 1)[0]) == MAX_COMPLETIONS


def test_two_programs_have_two_models_folders(tmp_path):
    one, two = (Registry(ROOT / "extensions", models=tmp_path / name) for name in "ab")
    assert (
        one.extensions["infill"].models == tmp_path / "a"
        and two.extensions["infill"].models == tmp_path / "b"
    )


@pytest.mark.parametrize("name", sorted(Registry(ROOT / "extensions").extensions))
def test_explanations_are_translated(registry, name):
    explanations = registry.extensions[name].explanations
    for file in (ROOT / "extensions" / name / "languages").glob("*.json"):
        words = json.loads(file.read_text("utf-8"))
        if file.stem == "en":  # has the words of its scripts alone; these sentences are in the class
            continue
        assert {key for key in words if key.startswith("mark.")} == {
            f"mark.{name}.{key}" for key in explanations
        }
        for key, sentence in explanations.items():
            named = re.findall(r"\{\w+\}", sentence)
            assert sorted(named) == sorted(re.findall(r"\{\w+\}", words[f"mark.{name}.{key}"])), key
