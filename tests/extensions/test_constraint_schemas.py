"""JSON Schemas: nothing in them is passed over; what matches their automata is what `jsonschema` accepts."""

from __future__ import annotations

import json
import math
import random

import pytest

from extensions.constraints import rules
from tests.constraint_rules import SCHEMAS, by_schema

SEVERAL = {
    "patterns": {
        "anyOf": [
            {"type": "string", "pattern": pattern}
            for pattern in (
                "^.{3}$",
                'a|"b"',
                "^[^a]{2}$",
                r"^\S$",
                r"^\W\D\s$",
                r"^[\w\-]+$",
                r"^\\$",
                "^[a-c]|x$",
                r"^\n[\]a]$",
                "[]a]",
                r"a\/b",
                "b$",
            )
        ]
    },
    "ranges": {
        "type": "object",
        "properties": {
            "a": {"type": "integer", "minimum": -2, "exclusiveMaximum": 11},
            "b": {
                "oneOf": [{"type": "null"}, {"enum": [1, 2]}, {"type": "array", "items": {"const": {"c": 0}}}]
            },
        },
        "required": ["a", "b"],
        "additionalProperties": False,
    },
    "several types": {
        "type": ["integer", "null", "string", "array", "object"],
        "minimum": 3,
        "maximum": 5,
        "maxLength": 2.0,
        "items": {"type": "integer", "minimum": 0, "maximum": 1},
        "additionalProperties": False,
    },
    "nested": {
        "$defs": {
            "tree": {
                "type": "object",
                "properties": {"left": {"$ref": "#/$defs/tree"}, "v": {"type": "null"}},
            }
        },
        "$ref": "#/$defs/tree",
    },
}


@pytest.mark.parametrize("name", [*SEVERAL, "lm-format-enforcer: list of models"])
def test_texts_match_their_schema(name):
    schema = (SEVERAL | SCHEMAS)[name]
    rule, luck, found = rules.of_schema(json.dumps(schema)), random.Random(1), set()
    for _ in range(300):  # walks through the automaton
        text, state = b"", rule.start
        while not rule.final[state] or luck.random() < 0.5:
            ways = [byte for byte in range(256) if rule.next[state, byte] >= 0]
            if not ways or len(text) > 60:
                break
            byte = luck.choice(ways)
            text, state = text + bytes([byte]), int(rule.next[state, byte])
        if rule.final[state]:
            found.add(text.decode())
    fine = by_schema(schema)
    assert found and all(map(fine, found)), [text for text in found if not fine(text)][:3]


@pytest.mark.parametrize(
    ("schema", "sentence"),
    [
        ({}, "a schema says nothing about its values"),
        ({"type": "array", "items": {"title": "any"}}, "a schema says nothing about its values"),
        ({"type": "number", "minimum": 3}, "it uses minimum"),
        ({"type": "integer", "minimum": 3}, "an integer's range needs two limits"),
        ({"type": "array", "items": {"type": "null"}, "uniqueItems": True}, "it uses uniqueItems"),
        ({"type": "object", "minProperties": 1}, "it uses minProperties"),
        ({"not": {"type": "null"}}, "it uses not"),
        ({"allOf": [{"type": "null"}, {"type": "null"}]}, "allOf has more than one schema"),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "write anyOf"),
        ({"enum": []}, "enum is no list of at least one entry"),
        ({"enum": [1], "const": 1}, "enum and const stand in one schema"),
        ({"type": "string", "enum": [1]}, "the value 1 is not of the type"),
        ({"type": "string", "pattern": "a", "maxLength": 3}, "pattern and maxLength stand in one schema"),
        ({"type": "string", "pattern": "(?=a)b"}, "looks around"),
        ({"properties": {"a": {"type": "null"}}, "required": ["b"]}, "the required key b has no schema"),
        ({"properties": {"a": False}}, "the schema false stands where an object is needed"),
        ({"$ref": "http://127.0.0.1:9/schema.json"}, "a $ref does not lead to a schema within this one"),
        ({"$ref": "file:///etc/hostname"}, "a $ref does not lead to a schema within this one"),
        ({"$ref": "#/examples/0", "examples": [{"type": "number", "minimum": 3}]}, "a $ref does not lead"),
        ({"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}, "a $ref leads to itself"),
        ({"const": math.nan}, "a number is none of JSON's"),
        ({"const": "\ud800"}, "half a surrogate pair"),
        ({"type": "string", "format": "ipv99"}, "the format ipv99 is not possible"),
        ({"type": ["integer", "null"], "minimum": 3}, "an integer's range needs two limits"),
        ({"type": ["integer", "number"], "minimum": 3, "maximum": 4}, "it uses maximum"),
        ({"type": ["string", "array"], "items": {"type": "number", "minimum": 3}}, "it uses minimum"),
        ({"type": "array", "properties": {"a": {"type": "null"}}}, "of another type than object"),
        ({"type": "array", "items": False}, "the schema false stands where an object is needed"),
        ({"type": "array", "items": [{"type": "null"}]}, "stands where an object is needed"),
        ({"type": []}, "the type is none of string"),
        ({"type": 5}, "the type is none of string"),
        ({"type": "text"}, "the type is none of string"),
        ({"type": [["string"]]}, "the type is none of string"),
        ({"type": "string", "minLength": "a"}, "minLength is no whole number"),
        ({"type": "string", "maxLength": -5}, "maxLength is no whole number"),
        ({"type": "string", "maxLength": 2.5}, "maxLength is no whole number"),
        ({"type": "string", "minLength": True}, "minLength is no whole number"),
        ({"type": "array", "minItems": math.inf}, "minItems is no whole number"),
        ({"type": "array", "minItems": 3, "maxItems": 2}, "minItems is greater than maxItems"),
        ({"type": "string", "format": 5}, "format is no text"),
        ({"type": "string", "pattern": 5}, "pattern is no text"),
        ({"$ref": 5}, "$ref is no text"),
        ({"properties": {"a": {"type": "null"}}, "required": 3}, "required is no list of keys"),
        ({"properties": [1]}, "properties is no object"),
        ({"$defs": 3, "type": "null"}, "$defs is no object"),
        ({"type": "object", "additionalProperties": 3}, "stands where an object is needed"),
    ],
)
def test_what_would_be_passed_over_is_refused(schema, sentence):
    with pytest.raises(ValueError) as raised:
        rules.of_schema(json.dumps(schema))
    assert sentence in str(raised.value) and "\n" not in str(raised.value) and len(str(raised.value)) < 300


def test_deep_and_long_schemas_are_refused_in_one_sentence():
    deep = '{"type":"array","items":' * 3000 + '{"type":"null"}' + "}" * 3000
    for text, sentence in (
        (deep, "nested too deep"),
        ("[" * 90_000, "nested too deep"),
        ("1", "no JSON object"),
        (" " * 100_001, "at most 100,000 are possible"),
    ):
        with pytest.raises(ValueError, match=sentence):
            rules.Rule("json_schema", text).automata()
