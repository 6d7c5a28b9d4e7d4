"""Choices and wildcards: what is drawn from them, from what is saved again, and what is text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extensions.wildcards.drawing import every, number_of
from extensions.wildcards.files import Files
from tests.contract.program import cells, finished, program, write
from webui.core.prompt import Prompt
from webui.core.request import Cell
from webui.extension.registry import Registry
from webui.extension.row import Row
from webui.extension.typed import Typed
from webui.settings import ROOT

FILES = {
    "animal": "# comment\nfox\n\n  owl  \n__pet__\n",
    "pet": "{white|black} cat\n",
    "folder/one": "1\n",
    "again": "x\n__around__",
    "around": "__again__",
    "empty": "# nothing\n",
    "with bom": "\ufeffa\n",
}


def filled(folder: Path) -> Path:
    for name, text in FILES.items():
        path = folder / "wildcards" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (folder / "wildcards" / "latin.txt").write_bytes(b"caf\xe9\n")
    (folder / "outside.txt").write_text("secret\n")
    return folder


@pytest.fixture(scope="module")
def registry(tmp_path_factory) -> Registry:
    return Registry(ROOT / "extensions", models=filled(tmp_path_factory.mktemp("models")))


def test_combinations_hold_the_negative_prompt_too(registry):
    """Prompt and negative prompt each come out as the label says, and again from what is saved."""
    request = registry.Request(
        prompt="a {fox|owl}",
        seed=1,
        wildcards={"combinatorial": True},
        guidance={"negative_prompt": "{rain|snow} and sun", "scale": 2.0},
    )
    cells = registry.expand(request)
    rows = [registry.prepare(Row(c, c.request, {"main": Prompt.of(c.request.prompt)})) for c in cells]
    made = [(row.prompts["main"].text, row.prompts["negative"].text) for row in rows]
    assert made == [(f"a {a}", f"{n} and sun") for a in ("fox", "owl") for n in ("rain", "snow")]
    assert [cell.axes[0][2] for cell in cells] == ["fox, − rain", "fox, − snow", "owl, − rain", "owl, − snow"]
    only = request.replace(prompt="a fox")
    assert [cell.axes[0][2] for cell in registry.expand(only)] == ["− rain", "− snow"]
    again = registry.prepare(Row(cells[2], rows[2].request, {"main": Prompt.of("a {fox|owl}")}))
    assert (again.prompts["main"].text, again.prompts["negative"].text) == made[2]
    kind = registry.extensions["wildcards"]
    marks = list(kind.marks(Typed("{rain|snow}", request, "guidance.negative_prompt")))
    assert [mark.construct for mark in marks] == ["every choice"]


def prepared(registry: Registry, prompt: str, syntax: str = "safe", seed: int = 1, **options) -> list[Row]:
    request = registry.Request(prompt=prompt, syntax=syntax, seed=seed, wildcards=options)
    kind = registry.extensions["wildcards"]
    return [
        kind.prompt(Row(cell, cell.request, {"main": Prompt.of(cell.request.prompt)}))
        for cell in registry.expand(request)
    ]


def drawn(registry: Registry, prompt: str, syntax: str = "safe", seeds: int = 24) -> set[str]:
    """What comes of a prompt with different seeds."""
    return {prepared(registry, prompt, syntax, seed)[0].prompts["main"].text for seed in range(seeds)}


@pytest.mark.parametrize(
    "prompt, expected",
    [
        ("a {red|blue} cat", {"a red cat", "a blue cat"}),
        ("{a|b|c}", {"a", "b", "c"}),
        ("cat{|s}", {"cat", "cats"}),
        ("{a {big|small} cat|dog}", {"a big cat", "a small cat", "dog"}),
        ("{猫|犬}", {"猫", "犬"}),
        (r"{a\|b|c}", {"a|b", "c"}),
        (r"{a|b\}}", {"a", "b}"}),
        (r"\{a|b\}", {"{a|b}"}),
        ("```{a|b}``` {c|d}", {"```{a|b}``` c", "```{a|b}``` d"}),
        ("a __animal__", {"a fox", "a owl", "a white cat", "a black cat"}),
        ("__folder/one__", {"1"}),
        ("{__folder/one__|2}", {"1", "2"}),
        (r"\__animal__", {"__animal__"}),
        ("__animal__s", {"__animal__s"}),
        ("{(red:1.3)|b}", {"(red:1.3)", "b"}),  # what is drawn may act later
    ],
)
@pytest.mark.parametrize("syntax", ["safe", "full"])
def test_what_is_drawn(registry, prompt, expected, syntax):
    assert drawn(registry, prompt, syntax) == expected


LITERAL = [
    "{ a | b }",
    "{a |b}",
    "{a}",
    "{",
    "{a|b",
    "a|b}",
    "if (x) { return a|b; }",
    '{"a":"x|y"}',
    "{'a|b'}",
    "P_{x|y} and E^{a|b}",
    r"\text{a|b} \frac{a|b}{c}",
    "${name|upper} {{name|upper}}",
    "| a | b |\n|---|---|",
    "__init__, __nothing__ and ____",
    "a__animal__ _animal_ __ animal __",
    "__../outside__ __/etc/passwd__ __..__",
    "x = {k: v | w for k, v in d}",
    "SELECT a || b FROM t WHERE c = '{}'",
]


@pytest.mark.parametrize("text", LITERAL)
def test_what_is_text_in_safe_stays_byte_for_byte(registry, text):
    (row,) = prepared(registry, text)
    assert row.prompts["main"].text == text and not row.request.wildcards.drawn


def test_in_full_a_choice_may_have_blanks(registry):
    assert drawn(registry, "{ a b | c }", "full") == {"a b", "c"}
    assert drawn(registry, "x_{a|b}", "full") == {"x_a", "x_b"}
    assert drawn(registry, "{a|b} __animal__", "off") == {"{a|b} __animal__"}


ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
PIECES = st.lists(
    st.sampled_from([*LITERAL, "{", "}", "|", "\\", "_", "__", "```", " ", "a", "\n"]), max_size=12
)


@settings(max_examples=300, deadline=None)
@given(ANY | PIECES.map("".join), st.sampled_from(["safe", "full", "off"]), st.integers(0, 9))
def test_text_in_which_nothing_acts_comes_out_byte_for_byte(registry, text, mode, seed):
    try:
        (row,) = prepared(registry, text, mode, seed)
    except ValueError as error:
        assert str(error).startswith("column ")
        return
    kind = registry.extensions["wildcards"]
    marks = list(kind.marks(Typed(text, row.request)))
    if not any(mark.effect == "acts" for mark in marks):
        assert not row.request.wildcards.drawn
        if "\\" not in text:
            assert row.prompts["main"].text == text
    assert all(0 <= mark.start < mark.end <= len(text) for mark in marks)


@pytest.mark.parametrize(
    "prompt, sentence",
    [
        ("a __again__", "column 3: the wildcard again includes itself: again > around > again."),
        ("a __empty__", "column 3: the file of the wildcard empty has no lines."),
        ("a __latin__", "column 3: the file of the wildcard latin is not UTF-8."),
        ("__animal__ " * 1001, "more than 1000 choices and wildcards."),
        ("{a|" * 10_000 + "}" * 10_000, "column 193: choices are nested too deeply."),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_its_column(registry, prompt, sentence):
    with pytest.raises(ValueError) as error:
        prepared(registry, prompt)
    assert str(error.value).startswith("column ") and sentence in str(error.value)
    found, failed = registry.marks(Typed(prompt, registry.Request(prompt=prompt)))
    refused = [one.about for one in found if one.underline.effect == "refused"]
    assert not failed and len(refused) == 1 and refused[0].endswith(sentence.removeprefix("column "))


def test_combinations_of_what_is_nested_too_deeply_are_refused_before_they_are_counted(registry):
    request = registry.Request(prompt="{a|" * 2000 + "b" + "}" * 2000, wildcards={"combinatorial": True})
    with pytest.raises(ValueError, match="column 193: choices are nested too deeply"):
        registry.expand(request)


def test_what_is_not_there_is_text_with_a_note(registry):
    (row,) = prepared(registry, "x __anmal__ __../outside__")
    assert row.prompts["main"].text == "x __anmal__ __../outside__"
    assert row.notes == (
        "Column 3: there is no wildcard anmal. The nearest: animal. So __anmal__ is text.",
        "Column 13: ../outside is not within the folder of the wildcards. So __../outside__ is text.",
    )
    assert not prepared(registry, "__x__ " * 5000)[0].notes[3:]
    (row,) = prepared(registry, "a {b|c")
    assert row.notes == ("Column 3: this { is never closed, so it is text.",)


def test_a_link_does_not_lead_out_of_the_folder(tmp_path):
    folder = filled(tmp_path)
    (folder / "wildcards" / "out.txt").symlink_to(folder / "outside.txt")
    assert drawn(Registry(ROOT / "extensions", models=folder), "__out__", seeds=2) == {"__out__"}


def test_every_combination(registry):
    rows = prepared(registry, "{a|b} __animal__", combinatorial=True)
    assert [row.prompts["main"].text for row in rows] == [
        f"{first} {last}" for first in "ab" for last in ("fox", "owl", "white cat", "black cat")
    ]
    assert [row.cell.axes for row in rows[1:3]] == [
        (("wildcards", "a, owl", "a, owl"),),
        (("wildcards", "a, white", "a, white"),),
    ]
    assert not any(row.cell.request.wildcards.combinatorial for row in rows)
    with pytest.raises(ValueError, match="^wildcards: the prompt has no choice"):
        prepared(registry, "a cat", combinatorial=True)
    with pytest.raises(ValueError, match="^wildcards: with the prompt syntax off"):
        prepared(registry, "{a|b}", "off", combinatorial=True)
    small = Registry(ROOT / "extensions", max_cells=64)
    with pytest.raises(ValueError, match="1,000,000,000,000 texts or more"):  # and none of them is made
        prepared(small, "{a|b}" * 40, combinatorial=True)
    assert len(prepared(small, "{a|b}" * 6, combinatorial=True)) == 64


@pytest.mark.parametrize(
    "prompt",
    [
        "a cat",
        "{a|b} {c|d|e}",
        "{a {b|c}|d} __animal__",
        "__animal__ {x|__pet__}",
        "__no__ {a|b}",
        r"\{a|b} {c|d}",
        "{a|{b|{c|__animal__}}}{|s}",
    ],
)
def test_combinations_are_counted_before_they_are_made(tmp_path, prompt):
    files = Files(filled(tmp_path) / "wildcards")
    whole = Prompt.of(prompt)
    assert number_of(whole, files, "safe") == sum(1 for _ in every(whole, files, "safe"))
    for unusable in ("__again__", "__empty__", "{a|__latin__}"):
        assert number_of(Prompt.of(f"{prompt} {unusable}"), files, "safe") is None


def test_marks_and_completions(registry):
    request = registry.Request(prompt="{a|b} __animal__ __no__")
    found, failed = registry.marks(Typed(request.prompt, request))
    assert not failed and [(one.underline.start, one.underline.effect, one.about) for one in found] == [
        (0, "acts", "One of these 2 is drawn by the seed."),
        (6, "acts", "One of the 3 lines of the wildcard animal is drawn by the seed: fox, owl, __pet__"),
        (17, "literal", found[2].about),
    ]
    every = registry.Request(prompt="{a|b}", wildcards={"combinatorial": True})
    (one,), _ = registry.marks(Typed(every.prompt, every))
    assert one.about == "A text is written for each of these 2."
    offered, failed = registry.complete(Typed("a __an b", request), 6)
    assert not failed and [(one.start, one.end, one.text, one.about) for one in offered] == [
        (2, 6, "__animal__", "wildcard, 3 lines")
    ]
    (one,), _ = registry.complete(Typed("a __fol__ b", request), 7)
    assert (one.start, one.end, one.text) == (2, 9, "__folder/one__")
    assert registry.complete(Typed("a__", request), 3) == ([], {})


def test_texts_of_a_request_draw_anew_and_are_written_again_from_what_was_saved(tmp_path):
    app = program(tmp_path, dtype="float64")
    folder = filled(tmp_path / "models") / "wildcards"
    fields = {
        "prompt": "a {red|blue|green} __animal__",
        "guidance": {"negative_prompt": "{x|y}", "scale": 2.0},
    }
    job = write(app, count=4, temperature=0.8, **fields)
    notes = [part.notes for part in cells(job)]
    assert len(set(notes)) > 1
    assert all(note[0].startswith("Drawn for the prompt: ") for note in notes)
    assert all(note[1].startswith("Drawn for the negative prompt: ") for note in notes)
    (folder / "animal.txt").unlink()  # what is in the saved file is what counts
    for part in cells(job)[:1]:
        saved = app.history.get(part.id).model_dump_json()
        again, unknown = app.Request.read(saved)
        assert not unknown and finished(app, again).text == part.text
        assert finished(app, again).notes == part.notes
        other = again.replace(seed=again.seed + 1)
        assert "there is no wildcard animal" in json.dumps(finished(app, other).notes), (
            "another seed draws anew"
        )
    app.close()


def test_the_examples_are_words_of_the_default_checkpoint():
    words = set((ROOT / "models/checkpoints/storyteller/lexicon.txt").read_text("utf-8").split())
    for name in ("animal", "feeling", "place"):
        lines = (ROOT / f"models/wildcards/{name}.txt").read_text("utf-8").splitlines()
        assert {word for line in lines if line[0] != "#" for word in line.split()} <= words
    registry = Registry(ROOT / "extensions")
    request = registry.Request(prompt="a __feeling__ __animal__ in the __place__", seed=1)
    row = registry.prepare(Row(Cell("0", request), request, {"main": Prompt.of(request.prompt)}))
    assert "__" not in row.prompts["main"].text
