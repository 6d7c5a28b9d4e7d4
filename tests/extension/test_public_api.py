"""The names that extensions import: a change of what they take or give is a change of public_api.json; then it
belongs into CHANGELOG.md. `python -m tests.extension.test_public_api` writes that file anew, and in
docs/extending.md the order of the built-in extensions and the list of provisional names."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

import webui
from webui.extension.registry import Registry
from webui.settings import ROOT

SNAPSHOT = Path(__file__).parent / "public_api.json"
GUIDE = Path(__file__).parents[2] / "docs" / "extending.md"
ORDER = re.compile(r"(?<=from the first to the last \|\n\|---\|---\|\n)(?:\|.*\n)+")
PROVISIONAL = re.compile(r"Provisional are [^.]*\.")


def described(value: Any) -> Any:
    """What someone who uses a public name can rely on: signatures, fields, methods."""
    if not isinstance(value, type):
        return str(inspect.signature(value)) if callable(value) else type(value).__name__
    found: dict[str, Any] = {}
    if isinstance(value, type) and issubclass(value, BaseModel):
        found["fields"] = sorted(value.model_fields)
    elif dataclasses.is_dataclass(value):
        found["fields"] = {field.name: str(field.type) for field in dataclasses.fields(value)}
    elif hasattr(value, "_fields"):
        found["fields"] = list(value._fields)
    members = {}
    for name, member in sorted(vars(value).items()):
        if name.startswith(("_", "model_")) or name in found.get("fields", ()):
            continue
        function = getattr(member, "__func__", member)
        if inspect.isfunction(function):
            members[name] = str(inspect.signature(function))
        elif isinstance(member, property) or type(member).__name__ == "cached_property":
            members[name] = "property"
        elif isinstance(member, type):
            members[name] = "class"
    return {**found, "members": members} if members else found


def api() -> dict[str, Any]:
    from webui import testing

    public = {name: [webui.STABILITY[name], described(getattr(webui, name))] for name in webui.STABILITY}
    return {
        "webui": public,
        "webui.testing": {name: described(getattr(testing, name)) for name in testing.__all__},
    }


def test_the_public_api_is_what_was_committed():
    stored = json.loads(SNAPSHOT.read_text("utf-8"))
    assert api() == stored, "the public API has changed: see the top of this file"


def test_every_name_has_a_level():
    assert set(webui.STABILITY) == set(webui.__all__) - {"__version__"}
    assert set(webui.STABILITY.values()) == {"stable", "provisional"}
    assert webui.STABILITY["Extension"] == "stable" and webui.STABILITY["Sampler"] == "provisional"


@pytest.mark.parametrize(
    "name, instead",
    [("Found", "Construct"), ("Plain", "Piece"), ("scan", "Prompt.scan"), ("fields", "webui.field")],
)
def test_a_name_that_is_gone_says_what_to_use(name, instead):
    with pytest.raises(ImportError, match=f"webui.{name} is gone since webui 0.1; use .*{instead}"):
        exec(f"from webui import {name}")
    with pytest.raises(ImportError, match=instead):
        getattr(webui, name)


def order() -> str:
    """The table of the guide."""
    table = Registry(ROOT / "extensions").order_table()
    return "".join(f"| `{hook}` | {', '.join(names)} |\n" for hook, names in table)


def provisional() -> str:
    names = [f"`{name}`" for name, level in webui.STABILITY.items() if level == "provisional"]
    return f"Provisional are {', '.join(names)}."


def test_the_guide_says_which_names_are_provisional():
    (found,) = PROVISIONAL.findall(GUIDE.read_text("utf-8"))
    assert found == provisional()


def test_the_guide_has_the_order_of_the_built_in_extensions():
    (found,) = ORDER.findall(GUIDE.read_text("utf-8"))
    assert found == order(), "see the top of this file"


if __name__ == "__main__":
    text = PROVISIONAL.sub(provisional(), ORDER.sub(order(), GUIDE.read_text("utf-8")))
    GUIDE.write_text(text, "utf-8")
    SNAPSHOT.write_text(json.dumps(api(), indent=1, ensure_ascii=False) + "\n", "utf-8")
