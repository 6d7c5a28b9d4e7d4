"""A job as a table, and the table as files: nothing of a text is markup, script or formula."""

from __future__ import annotations

import csv
import io
import json
import re
from html.parser import HTMLParser

import pytest

from tests.conftest import ROOT
from tests.contract.program import program
from webui.core.events import Failed, Finished
from webui.core.request import Cell
from webui.core.result import Result, Statistics
from webui.extension.registry import Registry
from webui.service.exports import FORMATS
from webui.service.job import Job
from webui.service.table import Tables

HOSTILE = "</script><script>alert(1)</script> <img src=x onerror=alert(1)> | `a` \u2028 [x](javascript:1)"
FORMULAS = ("=1+1", "+1", "-1", "@sum", "\tx", "\rx", " \n=1", "\uff1d1")


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry(ROOT / "extensions")


def job_of(registry: Registry, texts, prompt: str = "a dragon") -> Job:
    """A job with a cell for each text; None: it failed."""
    request = registry.Request(prompt=prompt, seed=7, xyz_grid={"x_field": "prompt", "x_values": "dragon"})
    cells = [
        Cell(str(i), registry.Request(prompt=prompt, seed=7), (("prompt", text or "-", f"p {text}"),))
        for i, text in enumerate(texts)
    ]
    job = Job(request, tuple(cells))
    job.begin()
    for cell, text in zip(cells, texts, strict=True):
        if text is None:
            job.take(Failed(cell.id, "It <b>failed</b>."))
            continue
        cost = Statistics(forwards=4, tokens=8, seconds=0.5)
        result = Result(
            id=cell.id,
            text=text,
            complete=True,
            request=cell.request,
            axes=cell.axes,
            statistics=cost,
            extras={"note": {"share": 0.25, "word": "x"}},
        )
        job.take(Finished(result, cell.id))
    return job


def test_rows_have_axes_cost_extras_and_metrics(registry):
    table = Tables(registry).of(job_of(registry, ["a cat sat", None]))
    assert table.axes == ("prompt",) and not table.failed
    assert table.metrics[:4] == ("tokens", "forwards", "seconds", "note.share")
    first, second = table.rows
    assert first.axes == {"prompt": ("a cat sat", "p a cat sat")} and first.text == "a cat sat"
    assert first.metrics["tokens"] == 8 and first.metrics["text_metrics.words"] == 3
    assert second.result is None and second.error == "It <b>failed</b>." and not second.metrics


def test_a_job_that_runs_has_the_rows_that_are_done(registry):
    request = registry.Request(prompt="a", seed=1)
    job = Job(request, (Cell("0", request), Cell("1", request)))
    job.begin()
    job.take(Finished(Result(id="1", text="x", complete=True, request=request), "1"))
    assert [row.text for row in Tables(registry).of(job).rows] == ["", "x"]


def test_an_extension_whose_metrics_fail_is_named_and_the_others_count(tmp_path):
    for name, body in (("bad", "1 / 0"), ("worse", "{'x': float('nan')}"), ("good", "{'one': 1}")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(
            "from webui import Extension\n\n\nclass Own(Extension):\n    @classmethod\n"
            f"    def metrics(cls, result):\n        return {body}\n"
        )
    registry = Registry(tmp_path)
    request = registry.Request()
    found, failed = registry.metrics(Result(id="1", text="x", complete=True, request=request))
    assert found == {"good.one": 1}
    assert failed["bad"].startswith("bad: ZeroDivisionError") and "worse" in failed


class Parsed(HTMLParser):
    """The elements of a page, and the text of its table cells."""

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.cells, self.scripts, self.at = [], [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.at = tag
        if tag == "script":
            self.scripts.append("")
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_endtag(self, tag):
        self.at = ""

    def handle_data(self, data):
        if self.at in ("td", "th", "button"):
            self.cells[-1] += data
        if self.at == "script":
            self.scripts[-1] += data


def test_html_has_texts_as_text_and_the_request(registry):
    job = job_of(registry, [HOSTILE, "a\nb", None], prompt=HOSTILE)
    text = FORMATS["html"].write(Tables(registry).of(job), job)
    page = Parsed(text)
    assert page.tags.count("script") == 2 and "img" not in page.tags and "a" not in page.tags
    assert HOSTILE in page.cells and "a\nb" in page.cells and "It <b>failed</b>." in page.cells
    stored = json.loads(page.scripts[0])
    request, unknown = registry.Request.read(stored)
    assert request == job.request and not unknown
    policy = re.search(r'content="(default-src [^"]*)"', text)
    assert policy and "unsafe" not in policy[1] and policy[1].count("sha256-") == 2


@pytest.mark.parametrize("sign", FORMULAS)
def test_csv_has_no_formulas(registry, sign):
    job = job_of(registry, [f"{sign}cmd", "plain, with comma\nand line", None])
    lines = list(csv.DictReader(io.StringIO(FORMATS["csv"].write(Tables(registry).of(job), job))))
    assert lines[0]["text"] == f"'{sign}cmd" and lines[0]["prompt"] == f"'{sign}cmd"
    assert lines[1]["text"] == "plain, with comma\nand line" and lines[1]["text_metrics.words"] == "5"
    assert lines[2]["error"] == "It <b>failed</b>."
    assert all(not value.startswith(FORMULAS) for line in lines for value in line.values() if value)


def test_jsonl_has_the_request_of_each_text(registry):
    job = job_of(registry, [HOSTILE, None])
    first, second = map(json.loads, FORMATS["jsonl"].write(Tables(registry).of(job), job).split("\n")[:2])
    assert first["text"] == HOSTILE and first["axes"] == {"prompt": HOSTILE}
    assert registry.Request.read(first["request"])[0] == job.cells[0].request
    assert second["error"] == "It <b>failed</b>." and second["request"] is None and not second["complete"]


def test_markdown_is_a_table_whatever_the_texts_hold(registry):
    from webui.http.markdown import render

    job = job_of(registry, [HOSTILE, "# a\n\n- b", None])
    text = FORMATS["markdown"].write(Tables(registry).of(job), job)
    lines = text.splitlines()
    assert len(lines) == 5 and len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1
    page = Parsed(render(text))
    assert page.tags.count("tr") == 4 and not {"script", "img", "a", "code", "h1"} & set(page.tags)


def test_a_grid_through_the_program(tmp_path):
    app = program(tmp_path)
    grid = {"x_field": "temperature", "x_values": "0, 1"}
    job = app.queue.submit(app.Request(prompt="a", length=8, seed=1, xyz_grid=grid))
    assert job.wait(120)
    table = app.tables.of(job)
    assert [row.axes["temperature"][0] for row in table.rows] == [0, 1] and table.rows[0].text
    assert app.export(job, "markdown").count("\n") == 4
    app.close()
