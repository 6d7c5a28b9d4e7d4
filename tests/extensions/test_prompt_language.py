"""The prompt language as a whole, all extensions together: every row of the tables of docs/prompt-language.md, in which
order constructs act, and that what is refused is one sentence with its column. More of each construct is in the tests of
its extension."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import groupby

import pytest

from extensions.emphasis.syntax import SYNTAX, weighed
from extensions.loopback.strengths import strength
from extensions.prompt_and.parts import SYNTAX as AND
from extensions.prompt_and.parts import split
from extensions.xyz_grid.values import items, numbers
from tests.contract.program import program
from tests.extensions.seen import prompts_per_call
from webui.core.prompt import Prompt
from webui.core.request import Cell
from webui.core.syntax import Mode
from webui.extension.registry import Registry
from webui.extension.row import Row
from webui.extension.typed import Typed
from webui.settings import ROOT

ALL = {"combinatorial": True}
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
        "wildcards/tagged.txt": "fox <lora:none:1>\n",
        "styles/styles.csv": "name,prompt,negative_prompt\nfable,<<{prompt}>>,\ntagged,{prompt} <lora:none:1>,\n",
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


def test_a_tag_in_a_choice_acts_where_it_is_drawn_and_one_in_a_style_or_a_line_acts(registry):
    def made(prompt: str) -> list[str]:
        found = []
        for cell in registry.expand(registry.Request(prompt=prompt, seed=1, wildcards=ALL)):
            try:
                row = registry.prepare(Row(cell, cell.request, {"main": Prompt.of(cell.request.prompt)}))
                found.append(row.prompts["main"].text)
            except ValueError as error:
                found.append(str(error))
        return found

    missing = "lora: column {}: There is no LoRA 'none'"
    for option, column in (("<lora:none:1>", 4), ("__tagged__", 1)):
        first, second = made(f"a {{{option}|b}}")
        assert first.startswith(missing.format(column)) and second == "a b"
    with pytest.raises(ValueError, match=missing.format(1)):
        rows(registry, "a <style:tagged>")


@pytest.mark.parametrize(
    "prompt, fields, sentence",
    [
        (
            "a (owl:-2)",
            {},
            "Column 3: (owl:-2) is text: in the prompt syntax safe a weight is a number from 0 to 10",
        ),
        ("a (owl:-2)", {"emphasis": {"method": "contrast"}}, "Column 3: (owl:-2) is text"),
        ("a ((owl:11) b:2)", {}, "Column 4: (owl:11) is text"),
        ("a (owl:1e308)", {}, "Column 3: (owl:1e308) is text"),
        ("a (owl:nan)", {}, "Column 3: (owl:nan) is text"),
        ("a (owl:" + "9" * 99 + ")", {}, "Column 3: (owl:9999"),
        ("a (owl:1e308)", {"syntax": "full"}, "Column 3: 1e308 is no number"),
        ("a (owl:-inf)", {"syntax": "full"}, "Column 3: -inf is no number"),
        ("a (owl:1.5", {}, "Column 3: this ( is never closed"),
        ("a (owl", {"syntax": "full"}, "Column 3: this ( is never closed"),
        ("a [owl:fox:0.5, b", {}, "Column 3: this [ is never closed"),
        ("a [owl:fox:-0.5]", {}, "Column 3: [owl:fox:-0.5] is text: a schedule ends in the share"),
        ("a [owl:fox:nan]", {}, "Column 3: [owl:fox:nan] is text"),
        ("a {owl|fox", {}, "Column 3: this { is never closed"),
        ("a :nan AND b", {"prompt_and": {"enabled": True}}, "Column 3: :nan is no number from -20 to 20"),
        ("a __../outside__", {}, "Column 3: ../outside is not within the folder of the wildcards"),
        ("a __/etc/passwd__", {}, "Column 3: /etc/passwd is not within the folder of the wildcards"),
        ("a <lore:x>", {}, "Column 3: no extension has tags of the kind lore"),
    ],
)
def test_what_looks_like_a_construct_and_is_text_says_why(registry, prompt, fields, sentence):
    """The prompt stays byte for byte; a note for the command line and the saved text, an underline on the page."""
    (row,) = rows(registry, prompt, **fields)
    literal = prompt.split(" AND ")[0].replace("((owl:11) b:2)", "(owl:11) b")
    assert "syntax" in fields or row.prompts["main"].text == literal
    assert [note for note in row.notes if note.startswith(sentence)], row.notes
    found, failed = registry.marks(Typed(prompt, registry.Request(prompt=prompt, **fields)))
    assert not failed and [one for one in found if one.about.startswith(sentence)], found


@pytest.mark.parametrize("text", LITERAL)
def test_nothing_is_said_about_ordinary_text(registry, text):
    """But that a {| and a tag are text, which stand in some of these."""
    (row,) = rows(registry, text)
    assert not [note for note in row.notes if "weight" in note or "schedule" in note], row.notes


@pytest.mark.parametrize(
    "prompt", ["a [[...99999]]", "a [[...99999999999]]", "a [[x:...10000]]", "a " + "_" * 40_000]
)
def test_a_gap_that_no_text_has_is_refused(registry, prompt):
    with pytest.raises(ValueError, match=r"^infill: column 3: .* is a gap of more than 9999 tokens") as error:
        rows(registry, prompt)
    assert len(str(error.value)) < 200
    (one,), failed = registry.marks(Typed(prompt, registry.Request(prompt=prompt)))
    assert not failed and one.underline.effect == "refused"


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


# -- the tables of docs/prompt-language.md -------------------------------------------------------------------

Line = tuple[str, str, list[str]]  # the heading above the table, its first line, the cells of a row


def tables() -> list[Line]:
    """The rows of all tables of the document."""
    found, heading, head = [], "", None
    for line in (ROOT / "docs" / "prompt-language.md").read_text("utf-8").splitlines():
        if line.startswith("## "):
            heading = line.removeprefix("## ")
        if not line.startswith("|"):
            head = None
            continue
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if head is None:
            head = " | ".join(cells)
        elif set(line) - set("|- "):
            found.append((heading, head, cells))
    return found


def spans(cell: str) -> list[str]:
    """The code in a cell: between one or more backticks, without the blank that keeps a backtick apart."""
    texts = [match[2] for match in re.finditer(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", cell)]
    stripped = [text[1:-1] if text[0] == text[-1] == " " and text.strip() else text for text in texts]
    return [text.replace("\\|", "|") for text in stripped]


def runs(prompt: Prompt) -> list[str]:
    """Neighbours of equal weight, as the document writes them."""
    joined = groupby((piece for piece in prompt.pieces if piece.text), lambda piece: f"{piece.weight:.6g}")
    texts = [("".join(piece.text for piece in group), weight) for weight, group in joined]
    return [text if weight == "1" else f"{text}@{weight}" for text, weight in texts]


def seen(registry: Registry, typed: str, **fields) -> list[str]:
    """The main prompt of each text of a request."""
    return [row.prompts["main"].text for row in rows(registry, typed, **fields)]


def refused(cell: str, work: Callable[[], object]) -> None:
    """The work raises a sentence that has what the cell says behind the colon."""
    with pytest.raises(ValueError) as error:
        work()
    for said in cell.removeprefix("refused").removeprefix(":").split(","):
        assert said.strip().removeprefix("the nearest is ") in str(error.value)


@pytest.fixture(scope="module")
def documented(tmp_path_factory) -> Registry:
    """The files that the document speaks of."""
    models = tmp_path_factory.mktemp("documented")
    for name, text in {
        "wildcards/animal.txt": "fox\nowl\n",
        "wildcards/again.txt": "__again__\n",
        "styles/styles.csv": "name,prompt,negative_prompt\nfable,an old fable of {prompt},\n",
    }.items():
        (models / name).parent.mkdir(parents=True, exist_ok=True)
        (models / name).write_text(text, "utf-8")
    return Registry(ROOT / "extensions", models=models)


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    app = program(tmp_path_factory.mktemp("calls"))
    yield app
    app.close()


def check_text(registry: Registry, typed: str, because: str) -> None:
    (row,) = rows(registry, typed)
    assert row.prompts["main"].text == typed and row.draft is None and set(row.prompts) == {"main"}


def check_weights(registry: Registry, typed: str, expected: str, mode: Mode = "full") -> None:
    scan = Prompt.of(typed).scan(SYNTAX, mode)
    assert runs(weighed(scan.parts)) == spans(expected)
    if "@-" in expected:
        return
    (row,) = rows(registry, typed, syntax=mode)
    assert runs(row.prompts["main"]) == spans(expected) and bool(row.notes) >= ("with a note" in expected)


def check_method(registry: Registry, typed: str, method: str, expected: str) -> None:
    fields = {"syntax": "full", "emphasis": {"method": spans(method)[0]}}
    if expected == "acts":
        return check_acts(rows(registry, typed, **fields))
    refused(expected, lambda: rows(registry, typed, **fields))


def check_acts(found: Sequence[Row]) -> None:
    assert all(row.prompts["main"].weighted or len(row.prompts) > 1 for row in found)


def check_and(registry: Registry, typed: str, expected: str) -> None:
    parts = split(Prompt.of(typed).scan(AND, "safe").parts, "safe")
    written = [
        part.prompt.text if part.weight == 1 else f"{part.prompt.text}@{part.weight:g}" for part in parts
    ]
    assert written == spans(expected)


def check_calls(app, typed: str, expected: str) -> None:
    """The weights are those of the texts as emphasis reads them."""
    texts = [re.sub(r"@[\d.]+$", "", text) for text in ["", *spans(expected)][1:]]
    counted = [
        ("" if cell.strip().startswith("nothing") else texts.pop(0), int(cell.split()[-1]))
        for cell in expected.split(", ")
    ]
    assert prompts_per_call(app, typed) == [text for text, number in counted for _ in range(number)]


def check_gaps(registry: Registry, typed: str, mode: str, expected: str) -> None:
    (row,) = rows(registry, typed, syntax=spans(mode)[0])
    assert row.draft is not None and [str(gap.tokens) for gap in row.draft.gaps] == expected.split(", ")


def check_tag(registry: Registry, typed: str, expected: str) -> None:
    if expected.startswith("refused"):
        return refused(expected, lambda: rows(registry, typed))
    (row,) = rows(registry, typed)
    assert [row.prompts["main"].text] == spans(expected) and bool(row.notes) >= ("with a note" in expected)


def check_choices(registry: Registry, typed: str, expected: str) -> None:
    if expected.startswith("refused"):
        return refused(expected, lambda: rows(registry, typed))
    found = rows(registry, typed, wildcards={"combinatorial": len(spans(expected)) > 1})
    assert [row.prompts["main"].text for row in found] == spans(expected)
    assert seen(registry, typed)[0] in spans(expected), "one of them without"
    assert bool(found[0].notes) >= ("with a note" in expected)


def check_matrix(registry: Registry, typed: str, which: str, expected: str) -> None:
    fields = {"prompt": typed, "seed": 1, "prompt_matrix": {"enabled": True, "one_of": which == "one of"}}
    cells = registry.expand(registry.Request(**fields))
    assert [cell.request.prompt for cell in cells] == spans(expected)


def check_values(registry: Registry, typed: str, kind: str, expected: str) -> None:
    if expected == "refused":
        return refused(expected, lambda: items(typed))
    if kind == "texts":
        assert [item.text for item in items(typed)] == spans(expected)
        return
    found = numbers(typed, whole=kind == "whole numbers")
    assert ("a number, no range" if found is None else ", ".join(f"{n:g}" for n in found)) == expected


def check_axis(registry: Registry, prompt: str, typed: str, expected: str) -> None:
    fields = {"xyz_grid": {"x_field": "prompt", "x_values": spans(typed)[0]}}
    if expected == "refused":
        return refused(expected, lambda: rows(registry, prompt, **fields))
    assert seen(registry, prompt, **fields) == spans(expected)


def check_strengths(registry: Registry, curve: str, loops: str, begin: str, end: str, expected: str) -> None:
    made = [strength(float(begin), float(end), curve, k, int(loops)) for k in range(int(loops))]
    assert made == pytest.approx([float(one) for one in expected.split(", ")], abs=0.005)


def check_note(registry: Registry, typed: str, expected: str) -> None:
    (row,) = rows(registry, typed)
    column = expected.split(":")[0].capitalize()
    assert row.prompts["main"].text == typed and [note for note in row.notes if note.startswith(f"{column}:")]
    found, _ = registry.marks(Typed(typed, registry.Request(prompt=typed)))
    assert [one.about.startswith(f"{column}:") for one in found if one.underline.effect == "literal"] == [
        True
    ]


CHECKS: dict[str, Callable[..., None]] = {
    "in the mode `safe` text, byte for byte | because": check_text,
    "looks like a construct | the note": check_note,
    "typed, in `full` | is given to the model as": check_weights,
    "typed, in `safe` | is given to the model as": lambda *row: check_weights(*row, mode="safe"),
    "typed | method | ": check_method,
    "typed | parts and weights": check_and,
    "typed | text at each model call": check_calls,
    "typed | mode | gaps and their tokens": check_gaps,
    "typed | ": check_tag,
    "typed | all texts": check_choices,
    "typed |  | texts": check_matrix,
    "typed | of | values": check_values,
    "prompt | typed | texts": check_axis,
    "curve | loops | from | to | strengths": check_strengths,
}


@pytest.mark.parametrize(
    "heading, head, cells", [pytest.param(*row, id=f"{row[0]}-{row[2][0]}") for row in tables()]
)
def test_a_row_of_the_document(request, documented, heading, head, cells):
    check = CHECKS[head]
    (typed,) = spans(cells[0])
    check(request.getfixturevalue("app") if check is check_calls else documented, typed, *cells[1:])


def test_every_kind_of_table_is_there():
    assert {head for _, head, _ in tables()} == set(CHECKS)
