"""The texts of a job as a table: a row for each cell; its axes, its text and numbers about it as columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from webui.core.result import Result
from webui.extension.registry import Registry
from webui.service.job import Job

Number = int | float | bool
COST = ("tokens", "forwards", "seconds")  # what every text has cost, as columns


@dataclass(frozen=True)
class TableRow:
    """A cell of a job.

    axes     (value, label) by the axis's name
    metrics  numbers by the column's name; an axis or a metric that a cell lacks is not there
    result   None while there is none, or if the cell failed
    error    why it failed
    """

    cell: str
    axes: Mapping[str, tuple[Any, str]]
    metrics: Mapping[str, Number]
    result: Result | None
    error: str | None = None

    @property
    def text(self) -> str:
        return self.result.text if self.result else ""


@dataclass(frozen=True)
class Table:
    """Columns are in the order in which the cells first have them. `failed`: a sentence for each extension
    whose metrics could not be computed."""

    axes: tuple[str, ...]
    metrics: tuple[str, ...]
    rows: tuple[TableRow, ...]
    failed: Mapping[str, str]


More = Callable[[Job], Mapping[str, Mapping[str, Number]]]


class Tables:
    """Makes tables of jobs that run or have ended. For any threads; hooks are called, so it may take long.

    more  further numbers about the cells of a job, by cell, such as votes
    """

    def __init__(self, registry: Registry, more: Sequence[More] = ()):
        self._registry, self._more = registry, more

    def of(self, job: Job) -> Table:
        """The table of a job as far as it is."""
        rows: list[TableRow] = []
        failed: dict[str, str] = {"bound": job.unscored} if job.unscored else {}
        more = [found(job) for found in self._more]
        for cell, result, error in job.results():
            axes = {name: (value, label) for name, value, label in cell.axes}
            metrics = {} if result is None else self._metrics(result, failed)
            for one in more if result is not None else ():
                metrics |= one.get(cell.id, {})
            rows.append(TableRow(cell.id, axes, metrics, result, error))
        names = dict.fromkeys(name for row in rows for name in row.axes)
        numbers = dict.fromkeys(name for row in rows for name in row.metrics)
        return Table(tuple(names), tuple(numbers), tuple(rows), failed)

    def _metrics(self, result: Result, failed: dict[str, str]) -> dict[str, Number]:
        """Cost, what extensions noted as the text ended, and their metrics: columns by name, those of
        extensions as `extension.metric`."""
        found: dict[str, Number] = {name: getattr(result.statistics, name) for name in COST}
        for name, extras in result.extras.items():
            found |= {f"{name}.{key}": value for key, value in extras.items() if not isinstance(value, str)}
        measured, wrong = self._registry.metrics(result)
        failed |= wrong
        return found | measured


def shown(value: Number | None) -> str:
    """A number of a table as text."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
