"""Why: writes a text once more without something, with the same seed and in the same batch."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from webui import Cell, Extension, Options, Request, axis_fields, field, nearest

AXIS = "without"
NOTHING = "nothing"  # label of the text as it was asked for
MOST = 32  # further texts
KEPT = ("prompt", "seed", "model")  # what a text is not written without
LONGEST = 60  # characters of a label


class Why(Extension):
    """Writes each text once more without something, with the same seed and in the same batch."""

    title = "Why"
    about = "The same text once more without something, with the same seed: what did it do?"
    order = 5  # the two texts are the outermost axis; everything else is expanded in both

    class Options(Options):
        without: tuple[str, ...] = field(
            (),
            label="Also without",
            help="One further text for each line: guidance.negative_prompt has this field's default, "
            "field = value has this value.",
            axis=False,
            max_length=MOST,
        )

    @classmethod
    def expand(cls, request: Request) -> Iterator[Cell] | None:
        lines = [line for line in cls.options(request).without if line.strip()]
        if not lines:
            return None
        return (cls._cell(i, request, line) for i, line in enumerate(("", *lines)))

    @classmethod
    def routes(cls) -> Mapping[str, Callable[[Any, Mapping[str, Any]], Mapping[str, Any]]]:
        return {"list": cls._list}

    @classmethod
    def assets(cls) -> tuple[str, ...]:
        return ("why.js", "why.css")

    @classmethod
    def _cell(cls, index: int, request: Request, line: str) -> Cell:
        """The text of a line; an empty one is the text as it was asked for."""
        if not line:
            return Cell("0", cls.cell(0, request).request, ((AXIS, "", NOTHING),))
        path, equals, written = (part.strip() for part in line.partition("="))
        fields = axis_fields(type(request))
        if path not in fields:
            raise ValueError(f"{path[:LONGEST]!r} is no field of a request. {nearest(path, list(fields))}")
        before = _get(request, path)
        default = fields[path].get_default(call_default_factory=True)
        value = _read(written, before) if equals else default
        name, _, option = path.partition(".")
        changes = {name: getattr(request, name).replace(**{option: value})} if option else {name: value}
        label = _left_out(before, value) or path
        return Cell(str(index), cls.cell(index, request, **changes).request, ((AXIS, line, label),))

    @staticmethod
    def _list(app: Any, sent: Mapping[str, Any]) -> Mapping[str, Any]:
        """What a text of the request can be written without: "line" as in the option `without`, the field's
        "path", and the "text" of a construct that would be taken out of it."""
        request, _ = app.Request.read(dict(sent.get("request") or {}))
        found = []
        texts = []
        for path, info in axis_fields(app.Request).items():
            value, extra = _get(request, path), info.json_schema_extra
            if isinstance(extra, dict) and extra.get("place") == "prompt" and isinstance(value, str):
                texts.append(path)
            if path in KEPT or value is None or value == info.get_default(call_default_factory=True):
                continue
            found.append({"line": path, "path": path, "text": ""})
        values = request.model_dump(mode="json")
        for path in texts:
            text = _get(request, path)
            marks, _ = app.prompts.marks(values, path) if text else ([], {})
            for mark in (one.underline for one in marks):
                if mark.effect != "acts" or mark.without is None:
                    continue
                rest = text[: mark.start] + mark.without + text[mark.end :]
                line = f"{path} = {json.dumps(rest, ensure_ascii=False)}"
                found.append({"line": line, "path": path, "text": text[mark.start : mark.end]})
        return {"choices": found}


def _get(request: Request, path: str) -> Any:
    value: Any = request
    for name in path.split("."):
        value = getattr(value, name)
    return value


def _read(written: str, before: Any) -> Any:
    """A value as written: JSON, or a text as it stands."""
    try:
        value = json.loads(written)
    except ValueError:
        return written
    return written if isinstance(before, str) and not isinstance(value, str) else value


def _left_out(before: Any, after: Any) -> str:
    """What a text has and the other one lacks, between what they have in common; empty if there is nothing
    or they are no texts."""
    if not isinstance(before, str) or not isinstance(after, str) or not after:
        return ""
    most = min(len(before), len(after))
    head = next((i for i in range(most) if before[i] != after[i]), most)
    most -= head
    tail = next((i for i in range(most) if before[-1 - i] != after[-1 - i]), most)
    text = " ".join(before[head : len(before) - tail].split())
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
