"""A text and everything that made it."""

from __future__ import annotations

import secrets
import time
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny

from webui.core.request import Request


class Change(NamedTuple):
    """What one model call did to one position: a token was committed, or, with token None, the position was
    remasked. `column` counts from the answer's start."""

    step: int  # of the row, from 1; 0 is what the answer started from
    column: int
    token: int | None
    text: str
    confidence: float | None  # the token's probability, in [0, 1]; None for given text and edits


class Alternative(NamedTuple):
    """One of the likeliest tokens of a position, at the model call that committed another one or itself."""

    token: int
    text: str
    probability: float  # in [0, 1], at temperature 1 and before the filters, as Change.confidence


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
    extensions: dict[str, str] = Field(default_factory=dict)  # those not built-in: version and revision


class Statistics(BaseModel):
    """Cost of a row. `forwards` counts the model calls it took part in; seconds are those of its batch while
    it lived."""

    model_config = ConfigDict(frozen=True)
    forwards: int = 0
    tokens: int = 0  # positions that the model filled, however often they were remasked before
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
    # what extensions expanded it from, by field: "prompt", and options that `request` has no more
    expanded_from: dict[str, Any] = Field(default_factory=dict)
    error: str | None = None
    tokens: tuple[int | None, ...] = ()  # the answer; None is masked
    pieces: tuple[str | None, ...] = ()  # its tokens as text
    # (name, start, end) of each gap with a name: the characters of `text` that were written there
    gaps: tuple[tuple[str, int, int], ...] = ()
    trace: tuple[Change, ...] = ()  # every commit and remasking, in order
    # for each entry of the trace the request's number of `alternatives`, the likeliest first; none for given
    # text and remasking. Empty if they were not asked for
    alternatives: tuple[tuple[Alternative, ...], ...] = ()
    parts: tuple[Result, ...] = ()
    statistics: Statistics = Statistics()
    provenance: Provenance | None = None
    notes: tuple[str, ...] = ()
    # numbers and words by extension: see the hook `finish`
    extras: dict[str, dict[str, int | float | str | bool]] = Field(default_factory=dict)


def replay(result: Result, step: int) -> tuple[int | None, ...]:
    """The answer as it was after the row's model call number `step`, in tokens; None is masked. 0: as it
    started. No model is needed. ValueError for a result without tokens, as before 2026-11-26."""
    if result.trace and not result.tokens:
        raise ValueError("This result was saved without its tokens.")
    tokens = list(result.tokens)
    start = result.request.canvas.tokens if result.request.canvas else ()
    for change in result.trace:
        tokens[change.column] = start[change.column] if start else None
    for change in result.trace:
        if change.step <= step:
            tokens[change.column] = change.token
    return tuple(tokens)


def new_id() -> str:
    """20 hexadecimal digits that sort by time."""
    return f"{time.time_ns() // 1000:016x}{secrets.token_hex(2)}"
