"""The syntax of tags, `<kind:name:arguments>`. It knows no kind; extensions say which kinds are theirs."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from webui.core.syntax import Syntax

KIND = r"[A-Za-z][A-Za-z0-9_]*"
NAME = r"[^<>:\s](?:[^<>:\n]{0,198}[^<>:\s])?"
ARGUMENTS = r"[^<>\n]{0,200}"
SHOWN = 5  # names in the sentence about a name that does not exist
LOOKED_AT = 200  # its characters that are compared
LETTERS = 3  # in common with a name that holds it


def tag(kind: str) -> str:
    """A pattern for `Syntax.patterns`: the tags of one kind, as `<lora:name>` or `<lora:name:0.8:0-0.5>`.
    Its groups are the name and, None if there are none, the arguments behind the second colon."""
    return rf"<{re.escape(kind)}:({NAME})(?::({ARGUMENTS}))?>"


# every tag, whatever its kind; groups: kind, name, arguments
TAGS = Syntax(patterns={"tag": rf"<({KIND}):({NAME})(?::({ARGUMENTS}))?>"})


def nearest(name: str, names: Iterable[str]) -> str:
    """The names that are like this one, for a sentence about a name that does not exist: "The nearest: a,
    b."; where none is like it those that there are, if they are few: "There are only a, b."."""
    there = sorted(names)
    if not there:
        return "There are none."
    wanted = name.casefold()[:LOOKED_AT]
    folded = {one.casefold(): one for one in there}
    close = [one for one in folded if wanted in one and len(wanted) >= LETTERS]
    close += [one for one in difflib.get_close_matches(wanted, folded, SHOWN) if one not in close]
    if close:
        return f"The nearest: {', '.join(folded[one] for one in close[:SHOWN])}."
    if len(there) > SHOWN:
        return f"None of the {len(there)} that there are is like it."
    return f"There {'is' if len(there) == 1 else 'are'} only {', '.join(there)}."
