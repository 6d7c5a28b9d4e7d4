"""What crosses a border: Request, Result and the events of a run. Frozen, validated, JSON; no torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, SerializeAsAny, ValidationError, field_validator

from webui.fields import field
from webui.kept import part, plain

MAX_TEXT = 100_000  # characters of a prompt
MAX_SEED = 2**53 - 1  # what JavaScript counts exactly


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


class Request(Options):
    """Everything that decides a text. `None` means "what the checkpoint's preset says" and is resolved when a
    cell starts.

    The program's own request model adds one field per extension, named like its folder (see
    webui/registry.py).
    """

    prompt: str = field(
        "",
        label="Prompt",
        help="What the text is about, or the text to continue.",
        widget="lines",
        place="prompt",
        max_length=MAX_TEXT,
    )
    system: str = field(
        "",
        label="System prompt",
        help="Instructions before the prompt, for chat models.",
        max_length=MAX_TEXT,
    )
    template: Literal["auto", "chat", "raw"] = field(
        "auto",
        label="Template",
        help="auto: the checkpoint's chat template if it has one; raw: the prompt itself.",
    )
    syntax: Literal["safe", "full", "off"] = field(
        "safe",
        label="Prompt syntax",
        help="safe: only what is hardly ever meant literally acts; off: every character is literal.",
    )
    model: str | None = field(
        None,
        label="Checkpoint",
        help="The checkpoint's name.",
        choices=lambda app: app.checkpoints.names(),
        place="parameters",
    )
    sampler: str | None = field(
        None,
        label="Sampler",
        help="How positions are chosen.",
        choices=lambda app: list(app.samplers()),
        place="parameters",
    )
    schedule: str | None = field(
        None,
        label="Schedule",
        help="How many positions each step decides.",
        choices=lambda app: list(app.schedules()),
        place="parameters",
    )
    confidence: str | None = field(
        None,
        label="Confidence",
        help="What makes a prediction sure.",
        choices=lambda app: list(app.confidences()),
        place="parameters",
    )
    threshold: float | None = field(
        None,
        ge=0,
        le=1,
        step=0.01,
        label="Confidence threshold",
        help="The threshold sampler decides what is surer than this.",
        place="parameters",
    )
    steps: int | None = field(
        None,
        ge=1,
        le=4096,
        label="Denoising steps",
        help="Model calls for the whole answer; empty: one per token.",
        place="parameters",
    )
    length: int | None = field(
        None, ge=1, le=32768, label="Length", help="Tokens of the answer's canvas.", place="parameters"
    )
    block_length: int | None = field(
        None,
        ge=1,
        le=32768,
        label="Block length",
        help="Tokens denoised together, block after block; empty: the whole canvas.",
        place="parameters",
    )
    temperature: float | None = field(
        None,
        ge=0,
        le=10,
        step=0.05,
        label="Temperature",
        help="0 takes the likeliest token; more is more varied.",
        place="parameters",
    )
    top_k: int | None = field(
        None,
        ge=0,
        le=1_000_000,
        label="Top-k",
        help="Draw among the k likeliest tokens; 0 is off.",
        place="parameters",
    )
    top_p: float | None = field(
        None,
        gt=0,
        le=1,
        step=0.01,
        label="Top-p",
        help="Draw among the likeliest tokens of this total probability.",
        place="parameters",
    )
    min_p: float | None = field(
        None,
        ge=0,
        le=1,
        step=0.01,
        label="Min-p",
        help="Drop tokens less likely than this share of the likeliest.",
        place="parameters",
    )
    end_of_text: Literal["stop", "late", "ban", "keep"] | None = field(
        None,
        label="End of text",
        place="parameters",
        help="stop: the text ends there; late: it is decided last; ban: never; keep: as stop, but all steps "
        "are run.",
    )
    seed: int = field(
        -1,
        ge=-1,
        le=MAX_SEED,
        label="Seed",
        help="Same seed, same text; -1 draws one.",
        widget="seed",
        place="parameters",
    )
    count: int = field(
        1,
        ge=1,
        le=256,
        label="Count",
        help="Texts to write; text k has seed + k.",
        place="parameters",
        axis=False,
    )
    kept: dict[str, Any] = field(
        {},
        label="Kept",
        help="Options of extensions that are not here; they change nothing and are written back.",
        place="hidden",
        axis=False,
    )

    @field_validator("kept")
    @classmethod
    def _plain(cls, value: dict[str, Any]) -> dict[str, Any]:
        return plain(value)

    @classmethod
    def read(cls, stored: str | bytes | dict) -> tuple[Self, dict[str, Any]]:
        """A request from a saved result, preset or request, and the fields in it that are not known here
        (they are its `kept`).

        ValueError with a sentence.
        """
        try:
            data = json.loads(stored) if isinstance(stored, str | bytes) else dict(stored)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"This is not a saved request, because it is no JSON: {error}.") from error
        if not isinstance(data, dict):
            raise ValueError("This is not a saved request: a JSON object is expected.")
        wrapped = isinstance(data.get("request"), dict) and "request" not in cls.model_fields
        known, unknown = part(cls, data["request"] if wrapped else data)
        if not known and (unknown or not wrapped):
            raise ValueError("This is not a saved request: it has none of the fields of one.")
        return validate(cls, {**known, "kept": unknown} if unknown else known), unknown


class Decision(NamedTuple):
    """One position decided (or, with token None, reopened) in one model call. `column` counts from the
    answer's start."""

    step: int
    column: int
    token: int | None
    text: str
    confidence: float | None  # in [0, 1]; None for given text


class Provenance(BaseModel):
    """What produced a text, so that it can be produced again."""

    model_config = ConfigDict(frozen=True)
    program: str
    checkpoint: str
    fingerprint: str
    family: str
    device: str
    dtype: str
    torch: str
    created: str  # ISO 8601, UTC
    job: str
    cell: str


class Statistics(BaseModel):
    """Cost of a row. `forwards` counts the model calls it took part in; seconds are those of its batch while
    it lived."""

    model_config = ConfigDict(frozen=True)
    forwards: int = 0
    tokens: int = 0  # decided positions
    prompt_tokens: int = 0
    seconds: float = 0.0

    @property
    def tokens_per_forward(self) -> float:
        return self.tokens / self.forwards if self.forwards else 0.0


class Result(BaseModel):
    """A text and everything that made it; with several cells, the texts are in `parts`, each again a
    Result."""

    model_config = ConfigDict(frozen=True)
    id: str
    text: str
    complete: bool
    request: SerializeAsAny[Request]
    preset: tuple[str, ...] = ()  # fields that were None and came from the preset
    axes: tuple[tuple[str, Any, str], ...] = ()  # (name, value, label) of the cell
    error: str | None = None
    pieces: tuple[str | None, ...] = ()  # the answer's tokens as text; None is still open
    trace: tuple[Decision, ...] = ()
    parts: tuple[Result, ...] = ()
    statistics: Statistics = Statistics()
    provenance: Provenance | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cell:
    """One text to be made. `axes` tell where it stands in a grid; `id` is stable within its job."""

    id: str
    request: Request
    axes: tuple[tuple[str, Any, str], ...] = ()


@dataclass(frozen=True)
class Loading:
    """The checkpoint that the job's next texts need is being read; `done` of it, 0 to 1."""

    checkpoint: str
    done: float


@dataclass(frozen=True)
class Started:
    """A cell's canvas exists: `length` positions, of which `given` are text that is never changed."""

    cell: str
    length: int
    steps: int
    given: tuple[Decision, ...] = ()


@dataclass(frozen=True)
class Progress:
    """One model call changed these positions of these cells. `step` counts each row's own calls from 1."""

    changes: dict[str, tuple[Decision, ...]]
    step: dict[str, int]


@dataclass(frozen=True)
class Finished:
    """A cell is done (`cell` is its id), or, with `cell` None, the whole job."""

    result: Result
    cell: str | None = None


@dataclass(frozen=True)
class Failed:
    """A cell could not be made; `sentence` says why. Other cells go on."""

    cell: str
    sentence: str


Event = Loading | Started | Progress | Finished | Failed


def validate(model: type[Options], values: Any, strict: bool = False) -> Any:
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
