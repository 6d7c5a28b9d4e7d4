"""Rules as automata over bytes. No torch."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
from numpy.typing import NDArray

from webui import Refusal

from . import schemas

MAX_STATES = 30_000
MAX_NESTED = 8192  # states of a grammar's automaton
ENOUGH = 2048  # states of a grammar's automaton, beyond which it is not expanded deeper unasked
MEMORY = 768 << 20  # bytes that the compiler may take
SECONDS = 6.0  # of processor time until a compilation is given up
GRAMMAR_SECONDS = 20.0  # the same of a grammar, whose expansion is bounded by states long before
WAIT = 300.0 if find_spec("resource") else 60.0  # of wall clock; the process ends itself where it can
DEAD = -1
IN_SCHEMA = "a pattern in it is no regular expression, or looks around (?=...) or back \\1."
START = """
import sys
sys.path.insert(0, sys.argv[1])
from compiler.process import main
sys.exit(main())
"""


@dataclass(frozen=True)
class Patience:
    """Cancellation and progress of the job that an automaton is compiled for. `report` takes the stage, the
    states made and their limit. All instances are equal, so that cached results do not depend on the job
    that asked first."""

    cancelled: Callable[[], bool] = field(compare=False)
    report: Callable[[str, float, float], None] = field(default=lambda *_: None, compare=False)

    def ask(self, stage: str, done: float, most: float) -> None:
        """ValueError if it was."""
        if self.cancelled():
            raise Refusal("the job was cancelled.")
        self.report(stage, done, most)


UNTIL_DONE = Patience(lambda: False)


@dataclass(frozen=True, eq=False)
class ByteAutomaton:
    """A deterministic automaton over the bytes of UTF-8.

    next   (S, 256) int32: the state after each byte, -1 where none is possible
    final  bool (S,): states in which the text may end
    start  the first state
    depth  how deep a grammar's recursion may nest in it; -1: it has every text of the rule
    """

    next: NDArray[np.int32]
    final: NDArray[np.bool_]
    start: int
    depth: int = -1

    @classmethod
    def of_texts(cls, texts: Iterable[str]) -> ByteAutomaton:
        """The smallest one that accepts exactly these texts. ValueError if they are too many."""
        rows: list[dict[int, int]] = [{}]
        final: set[int] = set()
        for text in texts:
            state = 0
            for byte in text.encode():
                if byte not in rows[state]:
                    rows[state][byte] = len(rows)
                    rows.append({})
                state = rows[state][byte]
            final.add(state)
        rows, final = _merged(rows, final)
        if len(rows) > MAX_STATES:
            raise Refusal(f"the choices need more than {MAX_STATES:,} states; give fewer or shorter ones.")
        table = np.full((len(rows), 256), DEAD, dtype=np.int32)
        for state, row in enumerate(rows):
            table[state, list(row)] = list(row.values())
        return cls(table, np.isin(np.arange(len(rows)), list(final)), 0)

    def accepts(self, text: str) -> bool:
        """Whether the whole text matches."""
        state = self.start
        for byte in text.encode("utf-8", "replace"):
            state = int(self.next[state, byte])
            if state == DEAD:
                return False
        return bool(self.final[state])

    def example(self) -> str | None:
        """A shortest text that matches, of printable characters where possible; None if there is none."""
        order = [*range(97, 123), *range(48, 58), *range(65, 91), *range(32, 256), *range(32)]
        found: dict[int, bytes] = {self.start: b""}
        front = [self.start]
        while front:
            for state in front:
                if self.final[state]:
                    return found[state].decode("utf-8", "replace")
            following = []
            for state in front:
                for byte in order:
                    target = int(self.next[state, byte])
                    if target != DEAD and target not in found:
                        found[target] = found[state] + bytes([byte])
                        following.append(target)
            front = following
        return None


def _merged(rows: Sequence[dict[int, int]], final: set[int]) -> tuple[list[dict[int, int]], set[int]]:
    """An automaton without circles, whose states lead to later ones only, with states that accept the same
    as one; the first stays the first."""
    known: dict[tuple, int] = {}
    merged: list[dict[int, int]] = []
    names, ends = [0] * len(rows), set()
    for state in range(len(rows) - 1, -1, -1):
        row = {byte: names[target] for byte, target in rows[state].items()}
        names[state] = known.setdefault((state in final, *sorted(row.items())), len(merged))
        if names[state] == len(merged):
            merged.append(row)
            if state in final:
                ends.add(names[state])
    last = len(merged) - 1  # the start, which nothing equals
    return [{byte: last - target for byte, target in row.items()} for row in reversed(merged)], {
        last - state for state in ends
    }


@lru_cache(maxsize=64)
def after_optional(rule: ByteAutomaton, prefix: str) -> ByteAutomaton:
    """An automaton that accepts a text if the rule accepts `text.removeprefix(prefix)`."""
    data, states = prefix.encode(), len(rule.final)
    if not data:
        return rule
    # State `states + i`: the first i bytes of the prefix were read, and `inner` is where the rule is then.
    table = np.concatenate([rule.next, np.full((len(data), 256), DEAD, dtype=np.int32)])
    final, inner = np.concatenate([rule.final, np.zeros(len(data), dtype=bool)]), rule.start
    for i, byte in enumerate(data):
        if inner != DEAD:
            table[states + i], final[states + i] = rule.next[inner], rule.final[inner]
            inner = int(rule.next[inner, byte])
        table[states + i, byte] = rule.start if i + 1 == len(data) else states + i + 1
    return ByteAutomaton(table, final, states, rule.depth)


def read(data: bytes) -> tuple[ByteAutomaton, ...]:
    """What the compiler's process wrote. Of each automaton: its depth, the numbers of states, final ones and
    edges; then these."""
    numbers, found, at = np.frombuffer(data, dtype=np.int32), [], 0
    while at < len(numbers):
        depth, states, finals, edges = numbers[at : at + 4].tolist()
        at += 4
        final = np.zeros(states, dtype=bool)
        final[numbers[at : at + finals]] = True
        at += finals
        source, byte, target = numbers[at : at + 3 * edges].reshape(-1, 3).T
        at += 3 * edges
        table = np.full((states, 256), DEAD, dtype=np.int32)
        table[source, byte] = target
        found.append(ByteAutomaton(table, final, 0, depth))
    return tuple(found)


def compiled(
    kind: str, text: str, depth: int = 0, patience: Patience = UNTIL_DONE
) -> tuple[ByteAutomaton, ...]:
    """The automaton of a "regex" or a JSON "schema", or those of a "grammar" at growing depths, the last one
    the deepest; depth: only that one. ValueError says in one sentence what is wrong."""
    made = _compiled(kind, text, depth, patience)
    if isinstance(made, str):
        raise Refusal(made)
    return made


@lru_cache(maxsize=64)
def _compiled(kind: str, text: str, depth: int, patience: Patience) -> tuple[ByteAutomaton, ...] | str:
    """The automata, or why there are none: a job of many rows asks for each of them."""
    most = MAX_NESTED if kind == "grammar" else MAX_STATES
    asked = {kind: text, "states": most, "depth": depth, "enough": ENOUGH}
    sent = json.dumps({**asked, "memory": MEMORY, "seconds": _seconds(kind)})
    program = [sys.executable, "-I", "-c", START, str(Path(__file__).parent)]
    try:
        status, out, told = _run(program, sent.encode(), patience)
    except subprocess.TimeoutExpired:
        return _too_large(kind, text)
    if status == 0:
        return read(out)
    for package in ("outlines-core", "lark"):
        if b"ModuleNotFoundError" in told and package.replace("-", "_").encode() in told:
            return f"constraints need the package {package}, which is not installed."
    if status != 2 or not out:  # killed, or out of memory
        return _too_large(kind, text)
    said = json.loads(out)
    if "states" in said:
        return (
            f"{_subject(kind, text)} needs {said['states']:,} states or more; at most {most:,} are possible."
        )
    if kind == "grammar":
        return f"the grammar cannot be used: {_short(said['reason'], 160)}."
    if kind == "schema" and not said["regex"]:
        return f"the JSON Schema cannot be read: {_short(schemas.reason(said['reason']), 160)}."
    if kind == "schema":
        return f"the JSON Schema cannot be used: {_reason(said['reason']) or IN_SCHEMA}"
    why = _reason(said["reason"]) or _fault(text) or "it is no regular expression, or is nested too deep."
    return f"the pattern {_short(text)} cannot be used: {why}"


def _run(program: list[str], sent: bytes, patience: Patience) -> tuple[int, bytes, bytes]:
    """Exit status, output and errors of a process. It is killed when it takes too long (TimeoutExpired) or
    the job was cancelled (ValueError)."""
    pipe, began = subprocess.PIPE, time.monotonic()
    with ExitStack() as stack:
        # A file: `communicate` loses the rest of what a pipe has not taken when its timeout expires.
        given = stack.enter_context(TemporaryFile())
        given.write(sent)
        given.seek(0)
        process = stack.enter_context(subprocess.Popen(program, stdin=given, stdout=pipe, stderr=pipe))
        try:
            while True:
                try:
                    out, told = process.communicate(timeout=0.2)
                    return process.returncode, out, told
                except subprocess.TimeoutExpired:
                    spent = time.monotonic() - began
                    patience.ask("compiling", int(spent), WAIT)
                    if spent > WAIT:
                        raise
        finally:
            process.kill()


def _subject(kind: str, text: str) -> str:
    return "the grammar" if kind == "grammar" else f"the rule {_short(text)}"


def _reason(said: str) -> str:
    """Why the library refuses a pattern, in words of users; "" if it does not say."""
    if "anchored universal start" in said:
        return "^ and $ act at its ends only, because the whole text is matched."
    if "Unicode word boundaries" in said:
        return "\\b is not possible."
    if "no transitions from state" in said:
        return "nothing can match it."
    return ""


def _fault(pattern: str) -> str:
    """What RE2, which says more than the library, finds wrong with a pattern; "" if nothing."""
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(pattern, options)
    except re2.error as error:
        said = str(error.args[0], "utf-8", "replace") if error.args else ""
        what, _, where = said.partition(": ")
        if what == "invalid perl operator" and where[2:3] in "=!<" or re.fullmatch(r"\\[1-9]", where):
            return f"{_short(where)} is not possible: automata look neither around nor back."
        if what == "invalid escape sequence":
            return f"{_short(where)} is no escape sequence."
        said = said.replace("perl operator", "group")
        return f"{said if what.startswith(('invalid', 'no ')) else what}."
    except (TypeError, ValueError):
        pass
    return ""


def _seconds(kind: str) -> float:
    return GRAMMAR_SECONDS if kind == "grammar" else SECONDS


def _too_large(kind: str, text: str) -> str:
    return (
        f"{_subject(kind, text)} takes more than {_seconds(kind):.0f} seconds or {MEMORY >> 20} MiB "
        "to compile; make its repetitions smaller."
    )


def _short(text: str, most: int = 60) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"
