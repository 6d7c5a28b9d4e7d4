"""The base of every set of options: frozen, strict, JSON; and validation in sentences."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from webui.core.renamed import Renamed, current

M = TypeVar("M", bound=BaseModel)


class Options(BaseModel):
    """Base of every extension's options and of the request itself: frozen, no unknown names, only finite
    numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=False)

    @field_validator("*")
    @classmethod
    def _whole_text(cls, value: Any) -> Any:
        """Refuses half surrogate pairs, which no encoding can carry. With `mode="before"` strict JSON
        would refuse arrays for tuples."""
        if isinstance(value, str):
            try:
                value.encode()
            except UnicodeEncodeError:
                raise ValueError("contains half of a surrogate pair, which is not a character") from None
        return value

    def replace(self, **changes: Any) -> Self:
        """A validated copy with these fields changed (pydantic's own `model_copy(update=)` does not
        validate). ValueError."""
        return validate(type(self), {**dict(self), **changes})

    def defaults(self) -> bool:
        """Whether every field has its default value."""
        fields = type(self).model_fields  # once: pydantic makes it anew each time
        return all(value == fields[name].get_default(call_default_factory=True) for name, value in self)


def check_defaults(model: type[Options]) -> None:
    """ValueError unless every field has a default that is valid, that JSON can hold, and that comes back from
    JSON as it was."""
    defaults, wrong = model(), "the default is not what JSON can hold and give back"
    for name, value in defaults:
        try:
            sent = defaults.model_dump(mode="json", include={name}, warnings=False)
            back = validate(
                model, json.dumps(sent, allow_nan=False, ensure_ascii=False).encode(), strict=True
            )
        except (TypeError, ValueError) as error:
            raise ValueError(f"{model.__qualname__}.{name}: {wrong}: {error}") from error
        if getattr(back, name) != value:
            raise ValueError(f"{model.__qualname__}.{name}: {wrong}.")
    json.dumps(model.model_json_schema(), allow_nan=False, ensure_ascii=False).encode()


def validate(model: type[M], values: Any, strict: bool = False) -> M:
    """`model.model_validate`, or for text and bytes `model_validate_json`. Former names of extensions are
    read as today's. ValueError with one sentence per error, which never quotes the input."""
    if renamed := getattr(model, "renamed", None):
        values = _renamed(values, renamed)
    try:
        if isinstance(values, str | bytes):
            return model.model_validate_json(values, strict=strict)
        return model.model_validate(values, strict=strict)
    except ValidationError as error:
        raise ValueError(
            " ".join(sentence(fault) for fault in error.errors(include_url=False, include_input=False)[:5])
        ) from None


def _renamed(values: Any, renamed: Renamed) -> Any:
    """The values with today's names. JSON stays JSON: from a Python list no tuple is made strictly."""
    if not isinstance(values, str | bytes):
        return current(values, renamed) if isinstance(values, Mapping) else values
    text = values if isinstance(values, str) else values.decode("utf-8", "replace")
    if not any(f'"{old}"' in text for old in renamed):
        return values
    try:
        data = json.loads(values)
    except (ValueError, RecursionError):  # the model says what is wrong with it
        return values
    return json.dumps(current(data, renamed)) if isinstance(data, dict) else values


def sentence(fault: Any) -> str:
    """One sentence for one of pydantic's errors: the field's path and what is wrong with it."""
    path = ".".join(str(part) for part in fault["loc"])
    reason = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        return f"There is no field {path!r}."
    if fault["type"] == "string_unicode":
        reason = "contains half of a surrogate pair, which is not a character"
    return f"{path}: {reason}." if path else f"{reason}."
