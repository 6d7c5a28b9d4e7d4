"""Prompts from files: each format, any fields, and what is refused."""

from __future__ import annotations

import pytest

from tests.contract.program import cells, program, write
from webui.extension.registry import Registry
from webui.settings import ROOT


@pytest.fixture
def registry(tmp_path) -> Registry:
    return Registry(ROOT / "extensions", models=tmp_path)


def expanded(registry: Registry, text: str = "", format: str = "txt", **fields):
    own = {"text": text, "format": format, **fields.pop("own", {})}
    return registry.expand(registry.Request(seed=1, prompts_from_file=own, **fields))


def test_a_prompt_in_each_line(registry):
    made = expanded(registry, "a cat\r\n\n  {b|c} \n猫\n", syntax="off")
    assert [cell.request.prompt for cell in made] == ["a cat", "{b|c}", "猫"]
    assert made[0].axes == (("prompt", "a cat", "a cat"),)
    assert all(cell.request.prompts_from_file.defaults() for cell in made)


def test_csv_sets_any_field(registry):
    text = 'prompt, temperature, guidance.scale, sampler\n"a cat, big", 0.5,,random\n\nb,,2.5,\n'
    one, two = (cell.request for cell in expanded(registry, text, "csv", temperature=0.1))
    assert (one.prompt, one.temperature, one.guidance.scale, one.sampler) == (
        "a cat, big",
        0.5,
        None,
        "random",
    )
    assert (two.prompt, two.temperature, two.guidance.scale, two.sampler) == ("b", 0.1, 2.5, None)


def test_jsonl_sets_any_field(registry):
    text = '{"prompt": "a", "guidance": {"scale": 2, "start": 0.5}}\n"b"\n{"guidance.scale": 3, "seed": 9}\n'
    made = expanded(registry, text, "jsonl", prompt="c", guidance={"end": 0.9})
    requests = [cell.request for cell in made]
    assert [(r.prompt, r.guidance.scale, r.guidance.start, r.guidance.end, r.seed) for r in requests] == [
        ("a", 2, 0.5, 0.9, 1),
        ("b", None, 0, 0.9, 1),
        ("c", 3, 0, 0.9, 9),
    ]
    assert made[0].axes[1:] == (("guidance.scale", 2.0, "scale 2.0"), ("guidance.start", 0.5, "start 0.5"))


def test_files_in_the_prompts_folder(registry, tmp_path):
    folder = tmp_path / "prompts"
    folder.mkdir()
    (folder / "a.txt").write_bytes("\ufeffone\ntwo\n".encode())
    (folder / "b.CSV").write_text("prompt\nthree\n")
    (folder / "c.jsonl").write_text('"four"\n')
    (folder / "d.exe").write_text("no")
    found = []
    for name in ("a.txt", "b.CSV", "c.jsonl"):
        found += [cell.request.prompt for cell in expanded(registry, own={"file": name})]
    assert found == ["one", "two", "three", "four"]


@pytest.mark.parametrize("name", ["none.txt", "../prompts/a.txt", "/etc/passwd", "d.exe", ".."])
def test_only_files_of_that_folder(registry, tmp_path, name):
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "a.txt").write_text("one")
    (tmp_path / "prompts" / "d.exe").write_text("one")
    with pytest.raises(
        ValueError, match=r"^prompts_from_file: there is no file .* (The nearest:|There is only) a.txt"
    ):
        expanded(registry, own={"file": name})


@pytest.mark.parametrize(
    "text, format, sentence",
    [
        (
            "prompt,temprature\na,1",
            "csv",
            "line 2: 'temprature' is no field that a line can set. The nearest: temp",
        ),
        ("prompt,temperature\na,1\nb,warm", "csv", "line 3: temperature: input should be"),
        ("prompt,guidance.scale\na,99", "csv", "line 2: guidance.scale: input should be"),
        ("prompt,count\na,2", "csv", "line 2: 'count' is no field"),
        ("prompt,prompt\na,b", "csv", "line 1: a column has no name, or two have the same"),
        ("prompt\na,b", "csv", "line 2: 2 values for 1 columns"),
        ('prompt\n"a', "csv", "line 2: it is not CSV"),
        ("prompt\n", "csv", "there is no line with a prompt"),
        ('{"prompt": 1}', "jsonl", "line 1: prompt: input should be a valid string"),
        ('"a"\n{"prompt": }', "jsonl", "line 2: it is not JSON"),
        ("[1]", "jsonl", "line 1: it is no object of fields"),
        ('{"seed": ' + "9" * 5000 + "}", "jsonl", "line 1: a number in it has too many digits."),
        ("[" * 100_000, "jsonl", "line 1: it is nested too deeply."),
        ('{"guidance": {"scales": 1}}', "jsonl", "line 1: 'guidance.scales' is no field"),
        ('{"prompts_from_file": {"text": "a"}}', "jsonl", "line 1: 'prompts_from_file.text' is no field"),
    ],
)
def test_what_is_wrong_is_one_sentence_with_its_line(registry, text, format, sentence):
    with pytest.raises(ValueError) as error:
        expanded(registry, text, format)
    assert str(error.value).lower().startswith(f"prompts_from_file: {sentence}".lower())
    assert "\n" not in str(error.value)


def test_a_file_and_lines_together_are_refused(registry):
    with pytest.raises(ValueError, match="a file and lines; clear one of them"):
        expanded(registry, "a", own={"file": "a.txt"})


def test_lines_multiply_with_grid_and_matrix(registry):
    made = expanded(
        registry,
        "cat | hat\ncat | bat",
        prompt_matrix={"enabled": True, "one_of": True},
        xyz_grid={"x_field": "prompt", "x_values": "cat, dog"},
    )
    assert [cell.request.prompt for cell in made] == ["cat, hat", "dog, hat", "cat, bat", "dog, bat"]


def test_each_cell_is_the_text_of_its_request(tmp_path):
    app = program(tmp_path, dtype="float64")
    own = {"text": "prompt,temperature\na cat,0.9\nthe rain,0.3\n", "format": "csv"}
    made = cells(write(app, prompts_from_file=own))
    assert [part.request.temperature for part in made] == [0.9, 0.3]
    for part in made:
        assert write(app, **dict(part.request)).text == part.text
    app.close()
