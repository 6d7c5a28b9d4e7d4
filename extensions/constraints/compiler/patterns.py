"""Regular expressions as automata over bytes, by outlines-core."""

from __future__ import annotations

import re
from typing import Any

LAST = 0  # the byte behind every text
END = 256  # the number that the library wants for an end-of-text token

Table = tuple[list[dict[int, int]], list[bool]]  # rows and final states; the first one is the start


def table(regex: str, checked: bool = True) -> Table:
    """The automaton of a regular expression. checked: whether it was not written by us. ValueError."""
    import outlines_core

    vocabulary = outlines_core.Vocabulary(END, {bytes([byte]): [byte] for byte in range(256)})
    if checked:
        _parsed(outlines_core, regex)
    # The library drops what leads from a state in which a text may end to one in which it may not (0.2.14
    # takes the match, which regex-automata reports a byte late, for one of the state behind). Behind a
    # byte that ends every text there are no such states. So no text of ours holds that byte.
    index = outlines_core.Index(f"(?:{regex})\\x{LAST:02x}", vocabulary)
    transitions, finals = index.get_transitions(), index.get_final_states()
    number = {index.get_initial_state(): 0}
    for state in transitions:
        number.setdefault(state, len(number))
    rows: list[dict[int, int]] = [{} for _ in number]
    final = [False] * len(number)
    for state, row in transitions.items():
        for byte, target in row.items():
            if byte in (END, LAST):
                final[number[state]] |= byte == LAST and target in finals
                continue
            if target not in number:
                number[target] = len(rows)
                rows.append({})
                final.append(False)
            rows[number[state]][byte] = number[target]
    return rows, final


def of_schema(schema: str) -> str:
    """The regular expression of a JSON Schema. ValueError."""
    from outlines_core import json_schema

    regex = json_schema.build_regex_from_schema(schema)
    # In JSON Schema \d is a digit of ASCII, in formats too; to Rust it is any of Unicode.
    return re.sub(r"\\(.)", lambda found: "[0-9]" if found[1] == "d" else found[0], regex, flags=re.DOTALL)


def _parsed(library: Any, regex: str) -> None:
    """ValueError if this is no regular expression by itself, as `a)(b` is none but `(?:a)(b)` is one."""
    try:
        library.Index(regex, library.Vocabulary(END, {b"\0": [0]}))
    except ValueError as error:
        if "no transitions from state" not in str(error):  # which only says that it needs other bytes
            raise
