"""A text and everything that made it."""

from __future__ import annotations

import secrets
import time
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, SerializeAsAny

from webui.core.request import Request


class Change(NamedTuple):
    """One position decided (or, with token None, reopened) in one model call. `column` counts from the
    answer's start."""

    step: int
    column: int
    token: int | None
    text: str
    confidence: float | None  # in [0, 1]; None for given text


class Provenance(BaseModel):
    """What produced a text, so that it can be produced again."""

    model_config = ConfigDict(frozen=True)
    program: str
    checkpoint: str
    fingerprint: str
    family: str
    device: str
    dtype: str
    torch: str
    created: str  # ISO 8601, UTC
    job: str
    cell: str


class Statistics(BaseModel):
    """Cost of a row. `forwards` counts the model calls it took part in; seconds are those of its batch while
    it lived."""

    model_config = ConfigDict(frozen=True)
    forwards: int = 0
    tokens: int = 0  # decided positions
    prompt_tokens: int = 0
    seconds: float = 0.0

    @property
    def tokens_per_forward(self) -> float:
        return self.tokens / self.forwards if self.forwards else 0.0


class Result(BaseModel):
    """A text and everything that made it; with several cells, the texts are in `parts`, each again a
    Result."""

    model_config = ConfigDict(frozen=True)
    id: str
    text: str
    complete: bool
    request: SerializeAsAny[Request]
    preset: tuple[str, ...] = ()  # fields that were None and came from the preset
    axes: tuple[tuple[str, Any, str], ...] = ()  # (name, value, label) of the cell
    error: str | None = None
    pieces: tuple[str | None, ...] = ()  # the answer's tokens as text; None is still open
    trace: tuple[Change, ...] = ()
    parts: tuple[Result, ...] = ()
    statistics: Statistics = Statistics()
    provenance: Provenance | None = None
    notes: tuple[str, ...] = ()


def new_id() -> str:
    """20 hexadecimal digits that sort by time."""
    return f"{time.time_ns() // 1000:016x}{secrets.token_hex(2)}"
