"""A table of texts as one HTML file that needs nothing else: it can be sorted, filtered, and restored."""

from __future__ import annotations

import base64
import hashlib
import json
from html import escape
from pathlib import Path
from typing import Any

from webui.core.request import Request
from webui.service.exports.stored import stored
from webui.service.job import Job
from webui.service.table import Table, shown

REQUEST = '<script type="application/json" id="request">'  # what the page looks for in a dropped file
HERE = Path(__file__).resolve().parent


def to_html(table: Table, job: Job) -> str:
    """The table, and in it the whole request and the finished texts with all that made them, so that the file
    is the experiment. Texts are text, no script but ours runs, nothing is fetched."""
    request = job.request
    script, style = ((HERE / name).read_text("utf-8") for name in ("table.js", "table.css"))
    policy = f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'"
    names = [*table.axes, "text", *table.metrics]
    head = "".join(
        f"<th scope=col aria-sort=none><button type=button>{escape(name)}</button></th>" for name in names
    )
    rows = "".join(_row(table, number) for number in range(len(table.rows)))
    asked = json.dumps(
        {"request": request.model_dump(mode="json"), **stored(table, job)},
        ensure_ascii=False,
        separators=(",", ":"),
    )
    return f"""<!doctype html>
<html lang=en>
<meta charset=utf-8>
<meta http-equiv=Content-Security-Policy content="{policy}">
<meta name=viewport content="width=device-width">
<title>{escape(_title(request))}</title>
<style>{style}</style>
<h1>{escape(_title(request))}</h1>
<p><label>Filter <input type=search></label> <output>{len(table.rows)}</output> of {len(table.rows)} texts</p>
<div class=box tabindex=0><table>
<thead><tr>{head}</tr></thead>
<tbody>
{rows}</tbody>
</table></div>
<details><summary>Parameters</summary><pre>{escape(_parameters(request))}</pre></details>
{REQUEST}{_inert(asked)}</script>
<script>{script}</script>
</html>
"""


def _row(table: Table, number: int) -> str:
    row = table.rows[number]
    cells = [_cell(*row.axes.get(name, ("", "")), tag="th") for name in table.axes]
    cells.append(f"<td class=text>{escape(row.error or row.text)}</td>")
    cells += [_cell(row.metrics.get(name), shown(row.metrics.get(name))) for name in table.metrics]
    failed = " class=failed" if row.error else ""
    return f"<tr data-number={number}{failed}>{''.join(cells)}</tr>\n"


def _cell(value: Any, label: str, tag: str = "td") -> str:
    key = "" if value is None else value if isinstance(value, str) else json.dumps(value)
    return f'<{tag} data-key="{escape(key)}">{escape(label)}</{tag}>'


def _title(request: Request) -> str:
    line = " ".join(request.prompt.split())
    return line[:80] or "Texts"


def _parameters(request: Request) -> str:
    changed = {
        name: value
        for name, value in request.model_dump(mode="json").items()
        if value != type(request)().model_dump(mode="json")[name]
    }
    return json.dumps(changed, ensure_ascii=False, indent=2)


def _inert(text: str) -> str:
    """JSON that cannot end the element that it stands in."""
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
