"""The template of a loop's prompt."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

OUTPUT = "{output}"
PLACES: Mapping[str, str] = MappingProxyType({"{input}": "input", "{instruction}": "instruction"})
PLACE = re.compile("(" + "|".join(map(re.escape, (OUTPUT, *PLACES))) + ")")


def parts(template: str) -> list[str]:
    """The template taken apart into places and what stands between them. ValueError without {output}."""
    if OUTPUT not in template:
        raise ValueError("the template needs {output}, where the text before stands.")
    return [part for part in PLACE.split(template) if part]
