"""Cells with the same request are computed once."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from typing import TypeVar

from webui.core.events import Event, Failed, Finished, Progress, Started
from webui.core.request import Cell
from webui.core.result import Result, Statistics, new_id

V = TypeVar("V")


def once(cells: Sequence[Cell], generate: Callable[[Sequence[Cell]], Iterator[Event]]) -> Iterator[Event]:
    """The events of these cells, of which `generate` gets the first of each request only. The others have the
    same events, and results of their own that cost no model call."""
    first: dict[str, Cell] = {}
    others: dict[str, list[Cell]] = {}
    for cell in cells:
        leader = first.setdefault(cell.request.key(), cell)
        if leader is not cell:
            others.setdefault(leader.id, []).append(cell)
    with closing(_closable(generate(list(first.values())))) as events:
        for event in events:
            if isinstance(event, Progress):
                yield Progress(_spread(event.changes, others), _spread(event.step, others))
                continue
            yield event
            if isinstance(event, Started | Failed | Finished) and event.cell is not None:
                for cell in others.get(event.cell, ()):
                    yield _for(cell, event)


def _closable(events: Iterator[Event]) -> Generator[Event, None, None]:
    yield from events


def _spread(values: Mapping[str, V], others: Mapping[str, Sequence[Cell]]) -> dict[str, V]:
    """The values by cell, with those of the cells that are like it."""
    spread = dict(values)
    for name, value in values.items():
        spread |= {cell.id: value for cell in others.get(name, ())}
    return spread


def _for(cell: Cell, event: Started | Failed | Finished) -> Event:
    """The event of another cell, for this one."""
    if isinstance(event, Started):
        return Started(cell.id, event.length, event.steps, event.given)
    if isinstance(event, Failed):
        return Failed(cell.id, event.sentence, event.code)
    return Finished(_copy(event.result, cell), cell.id)


def _copy(result: Result, cell: Cell) -> Result:
    provenance = result.provenance and result.provenance.model_copy(update={"cell": cell.id})
    free = Statistics(prompt_tokens=result.statistics.prompt_tokens)
    own = {"id": new_id(), "axes": cell.axes, "provenance": provenance, "statistics": free}
    return result.model_copy(update=own)
