"""Around whole runs: the extensions with a `run` hook, one around the other, and the progress of their
loops."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import get_args

from webui.core.events import Event, Failed, Finished, Loop
from webui.core.request import Cell
from webui.core.result import Result
from webui.extension.errors import HookError, is_of_hook
from webui.extension.extension import Extension
from webui.extension.registry import Registry
from webui.extension.row import is_whole

Generate = Callable[[Sequence[Cell]], Iterator[Event]]


def around(
    registry: Registry, cells: Sequence[Cell], generate: Generate, cancelled: Callable[[], bool]
) -> Generate:
    """`generate` within the `run` of every extension that has something to do for one of the cells, the
    highest order outermost."""
    for kind in registry.chain("run"):
        has_options = bool(kind.Options.model_fields)
        if not has_options or any(not kind.options(cell.request).defaults() for cell in cells):
            generate = Level(kind, generate, cancelled)
    return generate


class Level:
    """One extension's `run` around `generate`. A call with cells yields events: for each cell one Finished or
    Failed, unless the job was cancelled."""

    def __init__(self, kind: type[Extension], generate: Generate, cancelled: Callable[[], bool]):
        self.kind, self._generate, self._cancelled = kind, generate, cancelled

    def __call__(self, cells: Sequence[Cell]) -> Iterator[Event]:
        ended: set[str] = set()
        try:
            yield from self._run(cells, ended)
        except HookError as error:
            if self.kind.name not in error.extensions:
                raise
            rest = [cell for cell in cells if cell.id not in ended]
            if not rest or self._cancelled():
                return
            if len(rest) == 1:
                yield Failed.of(rest[0].id, error)
            elif len(rest) == len(cells):  # each by itself: only those at fault fail
                for cell in rest:
                    yield from self([cell])
            else:
                yield from self(rest)

    def _run(self, cells: Sequence[Cell], ended: set[str]) -> Iterator[Event]:
        """The hook's events, checked. HookError for what the hook raises or wrongly yields; what the engine
        raises inside it passes through."""
        inner: list[BaseException] = []
        made: dict[int, Result] = {}

        def generate(cells: Sequence[Cell]) -> Iterator[Event]:
            try:
                events = self._generate(cells)
                try:
                    for event in events:
                        if isinstance(event, Finished):
                            made[id(event.result)] = event.result
                        yield event
                finally:  # before the hook goes on, patches are undone
                    if isinstance(events, Generator):
                        events.close()
            except BaseException as error:
                inner.append(error)
                raise

        known = {cell.id for cell in cells}
        try:
            for event in self.kind.run(cells, generate):
                event = self._checked(event, known, made)
                if isinstance(event, Finished | Failed) and event.cell is not None:
                    if event.cell in ended:
                        continue
                    ended.add(event.cell)
                yield event
        except (GeneratorExit, HookError):
            raise
        except BaseException as error:
            if error in inner or not is_of_hook(error):
                raise
            raise HookError(self.kind.name, error) from error
        if ended != known and not self._cancelled():
            raise HookError(self.kind.name, ValueError("yielded no result for a cell."))

    def _checked(self, event: object, known: set[str], made: Mapping[int, Result]) -> Event:
        """The event, if it can be one of these cells. made: the engine's own results, by their id()."""
        name = self.kind.name
        if not isinstance(event, get_args(Event)):
            raise HookError(name, ValueError(f"gave {type(event).__name__} instead of an event."))
        if isinstance(event, Finished | Failed) and event.cell not in known:
            raise HookError(name, ValueError(f"finished the cell {event.cell!r}, which is not in the job."))
        if isinstance(event, Failed) and not is_whole(event.sentence):
            raise HookError(name, ValueError("gave a failure without a sentence."))
        if isinstance(event, Finished) and id(event.result) not in made:
            _check_result(name, event.result)
        if isinstance(event, Loop) and not event.extension:
            if not 0 <= event.k < event.of:
                raise HookError(name, ValueError(f"gave a pass {event.k} of {event.of}."))
            return replace(event, extension=name)
        return event  # type: ignore[return-value]


def _check_result(name: str, result: object) -> None:
    """HookError if an extension changed a result to something that cannot be saved."""
    try:
        if not isinstance(result, Result) or not is_whole(result.text):
            raise TypeError
        result.model_dump_json(warnings=False)
    except (ValueError, TypeError):
        raise HookError(name, ValueError("gave a result that cannot be saved.")) from None


class Passes:
    """Loops within loops as one: pass 1 of 2 outside and 2 of 3 inside is pass 5 of 6."""

    def __init__(self) -> None:
        self._loops: dict[str, Loop] = {}  # by extension, the outermost first

    def enter(self, loop: Loop) -> Loop:
        """All loops combined into one, after this one has begun a pass."""
        kept = {}
        for name, other in self._loops.items():
            if name == loop.extension:
                break
            kept[name] = other
        self._loops = {**kept, loop.extension: loop}
        k, of = 0, 1
        for other in self._loops.values():
            k, of = k * other.of + other.k, of * other.of
        return Loop(k, of)
