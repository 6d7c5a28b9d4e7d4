"""What determines a text: `Request`, and `Cell`, one text to be made. Frozen, validated, JSON."""

from __future__ import annotations

import dataclasses
import json
import secrets
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Self

from pydantic import ValidatorFunctionWrapHandler, field_validator

from webui.core.fields import field, options_field
from webui.core.options import Options, validate
from webui.core.renamed import Renamed, current
from webui.core.sampler_options import (
    Daedal,
    Dream,
    DreamOn,
    JointThreshold,
    Klass,
    Parallel,
    PathPlanning,
    Remdm,
    Renoise,
    Wino,
)
from webui.core.start import Start
from webui.core.unknown import FIELD, OLD_FIELD, Checked, part, plain

MAX_TEXT = 100_000  # characters of a prompt
MAX_SEED = 2**53 - 1  # what JavaScript counts exactly


class Request(Options):
    """Everything that determines a text. `None` means "what the checkpoint's preset says" and is resolved
    when a cell starts.

    The registry adds one field per extension, named like its folder (see webui/extension/registry.py).
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
        help="safe: only syntax that is hardly ever meant literally; off: every character is literal.",
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
        help="How many positions each step commits.",
        choices=lambda app: list(app.schedules()),
        place="parameters",
    )
    confidence: str | None = field(
        None,
        label="Confidence",
        help="How the confidence of a position is measured.",
        choices=lambda app: list(app.confidences()),
        place="parameters",
    )
    threshold: float | None = field(
        None,
        ge=0,
        le=1,
        step=0.01,
        label="Confidence threshold",
        help="The threshold sampler commits positions with at least this confidence.",
        place="parameters",
    )
    edit_threshold: float | None = field(
        None,
        ge=0,
        le=1,
        step=0.01,
        label="Edit threshold",
        help="The editing sampler replaces a committed token by one with at least this confidence.",
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
        help="stop: the text ends there; late: it is committed last; ban: never; keep: stop after all steps.",
    )
    cache: Literal["exact", "prefix", "dual"] | None = field(
        None,
        label="Cache",
        place="parameters",
        help="prefix keeps what was computed before a block, dual what is after it too: faster, but the text "
        "can differ from exact.",
    )
    confidence_dtype: Literal["float32", "reference"] = field(
        "float32",
        label="Confidence in",
        help="reference: each row by itself without padding, confidence in the type of the weights, equal "
        "ones in torch's order: in bfloat16 the tokens of LLaDA's published program, and slower. Needs the "
        "cache exact.",
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
    variation_seed: int = field(
        0,
        ge=0,
        le=MAX_SEED,
        label="Variation seed",
        help="Another seed that some positions draw their tokens from.",
        place="parameters",
    )
    variation_strength: float = field(
        0.0,
        ge=0,
        le=1,
        step=0.05,
        label="Variation strength",
        help="The share of positions that draw from the variation seed: 0 none, 1 all. Needs a temperature "
        "above 0.",
        place="parameters",
    )
    draft_steps: int = field(
        1,
        ge=1,
        le=64,
        label="Draft steps",
        help="So many canvases of a text are computed at once: the next one, and those that follow if the "
        "model does not change its mind (FreeDave). The same text in fewer model calls; 1 is off. Needs the "
        "cache exact.",
        place="parameters",
    )
    draft_skip: float = field(
        0.0,
        ge=0,
        le=1,
        step=0.05,
        label="Draft layers left out",
        help="Drafts come from passes without this share of the model's layers between the first and the "
        "last (SWIFT), and the whole model verifies them; 0: from the logits of the last step. The same "
        "text. Needs draft steps above 1.",
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
    alternatives: int = field(
        0,
        ge=0,
        le=20,
        label="Alternatives",
        help="So many of the likeliest tokens are kept with each committed one, with their probabilities.",
        axis=False,
    )
    confirm: bool = field(
        False,
        label="More than 1000 texts",
        help="Writes them. Otherwise a request for so many is refused with what it would cost.",
        axis=False,
    )
    joint: JointThreshold = options_field(JointThreshold, "Joint threshold (LLaDA2.x)")
    p2: PathPlanning = options_field(PathPlanning, "Path planning (P2)")
    remdm: Remdm = options_field(Remdm, "ReMDM")
    wino: Wino = options_field(Wino, "WINO")
    renoise: Renoise = options_field(Renoise, "DiffusionGemma")
    dream: Dream = options_field(Dream, "Dream")
    dreamon: DreamOn = options_field(DreamOn, "DreamOn")
    daedal: Daedal = options_field(Daedal, "DAEDAL")
    parallel: Parallel = options_field(Parallel, "Parallel samplers")
    klass: Klass = options_field(Klass, "KLASS")
    canvas: Start | None = field(
        None,
        label="Canvas",
        help="What the answer starts from: a trace to go on with, or tokens; empty: masked positions.",
        place="hidden",
        axis=False,
    )
    unknown: dict[str, Any] = field(
        {},
        label="Unknown fields",
        help="Options of extensions that are not here; they change nothing and are written back.",
        place="hidden",
        axis=False,
    )

    renamed: ClassVar[Renamed] = MappingProxyType({})  # set by the registry, from `Extension.replaces`

    @field_validator("unknown", mode="wrap")
    @classmethod
    def _plain(cls, value: Any, validated: ValidatorFunctionWrapHandler) -> dict[str, Any]:
        return value if isinstance(value, Checked) else plain(validated(value))

    def drawn(self) -> Self:
        """This request with a seed of its own, drawn if it has none."""
        return self if self.seed != -1 else self.replace(seed=secrets.randbelow(2**32))

    def key(self) -> str:
        """A text that two requests have in common exactly if they ask for the same."""
        return self.model_dump_json()

    @classmethod
    def read(cls, stored: str | bytes | dict) -> tuple[Self, dict[str, Any]]:
        """A request from a saved result, preset or request, and the fields in it that nothing here knows; the
        request has them as its `unknown`. ValueError with one sentence."""
        if isinstance(stored, str):
            stored = stored.removeprefix("\ufeff")  # a byte-order mark; json drops that of bytes itself
        try:
            data = json.loads(stored) if isinstance(stored, str | bytes) else dict(stored)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"This is not a saved request, because it is not JSON: {error}.") from error
        if not isinstance(data, dict):
            raise ValueError("This is not a saved request: a JSON object is expected.")
        wrapped = isinstance(data.get("request"), dict) and "request" not in cls.model_fields
        fields = current(data["request"] if wrapped else data, cls.renamed)
        for name in (FIELD, OLD_FIELD):
            if isinstance(fields.get(name), dict):
                fields[name] = current(fields[name], cls.renamed)
        known, unknown = part(cls, fields)
        if not known and (unknown or not wrapped):
            raise ValueError("This is not a saved request: it has none of the fields of one.")
        return validate(cls, {**known, "unknown": unknown} if unknown else known), unknown


@dataclass(frozen=True)
class Cell:
    """One text to be made. `axes`: its place in a grid; `id`: stable within its job; `cleared`: the prompt
    and the options that extensions expanded it from, by field, which its own request has no more."""

    id: str
    request: Request
    axes: tuple[tuple[str, Any, str], ...] = ()
    cleared: Mapping[str, Any] = dataclasses.field(default_factory=dict, compare=False)


class _Counted(Iterator[Cell]):
    def __init__(self, number: int, cells: Iterable[Cell]):
        self._number, self._cells = number, iter(cells)

    def __next__(self) -> Cell:
        return next(self._cells)

    def __length_hint__(self) -> int:
        return min(self._number, sys.maxsize)


def counted(number: int, cells: Iterable[Cell]) -> Iterator[Cell]:
    """Cells that are made one after the other, with their number: too many are refused before the first one
    is made."""
    return _Counted(number, cells)
