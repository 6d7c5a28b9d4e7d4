"""Options that belong to single samplers: one field of the request for each sampler, or for the samplers
of one paper, with the published defaults. Without torch."""

from __future__ import annotations

from typing import Literal

from webui.core.fields import field
from webui.core.options import Options

Judge = Literal["drawn", "standing", "unseen"]
JUDGES = (
    "What a committed token is judged by. drawn: the token drawn there anew; standing: the probability of "
    "the token that is there; unseen: the same as if the position were masked, which costs more time."
)


class PathPlanning(Options):
    """P2: the least confident positions of all are masked again or stay masked."""

    eta: float = field(
        1.0,
        ge=0,
        le=10,
        step=0.1,
        label="P2: strength",
        help="Power to which the confidence of committed tokens is raised: more masks more of them again, 0 "
        "none.",
    )
    judge: Judge = field("drawn", label="P2: judged by", help=JUDGES)


class Remdm(Options):
    """ReMDM: remasks committed tokens at random, or the least likely ones in a loop."""

    eta: float | None = field(
        None,
        ge=0,
        le=1,
        step=0.001,
        label="ReMDM: eta",
        help="Probability that a committed token is remasked in a step. Empty: as published, 0.008 (cap), "
        "0.015 (rescale), 0.02 (loop).",
    )
    t_on: float = field(
        0.55,
        gt=0,
        lt=1,
        step=0.05,
        label="ReMDM: loop start",
        help="Fraction of denoising steps remaining when the loop starts.",
    )
    t_off: float = field(
        0.05,
        ge=0,
        lt=1,
        step=0.05,
        label="ReMDM: loop end",
        help="Fraction of denoising steps remaining when the loop ends.",
    )
    alpha_on: float = field(
        0.9,
        ge=0,
        le=1,
        step=0.025,
        label="ReMDM: filled in the loop",
        help="Fraction of the answer that is committed during the loop.",
    )
    loops: int = field(
        32,
        ge=0,
        le=4096,
        label="ReMDM: loops",
        help="Steps of the remdm_llada loop; they count towards the denoising steps.",
    )
    again: int = field(
        1, ge=1, le=4096, label="ReMDM: masked again", help="Tokens remasked in each step of that loop."
    )
    judge: Literal["standing", "unseen"] = field("standing", label="ReMDM: judged by", help=JUDGES)


class Renoise(Options):
    """DiffusionGemma: a block that is decided about anew in each step."""

    entropy_bound: float = field(
        0.1,
        ge=0,
        le=100,
        step=0.05,
        label="Renoise: entropy bound",
        help="Positions are accepted in ascending order of entropy while the entropies before sum up to at "
        "most this, in nats.",
    )
    t_max: float = field(
        0.8,
        ge=0,
        le=10,
        step=0.05,
        label="Renoise: first temperature",
        help="In a block's first step; the temperature of the request multiplies it.",
    )
    t_min: float = field(
        0.4,
        ge=0,
        le=10,
        step=0.05,
        label="Renoise: last temperature",
        help="What it falls to by a block's last step.",
    )
    stable: int = field(
        1,
        ge=0,
        le=64,
        label="Renoise: stable for",
        help="Steps for which the likeliest tokens have to stay the same before a block may end early.",
    )
    confident: float = field(
        0.005,
        ge=0,
        le=100,
        step=0.005,
        label="Renoise: confident below",
        help="Mean entropy in nats that they have to be below too.",
    )


class Wino(Options):
    """WINO: drafts with a low threshold, and masks again what the model doubts."""

    threshold: float = field(
        0.6, ge=0, le=1, step=0.01, label="WINO: threshold", help="Masked positions above it are committed."
    )
    threshold_back: float = field(
        0.9,
        ge=0,
        le=1,
        step=0.01,
        label="WINO: remask below",
        help="Committed tokens less likely than this are remasked, judged with the token hidden.",
    )


class Dream(Options):
    """Dream: a share of what is masked in each step, by confidence or drawn by it."""

    alg_temp: float = field(
        0.0,
        ge=0,
        le=100,
        step=0.05,
        label="Dream: order temperature",
        help="Positions are drawn by confidence at this temperature; 0 takes the most confident.",
    )
    eps: float = field(
        0.001, gt=0, lt=1, step=0.001, label="Dream: last time", help="Time runs from 1 to this."
    )


class DreamOn(Options):
    """DreamOn: gaps that grow and shrink."""

    begin: int = field(
        4,
        ge=1,
        le=32768,
        label="DreamOn: begins with",
        help="Masked positions of an answer at first, and of a gap that does not say its number.",
    )
    most: int = field(
        64,
        ge=1,
        le=32768,
        label="DreamOn: most",
        help="Positions that a gap can grow to, and how often positions are doubled in all.",
    )


class Daedal(Options):
    """DAEDAL: an answer that grows until the model is sure that the text ends in it."""

    begin: int = field(
        64,
        ge=1,
        le=32768,
        label="DAEDAL: begins with",
        help="Masked positions of an answer at first; the length is how many it can grow to.",
    )
    factor: int = field(
        8,
        ge=2,
        le=1024,
        label="DAEDAL: grows by",
        help="Masked positions that an answer gets at a time, and that a doubtful position becomes.",
    )
    high: float = field(
        0.9, ge=0, le=1, step=0.01, label="DAEDAL: threshold", help="Masked positions above it are committed."
    )
    low: float = field(
        0.1,
        ge=0,
        le=1,
        step=0.01,
        label="DAEDAL: doubtful below",
        help="The least confident masked position of a block below it becomes several.",
    )
    end_threshold: float = field(
        0.5,
        ge=0,
        le=1,
        step=0.01,
        label="DAEDAL: long enough above",
        help="An answer grows until the confidence that the text ends in it reaches this.",
    )
    insert_threshold: float = field(
        0.9,
        ge=0,
        le=1,
        step=0.01,
        label="DAEDAL: no insertion above",
        help="Doubtful positions stay one where the confidence that the text ends reaches this.",
    )
    checked: int = field(
        32,
        ge=1,
        le=1024,
        label="DAEDAL: ends checked",
        help="That confidence is the mean probability of end-of-text at so many of the last positions where "
        "it is the likeliest token.",
    )


class Parallel(Options):
    """Samplers that commit as many positions as can be trusted together."""

    factor: float = field(
        1.0,
        ge=0,
        le=100,
        step=0.1,
        label="Factor",
        help="The m most confident are committed if the last of them reaches 1 - factor / (m + 1).",
    )
    gamma: float = field(
        0.1,
        ge=0,
        le=100,
        step=0.05,
        label="Entropy bound",
        help="Bound of the sum of entropies less the largest, in nats.",
    )
    threshold: float = field(
        0.9, ge=0, le=1, step=0.01, label="Hierarchical: threshold", help="All above it are committed."
    )
    low: float = field(
        0.4,
        ge=0,
        le=1,
        step=0.01,
        label="Hierarchical: low threshold",
        help="The best of each run of masked positions is committed above it.",
    )


class Klass(Options):
    """KLASS: commits what is confident and stable."""

    threshold: float = field(
        0.9, ge=0, le=1, step=0.01, label="KLASS: threshold", help="Positions above it can be committed."
    )
    kl_threshold: float = field(
        0.01,
        ge=0,
        le=1000,
        step=0.001,
        label="KLASS: stable below",
        help="A position is stable in a step if its distribution diverges by less than this from that of the "
        "step before, in nats.",
    )
    history: int = field(
        2, ge=1, le=64, label="KLASS: stable for", help="Steps for which a position has to be stable."
    )


class JointThreshold(Options):
    """LLaDA2.x's joint threshold: commits and edits by a threshold each, with a 2-gram penalty."""

    threshold: float = field(
        0.5, ge=0, le=1, step=0.01, label="Joint: threshold", help="Masked positions above it are committed."
    )
    edit_threshold: float = field(
        0.0,
        ge=0,
        le=1,
        step=0.01,
        label="Joint: edit threshold",
        help="A committed token is replaced where another one is likelier than this.",
    )
    post_edit_steps: int = field(
        16,
        ge=0,
        le=4096,
        label="Joint: edits of a full block",
        help="Steps that a block may be edited for once nothing of it is masked.",
    )
    penalty: float = field(
        0.0,
        ge=0,
        le=100,
        step=0.1,
        label="Joint: 2-gram penalty",
        help="Taken from the logit of the token that stands before a position: fewer doubled tokens. 0 is "
        "off.",
    )
