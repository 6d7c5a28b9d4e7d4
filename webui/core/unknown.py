"""Fields of saved requests that nothing here knows, such as those of an extension that is not installed: they
are split off, kept, and written back."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel

FIELD = "unknown"  # the field of a request that holds them
OLD_FIELD = "kept"  # its name in files saved by 0.1.0 of 2026-11-25 and before
DEPTH = 32  # how deeply they may be nested


def part(model: type[BaseModel], data: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Splits data into what the model has fields for and what it has none for: whole extensions, or single
    options of one.

    What an earlier split has put aside returns to its field if there is one now. The arguments stay as they
    are.
    """
    known = {name: value for name, value in data.items() if name in model.model_fields}
    unknown = {name: value for name, value in data.items() if name not in model.model_fields}
    if FIELD in model.model_fields and isinstance(unknown.get(OLD_FIELD), dict):
        known.setdefault(FIELD, unknown.pop(OLD_FIELD))
    if isinstance(known.get(FIELD), dict):
        for name, value in known.pop(FIELD).items():
            if name not in model.model_fields:
                unknown.setdefault(name, value)
            elif isinstance(value, dict) and isinstance(known.get(name), dict):
                known[name] = {**value, **known[name]}
            else:
                known.setdefault(name, value)
    for name, value in known.items():
        kind = model.model_fields[name].annotation
        if isinstance(value, dict) and isinstance(kind, type) and issubclass(kind, BaseModel):
            known[name] = {option: value[option] for option in value if option in kind.model_fields}
            if rest := {option: value[option] for option in value if option not in kind.model_fields}:
                unknown[name] = rest
    return known, unknown


def plain(value: dict[str, Any]) -> dict[str, Any]:
    """The value itself. ValueError if JSON cannot hold it and give it back."""
    if _depth(value) > DEPTH:
        raise ValueError(f"is nested more than {DEPTH} deep")
    try:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError):
        raise ValueError("contains what JSON cannot hold") from None
    return value


def _depth(value: Any, so_far: int = 0) -> int:
    """How deeply lists and objects are nested; counting ends just above DEPTH."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else None
    if inside is None or so_far > DEPTH:
        return so_far
    return max((_depth(item, so_far + 1) for item in inside), default=so_far + 1)
