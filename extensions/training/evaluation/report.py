"""Rows of the table, the table itself, and everything as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Bar:
    """What the recipes must reach: at least these values, or at most."""

    cpu: float
    gpu: float
    least: bool = True

    def met(self, recipe: str, value: float) -> bool:
        bar = getattr(self, recipe)
        return value >= bar if self.least else value <= bar

    def shown(self, recipe: str) -> str:
        return f"{'>=' if self.least else '<='} {getattr(self, recipe):g}"


@dataclass(frozen=True)
class Row:
    """One measurement. `value` None: it could not be taken, and `note` says why.

    low, high  the 95 % interval; n: how many trials, texts or stories
    bar        numbers to reach; or `holds`: for rows that are yes or no, whether it is so
    """

    metric: str
    what: str
    value: float | None = None
    interval: tuple[float, float] | None = None
    n: int = 0
    bar: Bar | None = None
    holds: bool | None = None
    note: str = ""

    def verdict(self, recipe: str) -> bool | None:
        """Whether the recipe's bar is met, going by the value itself; None if there is nothing to judge."""
        if self.value is None:
            return None
        return self.holds if self.bar is None else self.bar.met(recipe, self.value)


@dataclass(frozen=True)
class Report:
    """What was measured (facts), the rows, every text, and the seconds of each stage."""

    facts: Mapping[str, Any]
    rows: Sequence[Row]
    texts: Sequence[Mapping[str, Any]]
    seconds: Mapping[str, float]

    def json(self) -> str:
        rows = []
        for row in self.rows:
            verdicts = {f"{recipe}_met": row.verdict(recipe) for recipe in ("cpu", "gpu")}
            rows.append({**asdict(row), **verdicts})
        whole = {**self.facts, "rows": rows, "seconds": self.seconds, "texts": self.texts}
        return json.dumps(whole, indent=1)  # escapes keep this safe on every terminal

    def table(self, show: int = 0) -> str:
        """The table, its notes, and the first `show` texts with their prompts."""
        f = self.facts
        last = f["seed"] + f["samples"] - 1
        took = sum(self.seconds.values())
        lines = [
            f"{f['checkpoint']} ({f['fingerprint']}), {f['family']}, {f['dtype']} on {f['device']}, "
            f"{took:.0f} s",
            f"seeds {f['seed']} to {last}, prompts: the first {f['samples']} held-out stories; preset "
            f"{json.dumps(f['preset'])}",
            "",
            _line("metric", "value", "95 %", "n", "CPU recipe", "GPU recipe"),
        ]
        lines += [_line(row.what, *_cells(row)) for row in self.rows]
        notes = [f"  {row.what}: {row.note}" for row in self.rows if row.note]
        lines += ["", "notes", *notes] if notes else []
        for text in self.texts[:show]:
            head = {key: value for key, value in text.items() if key not in ("prompt", "text")}
            lines += ["", f"== {text['prompt']!r} {json.dumps(head)}", text["text"]]
        return _harmless("\n".join(lines)) if sys.stdout.isatty() else "\n".join(lines)


def _cells(row: Row) -> tuple[str, ...]:
    if row.value is None:
        return "-", "", "", *("" if row.bar is None else row.bar.shown(recipe) for recipe in ("cpu", "gpu"))
    interval = f"{row.interval[0]:.3f} to {row.interval[1]:.3f}" if row.interval else ""
    return f"{row.value:.3f}", interval, str(row.n), *(_judged(row, recipe) for recipe in ("cpu", "gpu"))


def _judged(row: Row, recipe: str) -> str:
    met = row.verdict(recipe)
    if met is None:
        return ""
    return f"{row.bar.shown(recipe) if row.bar else 'yes'} {'met' if met else 'MISSED'}"


def _line(what: str, value: str, interval: str, n: str, cpu: str, gpu: str) -> str:
    return f"{what:<46} {value:>7}  {interval:<16} {n:>6}  {cpu:<15} {gpu}".rstrip()


def _harmless(text: str) -> str:
    """What a terminal would obey made visible."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)
