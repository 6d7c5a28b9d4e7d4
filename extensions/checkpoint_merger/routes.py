"""Merging over HTTP and for the page: `POST /api/v1/extensions/checkpoint_merger/<route>`. A merge is the
command `merge` in a process of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from .command import NAME
from .merging import RECIPE
from .methods import METHODS

KEY = "merging"  # one at a time: each takes the disk for itself
FIELDS: Mapping[str, tuple[type, ...]] = MappingProxyType(
    {
        "method": (str,),
        "a": (str,),
        "b": (str,),
        "c": (str,),
        "weight": (float, int),
        "layers": (str,),
        "density": (float, int),
        "seed": (int,),
        "out": (str,),
    }
)


def options(app: Any, sent: Mapping[str, Any]) -> Mapping[str, Any]:
    """{} to what a merge may name: {"checkpoints", "methods": [{"name", "about", "third"}], "merged": those
    that were made by merging, with their recipes}."""
    entries = [entry for entry in app.checkpoints.list() if not entry.error]
    recipes = {entry.name: recipe for entry in entries if (recipe := _recipe(entry.folder))}
    return {
        "checkpoints": [entry.name for entry in entries],
        "methods": [{"name": n, "about": one.about, "third": one.third} for n, one in METHODS.items()],
        "merged": [{"name": name, "recipe": recipe} for name, recipe in sorted(recipes.items())],
    }


def start(app: Any, sent: Mapping[str, Any]) -> Mapping[str, Any]:
    """Merges as the fields say, which are the flags of `merge`; to its state."""
    for name, value in sent.items():
        if name not in FIELDS:
            raise ValueError(f"There is no field {name!r}.")
        if value is not None and (isinstance(value, bool) or not isinstance(value, FIELDS[name])):
            raise ValueError(f"{name}: {'a text' if str in FIELDS[name] else 'a number'} is expected.")
    values = {name: value for name, value in sent.items() if value not in (None, "")}
    for name in ("a", "b", "out"):
        if name not in values:
            raise ValueError({"out": "Give the new checkpoint a name."}.get(name, f"Choose {name.upper()}."))
    if not NAME.fullmatch(values["out"]):
        raise ValueError(
            "A name has letters, digits, blanks, dots, + and -, and begins with a letter or digit."
        )
    if (app.settings.checkpoints / values["out"]).exists():
        raise ValueError(f"There is a checkpoint {values['out']} already; choose another name.")
    flags = [f"--{name}={value}" for name, value in values.items()]
    app.background.start(KEY, "merge", [*flags, "--json"])
    return state(app, {})


def state(app: Any, sent: Mapping[str, Any]) -> Mapping[str, Any]:
    """{} to {"state": none, running, done, failed or stopped, "done": 0 to 1, "error"} of the last merge."""
    command = app.background.get(KEY)
    if command is None:
        return {"state": "none", "done": 0.0, "error": ""}
    now, done = command.state, 0.0
    for line in reversed(command.lines):
        if line.startswith("{"):
            done = json.loads(line)["done"]
            break
    return {"state": now, "done": done, "error": command.error}


def cancel(app: Any, sent: Mapping[str, Any]) -> Mapping[str, Any]:
    """Stops the merge. The same merge goes on from there when it is started again."""
    if (command := app.background.get(KEY)) is not None:
        command.stop()
    return state(app, {})


ROUTES: Mapping[str, Callable[[Any, Mapping[str, Any]], Mapping[str, Any]]] = MappingProxyType(
    {"options": options, "start": start, "state": state, "cancel": cancel}
)


def _recipe(folder: Path) -> dict[str, Any] | None:
    """How a checkpoint was merged; None if it was not."""
    try:
        said = json.loads((folder / RECIPE).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    recipe = said.get("recipe") if isinstance(said, dict) else None
    return recipe if isinstance(recipe, dict) else None
