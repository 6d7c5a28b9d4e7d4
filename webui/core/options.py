"""The base of every set of options: frozen, strict, JSON; and validation in sentences."""

from __future__ import annotations

from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

M = TypeVar("M", bound=BaseModel)


class Options(BaseModel):
    """Base of every extension's options and of the request itself: frozen, strict about names, finite
    numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=False)

    @field_validator("*", mode="before")
    @classmethod
    def _whole_text(cls, value: Any) -> Any:
        """Refuses lone surrogates, which no encoding can carry."""
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
        return all(
            value == type(self).model_fields[name].get_default(call_default_factory=True)
            for name, value in self
        )


def validate(model: type[M], values: Any, strict: bool = False) -> M:
    """`model.model_validate`, with one clear sentence per fault and never the input in it. ValueError."""
    try:
        if isinstance(values, str | bytes):
            return model.model_validate_json(values, strict=strict)
        return model.model_validate(values, strict=strict)
    except ValidationError as error:
        raise ValueError(
            " ".join(sentence(fault) for fault in error.errors(include_url=False, include_input=False)[:5])
        ) from None


def sentence(fault: Any) -> str:
    """One sentence for one of pydantic's faults: the field's path and what is wrong with it."""
    path = ".".join(str(part) for part in fault["loc"])
    reason = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        return f"There is no field {path!r}."
    return f"{path}: {reason}." if path else f"{reason}."
