"""Extensions and options that were renamed: saved files, presets and API bodies with their former names are
read with today's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# name of an extension in the past -> its name today, and for each of its options that was renamed, old -> new
Renamed = Mapping[str, tuple[str, Mapping[str, str]]]


def current(data: Mapping[str, Any], renamed: Renamed) -> dict[str, Any]:
    """The fields of a request in today's names; `data` is not changed.

    ValueError if an option is given by its old and by its new name.
    """
    fields = {name: value for name, value in data.items() if name not in renamed}
    for old, (name, options) in renamed.items():
        if old not in data:
            continue
        value, there = data[old], fields.get(name, {})
        if isinstance(value, Mapping) and isinstance(there, Mapping):
            both = dict(there)
            for key, inner in value.items():
                if (option := options.get(key, key)) in both:
                    raise ValueError(f"{name}.{option} is given twice; {old!r} is a former name of {name!r}.")
                both[option] = inner
            value = both
        elif name in fields:
            raise ValueError(f"{name} is given twice; {old!r} is its former name.")
        fields[name] = value
    return fields


def current_path(path: str, renamed: Renamed) -> str:
    """The path of an option (`extension.option`) in today's names."""
    extension, _, option = path.partition(".")
    if extension not in renamed:
        return path
    name, options = renamed[extension]
    return f"{name}.{options.get(option, option)}" if option else name
