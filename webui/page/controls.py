"""Makes Gradio controls from fields, and a request from the controls' values; core fields and extensions'
options alike."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import gradio as gr
from gradio.components.base import Component
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from webui.core.fields import choices_of
from webui.core.options import sentence
from webui.page.languages import ENGLISH, languages

SLIDER_STEPS = 200  # a slider with more positions cannot be set by hand: it becomes a number
LONG_TEXT = 3  # lines of a text field for several
PRESET = ""  # the value of a dropdown's choice that means None

Kind = Literal["text", "lines", "list", "number", "slider", "seed", "checkbox", "dropdown", "json"]


@dataclass(frozen=True)
class Control:
    """A field of the request as a control of the page.

    path      of its value in a request: ("steps",), ("<extension>", "<option>")
    kind      of component
    empty     whether the field may be None, which means the value of the checkpoint's preset
    choices   of a dropdown
    place     "prompt", "parameters", "accordion" (see webui/core/fields.py)
    """

    path: tuple[str, ...]
    info: FieldInfo
    kind: Kind
    empty: bool
    choices: tuple[Any, ...] = ()

    @property
    def label(self) -> str:
        return self.info.title or self.path[-1].replace("_", " ").capitalize()

    @property
    def of_fields(self) -> bool:
        """Whether its choices are paths of fields, which the page shows by their names."""
        return _extra(self.info).get("widget") == "field"

    @property
    def place(self) -> str:
        return _extra(self.info).get("place") or "accordion"

    @property
    def id(self) -> str:
        """Its HTML id."""
        return "field-" + "-".join(self.path)

    def default(self) -> Any:
        return self.info.get_default(call_default_factory=True)

    def bounds(self) -> tuple[float | None, float | None]:
        """The smallest and largest value, or None. Excluded bounds count as included."""
        low = [
            value
            for m in self.info.metadata
            for value in (getattr(m, "ge", None), getattr(m, "gt", None))
            if value is not None
        ]
        high = [
            value
            for m in self.info.metadata
            for value in (getattr(m, "le", None), getattr(m, "lt", None))
            if value is not None
        ]
        return (max(low) if low else None), (min(high) if high else None)

    def step(self) -> float:
        return _extra(self.info).get("step") or (1 if int in _types(self.info.annotation) else 0.01)


def controls_of(model: type[BaseModel], app: Any, path: tuple[str, ...] = ()) -> list[Control]:
    """The controls of a request model in the order of its fields; an extension's options follow its field."""
    found: list[Control] = []
    for name, info in model.model_fields.items():
        inner = info.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            found += controls_of(inner, app, (*path, name))
        elif _extra(info).get("place") != "hidden":
            choices = _choices(info, app)
            kind = _kind(info, choices)
            found.append(Control((*path, name), info, kind, type(None) in _types(inner), choices))
    return found


def draw(control: Control, value: Any, **look: Any) -> Component:
    """The Gradio component of a control, showing `value`. Bounds are checked by the request model, which has
    better messages. So a dropdown accepts any value: a restored file may bring one that is no choice any
    more, a checkpoint that is gone.

    A number that may be empty is a text box: Gradio's number turns an empty value into 0 when it is shown.
    """
    placeholder = look.pop("placeholder", "preset" if control.empty else None)
    common: dict[str, Any] = {
        "label": control.label,
        "info": control.info.description,
        "elem_id": control.id,
        **look,
    }
    if control.kind == "checkbox":
        return gr.Checkbox(bool(value), **common)
    if control.kind == "dropdown":
        return gr.Dropdown(list(control.choices), value=value, allow_custom_value=True, **common)
    if control.kind == "slider":
        low, high = control.bounds()
        assert low is not None and high is not None  # see _kind
        return gr.Slider(low, high, value, step=control.step(), buttons=[], **common)
    if control.kind in ("number", "seed") and not control.empty:
        return gr.Number(value, step=control.step(), **common)
    several = control.kind in ("lines", "list")
    size = {"lines": LONG_TEXT if several else 1, "max_lines": 12 if several else 1}
    return gr.Textbox(value, placeholder=placeholder, **{**size, **common})


def show(control: Control, value: Any) -> Any:
    """A field's value as its component takes it."""
    if control.kind == "dropdown":
        return PRESET if value is None else value if value in _values(control) else str(value)
    if control.kind == "list":
        return "\n".join(map(str, value or ()))
    if control.kind == "json":
        return "" if value is None else json.dumps(value, ensure_ascii=False, default=_plain)
    if control.kind == "number" and control.empty:
        return "" if value is None else str(int(value) if value == int(value) else value)
    return "" if value is None and control.kind in ("text", "lines") else value


def take(control: Control, shown: Any, decimal: str = ".") -> Any:
    """A component's value as the field takes it. ValueError with a sentence if it cannot be read. `decimal`:
    how the reader's language writes the decimal point; a point is read, too."""
    if control.kind == "dropdown":
        return None if shown in (PRESET, None) and control.empty else shown
    if control.kind == "list":
        return [line for line in str(shown or "").splitlines() if line.strip()]
    if control.kind == "json":
        try:
            return json.loads(str(shown)) if str(shown or "").strip() else control.default()
        except json.JSONDecodeError as error:
            raise ValueError(
                f"{control.label} is not valid JSON: {error.msg} at character {error.pos + 1}."
            ) from error
        except RecursionError:
            raise ValueError(f"{control.label} is not valid JSON: it is nested too deeply.") from None
    if control.kind == "number" and isinstance(shown, str):
        return _number(shown.strip().replace(decimal, ".")) if shown.strip() else None
    return None if shown == "" and control.empty else shown


def preset_value(control: Control, preset: Mapping[str, Any]) -> Any:
    """A field's value in the preset, or else its default; None if there is neither."""
    if not control.empty:
        return control.default()
    inside: Any = preset
    for name in control.path:
        inside = inside.get(name) if isinstance(inside, Mapping) else None
    return inside


def values_of(controls: Sequence[Control], request: Any, preset: Mapping[str, Any]) -> list[Any]:
    """The components' values for a request (None: the preset's)."""
    return [show(control, _value(control, request, preset)) for control in controls]


def request_of(
    model: type[BaseModel],
    controls: Sequence[Control],
    shown: Sequence[Any],
    preset: Mapping[str, Any],
    words: Mapping[str, str] | None = None,
) -> Any:
    """The request that the components show; values equal to the preset's become None.

    ValueError: sentences with the controls' labels, in the language of `words` (default: English).
    """
    words = languages()[ENGLISH] if words is None else words
    values: dict[str, Any] = {}
    for control, item in zip(controls, shown, strict=True):
        value = take(control, item, words["page.decimal"])
        if control.empty and value == preset_value(control, preset):
            value = None
        inside = values
        for name in control.path[:-1]:
            inside = inside.setdefault(name, {})
        inside[control.path[-1]] = value
    try:
        return model.model_validate(values)
    except ValidationError as error:
        labels = {c.path: words.get(f"field.{'.'.join(c.path)}.label", c.label) for c in controls}
        raise ValueError(" ".join(_faults(error, labels, words))) from None


def _faults(error: ValidationError, labels: Mapping[tuple, str], words: Mapping[str, str]) -> Iterator[str]:
    for fault in error.errors(include_url=False, include_input=False)[:5]:
        path = fault["loc"]
        label = next((labels[path[:end]] for end in range(len(path), 0, -1) if path[:end] in labels), None)
        plain = words.get(f"fault.{fault['type']}")
        limits = {
            name: f"{x:g}" if isinstance(x, int | float) else x for name, x in fault.get("ctx", {}).items()
        }
        message = plain.format(**limits) if plain else fault["msg"]
        yield sentence({**fault, "loc": (label,) if label else path, "msg": message})


def _value(control: Control, request: Any, preset: Mapping[str, Any]) -> Any:
    value = request
    for name in control.path:
        value = getattr(value, name, None)
    return preset_value(control, preset) if value is None else value


def _kind(info: FieldInfo, choices: tuple[Any, ...]) -> Kind:
    """The kind that a field declares, or else the kind for its type."""
    wanted, kinds = _extra(info).get("widget"), _types(info.annotation)
    control = Control((), info, "number", False)
    low, high = control.bounds()
    if choices and wanted in (None, "dropdown", "field"):
        return "dropdown"
    if wanted in ("text", "lines", "checkbox", "number", "seed"):
        return wanted
    if bool in kinds:
        return "checkbox"
    if int in kinds or float in kinds:
        narrow = low is not None and high is not None and (high - low) / control.step() <= SLIDER_STEPS
        return "slider" if narrow and type(None) not in kinds else "number"  # a slider cannot be empty
    if str in kinds:
        return "text"
    items = [
        typing.get_args(kind) for kind in kinds if typing.get_origin(kind) in (list, tuple, set, frozenset)
    ]
    return "list" if items and all(str in _types(item) or item is Ellipsis for item in items[0]) else "json"


def _choices(info: FieldInfo, app: Any) -> tuple[Any, ...]:
    """The choices of a dropdown: the field's own or those of its type; the preset first if it may be None."""
    kinds = _types(info.annotation)
    offered: list[Any] = choices_of(info, app) or []
    for kind in kinds:
        if not offered and typing.get_origin(kind) is Literal:
            offered = list(typing.get_args(kind))
    if not offered and kinds == {bool, type(None)}:
        offered = ["true", "false"]
    return (("preset", PRESET), *offered) if offered and type(None) in kinds else tuple(offered)


def _number(text: str) -> int | float | str:
    """The number in a text, or the text itself if it is not a number: the request model refuses it."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _values(control: Control) -> list[Any]:
    return [choice[1] if isinstance(choice, tuple) else choice for choice in control.choices]


def _types(annotation: Any) -> set[Any]:
    """The members of a union, or the type itself; Annotated is looked through."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _types(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        return set().union(*map(_types, typing.get_args(annotation)))
    return {annotation}


def _extra(info: FieldInfo) -> dict[str, Any]:
    return info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else list(value)
