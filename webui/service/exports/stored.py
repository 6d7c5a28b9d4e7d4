"""An experiment in an exported file: its finished texts with all that made them, as in the history."""

from __future__ import annotations

import json
from typing import Any

from webui.core.result import Result
from webui.service.experiments import key
from webui.service.job import Job
from webui.service.table import Table

LARGEST = 32_000_000  # characters of the texts; with more of them their traces are left out


def stored(table: Table, job: Job) -> dict[str, Any]:
    """The seed that was drawn, and each finished text once: the key of what its cell asks for, the cell, the
    result, and its bound if there is one. A result has the fields of its request that differ from the
    experiment's."""
    base = job.drawn.model_dump(mode="json")
    cells = {cell.id: cell for cell in job.cells}
    finished = [row for row in table.rows if row.result is not None and row.result.complete]
    texts = [
        {
            "key": key(cells[row.cell]),
            "cell": row.cell,
            "bound": row.metrics.get("bound"),
            "result": _slim(row.result, base),
        }
        for row in finished
        if row.result is not None
    ]
    if sum(len(json.dumps(text)) for text in texts) > LARGEST:
        for text in texts:
            text["result"] |= {"trace": [], "pieces": []}
    return {"seed": job.drawn.seed, "texts": texts}


def _slim(result: Result, base: dict[str, Any]) -> dict[str, Any]:
    fields = result.model_dump(mode="json", exclude={"parts", "alternatives"})
    asked = {name: value for name, value in fields["request"].items() if base.get(name) != value}
    return {**fields, "request": asked}
