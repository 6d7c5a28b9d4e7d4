"""Replays a trace: the canvas as it was in a run, without a model call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from webui.canvas import Canvas
from webui.core.start import Start
from webui.denoising import samplers
from webui.denoising.samplers import SamplerTable


def replay(canvas: Canvas, starts: Sequence[Start | None], table: SamplerTable) -> Canvas:
    """Replays the trace of each row up to its step; rows without a start stay as they are. The samplers'
    state becomes what it was in the run.

    canvas: prepared for sampling, on the host, nothing committed yet
    starts: one per row; an entry without a confidence is an edit, and its token is given from then on
    """
    steps = [start.steps if start else 0 for start in starts]
    entries = [start.entries if start else () for start in starts]
    for step in range(max(steps, default=0) + 1):
        behind = torch.tensor([step < last for last in steps])
        canvas = _changed(canvas, entries, step)
        if bool(behind.any()):
            canvas = samplers.activate(canvas, table)  # idempotent: nothing happens to rows that wait
            canvas = replace(canvas, step=canvas.step + behind.long())
    return canvas


def _changed(canvas: Canvas, entries: Sequence[Sequence[tuple]], step: int) -> Canvas:
    """The canvas with the entries of one step."""
    tokens, given = canvas.tokens.clone(), canvas.given.clone()
    for index, answer in enumerate(canvas.answer.tolist()):
        for _, column, token, confidence in (entry for entry in entries[index] if entry[0] == step):
            at = answer + column
            tokens[index, at] = canvas.mask if token is None else token
            given[index, at] = token is not None and confidence is None
    return replace(canvas, tokens=tokens, given=given)


def check(start: Start, answer: Sequence[int], mask: int, vocabulary: int) -> None:
    """ValueError if a start does not fit the answer of its row: positions that are not there, tokens that the
    checkpoint does not have, given text that it would change."""
    for _, column, token, confidence in start.entries:
        if column >= len(answer):
            raise ValueError(
                f"canvas: the trace has position {column}, the answer only {len(answer)} tokens."
            )
        if token is not None and (token >= vocabulary or token == mask):
            raise ValueError(f"canvas: {token} in the trace is no token of this checkpoint.")
        if answer[column] != mask and confidence is not None:
            raise ValueError(f"canvas: the trace changes position {column}, which is given.")
    for token in start.tokens:
        if token is not None and not 0 <= token < vocabulary:
            raise ValueError(f"canvas: {token} is no token of this checkpoint.")
