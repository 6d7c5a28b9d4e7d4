"""Styles: what they make of a prompt, the files they are in, and saving them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contract.program import finished, program, write
from webui.core.prompt import Prompt
from webui.core.request import Cell
from webui.extension.registry import Registry
from webui.extension.row import Row
from webui.extension.typed import Typed
from webui.settings import ROOT

TABLE = """name,prompt,negative_prompt
Fable,"an old fable of {prompt}, with a moral",
rhyme,in rhymes,"prose, lists"
dark,,happy
echo,{prompt} and {prompt},
drawn,{red|blue},
"""


@pytest.fixture(scope="module")
def registry(tmp_path_factory) -> Registry:
    folder = tmp_path_factory.mktemp("models")
    (folder / "styles").mkdir()
    (folder / "styles" / "brought.csv").write_text(TABLE, "utf-8-sig")
    return Registry(ROOT / "extensions", models=folder)


def styled(registry: Registry, prompt: str, *names: str, syntax="safe", scale=1.0, negative="") -> Row:
    request = registry.Request(
        prompt=prompt,
        syntax=syntax,
        seed=1,
        styles={"names": names},
        guidance={"scale": scale, "negative_prompt": negative},
    )
    return registry.prepare(Row(Cell("0", request), request, {"main": Prompt.of(prompt)}))


@pytest.mark.parametrize(
    "prompt, names, expected",
    [
        ("a cat", ["Fable"], "an old fable of a cat, with a moral"),
        ("a cat", ["rhyme"], "a cat, in rhymes"),
        ("a cat ", ["rhyme", "Fable"], "an old fable of a cat, in rhymes, with a moral"),
        ("a cat", ["Fable", "rhyme"], "an old fable of a cat, with a moral, in rhymes"),
        ("a cat", ["rhyme", "rhyme"], "a cat, in rhymes"),
        ("a cat", ["echo"], "a cat and a cat"),
        ("", ["rhyme"], "in rhymes"),
        ("a cat", ["dark"], "a cat"),
        ("a cat <style:rhyme>", [], "a cat, in rhymes"),
        ("<style:rhyme> a cat", [], "a cat, in rhymes"),
        ("a <style:rhyme> cat", [], "a cat, in rhymes"),
        ("a<style:rhyme>b", [], "ab, in rhymes"),
        ("a cat <style:Fable> <style:rhyme>", [], "an old fable of a cat, with a moral, in rhymes"),
        ("a cat <style:Fable>", ["rhyme"], "an old fable of a cat, in rhymes, with a moral"),
        (r"a cat \<style:rhyme>", [], "a cat <style:rhyme>"),
        ("```<style:rhyme>```", [], "```<style:rhyme>```"),
    ],
)
def test_what_a_style_makes_of_a_prompt(registry, prompt, names, expected):
    for syntax in ("safe", "full"):
        assert styled(registry, prompt, *names, syntax=syntax).prompts["main"].text == expected
    assert styled(registry, prompt, syntax="off").prompts["main"].text == prompt


def test_the_negative_prompt(registry):
    row = styled(registry, "a <style:dark>", "rhyme", scale=2.0)
    assert {name: prompt.text for name, prompt in row.prompts.items()} == {
        "main": "a, in rhymes",
        "negative": "prose, lists, happy",
    }
    assert (
        styled(registry, "a", "rhyme", scale=2.0, negative="b").prompts["negative"].text == "b, prose, lists"
    )
    row = styled(registry, "a", scale=2.0, negative="b <style:rhyme>")
    assert row.prompts["main"].text == "a" and row.prompts["negative"].text == "b, prose, lists"
    assert styled(registry, "a", "rhyme", scale=None).prompts["negative"].text == "prose, lists"
    row = styled(registry, "a", "rhyme")
    assert set(row.prompts) == {"main"} and row.notes == (
        "The negative prompts of styles do nothing at guidance scale 1; raise the scale.",
    )


def test_what_is_in_a_style_acts(registry):
    assert styled(registry, "a", "drawn").prompts["main"].text in ("a, red", "a, blue")


ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


@settings(max_examples=200, deadline=None)
@given(ANY, st.sampled_from(["safe", "full", "off"]))
def test_text_without_tags_comes_out_byte_for_byte(registry, text, mode):
    request = registry.Request(prompt=text, syntax=mode, seed=1)
    row = registry.extensions["styles"].prompt(Row(Cell("0", request), request, {"main": Prompt.of(text)}))
    assert row.prompts["main"].text == text or "<style:" in text


@pytest.mark.parametrize(
    "prompt, names, sentence",
    [
        ("a <style:rhime>", [], "styles: column 3: there is no style rhime. The nearest: rhyme"),
        ("a <style:rhyme:2>", [], "styles: column 3: a style has no second colon; write <style:rhyme>."),
        ("a", [""], "styles: a style has no name; write one name a line, or none."),
        ("a", ["rhime"], "styles: there is no style rhime. The nearest: rhyme"),
        ("x" * 60_000, ["echo"], "styles: styles make a prompt of more than 100000 characters."),
    ],
)
def test_what_is_refused(registry, prompt, names, sentence):
    with pytest.raises(ValueError) as error:
        styled(registry, prompt, *names)
    assert str(error.value).startswith(sentence)
    if not names:
        (one,), failed = registry.marks(Typed(prompt, registry.Request()))
        assert not failed and one.underline.effect == "refused"
        assert one.about.removeprefix("Column ") in sentence + one.about.partition(sentence[-5:])[2]


def test_marks_and_completions(registry):
    (one,), failed = registry.marks(Typed("a <style:rhyme>", registry.Request()))
    assert (one.underline.start, one.underline.end, one.about) == (2, 15, "The style rhyme: in rhymes")
    (one,), failed = registry.complete(Typed("a <style:RH> b", registry.Request()), 11)
    assert (one.start, one.end, one.text, one.about) == (2, 12, "<style:rhyme>", "in rhymes")
    for typed, number in (("a <", 5), ("a <st", 5), ("a <style", 5), ("a <ts", 0), ("a < b", 0)):
        found, _ = registry.complete(Typed(typed, registry.Request()), len(typed))
        assert len([one for one in found if one.text.startswith("<style:")]) == number
    found, _ = registry.complete(Typed("<style:", registry.Request()), 7)
    assert [one.text for one in found][:2] == ["<style:Fable>", "<style:rhyme>"]


@pytest.mark.parametrize(
    "content, sentence",
    [
        (b"a,b\n1,2\n", "needs a first row with name, prompt and negative_prompt."),
        (b"caf\xe9", "is not UTF-8."),
        (b'name,prompt\n"a,b', "is not a table in CSV"),
        (b"", "needs a first row"),
    ],
)
def test_a_file_that_cannot_be_used_is_a_sentence(tmp_path, content, sentence):
    (tmp_path / "styles").mkdir()
    (tmp_path / "styles" / "bad.csv").write_bytes(content)
    registry = Registry(ROOT / "extensions", models=tmp_path)
    with pytest.raises(ValueError, match="^styles: the file of styles bad.csv ") as error:
        styled(registry, "a", "x")
    assert sentence in str(error.value)
    assert styled(registry, "a").prompts["main"].text == "a"  # nobody asked for a style


def test_styles_are_saved_listed_and_deleted(tmp_path):
    registry = Registry(ROOT / "extensions", models=tmp_path)

    def call(route: str, **sent):
        return registry.call("styles", route, None, sent)["styles"]

    assert call("list") == []
    call("save", name="Märchen 猫", prompt='"{prompt}",\nonce', negative_prompt="a, b")
    call("save", name="b", prompt="x")
    assert call("save", name="b", negative_prompt="y") == [
        {"name": "Märchen 猫", "prompt": '"{prompt}",\nonce', "negative_prompt": "a, b"},
        {"name": "b", "prompt": "", "negative_prompt": "y"},
    ]
    assert styled(registry, "z", "Märchen 猫").prompts["main"].text == '"z",\nonce'
    assert [one["name"] for one in call("delete", name="b")] == ["Märchen 猫"]
    for sent, sentence in [
        ({"name": "b"}, "a style needs a prompt or a negative prompt."),
        ({"name": "a:b", "prompt": "x"}, "a style's name is 1 to 80 characters, without <, >, : and commas."),
        ({"name": " ", "prompt": "x"}, "a style's name is"),
        ({"name": "\x00", "prompt": "x"}, "a style's name is"),
        ({"name": 1}, "name: a text is expected."),
        ({}, "name: Field required."),
        ({"name": "b", "prompt": "x", "other": "y"}, "There is no field 'other'."),
        ({"name": "b", "prompt": "x" * (1 << 20)}, "the saved styles would be more than"),
    ]:
        with pytest.raises(ValueError) as error:
            call("save", **sent)
        assert str(error.value).startswith(f"styles: {sentence}")
    with pytest.raises(ValueError, match="^styles: there is no saved style b; "):
        call("delete", name="b")
    assert [one["name"] for one in call("list")] == ["Märchen 猫"]


def test_what_was_saved_gives_the_same_text_when_the_style_has_changed(tmp_path):
    app = program(tmp_path, dtype="float64")
    app.registry.call("styles", "save", app, {"name": "s", "prompt": "in {prompt} rain"})
    result = write(app, prompt="the", styles={"names": ["s"]})
    app.registry.call("styles", "save", app, {"name": "s", "prompt": "{prompt} sun and snow"})
    again, unknown = app.Request.read(app.history.get(result.id).model_dump_json())
    assert not unknown and finished(app, again).text == result.text
    assert write(app, prompt="the", styles={"names": ["s"]}).text != result.text
    app.close()
