"""What users write as a rule, read into automata. No torch."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from webui import Refusal

from . import schemas
from .automaton import UNTIL_DONE, ByteAutomaton, Patience, compiled
from .haiku import Haiku

MAX_TEXT = 100_000  # characters of one rule
STRING = r'"([^"\\\x00-\x1F\x7F]|\\["\\/bfnrt])*"'
ITEM = r"[^\s\x00-\x1F\x7F][^\x00-\x1F\x7F]*"
LABEL = "[a-z0-9]{1,12}"  # without a limit small checkpoints write letters until the text ends
VALUE = rf"({STRING}|-?(0|[1-9][0-9]*)(\.[0-9]+)?|true|false|null)"
# Names of Python that are no keywords: one letter, or words with underscores.
NAME = r"([a-z]|[a-z]+(_[a-z0-9]+)+)"
TYPE = r"(int|float|str|bool|bytes|None|list\[(int|float|str|bool)\]|dict\[str, (int|float|str|bool)\])"
PLAIN, STANDARD = rf"{NAME}(: {TYPE})?", rf"{NAME}(: {TYPE} = |=)(None|True|False|0|[1-9][0-9]{{0,5}}|\"\")"
# Groups with names are what the page colours.
PRESETS: Mapping[str, str] = MappingProxyType(
    {
        "date": r"(?P<year>[0-9]{4})-(?P<month>0[1-9]|1[0-2])-(?P<day>0[1-9]|[12][0-9]|3[01])",
        "number": r"(?P<whole>-?(0|[1-9][0-9]*))(?P<fraction>\.[0-9]+)?",
        "list": rf"(- {ITEM}\n)+- {ITEM}",
        "email": rf"(?P<user>{LABEL}([._+-]{LABEL}){{0,2}})"
        rf"@(?P<host>{LABEL}(-{LABEL})?(\.{LABEL}(-{LABEL})?){{0,2}}\.[a-z]{{2,6}})",
        "python": rf"def (?P<name>{NAME})"
        rf"\((?P<parameters>({PLAIN}, )*{PLAIN}(, {STANDARD})*|{STANDARD}(, {STANDARD})*)?\)"
        rf"( -> (?P<returns>{TYPE}))?:",
        "json": rf"\{{({STRING}: {VALUE}(, {STRING}: {VALUE})*)?\}}",
    }
)
EXAMPLES: Mapping[str, str] = MappingProxyType(  # what the page shows, more telling than a shortest text
    {
        "date": "2026-11-27",
        "number": "-12.5",
        "list": "- a dragon\n- a cake",
        "email": "ada.b@example.org",
        "python": "def to_text(n: int, long_name=None) -> str:",
        "json": '{"name": "Ada", "age": 36}',
    }
)
GAP = re.compile(r"\s*([A-Za-z_]\w{0,40})\s*=\s?(.*)")


NAMES = (*PRESETS, "haiku")
BOTH = "there are rules for the whole answer and for gaps; clear one of them."
Automata = Sequence[ByteAutomaton | Haiku]  # of one rule; those of a grammar nest deeper and deeper
KINDS = ("preset", "regex", "choices", "json_schema", "grammar")


@dataclass(frozen=True)
class Rule:
    """A rule as it is written: one of `KINDS`, its text, and how deep a grammar may nest, 0: as it fits."""

    kind: str
    text: str
    depth: int = 0

    def automata(self, patience: Patience = UNTIL_DONE) -> Automata:
        """ValueError."""
        if len(self.text) > MAX_TEXT:
            raise Refusal(
                f"{self.kind} has {len(self.text):,} characters; at most {MAX_TEXT:,} are possible."
            )
        if self.kind == "choices":
            return [of_choices(self.text)]
        if self.kind == "json_schema":
            return [of_schema(self.text, patience)]
        if self.kind == "preset" and self.text == "haiku":
            return [haiku()]
        if self.kind == "grammar":
            return compiled("grammar", self.text, self.depth, patience)
        return [of_regex(PRESETS[self.text] if self.kind == "preset" else self.text, patience)]


def whole(options: Any) -> Rule | None:
    """The rule for the whole answer, None if there is none. ValueError."""
    given = {name: getattr(options, name) for name in KINDS}
    if given["preset"] == "none":
        given["preset"] = ""
    named = [name for name, text in given.items() if text]
    if len(named) > 1:
        raise Refusal(f"{' and '.join(named)} are set; the answer has one rule.")
    return Rule(named[0], given[named[0]], options.depth) if named else None


def of_gaps(text: str) -> dict[str, Rule]:
    """Rules of gaps by name, one `name = pattern` a line; `@date` stands for a preset. ValueError."""
    found: dict[str, Rule] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        read = GAP.fullmatch(line)
        if read is None:
            raise Refusal(f"line {number} of the rules of gaps is not `name = pattern`.")
        name, pattern = read.groups()
        if name in found:
            raise Refusal(f"the gap {name} has two rules.")
        if pattern[:1] != "@":
            found[name] = Rule("regex", pattern)
        elif pattern[1:].strip() in NAMES:
            found[name] = Rule("preset", pattern[1:].strip())
        else:
            raise Refusal(f"there is no preset {pattern}; there are @{', @'.join(NAMES)}.")
    return found


def of_regex(pattern: str, patience: Patience = UNTIL_DONE) -> ByteAutomaton:
    """The automaton of a regular expression that the whole text must match; ^ before and $ behind it change
    nothing. ValueError."""
    anchored = pattern.removeprefix("^")
    if anchored.endswith("$") and (len(anchored) - len(anchored[:-1].rstrip("\\"))) % 2:
        anchored = anchored[:-1]
    return compiled("regex", anchored, 0, patience)[0]


@lru_cache(maxsize=1)
def haiku() -> Haiku:
    """ValueError if its dictionary is missing."""
    return Haiku()


@lru_cache(maxsize=64)
def of_choices(text: str) -> ByteAutomaton:
    """The automaton of texts, one a line. ValueError."""
    lines = dict.fromkeys(line.strip() for line in text.splitlines() if line.strip())
    if not lines:
        raise Refusal("choices has no text; write one choice a line.")
    return ByteAutomaton.of_texts(lines)


def of_schema(text: str, patience: Patience = UNTIL_DONE) -> ByteAutomaton:
    """The automaton of the JSON texts that a JSON Schema describes. ValueError."""
    try:
        schema = json.loads(text)
    except ValueError as error:
        raise Refusal("json_schema is no JSON text.") from error
    except RecursionError as error:
        raise Refusal("the JSON Schema cannot be read: it is nested too deep.") from error
    if not isinstance(schema, dict):
        raise Refusal("json_schema is no JSON object.")
    try:
        schema = schemas.prepared(schema)
        ready = json.dumps(schema, allow_nan=False)
        json.dumps(schema, ensure_ascii=False).encode()
    except RecursionError as error:
        raise Refusal("the JSON Schema cannot be read: it is nested too deep.") from error
    except UnicodeEncodeError as error:
        raise Refusal("the JSON Schema cannot be read: a text holds half a surrogate pair.") from error
    except ValueError as error:
        said = "a number is none of JSON's" if "JSON compliant" in str(error) else error
        raise Refusal(f"the JSON Schema cannot be read: {said}.") from error
    return compiled("schema", ready, 0, patience)[0]
