"""Rules as automata over bytes. No torch."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

MAX_STATES = 30_000
MEMORY = 768 << 20  # bytes that the compiler may take
SECONDS = 6.0  # wall clock until a compilation is given up
DEAD = -1


@dataclass(frozen=True, eq=False)
class ByteAutomaton:
    """A deterministic automaton over the bytes of UTF-8.

    next   (S, 256) int32: the state after each byte, -1 where none is possible
    final  bool (S,): states in which the text may end
    start  the first state
    """

    next: NDArray[np.int32]
    final: NDArray[np.bool_]
    start: int

    @classmethod
    def parsed(cls, data: bytes) -> ByteAutomaton:
        """What the compiler's process wrote: numbers of states, start, final states, edges; then these."""
        numbers = np.frombuffer(data, dtype=np.int32)
        states, start, finals, edges = numbers[:4].tolist()
        final = np.zeros(states, dtype=bool)
        final[numbers[4 : 4 + finals]] = True
        source, byte, target = numbers[4 + finals : 4 + finals + 3 * edges].reshape(-1, 3).T
        table = np.full((states, 256), DEAD, dtype=np.int32)
        table[source, byte] = target
        return cls(table, final, start)

    @classmethod
    def of_texts(cls, texts: Iterable[str]) -> ByteAutomaton:
        """One that accepts exactly these texts. ValueError if they are too many."""
        rows: list[dict[int, int]] = [{}]
        final: set[int] = set()
        for text in texts:
            state = 0
            for byte in text.encode("utf-8", "replace"):
                if byte not in rows[state]:
                    rows[state][byte] = len(rows)
                    rows.append({})
                state = rows[state][byte]
            final.add(state)
            if len(rows) > MAX_STATES:
                raise ValueError(
                    f"the choices need more than {MAX_STATES:,} states; give fewer or shorter ones."
                )
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
    return ByteAutomaton(table, final, states)


def compiled(kind: str, text: str) -> ByteAutomaton:
    """The automaton of a "regex" or a JSON "schema". ValueError says in one sentence what is wrong."""
    made = _compiled(kind, text)
    if isinstance(made, str):
        raise ValueError(made)
    return made


@lru_cache(maxsize=64)
def _compiled(kind: str, text: str) -> ByteAutomaton | str:
    """The automaton, or why there is none: a job of many rows asks for each of them."""
    asked = json.dumps({kind: text, "states": MAX_STATES, "memory": MEMORY, "seconds": SECONDS})
    program = [sys.executable, "-I", str(Path(__file__).with_name("compiler.py"))]
    try:
        done = subprocess.run(program, input=asked.encode(), capture_output=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return _too_large(text)
    if done.returncode == 0:
        return ByteAutomaton.parsed(done.stdout)
    if b"outlines_core" in done.stderr and b"ModuleNotFoundError" in done.stderr:
        return "constraints need the package outlines-core, which is not installed."
    if done.returncode != 2 or not done.stdout:  # killed, or out of memory
        return _too_large(text)
    said = json.loads(done.stdout)
    if "states" in said:
        return (
            f"the rule {_short(text)} needs {said['states']:,} states; at most {MAX_STATES:,} are possible."
        )
    if kind == "schema" and not said["regex"]:
        return f"the JSON Schema cannot be read: {_short(said['reason'], 160)}."
    return f"the pattern {_short(text)} cannot be used: {_reason(said['reason'])}"


def _reason(said: str) -> str:
    """Why the library refuses a pattern, in words of users."""
    if "anchored universal start" in said:
        return "^ and $ act at its ends only, because the whole text is matched."
    if "Unicode word boundaries" in said:
        return "\\b is not possible."
    if "no transitions from state" in said:
        return "nothing can match it."
    return "it is no regular expression, or looks around (?=...) or back \\1, which automata cannot."


def _too_large(text: str) -> str:
    return (
        f"the rule {_short(text)} takes more than {SECONDS:.0f} seconds or {MEMORY >> 20} MiB to compile; "
        "make its repetitions smaller."
    )


def _short(text: str, most: int = 60) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"
