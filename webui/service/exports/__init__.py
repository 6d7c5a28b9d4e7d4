"""Tables of texts as files: HTML, CSV, JSON Lines, Markdown. Nothing of a text is markup or a formula."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from webui.service.exports.html import to_html
from webui.service.job import Job
from webui.service.table import Table, TableRow, shown

# What makes a spreadsheet take a text for a formula, also after blanks, and in full width.
FORMULA = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r]")
SPECIAL = str.maketrans({sign: f"\\{sign}" for sign in "\\`*_[]|#~$"} | {"<": "&lt;", "&": "&amp;"})


def to_csv(table: Table, job: Job) -> str:
    """One line for each cell: axes, metrics, text, error, seed, checkpoint. A text that a spreadsheet would
    take for a formula begins with an apostrophe."""
    stream = io.StringIO()
    writer = csv.writer(stream)
    names = ["cell", *table.axes, *table.metrics, "text", "error", "seed", "model"]
    writer.writerow([_harmless(name) for name in names])
    for row in table.rows:
        asked = row.result.request if row.result else None
        values = [row.axes[name][0] if name in row.axes else "" for name in table.axes]
        values += [row.metrics.get(name, "") for name in table.metrics]
        values += [row.text, row.error or "", asked.seed if asked else "", (asked and asked.model) or ""]
        writer.writerow([row.cell, *map(_harmless, values)])
    return stream.getvalue()


def to_jsonl(table: Table, job: Job) -> str:
    """One object for each cell: axes, metrics, text, error, and the request that makes the text again."""
    return "".join(f"{json.dumps(_object(row), ensure_ascii=False)}\n" for row in table.rows)


def to_markdown(table: Table, job: Job) -> str:
    """A table, one line for each cell, in which nothing of a text is markup."""
    names = [*table.axes, "text", *table.metrics]
    lines = [_line(names), "|" + "---|" * len(names)]
    for row in table.rows:
        axes = [row.axes[name][1] if name in row.axes else "" for name in table.axes]
        metrics = [shown(row.metrics.get(name)) for name in table.metrics]
        lines.append(_line([*axes, row.error or row.text, *metrics]))
    return "\n".join(lines) + "\n"


def _object(row: TableRow) -> dict[str, Any]:
    asked = row.result.request.model_dump(mode="json") if row.result else None
    return {
        "cell": row.cell,
        "axes": {name: value for name, (value, _) in row.axes.items()},
        "text": row.text,
        "complete": bool(row.result and row.result.complete),
        "error": row.error,
        "metrics": dict(row.metrics),
        "request": asked,
    }


def _line(values: list[str]) -> str:
    return "| " + " | ".join(" ".join(value.translate(SPECIAL).split()) for value in values) + " |"


def _harmless(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and FORMULA.match(value) else value


@dataclass(frozen=True)
class Format:
    """A kind of file: its media type, the end of its name, and what writes it."""

    media: str
    ending: str
    write: Callable[[Table, Job], str]


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "html": Format("text/html", "html", to_html),
        "csv": Format("text/csv", "csv", to_csv),
        "jsonl": Format("application/jsonl", "jsonl", to_jsonl),
        "markdown": Format("text/markdown", "md", to_markdown),
    }
)
