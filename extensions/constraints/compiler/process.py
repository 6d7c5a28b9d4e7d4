"""The compiler's process. Reads one JSON object from the standard input, {"regex": ...}, {"schema": ...} or
{"grammar": ...} with limits, and writes automata over bytes as `automaton.read` reads them."""

from __future__ import annotations

import json
import sys
from array import array
from collections.abc import Sequence
from typing import Any

from . import expansion, grammars, patterns
from .machine import TooLarge


def main() -> int:
    """Status 0 and the automata, or 2 and a JSON object with the reason."""
    asked = json.load(sys.stdin.buffer)
    _bounded(asked["memory"], asked["seconds"])
    regex = ""
    try:
        if "grammar" in asked:
            found = expansion.levels(
                grammars.read(asked["grammar"]), asked["states"], asked["depth"], asked["enough"]
            )
        else:
            regex = asked["regex"] if "regex" in asked else patterns.of_schema(asked["schema"])
            found = [expansion.Level(-1, *patterns.table(regex, checked="regex" in asked))]
    except TooLarge as error:
        json.dump({"states": error.states}, sys.stdout)
        return 2
    except RecursionError:
        json.dump({"reason": "its rules refer to each other too often", "regex": regex[:200]}, sys.stdout)
        return 2
    except MemoryError:
        return 3
    except Exception as error:
        json.dump({"reason": str(error), "regex": regex[:200]}, sys.stdout)
        return 2
    if len(found[0].rows) > asked["states"]:
        json.dump({"states": len(found[0].rows)}, sys.stdout)
        return 2
    for level in found:
        sys.stdout.buffer.write(_numbers(level.depth, level.rows, level.final).tobytes())
    return 0


def _numbers(depth: int, rows: Sequence[dict[int, int]], final: Sequence[bool]) -> Any:
    """Depth, number of states, of final ones and of edges; final states; (source, byte, target) of edges."""
    edges = array("i")
    for state, row in enumerate(rows):
        for byte, target in row.items():
            edges.extend((state, byte, target))
    ends = array("i", (state for state, ends in enumerate(final) if ends))
    return array("i", (depth, len(rows), len(ends), len(edges) // 3)) + ends + edges


def _bounded(memory: int, seconds: float) -> None:
    """Limits address space (bytes) and processor time where the system can."""
    try:
        import resource
    except ImportError:  # Windows: the caller's time limit remains
        return
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds) + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
