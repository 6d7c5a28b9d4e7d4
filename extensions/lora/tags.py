"""The tag `<lora:name:weight:start-end>`: its syntax, and what it says."""

from __future__ import annotations

import re
from typing import NamedTuple

from webui import Syntax, tag

MOST = 8.0  # adapters of the autoregressive ancestor need weights of about 6
# a tag takes the space before it along, so that the words around it stay one space apart
TAG = tag("lora")
SYNTAX = Syntax(patterns={"lora": " ?" + TAG})
NUMBER = r"[0-9]*\.?[0-9]+|[0-9]+\."
ARGUMENTS = re.compile(rf"\s*([+-]?(?:{NUMBER}))\s*(?::\s*({NUMBER})\s*-\s*({NUMBER})\s*)?")
ABOUT = "Write <lora:name:weight> or <lora:name:weight:start-end>, as in <lora:poet:0.8:0-0.5>."


class Use(NamedTuple):
    """An adapter in a text: its weight, and the share of committed positions from which and until which it
    acts."""

    name: str
    weight: float = 1.0
    start: float = 0.0
    end: float = 1.0

    def now(self, progress: float) -> float:
        """The weight at a share of committed positions. A range ends before its end, so that two ranges that
        meet never act together; at 1 it ends with the text."""
        before = progress < self.end or self.end == 1
        return self.weight if self.start <= progress and before else 0.0

    @property
    def text(self) -> str:
        """The weight and, if it is not the whole text, the range."""
        whole = (self.start, self.end) == (0.0, 1.0)
        return f"weight {self.weight:g}" + ("" if whole else f" from {self.start:g} to {self.end:g}")


def writable(name: str) -> bool:
    """Whether a tag can name the adapter."""
    found = re.fullmatch(TAG, f"<lora:{name}>")
    return found is not None and found[1] == name


def read(groups: tuple[str | None, ...]) -> Use:
    """What a tag with this name and these arguments says. ValueError with a sentence."""
    name, arguments = groups
    assert name is not None
    if arguments is None:
        return Use(name)
    found = ARGUMENTS.fullmatch(arguments)
    if found is None:
        raise ValueError(f"the LoRA tag says {arguments[:40]!r}. {ABOUT}")
    weight, start, end = float(found[1]), float(found[2] or 0), float(found[3] or 1)
    if abs(weight) > MOST:
        raise ValueError(f"the weight {found[1]} of the LoRA {name} is not between -{MOST:g} and {MOST:g}.")
    if not 0 <= start < end <= 1:
        raise ValueError(
            f"the LoRA {name} acts from {found[2]} to {found[3]}; the first must be the smaller one, both "
            "between 0 and 1."
        )
    return Use(name, weight, start, end)
