"""What users write as a rule, read into automata. No torch."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

from .automaton import ByteAutomaton, compiled

MAX_TEXT = 100_000  # characters of one rule
STRING = r'"([^"\\\x00-\x1F\x7F]|\\["\\/bfnrt])*"'
ITEM = r"[^\s\x00-\x1F\x7F][^\x00-\x1F\x7F]*"
VALUE = rf"({STRING}|-?(0|[1-9][0-9]*)(\.[0-9]+)?|true|false|null)"
PRESETS: Mapping[str, str] = MappingProxyType(
    {
        "date": r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])",
        "number": r"-?(0|[1-9][0-9]*)(\.[0-9]+)?",
        "list": rf"(- {ITEM}\n)*- {ITEM}",
        "email": r"[a-z0-9]+([._+-][a-z0-9]+)*@[a-z0-9]+(-[a-z0-9]+)*(\.[a-z0-9]+(-[a-z0-9]+)*)*\.[a-z]{2,}",
        "json": rf"\{{({STRING}: {VALUE}(, {STRING}: {VALUE})*)?\}}",
    }
)
GAP = re.compile(r"\s*([A-Za-z_]\w{0,40})\s*=\s?(.*)")


def whole(preset: str, regex: str, choices: str, json_schema: str) -> ByteAutomaton | None:
    """The rule for the whole answer, None if there is none. ValueError."""
    given = {"preset": preset, "regex": regex, "choices": choices, "json_schema": json_schema}
    named = [name for name, text in given.items() if text]
    if len(named) > 1:
        raise ValueError(f"{' and '.join(named)} are set; the answer has one rule.")
    if not named:
        return None
    if len(given[named[0]]) > MAX_TEXT:
        raise ValueError(
            f"{named[0]} has {len(given[named[0]]):,} characters; at most {MAX_TEXT:,} are possible."
        )
    if choices:
        return of_choices(choices)
    if json_schema:
        return of_schema(json_schema)
    return of_regex(PRESETS[preset] if preset else regex)


def of_gaps(text: str) -> dict[str, ByteAutomaton]:
    """Rules of gaps by name, one `name = pattern` a line; `@date` stands for a preset. ValueError."""
    found: dict[str, ByteAutomaton] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        read = GAP.fullmatch(line)
        if read is None:
            raise ValueError(f"line {number} of the rules of gaps is not `name = pattern`.")
        name, pattern = read.groups()
        if name in found:
            raise ValueError(f"the gap {name} has two rules.")
        if pattern[:1] == "@":
            if pattern[1:].strip() not in PRESETS:
                raise ValueError(f"there is no preset {pattern}; there are @{', @'.join(PRESETS)}.")
            pattern = PRESETS[pattern[1:].strip()]
        found[name] = of_regex(pattern)
    return found


def of_regex(pattern: str) -> ByteAutomaton:
    """The automaton of a regular expression that the whole text must match; ^ before and $ behind it change
    nothing. ValueError."""
    anchored = pattern.removeprefix("^")
    if anchored.endswith("$") and (len(anchored) - len(anchored[:-1].rstrip("\\"))) % 2:
        anchored = anchored[:-1]
    return compiled("regex", anchored)


@lru_cache(maxsize=64)
def of_choices(text: str) -> ByteAutomaton:
    """The automaton of texts, one a line. ValueError."""
    lines = dict.fromkeys(line.strip() for line in text.splitlines() if line.strip())
    if not lines:
        raise ValueError("choices has no text; write one choice a line.")
    return ByteAutomaton.of_texts(lines)


def of_schema(text: str) -> ByteAutomaton:
    """The automaton of the JSON texts that a JSON Schema describes. ValueError."""
    try:
        schema = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError("json_schema is no JSON text.") from error
    if not isinstance(schema, dict):
        raise ValueError("json_schema is no JSON object.")
    return compiled("schema", json.dumps(schema))
