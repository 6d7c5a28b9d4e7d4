"""The table of docs/exactness.md: printed, and every test that it names is there."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "exactness.md"


def rows() -> list[list[str]]:
    """The lines of the page's first table in cells, without its head."""
    first = PAGE.read_text("utf-8").partition("\n## ")[0]
    lines = [line for line in first.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_what_is_exact_and_under_which_conditions():
    assert len(rows()) >= 10
    for what, equal, conditions, test in rows():
        print(f"{what}\n    equals {equal}\n    {conditions}\n    {test.strip('`')}")
        path, _, name = test.strip("`").partition("::")
        tree = ast.parse((ROOT / path).read_text("utf-8"))
        tests = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert name in tests if name else any(found.startswith("test_") for found in tests), test
