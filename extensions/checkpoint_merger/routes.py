"""Merging over HTTP and for the page: `POST /api/v1/extensions/checkpoint_merger/<route>`. A merge is the
command `merge` in a process of its own."""

from __future__ import annotations

import ipaddress
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from webui import adapters

from . import pruning
from .command import NAME, NEEDED, ONLY, OTHERS, WORDS, check_numbers, is_known, layers
from .extraction import EXTRACT
from .merging import RECIPE
from .methods import BAKE, METHODS

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
        "lora": (str,),
        "rank": (int,),
        "data": (str,),
        "what": (str,),
        "remove": (float, int),
        "choice": (str,),
        "out": (str,),
    }
)


def options(app: Any, sent: Mapping[str, Any]) -> Mapping[str, Any]:
    """{} to what a merge may name: {"checkpoints", "model": the default checkpoint, "loras", "methods":
    [{"name", "about", "third", "fields": those that not every method takes}], "merged": checkpoints
    that were made here, with their recipes, "paths": whether files of the server's machine are
    read}."""
    entries = [entry for entry in app.checkpoints.list() if not entry.error]
    recipes = {entry.name: recipe for entry in entries if (recipe := _recipe(entry.folder))}
    methods = [{"name": n, "about": one.about, "third": one.third} for n, one in METHODS.items()]
    methods += [{"name": name, "about": about, "third": False} for name, about in OTHERS.items()]
    for one in methods:
        fields = [field for field, names in ONLY.items() if one["name"] in names]
        one["fields"] = [*fields, *(["weight"] if one["name"] in (*METHODS, BAKE) else [])]
    return {
        "checkpoints": [entry.name for entry in entries],
        "model": app.settings.model,
        "loras": sorted(adapters(app.settings.models / "loras")),
        "methods": methods,
        "merged": [{"name": name, "recipe": recipe} for name, recipe in sorted(recipes.items())],
        "paths": _local(app.settings.host),
    }


def start(app: Any, sent: Mapping[str, Any]) -> Mapping[str, Any]:
    """Merges as the fields say, which are the flags of `merge`; to its state."""
    for name, value in sent.items():
        if name not in FIELDS:
            raise ValueError(f"There is no field {name!r}.")
        if value is not None and (isinstance(value, bool) or not isinstance(value, FIELDS[name])):
            raise ValueError(f"{name}: {'a text' if str in FIELDS[name] else 'a number'} is expected.")
        try:
            str(value).encode()
        except UnicodeEncodeError:
            raise ValueError(
                f"{name}: contains half of a surrogate pair, which is not a character."
            ) from None
    values = {name: value for name, value in sent.items() if value not in (None, "")}
    method = values.get("method", "weighted_sum")
    if method not in NEEDED:
        raise ValueError(f"There is no method {method!r}.")
    what = "LoRA" if method == EXTRACT else "checkpoint"
    sentences = {"out": f"Give the new {what} a name.", "a": "Choose A.", "b": "Choose B."}
    for name in ("a", *NEEDED[method], "out"):
        if name not in values:
            raise ValueError(sentences.get(name, f"Choose {WORDS.get(name, name)}."))
    check_numbers(values)
    layers(values.get("layers", ""))
    for name in ("a", "b", "c"):
        if name in values and not is_known(app, values[name]):
            raise ValueError(f"There is no checkpoint {values[name]!r}.")
    if not NAME.fullmatch(values["out"]):
        raise ValueError(
            "A name has letters, digits, blanks, dots, + and -, begins with a letter or digit, and does not "
            "end in a blank or dot."
        )
    place = app.settings.models / "loras" if method == EXTRACT else app.settings.checkpoints
    if (place / values["out"]).exists() or method != EXTRACT and is_known(app, values["out"]):
        raise ValueError(f"There is a {what} {values['out']} already; choose another name.")
    if (data := values.get("data")) is not None:
        if not _local(app.settings.host):
            raise ValueError(
                "Files of the server's machine are only read where it serves that machine alone."
            )
        file = Path(os.path.expanduser(data))
        if not file.is_file():
            raise ValueError(f"There is no file {file.name or file}.")
        values["data"] = str(file.resolve())
    flags = [f"--{name}={value}" for name, value in values.items()]
    app.background.start(KEY, "merge", [*flags, "--json"])
    return state(app, {})


def state(app: Any, sent: Mapping[str, Any]) -> Mapping[str, Any]:
    """{} to {"state": none, running, done, failed or stopped, "done": 0 to 1, "said": what an extraction or a
    pruning reports, "error"} of the last merge."""
    command = app.background.get(KEY)
    if command is None:
        return {"state": "none", "done": 0.0, "said": "", "error": ""}
    now = command.state
    lines = [json.loads(line) for line in [*command.lines] if line.startswith("{")]
    done = lines[-1]["done"] if lines else 0.0
    said = next((line["said"] for line in lines if "said" in line), "")
    return {"state": now, "done": done, "said": said, "error": command.error}


def cancel(app: Any, sent: Mapping[str, Any]) -> Mapping[str, Any]:
    """Stops the merge. The same merge goes on from there when it is started again."""
    if (command := app.background.get(KEY)) is not None:
        command.stop()
    return state(app, {})


ROUTES: Mapping[str, Callable[[Any, Mapping[str, Any]], Mapping[str, Any]]] = MappingProxyType(
    {"options": options, "start": start, "state": state, "cancel": cancel}
)


def _recipe(folder: Path) -> dict[str, Any] | None:
    """How a checkpoint was made here; None if it was not. Of a pruned one its recipe as that of a merge, with
    what it reported."""
    if recipe := _said(folder / RECIPE):
        return recipe.get("recipe")
    if kept := _said(folder / pruning.RECIPE):
        try:
            own, found = kept["recipe"], kept["found"]
            facts = {"what": own["what"], "choice": own["choice"], "parents": [own["parent"]]}
            bounds = {name: float(found[name]) for name in ("before", "after", "random")}
            return {"method": pruning.PRUNE, "weight": float(own["share"]), **facts, "bounds": bounds}
        except (KeyError, TypeError, ValueError):
            return None
    return None


def _said(file: Path) -> dict[str, Any] | None:
    """A file with a recipe; None if it is none."""
    try:
        said = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return said if isinstance(said, dict) and isinstance(said.get("recipe"), dict) else None


def _local(host: str) -> bool:
    """Whether a server at this address is reached from its own machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
