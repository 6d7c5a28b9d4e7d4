"""Where a text starts from, if not from masked positions alone: tokens, and a trace to go on with."""

from __future__ import annotations

from typing import Any

from pydantic import field_validator, model_validator

from webui.core.fields import field
from webui.core.options import Options

MAX_TOKENS = 32768
MAX_STEPS = 2 * MAX_TOKENS  # a row ends before it took more model calls; see Batch.endless
ROUNDING = 1e-3  # that far a saved confidence may lie outside 0 to 1
Entry = tuple[int, int, int | None, float | None]  # step, column, token, confidence: see result.Change


class Start(Options):
    """Where a text starts from. With a trace it goes on as if it had never stopped; with another seed or
    other options it branches off. With tokens alone it is a new run over an answer that is partly there.
    """

    trace: tuple[Entry, ...] = field(
        (),
        label="Trace",
        help="The changes of a saved result, made again without a model call. One without a confidence is an "
        "edit: its token is given from then on.",
        max_length=20 * MAX_TOKENS,
        axis=False,
    )
    step: int | None = field(
        None,
        ge=0,
        le=MAX_STEPS,
        label="Step",
        help="The last step that is made again; empty: all.",
        axis=False,
    )
    tokens: tuple[int | None, ...] = field(
        (),
        label="Tokens",
        help="The answer before the trace, null where it is masked; the sampler may remask what is there.",
        max_length=MAX_TOKENS,
        axis=False,
    )

    @field_validator("trace", mode="before")
    @classmethod
    def _entries(cls, value: Any) -> Any:
        """Entries as in a saved result: [step, column, token, text, confidence]; the text is left out."""
        if not isinstance(value, list | tuple):
            return value
        return tuple(
            ((*entry[:3], entry[4]) if len(entry) == 5 else tuple(entry))
            if isinstance(entry, list | tuple)
            else entry
            for entry in value
        )

    @model_validator(mode="after")
    def _in_order(self) -> Start:
        if any(step < 0 or column < 0 or (token or 0) < 0 for step, column, token, _ in self.trace):
            raise ValueError("has a trace with a negative number")
        if any(entry[0] > MAX_STEPS for entry in self.trace):
            raise ValueError(f"has a trace with more than {MAX_STEPS} steps")
        if any(entry[1] >= MAX_TOKENS for entry in self.trace):
            raise ValueError(f"has a trace of more than {MAX_TOKENS} positions")
        if not all(value is None or -ROUNDING <= value <= 1 + ROUNDING for *_, value in self.trace):
            raise ValueError("has a trace with a confidence outside 0 to 1")
        if any(after[0] < before[0] for before, after in zip(self.trace, self.trace[1:], strict=False)):
            raise ValueError("has a trace whose steps are not in order")
        return self

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The part of the trace that is made again."""
        return tuple(entry for entry in self.trace if self.step is None or entry[0] <= self.step)

    @property
    def steps(self) -> int:
        """Model calls that are behind the text."""
        if self.step is not None:
            return self.step
        return max((entry[0] for entry in self.trace), default=0)
