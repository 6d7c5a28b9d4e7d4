"""Lines of a file as fields of a request."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from webui import Request, axis_fields, nearest


@dataclass(frozen=True)
class Line:
    """What a line sets, by dotted paths; `number` counts from 1."""

    number: int
    fields: Mapping[str, Any]


def read(text: str, kind: str, request: Request) -> list[Line]:
    """The lines that are not blank. ValueError names the line and what is wrong with it."""
    lines = list({"txt": _txt, "csv": _csv, "jsonl": _jsonl}[kind](text))
    known = axis_fields(type(request))
    for line in lines:
        for name in line.fields:
            if name not in known:
                near = nearest(name, known)
                raise ValueError(f"line {line.number}: {name[:60]!r} is no field that a line can set. {near}")
    return lines


def changes(request: Request, line: Line) -> dict[str, Any]:
    """What a line changes, by the request's fields. ValueError if a value cannot be used."""
    outer: dict[str, Any] = {}
    inner: dict[str, dict[str, Any]] = {}
    for path, value in line.fields.items():
        name, _, option = path.partition(".")
        if option:
            inner.setdefault(name, {})[option] = value
        else:
            outer[name] = value
    for name, options in inner.items():
        try:
            outer[name] = getattr(request, name).replace(**options)
        except ValueError as error:
            raise ValueError(f"{name}.{error}") from None
    return outer


def _txt(text: str) -> Iterator[Line]:
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            yield Line(number, {"prompt": line.strip()})


def _csv(text: str) -> Iterator[Line]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
    names: list[str] | None = None
    try:
        for values in reader:
            if not any(value.strip() for value in values):
                continue
            if names is None:
                names = [value.strip() for value in values]
                if "" in names or len(set(names)) < len(names):
                    raise ValueError(f"line {reader.line_num}: a column has no name, or two have the same.")
                continue
            if len(values) > len(names):
                raise ValueError(
                    f"line {reader.line_num}: {len(values)} values for {len(names)} columns; a value with a "
                    "comma stands in quotes."
                )
            given = zip(names, values, strict=False)
            yield Line(reader.line_num, {name: value for name, value in given if value.strip()})
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num}: it is not CSV: {error}.") from None


def _jsonl(text: str) -> Iterator[Line]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            data = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"line {number}: it is not JSON: {error}.") from None
        except RecursionError:
            raise ValueError(f"line {number}: it is nested too deeply.") from None
        except ValueError:  # what Python says of it is about Python
            raise ValueError(f"line {number}: a number in it has too many digits.") from None
        if isinstance(data, str):
            data = {"prompt": data}
        if not isinstance(data, dict):
            raise ValueError(f"line {number}: it is no object of fields.")
        yield Line(number, dict(_flat(data)))


def _flat(data: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Fields by dotted paths; options of an extension may stand in an object of their own."""
    for name, value in data.items():
        if isinstance(value, dict):
            yield from ((f"{name}.{option}", inner) for option, inner in value.items())
        else:
            yield name, value
