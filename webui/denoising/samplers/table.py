"""The named samplers, schedules and confidences: the built-in ones, and with them those of extensions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Literal

from torch import Tensor

from webui.canvas import Canvas, Choice
from webui.core.names import SAMPLERS
from webui.denoising.samplers import (
    confidences,
    daedal,
    dream,
    dreamon,
    joint_threshold,
    klass,
    parallel,
    path_planning,
    remasking,
    remdm_llada,
    renoise,
    schedules,
    sedd,
    selections,
    wino,
)
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
    until       when it leaves a block: "filled", once nothing of it is masked; "settled", once a step changed
                nothing of it after that; "steps", when the block's steps are used up. None: "steps" if it
                revises or remasks, else "filled"
    finished    canvas after a step -> rows (B,) that leave their block, for a sampler that says itself how
                many steps a block has; None: its share of them
    processed   confidence is measured on the logits after temperature and filters, as Dream does
    remembers   `canvas.state.own[MEMORY]` holds each token's probability (B, L) when it was committed
    whole       all positions of the answer are active, of which those outside the block are not to be
                committed
    options     request -> numbers that this sampler alone needs; in `canvas.state.own`, a (B,) float each.
                Two of them say how a sampler that revises judges what is committed: "standing", by the
                probability of the token that is there instead of the confidence of the one drawn;
                "unseen", by logits that the model gives as if the position were masked. A third,
                "post_edit_steps", is one more than the steps it may stay once nothing is masked, 0: any
    adjust      canvas, logits (N, V) -> those that its rows draw from and measure confidence on; other rows
                keep theirs
    observe     canvas, logits (N, V) that confidence is measured on -> what it keeps of a step, as further
                state, known when it selects. A text that goes on from its trace begins without
    time        canvas -> (B,) the time of each row's step, from 1 down to above 0, for models that
                are conditioned on it; None: the share of the answer that is masked
    resize      canvas before and after a commit, rows (B,) of this sampler -> the canvas with positions added
                and taken away, where a model has a token for it. Needs `remembers`
    grow        canvas, logits (N, V), choice -> rows (B,) that commit nothing after all, and what their
                answers get: `Choice.grow`. Needs `remembers`
    block_length
                its default; 0: the whole answer
    begin       canvas -> further state that it needs from the first step on; see `SamplerState.own`. It has
                to follow from the options: a text that goes on from its trace gets it anew
    """

    about: str
    schedule: str = "even"
    confidence: str = "probability"
    select: Select = selections.scheduled
    remask: Remask | None = None
    revises: bool = False
    until: Literal["filled", "settled", "steps"] | None = None
    finished: Callable[[Canvas], Tensor] | None = None
    processed: bool = False
    remembers: bool = False
    whole: bool = False
    options: Callable[[Any], Mapping[str, float]] = lambda request: {}
    adjust: Callable[[Canvas, Tensor], Tensor] | None = None
    observe: Callable[[Canvas, Tensor], Mapping[str, Tensor]] | None = None
    time: Callable[[Canvas], Tensor] | None = None
    resize: Callable[[Canvas, Canvas, Tensor], Canvas] | None = None
    grow: Callable[[Canvas, Tensor, Choice], tuple[Tensor, Tensor]] | None = None
    block_length: int = 0
    begin: Callable[[Canvas], Mapping[str, Tensor]] = lambda canvas: {}

    @property
    def leaves(self) -> Literal["filled", "settled", "steps"]:
        """When it leaves a block."""
        return self.until or ("steps" if self.remask is not None or self.revises else "filled")

    @property
    def remasks(self) -> bool:
        """Whether what it does depends on more than which positions are masked."""
        return self.remask is not None or self.revises or self.remembers


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


def _given(value: float | None, published: float) -> float:
    return published if value is None else value


def _judged(judge: str) -> Mapping[str, float]:
    """What is in `own` for an option `judge`."""
    return {"standing": judge != "drawn", "unseen": judge == "unseen"}


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
                until="settled",
                options=lambda request: {
                    "threshold": request.threshold,
                    "edit_threshold": request.edit_threshold,
                },
            ),
            "joint_threshold": Sampler(
                SAMPLERS["joint_threshold"],
                select=selections.edited,
                revises=True,
                until="settled",
                adjust=joint_threshold.penalized,
                begin=joint_threshold.begin,
                options=lambda request: {
                    "threshold": request.joint.threshold,
                    "edit_threshold": request.joint.edit_threshold,
                    "post_edit_steps": request.joint.post_edit_steps + 1,
                    "penalty": request.joint.penalty,
                },
            ),
            "p2": Sampler(
                SAMPLERS["p2"],
                schedule="linear",
                select=path_planning.select,
                remask=path_planning.remask,
                revises=True,
                options=lambda request: {"eta": request.p2.eta, **_judged(request.p2.judge)},
            ),
            "remdm_cap": Sampler(
                SAMPLERS["remdm_cap"],
                schedule="linear",
                select=remasking.ancestral(remasking.capped),
                remask=remasking.remdm(remasking.capped),
                options=lambda request: {"eta": _given(request.remdm.eta, 0.008)},
            ),
            "remdm_rescale": Sampler(
                SAMPLERS["remdm_rescale"],
                schedule="linear",
                select=remasking.ancestral(remasking.rescaled),
                remask=remasking.remdm(remasking.rescaled),
                options=lambda request: {"eta": _given(request.remdm.eta, 0.015)},
            ),
            "remdm_conf": Sampler(
                SAMPLERS["remdm_conf"],
                schedule="linear",
                select=remasking.ancestral(remasking.confident),
                remask=remasking.remdm(remasking.confident),
                remembers=True,
            ),
            "remdm_loop": Sampler(
                SAMPLERS["remdm_loop"],
                schedule="linear",
                select=remasking.ancestral(remasking.in_the_loop, remasking.looped),
                remask=remasking.remdm(remasking.in_the_loop),
                options=lambda request: {
                    "eta": _given(request.remdm.eta, 0.02),
                    "t_on": request.remdm.t_on,
                    "t_off": request.remdm.t_off,
                    "alpha_on": request.remdm.alpha_on,
                },
            ),
            "remdm_llada": Sampler(
                SAMPLERS["remdm_llada"],
                schedule="linear",
                select=remdm_llada.select,
                remask=remdm_llada.remask,
                revises=True,
                options=lambda request: {
                    "alpha_on": request.remdm.alpha_on,
                    "loops": request.remdm.loops,
                    "again": request.remdm.again,
                    **_judged(request.remdm.judge),
                },
            ),
            "renoise": Sampler(
                SAMPLERS["renoise"],
                confidence="entropy",
                select=renoise.select,
                remask=renoise.remask,
                revises=True,
                finished=renoise.finished,
                adjust=renoise.adjusted,
                observe=renoise.observe,
                begin=renoise.begin,
                options=lambda request: {name: getattr(request.renoise, name) for name in renoise.OPTIONS},
            ),
            "wino": Sampler(
                SAMPLERS["wino"],
                select=wino.select,
                remask=wino.remask,
                revises=True,
                until="filled",
                options=lambda request: {
                    "threshold": request.wino.threshold,
                    "threshold_back": request.wino.threshold_back,
                    **_judged("unseen"),
                },
            ),
            "dream": Sampler(
                SAMPLERS["dream"],
                confidence="entropy",
                select=dream.select,
                processed=True,
                options=lambda request: {"alg_temp": request.dream.alg_temp, "eps": request.dream.eps},
            ),
            "dream_origin": Sampler(
                SAMPLERS["dream_origin"],
                select=dream.origin,
                processed=True,
                options=lambda request: {"eps": request.dream.eps},
            ),
            "dreamon": Sampler(
                SAMPLERS["dreamon"],
                confidence="entropy",
                select=dreamon.select,
                processed=True,
                remembers=True,
                resize=dreamon.resize,
                begin=dreamon.begin,
                options=lambda request: {"most": request.dreamon.most},
            ),
            "daedal": Sampler(
                SAMPLERS["daedal"],
                select=daedal.select,
                grow=daedal.grow,
                block_length=32,
                remembers=True,
                whole=True,
                options=lambda request: {
                    f"daedal.{name}": getattr(request.daedal, name) for name in daedal.OPTIONS
                },
            ),
            "sedd": Sampler(SAMPLERS["sedd"], select=sedd.select, time=sedd.time),
            "factor": Sampler(
                SAMPLERS["factor"],
                select=parallel.factor,
                options=lambda request: {"factor": request.parallel.factor},
            ),
            "entropy_bound": Sampler(
                SAMPLERS["entropy_bound"],
                confidence="entropy",
                select=parallel.entropy_bound,
                options=lambda request: {"gamma": request.parallel.gamma},
            ),
            "hierarchical": Sampler(
                SAMPLERS["hierarchical"],
                select=parallel.hierarchical,
                options=lambda request: {
                    "threshold": request.parallel.threshold,
                    "low": request.parallel.low,
                },
            ),
            "prophet": Sampler(SAMPLERS["prophet"], select=parallel.prophet),
            "klass": Sampler(
                SAMPLERS["klass"],
                select=klass.select,
                observe=klass.observe,
                begin=klass.begin,
                options=lambda request: {
                    "threshold": request.klass.threshold,
                    "kl_threshold": request.klass.kl_threshold,
                    "history": request.klass.history,
                },
            ),
        }
    ),
    MappingProxyType(
        {
            "even": schedules.even,
            "cosine": schedules.cosine,
            "linear": schedules.linear,
            "bernoulli": schedules.bernoulli,
        }
    ),
    MappingProxyType(
        {
            "probability": confidences.probability,
            "margin": confidences.margin,
            "entropy": confidences.entropy,
            "random": confidences.random,
            "logit_gap": confidences.logit_gap,
            "leftmost": confidences.leftmost,
        }
    ),
)
