"""JSON Schemas as outlines-core reads them without leaving anything out: what it would pass over is refused.
No torch."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

MOST_VALUES = 1000  # of a range of integers
SAID = set(  # says something about a schema, and nothing about its texts
    "$schema $id $anchor $comment title description default examples deprecated readOnly writeOnly "
    "contentMediaType contentEncoding $defs definitions".split()
)
FORMS = ("properties", "allOf", "anyOf", "oneOf", "prefixItems", "enum", "const", "$ref")
OF_FORMS: Mapping[str, set[str]] = {
    "properties": {"type", "required", "additionalProperties"},
    "prefixItems": {"type"},
    "enum": {"type"},
    "const": {"type"},
}
OF_TYPES: Mapping[str, set[str]] = {
    "string": {"minLength", "maxLength", "pattern", "format"},
    "integer": {"minDigits", "maxDigits", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"},
    "number": {
        f"{least}Digits{of}" for least in ("min", "max") for of in ("Integer", "Fraction", "Exponent")
    },
    "array": {"items", "minItems", "maxItems"},
    "object": {"additionalProperties"},
    "boolean": set(),
    "null": set(),
}
DEFINED = ("$defs", "definitions")
LIMITS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
COUNTS = {
    key for keys in OF_TYPES.values() for key in keys if key[:3] in ("min", "max") and key not in LIMITS
}
CLASSES = {"d": "0-9", "w": "A-Za-z0-9_", "s": " "}  # of patterns; blanks of other kinds are escaped in JSON
PLAIN = r'[^"\\\x00-\x1F\x7F]'  # the characters that stand in a JSON string as they are


def prepared(schema: Any) -> Any:
    """The schema in words that outlines-core knows. Everything that matches it matches the schema; texts
    that differ only in escapes, in the order of keys or by further keys may be missing. ValueError."""
    if not isinstance(schema, dict):
        raise ValueError(f"the schema {json.dumps(schema)} stands where an object is needed")
    _values(schema)
    asked = {key: value for key, value in schema.items() if key not in SAID}
    found = {
        key: {name: prepared(one) for name, one in schema[key].items()} for key in DEFINED if key in schema
    }
    if not asked:
        raise ValueError("a schema says nothing about its values, and any JSON is too much; name a type")
    forms = [key for key in FORMS if key in asked]
    if len(forms) > 1:
        raise ValueError(f"{' and '.join(forms)} stand in one schema; one of them is possible")
    if forms:
        return found | _form(forms[0], asked)
    kinds = _types(asked)
    _known(asked, {"type"}.union(*(OF_TYPES[kind] for kind in kinds)))
    if "number" in kinds and (limits := sorted(key for key in asked if key in LIMITS)):
        raise ValueError(f"it uses {limits[0]}, which is possible for the type integer alone")
    if len(kinds) == 1:
        return found | _of_type(kinds[0], asked)
    return found | {"anyOf": [_of_type(kind, asked) for kind in kinds]}


def _of_type(kind: str, asked: Mapping[str, Any]) -> dict[str, Any]:
    """What a schema of several types says of one of them."""
    mine = {key: value for key, value in asked.items() if key in OF_TYPES[kind]} | {"type": kind}
    if kind == "string":
        return _string(mine)
    if kind == "integer":
        return _integer(mine)
    if mine.get("additionalProperties") is False:
        return {"const": {}}
    for key in ("items", "additionalProperties"):
        if key in mine and mine[key] is not True:
            mine[key] = prepared(mine[key])
    if mine.get("items") is True:
        del mine["items"]
    return mine


def _types(asked: Mapping[str, Any]) -> list[str]:
    """The types that a schema names."""
    kinds = asked.get("type", [])
    return list(dict.fromkeys(kinds)) if isinstance(kinds, list) else [kinds]


def _values(schema: dict[str, Any]) -> None:
    """Numbers become whole ones. ValueError for keywords with values that JSON Schema does not know: they
    would be passed over."""
    kinds = schema.get("type", "null")
    if not kinds or not all(
        isinstance(one, str) and one in OF_TYPES for one in (kinds if isinstance(kinds, list) else [kinds])
    ):
        raise ValueError(f"the type is none of {', '.join(OF_TYPES)}")
    for key, value in schema.items():
        if key in COUNTS:
            if type(value) not in (int, float) or value < 0 or value != value // 1:
                raise ValueError(f"{key} is no whole number from 0")
            schema[key] = int(value)
        elif key in ("pattern", "format", "$ref") and not isinstance(value, str):
            raise ValueError(f"{key} is no text")
        elif key == "required" and not (
            isinstance(value, list) and all(isinstance(name, str) for name in value)
        ):
            raise ValueError("required is no list of keys")
        elif key in (*DEFINED, "properties") and not isinstance(value, dict):
            raise ValueError(f"{key} is no object")
    for least in COUNTS:
        most = least.replace("min", "max")
        if least != most and schema.get(least, 0) > schema.get(most, math.inf):
            raise ValueError(f"{least} is greater than {most}")


def _known(asked: Mapping[str, Any], known: set[str]) -> None:
    for key in asked:
        if key not in known:
            raise ValueError(f"it uses {key[:40]}, which is not possible there")


def _form(form: str, asked: dict[str, Any]) -> dict[str, Any]:
    """A schema with one of `FORMS`."""
    _known(asked, {form} | OF_FORMS.get(form, set()))
    value = asked[form]
    needed = {"properties": "object", "prefixItems": "array"}.get(form)
    if needed and "type" in asked:
        if needed not in _types(asked):
            raise ValueError(f"{form} stands in a schema of another type than {needed}")
        asked["type"] = needed
    if form == "properties":
        for name in asked.get("required", ()):
            if name not in value:
                raise ValueError(f"the required key {str(name)[:40]} has no schema in properties")
        return asked | {form: {name: prepared(one) for name, one in value.items()}}
    if form in ("allOf", "anyOf", "oneOf", "prefixItems", "enum") and not (isinstance(value, list) and value):
        raise ValueError(f"{form} is no list of at least one entry")
    if form == "allOf" and len(value) > 1:
        raise ValueError("allOf has more than one schema, which is not possible")
    if form == "oneOf":
        kinds = [kind for one in value for kind in _kinds(one)]
        if len(kinds) > len(set(kinds)):
            raise ValueError("the schemas of oneOf may overlap; write anyOf")
    if form in ("allOf", "anyOf", "oneOf", "prefixItems"):
        return asked | {form: [prepared(one) for one in value]}
    if form in ("enum", "const"):
        wanted = asked.get("type")
        wanted = wanted if isinstance(wanted, list) else [wanted]
        for one in value if form == "enum" else [value]:
            if wanted != [None] and not {_kind(one), "number" if _kind(one) == "integer" else ""} & {*wanted}:
                raise ValueError(f"the value {json.dumps(one)[:40]} is not of the type that stands beside it")
    return asked


def _kind(value: Any) -> str:
    kinds = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return kinds.get(type(value), "null")


def _kinds(schema: Any) -> set[str]:
    """What types the values of a schema may have, an integer as a number; every one if it does not say."""
    if isinstance(schema, dict) and ("const" in schema or isinstance(schema.get("enum"), list)):
        values = [schema["const"]] if "const" in schema else schema["enum"]
        found = {_kind(one) for one in values}
    else:
        kinds = schema.get("type") if isinstance(schema, dict) else None
        if kinds is None and isinstance(schema, dict) and "properties" in schema:
            kinds = "object"
        found = {*OF_TYPES} if kinds is None else {*kinds} if isinstance(kinds, list) else {str(kinds)}
    return {"number" if kind == "integer" else kind for kind in found}


def _string(asked: dict[str, Any]) -> dict[str, Any]:
    if "pattern" not in asked:
        return asked if "format" not in asked else _alone(asked, "format")
    return _alone(asked, "pattern") | {"pattern": f"^(?:{within_json(asked['pattern'])})$"}


def _alone(asked: dict[str, Any], key: str) -> dict[str, Any]:
    """ValueError if something else restricts the string, which would be passed over."""
    for other in ("minLength", "maxLength", "format"):
        if other in asked and other != key:
            raise ValueError(f"{key} and {other} stand in one schema; one of them is possible")
    return asked


def _integer(asked: dict[str, Any]) -> dict[str, Any]:
    """Ranges as values."""
    limits = {key: asked[key] for key in asked if key in LIMITS}
    if not limits:
        return asked
    if any(type(value) not in (int, float) or value != value // 1 for value in limits.values()):
        raise ValueError("the limits of an integer are no whole numbers")
    least = [limits["minimum"]] if "minimum" in limits else []
    least += [limits["exclusiveMinimum"] + 1] if "exclusiveMinimum" in limits else []
    most = [limits["maximum"]] if "maximum" in limits else []
    most += [limits["exclusiveMaximum"] - 1] if "exclusiveMaximum" in limits else []
    if not least or not most or not 0 <= min(most) - max(least) < MOST_VALUES:
        raise ValueError(f"an integer's range needs two limits and between 1 and {MOST_VALUES:,} values")
    if "minDigits" in asked or "maxDigits" in asked:
        raise ValueError("limits and digits stand in one schema; one of them is possible")
    return {"enum": list(range(int(max(least)), int(min(most)) + 1))}


def within_json(pattern: str) -> str:
    """A pattern of a JSON Schema for the inside of a JSON string, anchored at both ends: what has to be
    escaped there is, or does not match. ValueError."""
    pattern = pattern.removeprefix("^")
    if re.search(r"(?<!\\)(\\\\)*\$$", pattern):
        pattern = pattern[:-1]
    found: list[str] = []
    depth, at = 0, 0
    while at < len(pattern):
        one, following = pattern[at], pattern[at + 1 : at + 2]
        at += 1
        if one == "\\":
            at += 1
            found.append(_escaped(following, depth > 0))
        elif depth:
            depth += (one == "[") - (one == "]")
            found.append(f"]&&{PLAIN}]" if not depth else one)
        elif one == "[":
            depth = 1
            found.append("[[")
            if pattern[at : at + 1] == "^":
                found.append("^")
                at += 1
            if pattern[at : at + 1] == "]":
                found.append(r"\]")
                at += 1
        elif one == ".":
            found.append(PLAIN)
        else:
            found.append(r"\\\"" if one == '"' else one)
    return "".join(found)


def _escaped(letter: str, inside: bool) -> str:
    """What a backslash and a letter mean."""
    if letter in CLASSES:
        return CLASSES[letter] if inside else f"[{CLASSES[letter]}]"
    if letter and letter in "DWS":
        return f"\\{letter}" if inside else f"[\\{letter}&&{PLAIN}]"
    if letter in ("n", "t", "r", "f") and not inside:  # JSON has the same letters
        return rf"\\{letter}"
    if letter == "/":
        return "/"
    if letter in ('"', "\\") and not inside:
        return rf"\\\{letter}"
    return f"\\{letter}"


def reason(said: str) -> str:
    """Why outlines-core refuses a schema, without its advice to programmers."""
    if "recusion limit" in said or "recursion limit" in said:
        return "a $ref leads to itself"
    if "Invalid reference path" in said:
        return "a $ref does not lead to a schema within this one"
    if "is not supported by Outlines" in said:
        return f"the format {said.split()[1]} is not possible"
    return said.split(" Make sure")[0].strip().rstrip(".")
