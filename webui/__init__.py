"""The public API: every name an extension may import. Lazy (PEP 562): importing it costs nothing, torch comes
when it is used."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = MappingProxyType(
    {
        "Adapter": "webui.checkpoints.adapters",
        "AdapterEntry": "webui.checkpoints.adapters",
        "App": "webui.application",
        "Bracket": "webui.core.syntax",
        "Canvas": "webui.canvas.canvas",
        "Cell": "webui.core.request",
        "Choice": "webui.canvas.canvas",
        "Command": "webui.extension.extension",
        "Completion": "webui.extension.typed",
        "Construct": "webui.core.prompt",
        "Continued": "webui.service.job",
        "Cost": "webui.extension.extension",
        "Count": "webui.canvas.canvas",
        "Draft": "webui.core.prompt",
        "Event": "webui.core.events",
        "Extension": "webui.extension.extension",
        "Failed": "webui.core.events",
        "Finished": "webui.core.events",
        "Gap": "webui.core.prompt",
        "Job": "webui.service.job",
        "Link": "webui.extension.link",
        "Loop": "webui.core.events",
        "Network": "webui.extension.link",
        "Options": "webui.core.options",
        "Passage": "webui.core.prompt",
        "Piece": "webui.core.prompt",
        "Plan": "webui.denoising.samplers",
        "Prompt": "webui.core.prompt",
        "Refusal": "webui.core.errors",
        "Request": "webui.core.request",
        "Result": "webui.core.result",
        "Row": "webui.extension.row",
        "Sampler": "webui.denoising.samplers",
        "Scan": "webui.core.prompt",
        "Settings": "webui.settings",
        "Start": "webui.core.start",
        "Syntax": "webui.core.syntax",
        "Tab": "webui.extension.extension",
        "Template": "webui.canvas.canvas",
        "Typed": "webui.extension.typed",
        "Underline": "webui.extension.typed",
        "adapter_entry": "webui.checkpoints.adapters",
        "adapters": "webui.checkpoints.adapters",
        "alone": "webui.core.alone",
        "axis_fields": "webui.core.fields",
        "bounds": "webui.checkpoints.likelihood",
        "counted": "webui.core.request",
        "field": "webui.core.fields",
        "find_adapter": "webui.checkpoints.adapters",
        "fingerprint": "webui.checkpoints.weights",
        "nearest": "webui.core.tags",
        "processed": "webui.denoising.samplers.draw",
        "remasking": "webui.denoising.samplers",
        "tag": "webui.core.tags",
        "tensors": "webui.checkpoints.weights",
        "write": "webui.core.atomic",
    }
)
# Names that stay as they are until a version that `needs` can exclude. The others are provisional: what they
# take and give may still change with engine and constraints.
_STABLE = frozenset(
    "App Bracket Cell Command Completion Construct Draft Extension Finished Failed Gap Loop Options Piece "
    "Prompt Request Result Row Scan Settings Syntax axis_fields field nearest tag write".split()
)
STABILITY: Mapping[str, str] = MappingProxyType(
    {name: "stable" if name in _STABLE else "provisional" for name in _HOMES}
)
_GONE = MappingProxyType(
    {
        "Found": "Construct, with its spans and parts",
        "Plain": "Piece",
        "scan": "the method Prompt.scan(syntax, mode)",
        "fields": "webui.field",
    }
)
__all__ = ["__version__", *_HOMES]  # pyright: ignore[reportUnsupportedDunderAll]

if TYPE_CHECKING:
    from webui.application import App
    from webui.canvas import Canvas, Choice, Count, Template
    from webui.checkpoints.adapters import Adapter, AdapterEntry, adapter_entry, adapters, find_adapter
    from webui.checkpoints.likelihood import bounds
    from webui.checkpoints.weights import fingerprint, tensors
    from webui.core.alone import alone
    from webui.core.atomic import write
    from webui.core.errors import Refusal
    from webui.core.events import Event, Failed, Finished, Loop
    from webui.core.fields import axis_fields, field
    from webui.core.options import Options
    from webui.core.prompt import Construct, Draft, Gap, Passage, Piece, Prompt, Scan
    from webui.core.request import Cell, Request, counted
    from webui.core.result import Result
    from webui.core.start import Start
    from webui.core.syntax import Bracket, Syntax
    from webui.core.tags import nearest, tag
    from webui.denoising.samplers import Plan, Sampler, remasking
    from webui.denoising.samplers.draw import processed
    from webui.extension.extension import Command, Cost, Extension, Tab
    from webui.extension.link import Link, Network
    from webui.extension.row import Row
    from webui.extension.typed import Completion, Typed, Underline
    from webui.service.job import Continued, Job
    from webui.settings import Settings


def __getattr__(name: str) -> Any:
    if name in _GONE:
        # An ImportError: of an AttributeError, `from webui import name` would not show the sentence.
        raise ImportError(f"webui.{name} is gone since webui 0.1; use {_GONE[name]}.")
    if name not in _HOMES:
        raise AttributeError(f"webui has no public name {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
