"""Grammars of `constraints`: their automata against Lark's parser on every short text, and texts of models that
Lark's parser and `json` read."""

from __future__ import annotations

import itertools
import json

import pytest

from extensions.constraints import tokens
from extensions.constraints.automaton import UNTIL_DONE, Patience, compiled
from extensions.constraints.compiler import expansion, grammars
from extensions.constraints.rules import Rule
from extensions.constraints.tokens import Vocabulary
from tests.constraint_rules import by_lark
from tests.contract.program import cells, finished, program, write
from webui.settings import ROOT

# name: letters of the texts, how long they are, the grammar
GRAMMARS = {
    "brackets": ("()", 10, 'start: "(" start ")" start |'),
    "two kinds": ("()[", 7, 'start: ("(" start ")" | "[" start "]")*'),
    "arithmetic": (
        "1+*()",
        6,
        """
        start: sum
        sum: product | sum "+" product
        product: atom | product "*" atom
        atom: "1" | "(" sum ")"
        """,
    ),
    "ambiguous": ("1+-", 7, 'start: start "+" start | "-" start | start "-" | "1"'),
    "right through others": ("a,;", 7, 'start: "a" rest\nrest: "," start | ";" other |\nother: start ";"?'),
    "left through others": ("ab", 7, 'start: other "a" | "b"\nother: start "b" | "a"'),
    "palindromes": ("ab", 8, 'start: "a" start "a" | "b" start "b" | "a" | "b" |'),
    "ignored": ("(1 ,)", 6, 'start: "1" | "(" [start ("," start)*] ")"\n%ignore " "'),
    "templates and counts": (
        "ab,",
        7,
        'start: sep{x, ","}\nsep{item, by}: item (by item)*\nx: "a"~1..2 | "b"i',
    ),
    "terminals": ('"\\a', 6, "start: ESCAPED_STRING+\n%import common.ESCAPED_STRING"),
    "lazy": ("/*a", 7, "start: C_COMMENT A?\nA: /a+/\n%import common.C_COMMENT"),
    "classes": ("[a&-", 5, r"start: /[\w[]+/ /[&&-]/?"),
}

JSON = r"""
root   ::= object
value  ::= object | array | string | number | "true" | "false" | "null"
object ::= "{" ( string ": " value (", " string ": " value)* )? "}"
array  ::= "[" ( value (", " value)* )? "]"  # comments end with the line
string ::= "\"" ( [^"\\\x00-\x1F\x7F] | "\\" ["\\/bfnrt] )* "\""
number ::= "-"? ("0" | [1-9] [0-9]{0,3}) ("." [0-9]+)?
"""
SUM = """
start: sum
sum: product | sum "+" product
product: atom | product "*" atom
atom: /[0-9]+/ | "(" sum ")"
%ignore " "
"""


def accepts(level: expansion.Level, text: str) -> bool:
    state = 0
    for byte in text.encode():
        if byte not in level.rows[state]:
            return False
        state = level.rows[state][byte]
    return level.final[state]


def texts(letters: str, most: int):
    for length in range(most + 1):
        yield from map("".join, itertools.product(letters, repeat=length))


@pytest.mark.parametrize("name", GRAMMARS)
def test_an_expanded_grammar_accepts_what_larks_parser_accepts(name):
    letters, most, grammar = GRAMMARS[name]
    level = expansion.levels(grammars.read(grammar), 4096, 0, 2048)[-1]
    reads = by_lark(grammar)
    every = list(texts(letters, min(most, 5))) + list(texts(letters, most))[:: 7 if most > 5 else 1]
    assert any(accepts(level, text) for text in every)
    for text in every:
        assert accepts(level, text) == reads(text), text


def test_depth_bounds_nesting_and_nothing_else():
    grammar = grammars.read('start: "a"* | "(" start ")" | start "b"')
    for depth in (1, 2, 5):
        (level,) = expansion.levels(grammar, 4096, depth, 2048)
        assert level.depth == depth
        assert accepts(level, "(" * depth + "aaaaaaaaaa" + ")" * depth + "bbbbbbbbbb")
        assert not accepts(level, "(" * (depth + 1) + ")" * (depth + 1))
    (level,) = expansion.levels(grammars.read('start: "a" start "b"? | start "c" | "a"'), 4096, 3, 2048)[-1:]
    assert level.depth == 3
    for regular in ('start: "a" start | start "b" | "c"', 'start: "a" other | "b"\nother: "c" start'):
        (level,) = expansion.levels(grammars.read(regular), 4096, 0, 2048)
        assert level.depth == -1  # nothing nests: this is the language itself


def test_a_mutant_that_forgets_what_follows_a_nested_rule_is_seen(monkeypatch):
    """Every reference as one that stands last: brackets are then no longer closed."""
    letters, most, grammar = GRAMMARS["arithmetic"]
    whole = expansion.Expansion._sequence

    def mutant(self, net, alternative, begin, end, root, depth, entry):
        names = [i for i, one in enumerate(alternative) if isinstance(one, str)]
        whole(
            self, net, alternative[: names[0] + 1] if names else alternative, begin, end, root, depth, entry
        )

    monkeypatch.setattr(expansion.Expansion, "_sequence", mutant)
    level = expansion.levels(grammars.read(grammar), 4096, 4, 2048)[-1]
    reads = by_lark(grammar)
    assert any(accepts(level, text) != reads(text) for text in texts(letters, 4))


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    folder = tmp_path_factory.mktemp("grammars")
    (folder / "extensions").mkdir()
    for name in ("constraints", "infill", "guidance", "emphasis"):
        (folder / "extensions" / name).symlink_to(ROOT / "extensions" / name)
    app = program(folder, folder / "extensions", ("LLaDA",), dtype="float64")
    assert not app.registry.failed
    yield app
    app.close()


@pytest.mark.parametrize("steps", [3, 6, 24])
def test_texts_of_grammars_are_read_by_their_parsers(app, steps):
    common = {"prompt": "a (cat:1.3)", "length": 24, "steps": steps, "count": 3, "guidance": {"scale": 2.0}}
    for temperature in (0.0, 1.0):
        made = write(app, **common, temperature=temperature, constraints={"grammar": JSON, "depth": 2})
        for part in cells(made):
            assert isinstance(json.loads(part.text), dict), part.text
            assert part.extras["constraints"] == {"valid": True, "depth": 2}
        made = write(app, **common, temperature=temperature, constraints={"grammar": SUM})
        for part in cells(made):
            assert by_lark(SUM)(part.text), part.text


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"grammar": "start: ("}, "the grammar cannot be used: Unclosed parenthesis, at line 1 column 9."),
        ({"grammar": "start: ~"}, "the grammar cannot be used: "),
        ({"grammar": "start: other"}, "the grammar cannot be used: "),
        ({"grammar": 'begin: "a"'}, "the grammar cannot be used: "),
        ({"grammar": 'start: start "a"'}, "its rules derive no finite text"),
        ({"grammar": 'start: "(" start ")"'}, "its rules derive no finite text"),
        ({"grammar": "start: /a(?=b)/"}, "the terminal /a(?=b)/ is no regular expression"),
        ({"grammar": "start: A\n%declare A"}, "the terminal A has no pattern"),
        ({"grammar": 'start: "a"\n%import .secrets.A'}, "which does not come with Lark"),
        ({"grammar": 'start: "a"\n%ignore /a*/'}, "zero-width regexps"),
        ({"grammar": "start: " + "(" * 500 + '"a"' + ")" * 500}, "its rules refer to each other too often"),
        ({"grammar": 'root ::= "a" other'}, "line 1: there is no rule other"),
        ({"grammar": " "}, "there is no rule start"),
        ({"grammar": "start: /(a+)+$/"}, "$ is not possible in a terminal"),
        ({"grammar": 'start: "\\ud800"'}, "a terminal holds half a surrogate pair"),
        ({"grammar": 'root ::= "a" )'}, "line 1 is not GBNF"),
        ({"grammar": 'root ::= "a"{5,2}'}, "line 1 repeats from 5 to 2 times"),
        ({"grammar": "root ::= [z-a]"}, "line 1 has a range that runs backwards"),
        ({"grammar": 'root ::= ("a"{999}){999}'}, "the grammar needs "),
        ({"grammar": 'start: "a"~40'}, "the rule needs at least 40 tokens; there are 8"),
        ({"grammar": JSON, "depth": 9}, "the grammar needs "),
        ({"grammar": 'start: "a"', "regex": "a"}, "regex and grammar are set"),
        # every pair of letters nests in its own manner: 26 times as many states for each level
        (
            {
                "grammar": "start: "
                + " | ".join(f'"{chr(i)}" start "{chr(i)}"' for i in range(97, 123))
                + ' | "0"',
                "depth": 5,
            },
            "at most 8,192 are possible",
        ),
    ],
)
def test_grammars_that_cannot_be_are_refused_in_one_sentence(app, fields, sentence):
    error = finished(app, app.Request(prompt="a", length=8, seed=1, constraints=fields)).error
    assert error.startswith("constraints: ") and sentence in error, error
    assert "\n" not in error and len(error) < 300


def test_many_alternatives_and_long_circles_of_rules(app):
    words = [f"{i * 7919 % 100_000:05d}" for i in range(300)]
    grammar = "root ::= " + " | ".join(f'"{word}" root?' for word in words)
    result = write(app, prompt="a", length=10, seed=1, constraints={"grammar": grammar})
    assert result.text in words or {result.text[:5], result.text[5:]} <= set(words)
    deep = "\n".join(f'r{i}: "(" r{i + 1} ")" | "a"' for i in range(30))
    result = write(app, prompt="a", constraints={"grammar": f"start: r0\n{deep}\nr30: start"})
    assert by_lark('start: "(" start ")" | "a"')(result.text)


def test_compiling_for_a_checkpoint_says_how_far_it_is(app):
    told = []
    (automaton,) = compiled("regex", "[a-z]{300}")
    words = tuple(bytes([byte]) for byte in range(256))
    vocabulary = Vocabulary.of(words)
    patience = Patience(lambda: False, lambda *said: told.append(said))
    tokens.automaton(automaton, vocabulary, vocabulary, (), 256, patience)
    assert told and {stage for stage, *_ in told} == {"tokens"}
    done = [one for _, one, _ in told]
    assert done == sorted(done) and done[-1] <= 301 and {most for *_, most in told} == {4096}


@pytest.mark.parametrize("kind", ["regex", "choices", "grammar"])
def test_ten_thousand_alternatives(kind):
    words = [f"{i * 7919 % 65536:04x}" for i in range(10_000)]  # 60 to 70 kB: more than a pipe holds
    grammar = "root ::= " + "|".join(f'"{word}"' for word in words)
    text = {"regex": "|".join(words), "choices": "\n".join(words), "grammar": grammar}[kind]
    rule = Rule(kind, text).automata()[-1]
    known = set(words)
    assert all(rule.accepts(word) for word in words[::97])
    assert not any(
        rule.accepts(word) for word in (f"{i:04x}" for i in range(0, 65536, 499)) if word not in known
    )


def test_hostile_recursion_is_expanded():
    for grammar, text, other in (
        ('start: start start start | "(" start ")" | "a"', "(aa(aaa))a", "(a"),
        ('start: e start "a" | "b"\ne: "x" |', "xxbaaa", "xxba"),
        ("start: /(a+)+b/", "aaab", "aaa"),
    ):
        rule = Rule("grammar", grammar, 3).automata()[-1]
        assert rule.accepts(text) == by_lark(grammar)(text) and not rule.accepts(other)


def test_a_compilation_ends_when_its_job_is_cancelled(app):
    slow = "([a-z]{1,99}[0-9]{1,99}){1,999}"
    with pytest.raises(ValueError, match="cancelled"):
        compiled("regex", slow, 0, Patience(lambda: True))
    job = app.queue.submit(app.Request(prompt="a", length=8, seed=1, constraints={"regex": slow}))
    reader, said = job.subscribe(), None
    while said is None and not job.wait(0.02):
        said = (reader.read() or {}).get("preparing")
    job.cancel()
    assert said["extension"] == "constraints" and said["stage"] == "compiling"
    assert job.wait(120) and job.state == "cancelled" and not job.error
    assert reader.read()["preparing"] is None
    assert job.result.extras["constraints"] == {"valid": False}
    assert Patience(lambda: True) == UNTIL_DONE and hash(Patience(lambda: True)) == hash(UNTIL_DONE)
