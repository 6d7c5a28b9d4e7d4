"""Replays a trace: the canvas as it was in a run, without a model call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch

from webui.canvas import Canvas
from webui.checkpoints.weights import Stopped
from webui.core.start import Entry, Start
from webui.denoising import samplers
from webui.denoising.samplers import SamplerTable


def replay(
    canvas: Canvas,
    starts: Sequence[Start | None],
    table: SamplerTable,
    cancelled: Callable[[], bool] = lambda: False,
) -> Canvas:
    """Replays the trace of each row up to its step; rows without a start stay as they are. The samplers'
    state becomes what it was in the run. Stopped if it is cancelled meanwhile.

    canvas: prepared for sampling, on the host, nothing committed yet
    starts: one per row; an entry without a confidence is an edit, and its token is given from then on
    """
    steps = [start.steps if start else 0 for start in starts]
    end = max(steps, default=0)
    entries = _by_step(starts)
    # Most samplers do nothing in a step that changes nothing: such steps are made all at once.
    every = any(table.samplers[name].remasks for name in canvas.state.samplers)
    moments = range(end + 1) if every else sorted({0, end, *(step for step in entries if step <= end)})
    for step, after in zip(moments, (*moments[1:], end), strict=True):
        if cancelled():
            raise Stopped
        canvas = samplers.spent(canvas, _changed(canvas, entries.get(step, ())))
        if every and step:
            canvas = _counted(canvas, entries.get(step, ()), [last >= step for last in steps])
        if step < end:
            canvas = samplers.activate(canvas, table)  # idempotent: nothing happens to rows that wait
            made = torch.tensor([min(after, last) - min(step, last) for last in steps])
            canvas = replace(canvas, step=canvas.step + made)
    return canvas


def _by_step(starts: Sequence[Start | None]) -> Mapping[int, Sequence[tuple[int, Entry]]]:
    """(row, entry) of every entry of the traces, in order, by step."""
    found: dict[int, list[tuple[int, Entry]]] = {}
    for index, start in enumerate(starts):
        for entry in start.entries if start else ():
            found.setdefault(entry[0], []).append((index, entry))
    return found


def _changed(canvas: Canvas, entries: Sequence[tuple[int, Entry]]) -> Canvas:
    """The canvas with these entries, which are of one step."""
    if not entries:
        return canvas
    tokens, given, answers = canvas.tokens.clone(), canvas.given.clone(), canvas.answer.tolist()
    last = {(index, entry[1]): entry for index, entry in entries}  # of several for one position the last
    rows = torch.tensor([index for index, _ in last])
    columns = torch.tensor([answers[index] + column for index, column in last])
    tokens[rows, columns] = torch.tensor(
        [canvas.mask if token is None else token for _, _, token, _ in last.values()]
    )
    given[rows, columns] = torch.tensor(
        [
            token is not None and (confidence is None or token == canvas.nothing)
            for _, _, token, confidence in last.values()
        ]
    )
    return replace(canvas, tokens=tokens, given=given)


def _counted(canvas: Canvas, entries: Sequence[tuple[int, Entry]], running: Sequence[bool]) -> Canvas:
    """With what the samplers remember of a step with these entries, in the rows that were `running` in it."""
    made = [(index, entry) for index, entry in entries if entry[2] is not None and entry[3] is not None]
    answers, state = canvas.answer.tolist(), canvas.state
    rows = torch.tensor([index for index, _ in made], dtype=torch.long)
    columns = torch.tensor([answers[index] + entry[1] for index, entry in made], dtype=torch.long)
    probability = torch.tensor([entry[3] for _, entry in made])
    after = samplers.counted(state, (rows, columns), torch.ones_like(rows, dtype=torch.bool), probability)
    changed = torch.where(torch.tensor(running), after.changed, state.changed)
    return canvas.with_sampler(replace(after, changed=changed))


def check(start: Start, answer: Sequence[int], free: Sequence[int], mask: int, vocabulary: int) -> None:
    """ValueError if a start does not fit the answer of its row: positions that are not there, tokens that the
    checkpoint does not have, given text that it would change. free: tokens of the answer that may change."""
    for _, column, token, confidence in start.entries:
        if column >= len(answer):
            raise ValueError(
                f"canvas: the trace has position {column}, the answer only {len(answer)} tokens."
            )
        if token is not None and (token >= vocabulary or token == mask):
            raise ValueError(f"canvas: {token} in the trace is no token of this checkpoint.")
        if answer[column] not in free and confidence is not None:
            raise ValueError(f"canvas: the trace changes position {column}, which is given.")
    for token in start.tokens:
        if token is not None and not 0 <= token < vocabulary:
            raise ValueError(f"canvas: {token} is no token of this checkpoint.")
