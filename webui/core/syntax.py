"""Finds constructs in a text and gives their spans; knows no meaning. Fences and escapes are honoured here,
once for all."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

FENCE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)


@dataclass(frozen=True)
class Found:
    """A construct of the given name at text[start:end]; `groups` are the pattern's groups."""

    name: str
    start: int
    end: int
    groups: tuple[str | None, ...]


@dataclass(frozen=True)
class Plain:
    """Literal text between constructs, escapes removed, and the span it came from."""

    text: str
    start: int
    end: int


def scan(text: str, constructs: Mapping[str, str]) -> list[Plain | Found]:
    """Splits `text` into literal runs and constructs, in order and without loss.

    constructs: name -> regular expression. A construct right after a backslash is literal and that backslash
    is removed; every other backslash stays. Text between triple backticks is literal and the fence stays.
    """
    if not constructs:
        return [Plain(text, 0, len(text))] if text else []
    pattern = re.compile(
        "|".join(f"(?P<construct_{i}>{expression})" for i, expression in enumerate(constructs.values()))
    )
    names = list(constructs)
    fences = deque(match.span() for match in FENCE.finditer(text))
    found: list[Plain | Found] = []
    literal, run_start, at = "", 0, 0

    def flush(end: int) -> None:
        nonlocal literal
        if literal:
            found.append(Plain(literal, run_start, end))
        literal = ""

    while at < len(text):
        match = pattern.search(text, at)
        if match is None or match.end() == match.start():
            break
        while fences and fences[0][1] <= match.start():
            fences.popleft()
        if fences and fences[0][0] <= match.start():
            literal, at = literal + text[at : fences[0][1]], fences[0][1]
        elif match.start() > at and text[match.start() - 1] == "\\":
            literal, at = literal + text[at : match.start() - 1] + match.group(), match.end()
        else:
            literal += text[at : match.start()]
            flush(match.start())
            index = next(i for i in range(len(names)) if match.group(f"construct_{i}") is not None)
            first = pattern.groupindex[f"construct_{index}"]
            count = re.compile(constructs[names[index]]).groups
            found.append(
                Found(names[index], match.start(), match.end(), match.groups()[first : first + count])
            )
            run_start = at = match.end()
    literal += text[at:]
    flush(len(text))
    return found
