"""The life of a canvas under the samplers: prepared once, then activate, choose and commit in turn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from webui.canvas import Canvas, Choice, SamplerState
from webui.denoising.samplers.confidences import token_probability
from webui.denoising.samplers.draw import draw, processed
from webui.denoising.samplers.joint_threshold import FULL, full_since, may_edit
from webui.denoising.samplers.plan import MEMORY, Plan
from webui.denoising.samplers.selections import published_dtype
from webui.denoising.samplers.table import BUILT_IN, SamplerTable


@dataclass(frozen=True)
class SamplerOptions:
    """What the samplers need to know of one row. The one list of their parameters: those with a default here
    or there are fields of the request, which `of` reads by name.

    lead    where attention is block-causal, blocks are counted from the row's begin as the model counts them
    own     numbers that the row's sampler alone needs, by name (`Sampler.options`)
    """

    sampler: str
    schedule: str
    confidence: str
    steps: int
    block_length: int
    lead: int = 0  # columns of the prompt that belong to the first block
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    variation_seed: int = 0
    variation_strength: float = 0.0  # share of positions that draw from that seed
    late: bool = False  # end-of-text is committed last
    own: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, request: Any, table: SamplerTable = BUILT_IN) -> SamplerOptions:
        """The options of a request whose parameters are all resolved. ValueError for a name that is not in
        the table."""
        values = {name: getattr(request, name) for name in REQUESTED}
        own = dict(table.known("sampler", request.sampler).options(request))
        return cls(**values, late=request.end_of_text == "late", own=own)


FAR = torch.iinfo(torch.long).max  # the block of a row that has nothing masked
REQUESTED = tuple(f.name for f in fields(SamplerOptions) if f.name not in ("late", "lead", "own"))
_NAMED = {"sampler": "samplers", "schedule": "schedules", "confidence": "confidences"}
_USED: Mapping[str, Callable[[SamplerOptions], bool]] = MappingProxyType(
    {
        "greedy": lambda row: row.temperature <= 0,
        "temperature": lambda row: row.temperature > 0,
        "top_k": lambda row: row.top_k > 0,
        "top_p": lambda row: row.top_p < 1,
        "min_p": lambda row: row.min_p > 0,
        "variation": lambda row: row.variation_strength > 0,
        "late": lambda row: row.late,
    }
)


def prepare(canvas: Canvas, rows: Sequence[SamplerOptions], table: SamplerTable = BUILT_IN) -> Canvas:
    """The canvas with the samplers' state, from the options of each row. ValueError if the steps cannot fill
    the blocks."""
    for row, masked, column in zip(rows, canvas.masked.tolist(), canvas.column.tolist(), strict=True):
        blocks = len(
            {(at + row.lead) // row.block_length for at, on in zip(column, masked, strict=True) if on}
        )
        if row.steps < blocks:
            raise ValueError(
                f"{row.steps} steps cannot fill {blocks} blocks: take at least {blocks} steps or a longer "
                "block length."
            )
    device = canvas.tokens.device
    names: dict[str, Any] = {
        kinds: tuple(dict.fromkeys(getattr(row, part) for row in rows)) for part, kinds in _NAMED.items()
    }
    columns: dict[str, Any] = {
        f.name: torch.tensor(
            [
                names[_NAMED[f.name]].index(getattr(row, f.name))
                if f.name in _NAMED
                else getattr(row, f.name)
                for row in rows
            ],
            device=device,
        )
        for f in fields(SamplerOptions)
        if f.name != "own"
    }
    own = {
        name: torch.tensor([float(row.own.get(name, 0.0)) for row in rows], device=device)
        for name in dict.fromkeys(name for row in rows for name in row.own)
    }
    if any(table.samplers[name].remembers for name in names["samplers"]):
        own[MEMORY] = torch.zeros(canvas.tokens.shape, device=device)
    nothing = torch.zeros(len(rows), dtype=torch.long, device=device)
    state = SamplerState(
        **columns,
        **names,
        block=nothing - 1,
        block_begin=nothing,
        block_masked=nothing,
        block_steps=nothing + 1,
        changed=nothing,
        own=MappingProxyType(own),
        draws=frozenset(name for name, used in _USED.items() if any(used(row) for row in rows)),
        largest_k=max(row.top_k for row in rows),
    )
    canvas = canvas.with_sampler(state)
    for name in state.samplers:
        canvas = canvas.with_sampler(canvas.state.with_own(**table.samplers[name].begin(canvas)))
    return canvas


def activate(canvas: Canvas, table: SamplerTable = BUILT_IN, begins: bool | None = None) -> Canvas:
    """Makes the masked positions of each row's leftmost unfinished block active, and begins that block if it
    is a new one. Where the sampler revises what is committed, the block's committed positions are active too,
    unseen if it wants them so; where it looks at the whole answer, all of its positions are.

    begins: whether some row begins a block, if that is known; otherwise the device is asked.
    """
    state, masked = canvas.state, canvas.masked
    block_of = canvas.block
    block = torch.where(masked, block_of, FAR).amin(1)
    if _stay(state, table):
        block = torch.where(_running(canvas, table), state.block, block)
    inside = block_of == block[:, None]
    active = masked & inside
    new = block != state.block
    if begins is None:
        begins = bool(new.any())
    if begins:
        state = _begun(canvas, new, block, block_of, active)
    state = _timed(canvas.with_sampler(state), table)
    revising = [table.samplers[name].revises for name in state.samplers]
    changes = {}
    if any(revising):
        committed = inside & ~canvas.given & ~masked
        active = active | (committed & _is_one_of(state, revising)[:, None])
        if FULL in state.own:
            full = full_since(canvas, (masked & inside).any(1))
            state = state.with_own(**{FULL: torch.where(new, -1, full)})
        if "unseen" in state.own:
            changes["unseen"] = committed & (state.own["unseen"] > 0)[:, None]
    if any(whole := [table.samplers[name].whole for name in state.samplers]):
        active = active | (~canvas.given & (canvas.column >= 0) & _is_one_of(state, whole)[:, None])
    return replace(canvas, active=active, sampler=state, **changes)


def _begun(canvas: Canvas, new: Tensor, block: Tensor, block_of: Tensor, active: Tensor) -> SamplerState:
    """The state where the rows that are `new` (B,) in their `block` (B,) begin it.

    A block gets its share of the steps that are left, in proportion to its masked positions, at least one,
    and leaves one for each later block; with full blocks that is LLaDA's steps / blocks.
    """
    state, masked = canvas.state, canvas.masked
    n, left = active.sum(1), masked.sum(1)
    blocks_after = _distinct(torch.where(masked & (block_of > block[:, None]), block_of, -1))
    steps_left = (state.steps - canvas.step).clamp(min=1)
    share = torch.div(steps_left * n, left.clamp(min=1), rounding_mode="floor")
    share = torch.maximum(torch.minimum(share, steps_left - blocks_after), torch.ones_like(share))
    return replace(
        state,
        block=block,
        block_begin=torch.where(new, canvas.step, state.block_begin),
        block_masked=torch.where(new, n, state.block_masked),
        block_steps=torch.where(new, share, state.block_steps),
    )


def _timed(canvas: Canvas, table: SamplerTable) -> SamplerState:
    """The state with the time of the step in the rows whose sampler says it; see `Canvas.time`."""
    state = canvas.state
    times = [table.samplers[name].time for name in state.samplers]
    if not any(times):
        return state
    found = torch.zeros(state.steps.shape, dtype=torch.float64, device=state.steps.device)
    for number, time in enumerate(times):
        if time is not None:
            found = torch.where(state.sampler == number, time(canvas).double(), found)
    return state.with_own(time=found)


def finished(canvas: Canvas, table: SamplerTable = BUILT_IN) -> Tensor:
    """(B,) bool: rows that their sampler is done with: nothing is masked, and nothing will be again."""
    done = ~canvas.masked.any(1)
    if _stay(canvas.state, table):
        done = done & ~_running(canvas, table)
    return done


def observe(canvas: Canvas, logits: Tensor, table: SamplerTable = BUILT_IN) -> Canvas:
    """The canvas with what its samplers keep of the step that has given these logits (N, V); `choose`
    takes this canvas."""
    kept = [name for name in canvas.state.samplers if table.samplers[name].observe is not None]
    if not kept:
        return canvas
    state, seen = canvas.state, _seen(canvas, _adjusted(canvas, logits, table), table)
    for name in kept:
        state = state.with_own(**table.samplers[name].observe(canvas, seen))  # type: ignore[misc]
    return canvas.with_sampler(state)


def choose(canvas: Canvas, logits: Tensor, table: SamplerTable = BUILT_IN) -> Choice:
    """Draws a token for every active position of `logits` (N, V), measures confidence, and selects what is
    committed and what is masked again."""
    logits = _adjusted(canvas, logits, table)
    state = canvas.state
    token = draw(canvas, logits)
    seen = _seen(canvas, logits, table)
    if (published := published_dtype(state)) is not None:
        whole, seen = seen is logits, seen.to(published)
        logits = seen if whole else logits.to(published)
    probability = token_probability(logits, token)
    at = canvas.at[0]

    def measured(name: str) -> Tensor:
        likelihood = probability if seen is logits else token_probability(seen, token)
        return table.confidences[name](canvas, seen, token, likelihood)

    confidence = _each(state.confidences, state.confidence[at], measured)
    if canvas.ends and "late" in state.draws:
        ending = _is_in(token, canvas.ends) & state.late[at]
        confidence = torch.where(ending, -torch.inf, confidence)
    if "standing" in state.own:
        there = canvas.tokens[canvas.at]
        judged = (there != canvas.mask) & (state.own["standing"][at] > 0)
        confidence = torch.where(judged, token_probability(logits, there).to(confidence.dtype), confidence)
    plans = _plan(canvas, table, measured, lambda: seen.logsumexp(1))
    commit = _each(
        state.samplers, state.sampler[at], lambda name: table.samplers[name].select(canvas, confidence, plans)
    )
    # In float32, which a trace keeps exactly: a text that goes on from its trace has the same numbers.
    choice = Choice(token, confidence, commit, probability.float())
    remasks = [(number, table.samplers[name].remask) for number, name in enumerate(state.samplers)]
    for number, remask in remasks:
        if remask is not None:
            mine = remask(canvas, plans, choice) & (state.sampler == number)[:, None]
            choice = replace(choice, remask=mine if choice.remask is None else choice.remask | mine)
    for number, name in enumerate(state.samplers):
        if canvas.nothing >= 0 and (grow := table.samplers[name].grow) is not None:
            mine = state.sampler == number
            idle, added = grow(canvas, logits, choice)
            added = torch.where(mine[:, None], added, 0 if choice.grow is None else choice.grow)
            choice = replace(choice, commit=choice.commit & ~(mine & idle)[at], grow=added)
    return choice


def commit(canvas: Canvas, choice: Choice, table: SamplerTable = BUILT_IN) -> Canvas:
    """The canvas after the choice: committed positions filled, remasked ones masked, one step further; and
    where a sampler resizes, positions added and taken away."""
    after = canvas if choice.remask is None else canvas.remask(choice.remask)
    new = choice.commit & (choice.token != canvas.tokens[canvas.at])
    state = counted(canvas.state, canvas.at, new, choice.probability)
    made = replace(after.fill(choice.commit, choice.token), step=canvas.step + 1, sampler=state)
    for number, name in enumerate(state.samplers):
        if canvas.nothing >= 0 and (resize := table.samplers[name].resize) is not None:
            made = resize(canvas, made, state.sampler == number)
    return made if choice.grow is None else made.grown(choice.grow, {MEMORY: 1.0})


def counted(state: SamplerState, at: tuple[Tensor, Tensor], new: Tensor, probability: Tensor) -> SamplerState:
    """The state after a step of all rows: the positions `at` that are `new` (N,) got a token, with its
    probability (N,)."""
    rows, columns = at
    changed = torch.zeros_like(state.changed).scatter_add_(0, rows, new.long())
    state = replace(state, changed=changed)
    if (memory := state.own.get(MEMORY)) is None:
        return state
    memory = memory.clone()
    memory[rows, columns] = torch.where(new, probability.to(memory.dtype), memory[rows, columns])
    return state.with_own(**{MEMORY: memory})


def _adjusted(canvas: Canvas, logits: Tensor, table: SamplerTable) -> Tensor:
    """In float32, or float64 if that is what they are, as each row's sampler wants them."""
    logits = logits.double() if logits.dtype == torch.float64 else logits.float()
    state = canvas.state
    for number, name in enumerate(state.samplers):
        if (adjust := table.samplers[name].adjust) is not None:
            mine = (state.sampler == number)[canvas.at[0]]
            logits = torch.where(mine[:, None], adjust(canvas, logits), logits)
    return logits


def _seen(canvas: Canvas, logits: Tensor, table: SamplerTable) -> Tensor:
    """The logits that confidence is measured on, without what ends a text in rows that end late."""
    seen = _processed(canvas, logits, table)
    return _without_ends(canvas, seen) if canvas.ends and "late" in canvas.state.draws else seen


def _processed(canvas: Canvas, logits: Tensor, table: SamplerTable) -> Tensor:
    """The logits that confidence is measured on: in rows whose sampler wants it those after temperature and
    filters, in the others those of the model."""
    state = canvas.state
    wanted = [table.samplers[name].processed for name in state.samplers]
    if not any(wanted) or not state.draws & {"temperature", "top_k", "top_p", "min_p"}:
        return logits
    at = canvas.at[0]
    return torch.where(_is_one_of(state, wanted)[at][:, None], processed(canvas, logits), logits)


def _plan(
    canvas: Canvas, table: SamplerTable, measured: Callable[[str], Tensor], total: Callable[[], Tensor]
) -> Plan:
    """What its own schedule asks of each row."""
    state = canvas.state

    def schedule(size: Tensor, step: Tensor, steps: Tensor) -> Tensor:
        return _each(
            state.schedules, state.schedule, lambda name: table.schedules[name](size, step, steps, canvas)
        )

    return Plan(canvas, schedule, measured, total)


def _stay(state: SamplerState, table: SamplerTable) -> bool:
    """Whether some row's sampler stays in a block where nothing is masked any more."""
    return any(table.samplers[name].leaves != "filled" for name in state.samplers)


def _running(canvas: Canvas, table: SamplerTable) -> Tensor:
    """(B,) bool: rows whose sampler stays in its block, masked positions or not."""
    state = canvas.state
    made = canvas.step - state.block_begin
    staying = _is_one_of(state, [table.samplers[name].leaves != "filled" for name in state.samplers])
    until_settled = [table.samplers[name].leaves == "settled" for name in state.samplers]
    if any(until_settled):
        inside = canvas.masked & (canvas.block == state.block[:, None])
        settled = (made > 0) & (state.changed == 0) & ~inside.any(1)
        staying = staying & ~(_is_one_of(state, until_settled) & settled)
        if FULL in state.own:
            staying = staying & may_edit(canvas, inside.any(1))
    more = made < state.block_steps
    for number, name in enumerate(state.samplers):
        if (finished := table.samplers[name].finished) is not None:
            more = torch.where(state.sampler == number, (made == 0) | ~finished(canvas), more)
    return staying & (state.block_masked > 0) & more


def _is_one_of(state: SamplerState, wanted: Sequence[bool]) -> Tensor:
    """(B,) bool: rows whose sampler is among those of `state.samplers` that are wanted."""
    found = torch.zeros_like(state.late)
    for number, on in enumerate(wanted):
        if on:
            found = found | (state.sampler == number)
    return found


def _without_ends(canvas: Canvas, logits: Tensor) -> Tensor:
    """The logits (N, V) by which rows that end late measure confidence: those of the other tokens, whose
    probabilities then sum to 1 (LLaDA: confidence_eos_eot_inf). As they are where nothing else is allowed."""
    late = canvas.state.late[canvas.at[0]]
    others = logits.clone()
    for end in canvas.ends:
        others.select(1, end).masked_fill_(late, -torch.inf)
    return torch.where((others.amax(1) > -torch.inf)[:, None], others, logits)


def _is_in(token: Tensor, tokens: Sequence[int]) -> Tensor:
    """Whether each token is one of a few, without sending these to the device."""
    found = token == tokens[0]
    for other in tokens[1:]:
        found = found | (token == other)
    return found


def _each(kinds: Sequence[str], number: Tensor, make: Callable[[str], Tensor]) -> Tensor:
    """`make(kind)` for each kind in the batch, each row (or active position) taking its own by number."""
    value = make(kinds[0])
    for i, kind in enumerate(kinds[1:], start=1):
        value = torch.where(number == i, make(kind), value)
    return value


def _distinct(later: Tensor) -> Tensor:
    """(B,): number of different non-negative values in each row of `later`, whose values never decrease where
    not -1."""
    running = torch.nn.functional.pad(later, (1, 0), value=-1).cummax(1).values
    return (running[:, 1:] > running[:, :-1]).sum(1)
