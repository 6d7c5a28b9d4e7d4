"""What the HTTP API answers with, as models: they are its documentation and stand in the OpenAPI document."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, SerializeAsAny

from webui.jobs import State
from webui.request import Request, Result


class Error(BaseModel):
    """`message` is one sentence that says what to do."""

    code: Literal["invalid", "not_found", "forbidden", "busy", "too_large", "internal"]
    message: str


class Failure(BaseModel):
    """The shape of every error."""

    error: Error


class CellInfo(BaseModel):
    id: str
    axes: list[tuple[str, Any, str]]  # name, value, label


class JobLine(BaseModel):
    """A job in the list. `position`: how many come before it; `progress`: 0 to 1; `created`: seconds since 1970."""

    id: str
    state: State
    position: int
    error: str | None
    created: float
    seconds: float
    progress: float


class JobInfo(JobLine):
    cells: list[CellInfo]
    request: SerializeAsAny[Request]


class JobDetails(JobInfo):
    result: Result | None


class CellUpdate(BaseModel):
    """A change is [column, text or null while open, confidence or null for given text, step]."""

    axes: list[tuple[str, Any, str]]
    state: State
    length: int
    steps: int
    step: int
    changes: list[tuple[int, str | None, float | None, int]]
    result: Result | None
    error: str | None


class Update(BaseModel):
    """What changed since the last event; the first is everything. A cell's result comes without trace and pieces."""

    id: str
    version: int
    state: State
    position: int
    error: str | None
    seconds: float
    progress: float
    cells: dict[str, CellUpdate]


class CheckpointInfo(BaseModel):
    """`default`: used when a request names none; `size` in bytes; `error`: why it cannot be used."""

    name: str
    default: bool
    family: str | None
    size: int
    license: str | None
    profile: dict[str, Any]
    error: str | None


class Samplers(BaseModel):
    """Names and what they do, in a line each."""

    samplers: dict[str, str]
    schedules: dict[str, str]
    confidences: dict[str, str]


class ExtensionInfo(BaseModel):
    """`error`: the traceback of an extension that was left out because it did not load."""

    name: str
    title: str
    about: str
    error: str | None


class SchemaInfo(BaseModel):
    """JSON Schema of a request, and the extensions it is composed of."""

    request: dict[str, Any]
    extensions: list[ExtensionInfo]
