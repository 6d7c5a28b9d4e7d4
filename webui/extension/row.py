"""Row: a cell with its preset resolved and its prompts prepared by extensions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from webui.core.prompt import Draft, Prompt
from webui.core.request import Cell, Request


@dataclass(frozen=True)
class Row:
    """A cell with its preset resolved: its named prompts ("main", "negative", ...), and the draft that its
    answer starts from.

    request   the cell's request, presets resolved
    prompts   what the model is conditioned on; an extension may rewrite these and add its own
    draft     None: the answer is `request.length` masked positions. Otherwise text, tokens and gaps
    notes     sentences the user should read beside the result
    """

    cell: Cell
    request: Request
    prompts: Mapping[str, Prompt] = field(default_factory=dict)
    draft: Draft | None = None
    notes: tuple[str, ...] = ()

    def replace(self, **changes: Any) -> Row:
        return replace(self, **changes)

    def with_prompt(self, name: str, prompt: Prompt) -> Row:
        """This row with the named prompt set."""
        return replace(self, prompts={**self.prompts, name: prompt})

    def note(self, sentence: str) -> Row:
        """This row with one more note."""
        return replace(self, notes=(*self.notes, sentence))
