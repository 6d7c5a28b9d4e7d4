"""The public API: every name an extension may import. Lazy (PEP 562): importing it costs nothing, torch comes
when it is used."""

from __future__ import annotations

from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = MappingProxyType(
    {
        "App": "webui.application",
        "Canvas": "webui.canvas",
        "Cell": "webui.request",
        "Choice": "webui.canvas",
        "Command": "webui.extension",
        "Draft": "webui.prompt",
        "Extension": "webui.extension",
        "Found": "webui.syntax",
        "Gap": "webui.prompt",
        "Link": "webui.batch",
        "Options": "webui.request",
        "Piece": "webui.prompt",
        "Plain": "webui.syntax",
        "Prompt": "webui.prompt",
        "Request": "webui.request",
        "Result": "webui.request",
        "Row": "webui.extension",
        "Settings": "webui.settings",
        "Template": "webui.canvas",
        "field": "webui.fields",
        "scan": "webui.syntax",
    }
)
__all__ = ["__version__", *_HOMES]

if TYPE_CHECKING:
    from webui.application import App
    from webui.batch import Link
    from webui.canvas import Canvas, Choice, Template
    from webui.extension import Command, Extension, Row
    from webui.fields import field
    from webui.prompt import Draft, Gap, Piece, Prompt
    from webui.request import Cell, Options, Request, Result
    from webui.settings import Settings
    from webui.syntax import Found, Plain, scan


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"webui has no public name {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
