"""What the page asks of `constraints`: the live check of rules, and the parts of texts; the metric "valid"."""

from __future__ import annotations

import ast
import random
import re

import pytest

from extensions.constraints import haiku, rules
from tests.contract.program import program, write
from webui.settings import ROOT


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    (folder / "extensions").mkdir()
    for name in ("constraints", "infill", "xyz_grid"):
        (folder / "extensions" / name).symlink_to(ROOT / "extensions" / name)
    app = program(folder, folder / "extensions", ("LLaDA",))
    yield app
    app.close()


@pytest.mark.parametrize(
    ("options", "field", "said"),
    [
        ({"regex": "[0-9]{4}-[0-9]{2}"}, "regex", {"example": "0000-00"}),
        ({"preset": "json"}, "preset", {"example": '{"name": "Ada", "age": 36}'}),
        ({"preset": "haiku"}, "preset", {"example": haiku.EXAMPLE}),
        ({"regex": "a{300}"}, "regex", {"example": "a" * 200 + "…"}),
        ({"choices": "yes\nno"}, "choices", {"example": "no"}),
        ({"grammar": 'start: "(" start ")" | "a"'}, "grammar", {"example": "a", "depth": 32}),
        ({"grammar": 'start: "b" start | "a"'}, "grammar", {"example": "a"}),
        ({"gaps": "when = @date\nx = a|b"}, "gaps", {"example": "when = 2026-11-27; x = a"}),
        ({"regex": "(a"}, "regex", "The pattern (a cannot be used"),
        ({"grammar": "start: other"}, "grammar", "The grammar cannot be used"),
        ({"gaps": "x = a\ny = (b"}, "gaps", "Y: the pattern (b cannot be used"),
        ({"gaps": "x"}, "gaps", "Line 1 of the rules of gaps"),
        ({"regex": "a", "choices": "b"}, "preset", "Regex and choices are set"),
        ({"regex": "a", "gaps": "x = b"}, "gaps", "There are rules for the whole answer and for gaps"),
    ],
)
def test_the_check_of_rules(app, options, field, said):
    answer = app.registry.call("constraints", "check", app, {"options": options})["rules"]
    if isinstance(said, str):
        assert answer[field]["wrong"].startswith(said)
    else:
        assert answer == {field: said}


def test_examples_of_presets_match_them():
    for name, pattern in rules.PRESETS.items():
        example = rules.EXAMPLES[name]
        assert rules.of_regex(pattern).accepts(example) and re.fullmatch(pattern, example)
    listed, address = rules.of_regex(rules.PRESETS["list"]), rules.of_regex(rules.PRESETS["email"])
    assert not listed.accepts("- one") and listed.accepts("- one\n- two\n- three")
    assert address.accepts("a-b.c@e-f.g.h.museum") and not address.accepts("abcdefghijklm@a.de")


def test_what_is_no_question_is_refused_in_one_sentence(app):
    for gaps in ("x", [["x", 0]], [["x", 0, True]], [["x", 1, 3]], [["x", -1, 1]], [["x", 1, 0]]):
        with pytest.raises(ValueError, match="Send each gap as"):
            app.registry.call("constraints", "parts", app, {"options": {}, "text": "ab", "gaps": gaps})
    for sent in ({}, {"options": {"regex": 3}}, {"options": {"depth": -1}}):
        with pytest.raises(ValueError, match="options of constraints"):
            app.registry.call("constraints", "check", app, sent)
    with pytest.raises(ValueError, match="Send a text"):
        app.registry.call("constraints", "parts", app, {"options": {}})


def test_parts_of_texts(app):
    def parts(text, **options):
        found = app.registry.call("constraints", "parts", app, {"options": options, "text": text})["parts"]
        assert "".join(piece for piece, _ in found) == text
        return [(piece, kind) for piece, kind in found if kind]

    pattern = "(?P<year>[0-9]{4})-(?P<month>[0-9]{2})( .*)?"
    assert parts("2026-11 x", regex=pattern) == [("2026", "group 1"), ("11", "group 2")]
    assert parts("ab", regex="(a)(b)|(c)") == [("a", "group 1"), ("b", "group 2")]
    assert parts("aab", regex="((a+)b)") == [("aab", "group 1")]
    assert parts("no match", regex="(a)") == []
    assert parts('{"a": [1, "b\\"", null]}', json_schema="{}") == [
        ('"a"', "key"),
        ("1", "number"),
        ('"b\\""', "string"),
        ("null", "word"),
    ]
    assert parts("{not json", json_schema="{}") == []
    assert parts("f1 = 'a\\'b' + 2.5*(x)", grammar="start:") == [
        ("f1", "word"),
        ("'a\\'b'", "string"),
        ("2.5", "number"),
        ("x", "word"),
    ]
    assert parts("[1]", grammar="start:") == [("1", "number")]
    assert parts("a\nb", preset="haiku") == [("a", "group 1"), ("b", "group 2")]
    assert parts("🦊 é", regex="(🦊) (é)") == [("🦊", "group 1"), ("é", "group 2")]
    assert parts("- a\n- b c", preset="list") == [("a", "group 1"), ("b c", "group 2")]
    assert parts("2026-11-27", preset="date") == [("2026", "group 1"), ("11", "group 2"), ("27", "group 3")]
    assert parts("-0.5", preset="number") == [("-0", "group 1"), (".5", "group 2")]
    assert parts("a.b@c.de", preset="email") == [("a.b", "group 1"), ("c.de", "group 2")]
    assert parts("def f(a: int, b=0) -> str:", preset="python") == [
        ("f", "group 1"),
        ("a: int, b=0", "group 2"),
        ("str", "group 3"),
    ]


def test_parts_of_gaps(app):
    """Of a text as it is written: where the gaps lie comes with the result."""
    rule = {"gaps": "when = @date\nword = [a-m]+\ndata = @json"}
    prompt = "🦊 On [[when:...11]], [[word:...3]] [[...2]] and [[word:...2]] or [[data:...8]]."
    result = write(app, prompt=prompt, temperature=1.0, steps=8, seed=2, constraints=rule)
    written = [(name, result.text[start:end]) for name, start, end in result.gaps]
    assert [name for name, _ in written] == ["when", "word", "word", "data"]
    when, one, other, data = (text for _, text in written)
    assert re.fullmatch(rules.PRESETS["date"], when) and re.fullmatch("[a-m]+", one + other)
    assert result.text.startswith(f"🦊 On {when}, {one} ") and result.text.endswith(f" or {data}.")
    sent = {"options": rule, "text": result.text, "gaps": [list(gap) for gap in result.gaps]}
    found = app.registry.call("constraints", "parts", app, sent)["parts"]
    assert "".join(piece for piece, _ in found) == result.text
    coloured = [(piece, kind) for piece, kind in found if kind]
    assert coloured[:5] == [
        (when[:4], "group 1"),
        (when[5:7], "group 2"),
        (when[8:], "group 3"),
        (one, "group 2"),
        (other, "group 2"),
    ]
    assert coloured[5:] == [(data, "group 3")] if data == "{}" else coloured[5][1] == "key"


def test_valid_is_a_metric_of_grids(app):
    axis = {"x_field": "constraints.regex.text", "x_values": "[a-z]+, [0-9]+"}
    job = app.queue.submit(app.Request(prompt="a", length=8, seed=1, count=2, xyz_grid=axis))
    assert job.wait(120)
    table = app.tables.of(job)
    assert "constraints.valid" in table.metrics
    assert [row.metrics["constraints.valid"] for row in table.rows] == [True] * 4


def test_headers_of_python_functions_are_python(app):
    assert (
        write(app, prompt="a", length=24, temperature=1.0, constraints={"preset": "python"}).text[-1] == ":"
    )
    rule, luck = rules.of_regex(rules.PRESETS["python"]), random.Random(1)
    for _ in range(50):  # walks through the automaton
        text, state = b"", rule.start
        while not rule.final[state] or luck.random() < 0.5:
            ways = [byte for byte in range(256) if rule.next[state, byte] >= 0]
            if not ways or len(text) > 300:
                break
            byte = luck.choice(ways)
            text, state = text + bytes([byte]), int(rule.next[state, byte])
        if rule.final[state]:
            ast.parse(text.decode() + " pass")
    assert not rule.accepts("def f(a=1, b):") and not rule.accepts("def if():")


def test_digits_of_schemas_are_those_of_ascii():
    rule = rules.of_schema('{"type": "string", "format": "date"}')
    assert rule.accepts('"2026-11-26"') and not rule.accepts('"২০২৬-11-26"')
    rule = rules.of_schema(r'{"type": "string", "pattern": "^[\\d-]{2}\\\\d$"}')
    assert re.fullmatch(r"[\d-]{2}\\d", "1-\\d") and rule.accepts(r'"1-\\d"') == rule.accepts(r'"11\\d"')
