"""What the page asks: whether a rule can be used, what matches it, and which parts a text has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from webui import Options

from . import rules

LONGEST = 200  # characters of an example that are shown
MOST = 100_000  # characters of a text whose parts are looked for
LINES = {"haiku": ".+", "list": "(?m)(?<=^- ).+"}  # presets whose parts are lines
WORDS = re.compile(  # of texts under a grammar that are not JSON
    r"""(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')|(?P<number>\d+(?:\.\d+)?)|(?P<word>[^\W\d]\w*)"""
)
Gap = tuple[str, int, int]  # name, and where in the text
KINDS = {str: "string", bool: "word", type(None): "word", int: "number", float: "number"}


def checked(options: Options) -> dict[str, Any]:
    """For each field with a rule what is wrong with it, or a text that matches; how deep a grammar nests."""
    found = _found(options)
    for said in found.values():
        if "wrong" in said:
            said["wrong"] = said["wrong"][:1].upper() + said["wrong"][1:]
    return found


def _found(options: Options) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    try:
        whole = rules.whole(options)
    except ValueError as error:
        return {"preset": {"wrong": str(error)}}  # two rules for one text
    if whole is not None:
        found[whole.kind] = _checked(whole)
    try:
        gaps = rules.of_gaps(options.gaps)  # type: ignore[attr-defined]
    except ValueError as error:
        return {**found, "gaps": {"wrong": str(error)}}
    if gaps and whole is not None:
        return {**found, "gaps": {"wrong": rules.BOTH}}
    if gaps:
        each = {name: _checked(rule) for name, rule in gaps.items()}
        wrong = [f"{name}: {said['wrong']}" for name, said in each.items() if "wrong" in said]
        fine = "; ".join(f"{name} = {said['example']}" for name, said in each.items() if "example" in said)
        found["gaps"] = {"wrong": wrong[0]} if wrong else {"example": fine}
    return found


def _checked(rule: rules.Rule) -> dict[str, Any]:
    try:
        automaton = rule.automata()[-1]
    except ValueError as error:
        return {"wrong": str(error)}
    told = rules.EXAMPLES.get(rule.text) if rule.kind == "preset" else None
    text = automaton.example() if told is None else told
    if text is None:
        return {"wrong": "nothing matches it."}
    said: dict[str, Any] = {"example": text if len(text) <= LONGEST else f"{text[:LONGEST]}…"}
    return said if automaton.depth < 0 else {**said, "depth": automaton.depth}


def parts(options: Options, text: str, gaps: Sequence[Gap] = ()) -> list[tuple[str, str]]:
    """The text in pieces, each with what it is: keys, strings, numbers and words of JSON, and of other texts
    under a grammar; groups of a regular expression as "group 1" ...; "" where it is nothing of these. Under
    rules for gaps these are parts of what was written in the gaps; if a rule has no parts, the gap itself is
    one."""
    if len(text) > MOST:
        return [(text, "")]
    rule = rules.whole(options)
    if rule is not None:
        spans = list(_parts(rule, text))
    else:
        of_gaps = rules.of_gaps(options.gaps)  # type: ignore[attr-defined]
        numbers = {name: number for number, name in enumerate(of_gaps)}
        spans = []
        for name, start, end in gaps:
            if name in of_gaps:
                whole = (0, end - start, _group(numbers[name]))
                inner = list(_parts(of_gaps[name], text[start:end])) or [whole]
                spans += [(start + first, start + last, kind) for first, last, kind in inner]
    found, at = [], 0
    for start, end, kind in spans:
        if start < at or start == end:
            continue
        if at < start:
            found.append((text[at:start], ""))
        found.append((text[start:end], kind))
        at = end
    return [*found, (text[at:], "")] if at < len(text) else found


def _parts(rule: rules.Rule, text: str) -> Iterator[tuple[int, int, str]]:
    """Where the parts of a text under a rule lie."""
    if rule.kind == "preset" and rule.text in LINES:
        for number, line in enumerate(re.finditer(LINES[rule.text], text)):
            yield *line.span(), _group(number)
    elif rule.kind in ("regex", "preset") and rule.text != "json":
        yield from _groups(rules.PRESETS[rule.text] if rule.kind == "preset" else rule.text, text)
    else:
        found = list(_of_json(text))
        if not found and rule.kind == "grammar":
            found = [(*part.span(), part.lastgroup or "") for part in WORDS.finditer(text)]
        yield from found


def _group(number: int) -> str:
    return f"group {number % 4 + 1}"


def _groups(pattern: str, text: str) -> Iterator[tuple[int, int, str]]:
    """Where the groups lie, outer ones first; of those that contain others only what is named."""
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        compiled = re2.compile(pattern, options)
        match = compiled.fullmatch(text)
    except re2.error:  # what Rust's library reads and this one does not
        return
    if match is None:
        return
    wanted = compiled.groupindex.values() or range(1, compiled.groups + 1)
    for place, number in enumerate(sorted(wanted)):
        start, end = match.span(number)
        if start >= 0:
            yield start, end, _group(place)


def _of_json(text: str) -> Iterator[tuple[int, int, str]]:
    """Where the parts of a JSON text lie; none if it is not JSON."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return
    read, at = json.JSONDecoder(), 0
    while at < len(text):
        if text[at] in " \t\r\n[]{},:":
            at += 1
            continue
        value, end = read.raw_decode(text, at)
        key = isinstance(value, str) and text[end:].lstrip(" \t\r\n")[:1] == ":"
        yield at, end, "key" if key else KINDS[type(value)]
        at = end


def gaps_of(sent: Mapping[str, Any], text: str) -> list[Gap]:
    """The gaps that the page sent. ValueError."""
    found = sent.get("gaps", [])
    if not isinstance(found, list) or not all(_is_gap(gap, len(text)) for gap in found):
        raise ValueError("Send each gap as its name, its start and its end in the text.")
    return [(name, start, end) for name, start, end in found]


def _is_gap(gap: Any, length: int) -> bool:
    if not isinstance(gap, list) or [type(part) for part in gap] != [str, int, int]:
        return False
    return 0 <= gap[1] <= gap[2] <= length


def taken(model: type[Options], sent: Mapping[str, Any]) -> Options:
    """The options that the page sent. ValueError."""
    values = sent.get("options")
    if not isinstance(values, dict):
        raise ValueError("Send the options of constraints.")
    try:
        return model(**{name: value for name, value in values.items() if name in model.model_fields})
    except ValueError as error:
        raise ValueError("These are no options of constraints.") from error
