"""Samplers: named compositions of a schedule, a draw, a confidence and a selection. Pure: canvas and logits
in, Choice out.

Every part works on all rows at once; rows of different samplers share a forward pass, and each part is
evaluated once per kind that the batch holds. All state is tensors in `canvas.kept` (see `prepare`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Protocol

import torch
from torch import Tensor

from webui.canvas import Canvas, Choice
from webui.denoising import noise

LIKELIEST = 64  # tokens that get Gumbel noise of their own; the rest are drawn as one


# -- schedules: how many positions of a block may still be open after step s of S, having begun with n -------


def even(n: Tensor, s: Tensor, steps: Tensor) -> Tensor:
    """The same number each step, the first n % S steps one more (Nie et al. 2025, LLaDA:
    get_num_transfer_tokens)."""
    return (n - (s + 1) * (n // steps) - torch.minimum(s + 1, n % steps)).clamp(min=0)


def cosine(n: Tensor, s: Tensor, steps: Tensor) -> Tensor:
    """Few at first, many at the end: n cos(pi/2 (s+1)/S) stay open (Chang et al. 2022, MaskGIT)."""
    return torch.floor(n * torch.cos(torch.pi / 2 * ((s + 1) / steps).clamp(max=1.0)) + 1e-4).long()


# -- confidences: how sure a prediction is; `logits` (N, V) as the model and guidance gave them, at temperatur


def probability(canvas: Canvas, logits: Tensor, token: Tensor) -> Tensor:
    """The token's probability (LLaDA's low-confidence remasking, Fast-dLLM)."""
    return logits.softmax(1).gather(1, token[:, None])[
        :, 0
    ]  # exp(logit - logsumexp) loses what tells sure ones apart


def margin(canvas: Canvas, logits: Tensor, token: Tensor) -> Tensor:
    """Probability of the likeliest minus that of the second (Dream: topk_margin)."""
    likely = logits.softmax(1).topk(2, dim=1).values
    return likely[:, 0] - likely[:, 1]


def entropy(canvas: Canvas, logits: Tensor, token: Tensor) -> Tensor:
    """Minus the entropy in nats, so that more is surer (Dream: entropy)."""
    logs = logits.log_softmax(1)
    return torch.where(logs > -torch.inf, logs * logs.exp(), 0.0).sum(1)


def random(canvas: Canvas, logits: Tensor, token: Tensor) -> Tensor:
    """A uniform number: positions are decided in random order (LLaDA's random remasking)."""
    rows, columns = canvas.at
    position = columns - canvas.answer[rows]
    return noise.uniform(noise.counter(canvas.seed[rows], noise.ORDER, position, canvas.step[rows]))


# -- selections: which of the N active positions to decide now -----------------------------------------------


def scheduled(canvas: Canvas, confidence: Tensor, count: Tensor) -> Tensor:
    """The surest `count` of each row; of equals the leftmost."""
    return _rank(canvas, confidence) < count[canvas.at[0]]


def over_threshold(canvas: Canvas, confidence: Tensor, count: Tensor) -> Tensor:
    """All as sure as the row's threshold or surer, never fewer than the schedule's count (Wu et al. 2025,
    Fast-dLLM)."""
    return scheduled(canvas, confidence, count) | (confidence >= canvas.kept["threshold"][canvas.at[0]])


class Schedule(Protocol):
    def __call__(self, n: Tensor, s: Tensor, steps: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Sampler:
    """A named composition. `schedule` and `confidence` are defaults that a request may replace."""

    about: str
    schedule: str = "even"
    confidence: str = "probability"
    select: Callable[[Canvas, Tensor, Tensor], Tensor] = scheduled


SCHEDULES: Mapping[str, Schedule] = MappingProxyType({"even": even, "cosine": cosine})
CONFIDENCES: Mapping[str, Callable[[Canvas, Tensor, Tensor], Tensor]] = MappingProxyType(
    {"probability": probability, "margin": margin, "entropy": entropy, "random": random}
)
SAMPLERS: Mapping[str, Sampler] = MappingProxyType(
    {
        "low_confidence": Sampler("Decides the surest positions first, a fixed number each step (LLaDA)."),
        "random": Sampler(
            "Decides positions in random order, a fixed number each step (LLaDA).", confidence="random"
        ),
        "threshold": Sampler(
            "Decides everything that is sure enough, so easy text takes few steps (Fast-dLLM).",
            select=over_threshold,
        ),
    }
)


@dataclass(frozen=True)
class SamplerOptions:
    """What the sampler needs to know of one row; numbers as in the request, all resolved."""

    sampler: str
    schedule: str
    confidence: str
    steps: int
    block_length: int
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    threshold: float = 0.9
    late: bool = False  # end-of-text is decided last


def prepare(canvas: Canvas, rows: Sequence[SamplerOptions]) -> Canvas:
    """The canvas with the columns that the samplers keep, one entry per row. ValueError if the steps cannot
    fill the blocks."""
    for i, row in enumerate(rows):
        blocks = torch.unique(canvas.column[i][canvas.open[i]] // row.block_length).numel()
        if row.steps < blocks:
            raise ValueError(
                f"{row.steps} steps cannot fill {blocks} blocks: take at least {blocks} steps or a longer "
                "block length."
            )
    device = canvas.tokens.device
    kept = {
        name: torch.tensor([getattr(row, name) for row in rows], device=device)
        for name in ("steps", "block_length", "temperature", "top_k", "top_p", "min_p", "threshold", "late")
    }
    names = {
        part: tuple(dict.fromkeys(getattr(row, part) for row in rows))
        for part in ("sampler", "schedule", "confidence")
    }
    kept |= {
        part: torch.tensor([kinds.index(getattr(row, part)) for row in rows], device=device)
        for part, kinds in names.items()
    }
    nothing = torch.zeros(len(rows), dtype=torch.long, device=device)
    kept |= {"block": nothing - 1, "begun": nothing, "block_open": nothing, "block_steps": nothing + 1}
    return replace(canvas, kept=MappingProxyType(kept), names=MappingProxyType(names))


def activate(canvas: Canvas) -> Canvas:
    """Marks the open positions of each row's leftmost unfinished block active, and begins that block if it is
    a new one.

    A new block gets its share of the steps that are left, in proportion to its open positions, at least one,
    and leaves one for each later block; with full blocks that is LLaDA's steps / blocks.
    """
    kept, opened = canvas.kept, canvas.open
    length = kept["block_length"]
    block_of = torch.div(canvas.column, length[:, None], rounding_mode="floor")
    far = torch.iinfo(torch.long).max
    block = torch.where(opened, block_of, far).amin(1)
    active = opened & (block_of == block[:, None])
    new = block != kept["block"]
    n, left = active.sum(1), opened.sum(1)
    later = torch.where(opened & (block_of > block[:, None]), block_of, -1)
    blocks_after = _distinct(later)
    steps_left = (kept["steps"] - canvas.step).clamp(min=1)
    share = torch.div(steps_left * n, left.clamp(min=1), rounding_mode="floor")
    share = torch.maximum(torch.minimum(share, steps_left - blocks_after), torch.ones_like(share))
    state = {
        "block": block,
        "begun": torch.where(new, canvas.step, kept["begun"]),
        "block_open": torch.where(new, n, kept["block_open"]),
        "block_steps": torch.where(new, share, kept["block_steps"]),
    }
    return replace(canvas, active=active).keep(**state)


def choose(canvas: Canvas, logits: Tensor) -> Choice:
    """Draws a token for every active position of `logits` (N, V), measures confidence, and selects what is
    decided now."""
    logits = logits.double() if logits.dtype == torch.float64 else logits.float()
    token = draw(canvas, logits)
    sure = _each(canvas, "confidence", lambda name: CONFIDENCES[name](canvas, logits, token))
    if canvas.ends:
        ending = (
            torch.isin(token, torch.tensor(canvas.ends, device=token.device))
            & canvas.kept["late"][canvas.at[0]]
        )
        sure = torch.where(ending, -torch.inf, sure)
    count = _count(canvas)
    commit = _each(canvas, "sampler", lambda name: SAMPLERS[name].select(canvas, sure, count))
    return Choice(token, sure, commit, probability(canvas, logits, token))


def commit(canvas: Canvas, choice: Choice) -> Canvas:
    """The canvas after the choice: decided positions filled, reopened ones open, one step further."""
    after = canvas if choice.reopen is None else canvas.reopen(choice.reopen)
    return replace(after.fill(choice.commit, choice.token), step=canvas.step + 1)


def draw(canvas: Canvas, logits: Tensor) -> Tensor:
    """A token for each of N positions: the likeliest at temperature 0, otherwise a draw after temperature,
    top-k, top-p, min-p.

    Gumbel-max over the 64 likeliest tokens and the rest as one; if the rest wins, Gumbel-max inside it.
    Exactly the softmax's distribution, with noise for 65 numbers instead of the vocabulary, and few flips
    under rounding.
    """
    greedy = logits.argmax(1)
    rows, columns = canvas.at
    temperature = canvas.kept["temperature"][rows].to(logits.dtype)
    if not bool((temperature > 0).any()):
        return greedy
    warm = _filtered(canvas, logits / temperature.clamp(min=1e-6)[:, None])
    top = warm.topk(min(LIKELIEST, warm.shape[1]), dim=1)
    position, seed, step = columns - canvas.answer[rows], canvas.seed[rows], canvas.step[rows]
    key = noise.counter(seed, noise.DRAW, position, step)
    keys = top.values + noise.gumbel(key[:, None], top.indices)
    best, where = keys.max(1)
    token = top.indices.gather(1, where[:, None])[:, 0]
    rest = warm.scatter(1, top.indices, -torch.inf)
    mass = rest.logsumexp(1)
    wins = mass + noise.gumbel(noise.counter(seed, noise.REST, position, step)) > best
    if bool(wins.any()):
        inside = noise.counter(seed, noise.INSIDE, position, step)[wins][:, None]
        every = torch.arange(warm.shape[1], device=warm.device)[None]
        token = token.masked_scatter(wins, (rest[wins] + noise.gumbel(inside, every)).argmax(1))
    return torch.where(temperature > 0, token, greedy)


def _filtered(canvas: Canvas, logits: Tensor) -> Tensor:
    """Logits with what top-k, top-p and min-p drop at minus infinity; the likeliest token always stays."""
    kept, rows = canvas.kept, canvas.at[0]
    if bool((kept["top_k"] > 0).any()):
        k = kept["top_k"][rows]
        limit = torch.where(k > 0, k, logits.shape[1]).clamp(max=logits.shape[1])
        least = logits.sort(1, descending=True).values.gather(1, limit[:, None] - 1)
        logits = logits.masked_fill(logits < least, -torch.inf)
    if bool((kept["top_p"] < 1).any()):
        ordered, index = logits.sort(dim=1, descending=True, stable=True)
        before = ordered.softmax(1).cumsum(1) - ordered.softmax(1)
        drop = (before >= kept["top_p"][rows][:, None]) & (kept["top_p"][rows] < 1)[:, None]
        logits = logits.masked_fill(torch.zeros_like(drop).scatter(1, index, drop), -torch.inf)
    if bool((kept["min_p"] > 0).any()):
        floor = logits.amax(1, keepdim=True) + torch.log(kept["min_p"][rows].clamp(min=1e-30))[:, None]
        logits = logits.masked_fill((logits < floor) & (kept["min_p"][rows] > 0)[:, None], -torch.inf)
    return logits


def _count(canvas: Canvas) -> Tensor:
    """(B,): how many positions each row decides now: down to the schedule's target, at least one."""
    kept = canvas.kept
    s = canvas.step - kept["begun"]
    target = _each(
        canvas,
        "schedule",
        lambda name: SCHEDULES[name](kept["block_open"], s, kept["block_steps"]),
        per_row=True,
    )
    target = torch.where(s + 1 >= kept["block_steps"], 0, target)
    return (canvas.active.sum(1) - target).clamp(min=1)


def _each(canvas: Canvas, part: str, make: Callable[[str], Tensor], per_row: bool = False) -> Tensor:
    """`make(kind)` for each kind of `part` in the batch, each row (or active position) taking its own."""
    kinds = canvas.names[part]
    if len(kinds) == 1:
        return make(kinds[0])
    number = canvas.kept[part] if per_row else canvas.kept[part][canvas.at[0]]
    value = make(kinds[0])
    for i, kind in enumerate(kinds[1:], start=1):
        value = torch.where(number == i, make(kind), value)
    return value


def _rank(canvas: Canvas, confidence: Tensor) -> Tensor:
    """(N,): place of each active position in its row's order of confidence, 0 the surest; of equals the
    leftmost first."""
    full = torch.full(canvas.tokens.shape, -torch.inf, dtype=confidence.dtype, device=confidence.device)
    full[canvas.at] = confidence
    inactive = torch.where(canvas.active, 0, 1)
    order = full.argsort(dim=1, descending=True, stable=True)
    order = order.gather(
        1, inactive.gather(1, order).argsort(dim=1, stable=True)
    )  # a late position still beats an inactive one
    rank = torch.empty_like(order).scatter_(
        1, order, torch.arange(order.shape[1], device=order.device).expand_as(order)
    )
    return rank[canvas.at]


def _distinct(later: Tensor) -> Tensor:
    """(B,): number of different non-negative values in each row of `later`, whose values never decrease where
    not -1."""
    running = torch.nn.functional.pad(later, (1, 0), value=-1).cummax(1).values
    return (running[:, 1:] > running[:, :-1]).sum(1)
