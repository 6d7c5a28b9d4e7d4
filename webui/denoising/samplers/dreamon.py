"""DreamOn's sampler (Wu et al. 2026, arXiv 2602.01326, its published generation code): gaps that grow and
shrink.

Each step commits one position. Where the token is the one that expands, two masked positions stand there
instead; where it is an end-of-text, the position is deleted, and so is what is masked behind it in its gap. A
gap has room for so many positions; those that are not there yet, or no more, hold the token
`canvas.nothing`, which counts as no position and is not attended to (`Canvas.absent`). A gap without room,
and a row that has expanded `most` times, cannot expand. In the last step all that is left is committed.

Without such a token (`canvas.writes_nothing`) positions stay as many as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from webui.canvas import Canvas
from webui.denoising.samplers.plan import MEMORY, Plan
from webui.denoising.samplers.selections import rank

GAP, SPENT, MOST = "dreamon.gap", "dreamon.spent", "most"


def begin(canvas: Canvas) -> Mapping[str, Tensor]:
    """The number of the gap that each column has room for, from 1, and how often a row has expanded."""
    if not canvas.writes_nothing:
        return {}
    free = ~canvas.given | canvas.absent
    first = free & ~torch.nn.functional.pad(free[:, :-1], (1, 0))
    return {GAP: (first.cumsum(1) * free).float(), SPENT: torch.zeros_like(canvas.seed, dtype=torch.float32)}


def select(canvas: Canvas, confidence: Tensor, plan: Plan) -> Tensor:
    """The most confident position of each row; all of them in the last step."""
    return (rank(canvas, confidence) < 1) | _last(canvas)[canvas.at[0]]


def may_expand(canvas: Canvas, rows: Tensor) -> Tensor:
    """(N,) bool: at which active positions of these `rows` (B,) of the sampler the token that expands may
    be written."""
    own, (row, column) = canvas.state.own, canvas.at
    gap, room = own[GAP][row, column], canvas.absent
    wide = own[GAP].long()
    count = torch.zeros(wide.shape[0], wide.shape[1] + 1, dtype=torch.long, device=wide.device)
    count.scatter_add_(1, wide, room.long())
    full = count[row, gap.long()] == 0
    left = (own[SPENT] < own[MOST]) & rows & ~_last(canvas)
    return ~full & left[row] & (gap > 0)


def resize(before: Canvas, after: Canvas, rows: Tensor) -> Canvas:
    """The canvas `after` a commit, in these `rows` (B,) of the sampler, with expanded positions doubled and
    ended ones deleted."""
    if not before.writes_nothing:
        return after
    own, old, nothing = after.state.own, after.tokens, after.nothing
    gap, column = own[GAP], torch.arange(old.shape[1], device=old.device)
    mine = rows[:, None] & (gap > 0)
    written = mine & before.masked & ~after.masked
    ends = torch.zeros_like(mine)
    for end in after.ends:
        ends = ends | (old == end)
    ends = ends & written
    gone = ends | (mine & after.masked & _behind(ends, gap))
    tokens = torch.where(gone, nothing, old)
    # The leftmost token that expands; a commit writes one, and others of a `pick` stay masked.
    doubled = written & (old == nothing)
    tokens = torch.where(doubled, after.mask, tokens)
    at, any_at = doubled.to(torch.uint8).argmax(1, keepdim=True), doubled.any(1, keepdim=True)
    room = (tokens == nothing) & (gap == gap.gather(1, at)) & mine
    far = old.shape[1]
    right = torch.where(room & (column > at), column, far).amin(1, keepdim=True)
    left = torch.where(room & (column < at), column, -1).amax(1, keepdim=True)
    to_right, to_left = any_at & (right < far), any_at & (right == far) & (left >= 0)
    source = column.expand_as(old)
    source = torch.where(to_right & (column > at + 1) & (column <= right), column - 1, source)
    source = torch.where(to_left & (column >= left) & (column < at - 1), column + 1, source)
    tokens, given = tokens.gather(1, source), after.given.gather(1, source)
    new = (to_right & (column == at + 1)) | (to_left & (column == at - 1))
    tokens = torch.where(new, after.mask, tokens)
    absent = mine & (tokens == nothing)
    given = torch.where(
        mine, absent | (given & ~new & (after.tokens.gather(1, source) != nothing)), after.given
    )
    memory = own[MEMORY].gather(1, source)
    state = after.state.with_own(**{MEMORY: torch.where(mine, memory, own[MEMORY])})
    made = replace(after, tokens=torch.where(mine, tokens, old), given=given, sampler=state)
    return spent(before, made)


def spent(before: Canvas, after: Canvas) -> Canvas:
    """With the expansions counted that a step made: each took the room of one position."""
    own = after.state.own
    if SPENT not in own:
        return after
    made = (before.absent & ~after.absent).sum(1)
    return after.with_sampler(after.state.with_own(**{SPENT: own[SPENT] + made}))


def _last(canvas: Canvas) -> Tensor:
    """(B,) bool: rows in the last step of their block."""
    state = canvas.state
    return canvas.step - state.block_begin + 1 >= state.block_steps


def _behind(ends: Tensor, gap: Tensor) -> Tensor:
    """(B, L) bool: columns that have one of `ends` before them in their own gap."""
    many = ends.cumsum(1)
    first = gap != torch.nn.functional.pad(gap[:, :-1], (1, 0), value=-1)
    return many > torch.where(first, many - ends.long(), 0).cummax(1).values
