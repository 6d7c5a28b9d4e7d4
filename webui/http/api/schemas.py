"""The answers of the HTTP API as models: its documentation, in the OpenAPI document."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny

from webui.core.errors import Code
from webui.core.request import MAX_TEXT, Request
from webui.core.result import Result
from webui.service.downloads import State as DownloadState
from webui.service.queue import State


class Error(BaseModel):
    """`message` is one sentence that says what to do."""

    code: Code
    message: str


class Failure(BaseModel):
    """The shape of every error."""

    error: Error


class EstimateInfo(BaseModel):
    """What a request would cost. `different`: texts without those whose request is the same; `forwards`:
    model calls, at most; `seconds`: null while its checkpoints have not been measured; `confirm`: whether the
    request needs its field `confirm` to be run."""

    texts: int
    different: int
    forwards: int
    seconds: float | None
    confirm: bool


class TableRowInfo(BaseModel):
    """`axes`: [value, label] by name; `metrics`: by the column's name. `done`: whether there is a text."""

    cell: str
    axes: dict[str, tuple[Any, str]]
    metrics: dict[str, int | float | bool]
    done: bool
    error: str | None


class TableInfo(BaseModel):
    """A job as a table: the names of its columns, and a row for each cell. `failed`: a sentence for each
    extension whose metrics could not be computed. `scoring`: how many bounds are computed, of how many; null
    while nobody asks for any."""

    axes: list[str]
    metrics: list[str]
    rows: list[TableRowInfo]
    failed: dict[str, str]
    scoring: tuple[int, int] | None


class CellInfo(BaseModel):
    id: str
    axes: list[tuple[str, Any, str]]  # name, value, label


class LoadingInfo(BaseModel):
    """A checkpoint that is being loaded; `done`: 0 to 1."""

    checkpoint: str
    done: float


class PreparingInfo(BaseModel):
    """What an extension computes before the next model call: `done` of at most `most`, in a unit that belongs
    to `stage`."""

    extension: str
    stage: str
    done: float
    most: float


class JobLine(BaseModel):
    """A job in the list. `position`: how many come before it; `progress`: 0 to 1; `created`: seconds since
    1970.

    `client_is_you`: whether the caller is the client that it belongs to; `prompt`: its beginning;
    `checkpoint`: one name, or several with commas; `loading`: the checkpoint that it waits for; `preparing`:
    what an extension computes for it; `experiment`: the one that keeps its texts, so that it can be resumed.
    """

    id: str
    experiment: str | None
    state: State
    position: int
    error: str | None
    error_code: Code | None
    created: float
    seconds: float
    progress: float
    client_is_you: bool
    prompt: str
    texts: int
    checkpoint: str
    loading: LoadingInfo | None
    preparing: PreparingInfo | None


class DownloadInfo(BaseModel):
    """A checkpoint that is being downloaded, or was. `name`: what it is called here; `denoises`: whether it
    writes texts as it is (an autoregressive one has to be adapted); `done`: 0 to 1; `size` in bytes."""

    id: int
    repository: str
    name: str
    denoises: bool
    size: int
    done: float
    state: DownloadState
    error: str | None


class QueueUpdate(BaseModel):
    """All jobs; after the first event of a connection those that changed, and in `gone` those that are no
    longer known.

    `loading`: what is read now; `wanted`: checkpoints that wait to be loaded; `loaded`: the one in memory;
    `stuck`: threads of abandoned jobs that have not returned; `checkpoints`: a number that changes when the
    list of checkpoints should be asked for again; `downloads`: those that run or ended lately; `edition`:
    changes when the extensions have changed, and a page has to be loaded anew.
    """

    jobs: list[JobLine]
    gone: list[str]
    loading: LoadingInfo | None
    wanted: list[str]
    loaded: str | None
    stuck: int
    checkpoints: int
    edition: str
    downloads: list[DownloadInfo]


class JobInfo(JobLine):
    cells: list[CellInfo]
    request: SerializeAsAny[Request]


class JobDetails(JobInfo):
    result: Result | None


class CellUpdate(BaseModel):
    """A change is [column, text or null while masked, confidence or null for given text, step]."""

    axes: list[tuple[str, Any, str]]
    state: State
    length: int
    steps: int
    step: int
    changes: list[tuple[int, str | None, float | None, int]]
    result: Result | None
    error: str | None
    error_code: Code | None


class Update(BaseModel):
    """What changed since the last event; the first is everything. A cell's result comes without trace and
    pieces."""

    id: str
    experiment: str | None
    version: int
    state: State
    position: int
    error: str | None
    error_code: Code | None
    seconds: float
    progress: float
    loading: LoadingInfo | None
    preparing: PreparingInfo | None
    cells: dict[str, CellUpdate]


class ExperimentInfo(BaseModel):
    """A job of several texts that is kept. `created`: seconds since 1970; `texts`: cells of its request;
    `done`, `failed`: different texts; `source`: the file that it comes from, or ""; `running`: the job that
    works on it, or null."""

    id: str
    created: float
    prompt: str
    texts: int
    done: int
    failed: int
    source: str
    running: str | None


class CheckpointInfo(BaseModel):
    """`default`: used when a request names none; `size` in bytes; `parameters`: how many numbers its weights
    have; `loaded`: in memory. `refused`: what a request cannot ask it for, a field or field=value, and why;
    `cautions`: what works, but not as one may expect.

    `error`: why its files cannot be used; `failed`: why loading it failed the last time, null once the files
    have changed.
    """

    name: str
    default: bool
    family: str | None
    size: int
    license: str | None
    profile: dict[str, Any]
    error: str | None
    parameters: int
    loaded: bool
    failed: str | None
    refused: dict[str, str]
    cautions: dict[str, str]


class Memory(BaseModel):
    """What is loaded, what is being read, and what waits to be. `stuck`: threads of abandoned jobs that have
    not returned, with what they hold."""

    loaded: str | None
    loading: LoadingInfo | None
    wanted: list[str]
    stuck: int


class Prompt(BaseModel):
    """A prompt to count; with `model` null the default checkpoint's tokens."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field("", max_length=MAX_TEXT)
    system: str = Field("", max_length=MAX_TEXT)
    model: str | None = None
    template: Literal["auto", "chat", "raw"] = "auto"


class Tokens(BaseModel):
    """`tokens`: of the text; `prompt_tokens`: with the chat template around it; `max_length`: of prompt and
    answer together; `new_words`: those of the text that the checkpoint was not trained on."""

    tokens: int
    prompt_tokens: int
    max_length: int
    new_words: list[str]


class Samplers(BaseModel):
    """Names, each with what it does in one sentence."""

    samplers: dict[str, str]
    schedules: dict[str, str]
    confidences: dict[str, str]


class ExtensionInfo(BaseModel):
    """`error`: the traceback of an extension that did not load and was left out."""

    name: str
    title: str
    about: str
    error: str | None


class SchemaInfo(BaseModel):
    """JSON Schema of a request, and the extensions it is composed of."""

    request: dict[str, Any]
    extensions: list[ExtensionInfo]
