"""`field(...)`: one declaration that is a control on the page, a field of the HTTP API, saved metadata, a
flag and an axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from pydantic import BaseModel, Field
from pydantic.fields import FieldInfo

Place = Literal["prompt", "parameters", "accordion", "hidden"]
Widget = Literal["text", "lines", "number", "slider", "checkbox", "dropdown", "seed", "field"]

# What pydantic checks a value by.
BOUNDS = frozenset(
    "gt ge lt le multiple_of min_length max_length pattern strict max_digits decimal_places".split()
)


def field(
    default: Any,
    *,
    label: str,
    help: str,
    widget: Widget | None = None,
    place: Place = "accordion",
    choices: Sequence[str] | Callable[[Any], Sequence[str]] | None = None,
    step: float | None = None,
    axis: bool = True,
    secret: bool = False,
    **bounds: Any,
) -> Any:
    """A pydantic field that also says how it is shown.

    default      value where the user gives none; None means "what the checkpoint's preset says"
    label, help  the name of the control and the sentence on hover; both are required
    widget       None chooses by the type: bool a checkbox, Literal or choices a dropdown, bounded numbers a
                 slider; "field" is a dropdown whose choices are paths of fields, shown by their names
    place        where on the page: under the prompt, among the parameters, or in the extension's own
                 accordion
    choices      the values offered, or a function of the App that lists them (checkpoints, adapters)
    step         of a slider, in the field's own unit
    axis         whether an X/Y/Z grid may vary it
    secret       of a setting: it is never shown, and taken out of messages
    bounds       pydantic's ge, le, gt, lt, max_length, pattern ...
    """
    if unknown := sorted(bounds.keys() - BOUNDS):
        raise TypeError(f"field() has no keyword {unknown[0]!r}; see webui.field for those it has.")
    extra: dict[str, Any] = {"widget": widget, "place": place, "step": step, "axis": axis}
    if secret:
        extra["secret"] = True
    if choices is not None and not callable(choices):
        extra["choices"] = list(choices)
    info = Field(default, title=label, description=help, json_schema_extra=extra, **bounds)
    if callable(choices):
        info.metadata.append(Choices(choices))
    return info


def options_field(kind: type[BaseModel], label: str) -> Any:
    """A field that holds options of its own, `kind`; its help is the first paragraph of the class's
    docstring."""
    return Field(default=kind(), title=label, description=" ".join((kind.__doc__ or "").split()))


class Choices:
    """Holds the function that lists a field's choices; it is not part of the JSON schema."""

    def __init__(self, function: Callable[[Any], Sequence[str]]):
        self.function = function


def choices_of(info: FieldInfo, app: Any) -> list[str] | None:
    """The values a field offers right now, or None if it is free."""
    for item in info.metadata:
        if isinstance(item, Choices):
            return list(item.function(app))
    extra = info.json_schema_extra
    choices = extra.get("choices") if isinstance(extra, dict) else None
    return [str(choice) for choice in choices] if isinstance(choices, list) else None


def is_secret(info: FieldInfo) -> bool:
    """Whether the field's value is never shown."""
    extra = info.json_schema_extra
    return isinstance(extra, dict) and extra.get("secret") is True


def is_axis(info: FieldInfo) -> bool:
    """Whether a grid may vary the field."""
    extra = info.json_schema_extra
    return not isinstance(extra, dict) or extra.get("axis", True) is not False


def axis_fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields that a grid may vary, by their dotted paths: `temperature`, `guidance.scale`."""
    found: dict[str, FieldInfo] = {}
    for name, info in model.model_fields.items():
        kind = info.annotation
        if not is_axis(info):
            continue
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found |= {f"{name}.{option}": inner for option, inner in axis_fields(kind).items()}
        else:
            found[name] = info
    return found
