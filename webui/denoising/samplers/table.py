"""The named samplers, schedules and confidences: the built-in ones, and with them those of extensions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from torch import Tensor

from webui.canvas import Canvas
from webui.core.names import SAMPLERS
from webui.denoising.samplers import confidences, schedules, selections
from webui.denoising.samplers.confidences import Confidence
from webui.denoising.samplers.remasking import Remask
from webui.denoising.samplers.schedules import Schedule
from webui.denoising.samplers.selections import Select


@dataclass(frozen=True)
class Sampler:
    """A named composition of parts.

    about       one sentence for the page
    schedule    its default, which a request may replace
    confidence  its default, which a request may replace
    select      which active positions to commit
    remask      which committed positions to mask again; None: what is committed stays
    revises     committed positions of the block are active too, so that they can be replaced
    options     request -> numbers that this sampler alone needs; in `canvas.state.own`, a (B,) float each
    begin       canvas -> further state that it needs from the first step on; see `SamplerState.own`
    """

    about: str
    schedule: str = "even"
    confidence: str = "probability"
    select: Select = selections.scheduled
    remask: Remask | None = None
    revises: bool = False
    options: Callable[[Any], Mapping[str, float]] = lambda request: {}
    begin: Callable[[Canvas], Mapping[str, Tensor]] = lambda canvas: {}

    @property
    def stays(self) -> bool:
        """Whether it works on a block until the block's steps are used up, masked positions or not."""
        return self.remask is not None or self.revises


@dataclass(frozen=True)
class SamplerTable:
    """What a request may name as its sampler, schedule and confidence."""

    samplers: Mapping[str, Sampler]
    schedules: Mapping[str, Schedule]
    confidences: Mapping[str, Confidence]

    def extended(self, samplers: Mapping[str, Sampler]) -> SamplerTable:
        """With more samplers. ValueError if there is one of the same name, or one that names a schedule or
        confidence that is not there."""
        for name, sampler in samplers.items():
            if name in self.samplers:
                raise ValueError(f"There is already a sampler {name!r}.")
            self.known("schedule", sampler.schedule)
            self.known("confidence", sampler.confidence)
        return replace(self, samplers=MappingProxyType({**self.samplers, **samplers}))

    def known(self, part: str, name: Any) -> Any:
        """What "sampler", "schedule" or "confidence" `name` is. ValueError lists those there are."""
        there = {"sampler": self.samplers, "schedule": self.schedules, "confidence": self.confidences}[part]
        if name not in there:
            raise ValueError(f"{part}: there is no {name!r}. There are: {', '.join(there)}.")
        return there[name]


BUILT_IN = SamplerTable(
    MappingProxyType(
        {
            "low_confidence": Sampler(SAMPLERS["low_confidence"]),
            "random": Sampler(SAMPLERS["random"], confidence="random"),
            "threshold": Sampler(
                SAMPLERS["threshold"],
                select=selections.over_threshold,
                options=lambda request: {"threshold": request.threshold},
            ),
            "editing": Sampler(
                SAMPLERS["editing"],
                select=selections.edited,
                revises=True,
                options=lambda request: {
                    "threshold": request.threshold,
                    "edit_threshold": request.edit_threshold,
                },
            ),
        }
    ),
    MappingProxyType({"even": schedules.even, "cosine": schedules.cosine}),
    MappingProxyType(
        {
            "probability": confidences.probability,
            "margin": confidences.margin,
            "entropy": confidences.entropy,
            "random": confidences.random,
        }
    ),
)
