"""Fields of saved requests that nothing here knows, such as those of an extension that is not installed: they
are split off, kept, and written back."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel

FIELD = "unknown"  # the field of a request that holds them
OLD_FIELD = "kept"  # its name in files saved by 0.1.0 of 2026-11-25 and before
DEPTH = 32  # how deeply they may be nested
MAX_SIZE = 1_000_000  # bytes of them as JSON


class Checked(dict[str, Any]):
    """Fields that JSON can hold, checked; they are not checked again in the copies of a request."""


def part(model: type[BaseModel], data: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Splits data into what the model has fields for and what it has none for: whole extensions, or single
    options of one.

    What an earlier split has put aside returns to its field if there is one now. The arguments stay as they
    are.
    """
    fields = model.model_fields  # once: pydantic makes it anew each time
    known = {name: value for name, value in data.items() if name in fields}
    unknown = {name: value for name, value in data.items() if name not in fields}
    if FIELD in fields and isinstance(unknown.get(OLD_FIELD), dict):
        known.setdefault(FIELD, unknown.pop(OLD_FIELD))
    if isinstance(known.get(FIELD), dict):
        for name, value in known.pop(FIELD).items():
            if name not in fields:
                unknown.setdefault(name, value)
            elif isinstance(value, dict) and isinstance(known.get(name), dict):
                known[name] = {**value, **known[name]}
            else:
                known.setdefault(name, value)
    for name, value in known.items():
        kind = fields[name].annotation
        if isinstance(value, dict) and isinstance(kind, type) and issubclass(kind, BaseModel):
            own = kind.model_fields
            known[name] = {option: value[option] for option in value if option in own}
            if rest := {option: value[option] for option in value if option not in own}:
                unknown[name] = rest
    return known, unknown


def plain(value: dict[str, Any], most: float = MAX_SIZE) -> dict[str, Any]:
    """The value, as Checked. ValueError if JSON cannot hold it, or only in more than `most` bytes."""
    if isinstance(value, Checked):
        return value
    _check_depth(value)
    try:
        size = len(json.dumps(value, allow_nan=False, ensure_ascii=False).encode())
    except (TypeError, ValueError):
        raise ValueError("contains what JSON cannot hold") from None
    if size > most:
        raise ValueError(f"has {size:,} bytes as JSON; at most {most:,} are possible")
    return Checked(value)


def _check_depth(value: Any) -> None:
    """ValueError if lists and objects are nested more than DEPTH deep. Looks at each once, level by level."""
    level = [value]
    for _ in range(DEPTH):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list | tuple)
        ]
        if not level:
            return
    raise ValueError(f"is nested more than {DEPTH} deep")
