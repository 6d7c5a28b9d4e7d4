"""What fields are called on the command line, and which names the program has taken itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

COMMANDS = ("serve", "generate", "selftest", "convert", "download", "families", "extensions")
OWN = ("--help", "--api", "--json")  # flags that are no fields


def flag(*path: str) -> str:
    """The flag of a field, or of an extension's option."""
    return "--" + "-".join(path).replace("_", "-")


def leaves(kind: Any) -> list[Any]:
    """The types, or the values of a Literal, that an annotation allows besides None."""
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        return [leaf for part in get_args(kind) for leaf in leaves(part)]
    if origin is Annotated:
        return leaves(get_args(kind)[0])
    if origin is Literal:
        return list(get_args(kind))
    return [] if kind is type(None) else [origin or kind]


def flags(fields: Mapping[str, FieldInfo], *prefix: str) -> Iterable[str]:
    """The flags of fields; a switch has a second one that turns it off."""
    for name, info in fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from flags(kind.model_fields, *prefix, name)
            continue
        yield flag(*prefix, name)
        if leaves(kind) == [bool]:
            yield flag("no", *prefix, name)
