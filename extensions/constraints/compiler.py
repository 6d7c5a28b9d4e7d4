"""The compiler of regular expressions, run as a process of its own: `python compiler.py`.

A library that is busy with a hostile expression cannot be stopped from within, and it may take all memory;
a process can be killed. Reads one JSON object, {"regex": ...} or {"schema": ...}, from the standard input and
writes the automaton over bytes as `automaton.ByteAutomaton.parsed` reads it. Imports nothing of the program.
"""

from __future__ import annotations

import json
import sys
from array import array
from typing import Any

LAST = 0  # the byte behind every text
END = 256  # the number that the library wants for an end-of-text token


def main() -> int:
    """Status 0 and the automaton, or 2 and a JSON object with the reason."""
    asked = json.load(sys.stdin.buffer)
    _bounded(asked["memory"], asked["seconds"])
    import outlines_core
    from outlines_core import json_schema

    regex = ""
    try:
        regex = asked["regex"] if "regex" in asked else json_schema.build_regex_from_schema(asked["schema"])
        vocabulary = outlines_core.Vocabulary(END, {bytes([byte]): [byte] for byte in range(256)})
        if "regex" in asked:
            _parsed(outlines_core, regex)
        # The library drops what leads from a state in which a text may end to one in which it may not (0.2.14
        # takes the match, which regex-automata reports a byte late, for one of the state behind). Behind a
        # byte that ends every text there are no such states. So no text of ours holds that byte.
        index = outlines_core.Index(f"(?:{regex})\\x{LAST:02x}", vocabulary)
        transitions, finals = index.get_transitions(), index.get_final_states()
    except Exception as error:
        json.dump({"reason": str(error), "regex": regex[:200]}, sys.stdout)
        return 2
    if len(transitions) > asked["states"]:
        json.dump({"states": len(transitions)}, sys.stdout)
        return 2
    number = {state: i for i, state in enumerate(transitions)}
    edges = array("i")
    for state, row in transitions.items():
        for byte, target in row.items():
            if byte not in (END, LAST):
                edges.extend((number[state], byte, number.setdefault(target, len(number))))
    ends = array("i", (number[state] for state, row in transitions.items() if row.get(LAST) in finals))
    head = array("i", (len(number), number[index.get_initial_state()], len(ends), len(edges) // 3))
    sys.stdout.buffer.write(head.tobytes() + ends.tobytes() + edges.tobytes())
    return 0


def _parsed(library: Any, regex: str) -> None:
    """ValueError if this is no regular expression by itself, as `a)(b` is none but `(?:a)(b)` is one."""
    try:
        library.Index(regex, library.Vocabulary(END, {b"\0": [0]}))
    except ValueError as error:
        if "no transitions from state" not in str(error):  # which only says that it needs other bytes
            raise


def _bounded(memory: int, seconds: float) -> None:
    """Limits address space (bytes) and processor time where the system can."""
    try:
        import resource
    except ImportError:  # Windows: the caller's time limit remains
        return
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds) + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    sys.exit(main())
