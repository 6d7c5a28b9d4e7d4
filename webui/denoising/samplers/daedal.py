"""DAEDAL (Li et al. 2025, arXiv 2508.00819): an answer that gets the length that the model asks for.

An answer begins with few masked positions and has room for more. As long as nothing is committed, each step
asks how sure the model is that the text ends within them: among the last `checked` positions at which an
end-of-text is the likeliest token its mean probability, those that are missing counting as 0. Below
`end_threshold` the answer gets `factor` masked positions more, and nothing is committed; else it gets
end-of-texts at its end, half as many as are checked. From then on each step commits what is surer than
`high`, at least the surest position; and if the text does not surely end (below `insert_threshold`), the
least sure masked position of the block below `low` becomes `factor` of them.

Whoever answers without room (`canvas.absent`) commits alone. Where steps run short nothing grows, and in the
last one of a block all that is left is committed.
"""

from __future__ import annotations

import torch
from torch import Tensor

from webui.canvas import Canvas, Choice
from webui.denoising.samplers.plan import Plan
from webui.denoising.samplers.selections import rank

OPTIONS = ("factor", "high", "low", "end_threshold", "insert_threshold", "checked")


def option(canvas: Canvas, name: str) -> Tensor:
    """(B,) float: the value of one of `OPTIONS` in each row."""
    return canvas.state.own[f"daedal.{name}"]


def ending(canvas: Canvas, logits: Tensor) -> Tensor:
    """(B,) float: how sure the model is that the text ends, from the logits (N, V) of all its positions."""
    top = logits.argmax(1)
    ends = torch.zeros_like(top, dtype=torch.bool)
    for end in canvas.ends:
        ends = ends | (top == end)
    sure = logits.softmax(1).gather(1, top[:, None])[:, 0]
    every = torch.zeros(canvas.tokens.shape, dtype=sure.dtype, device=sure.device)
    every[canvas.at] = torch.where(ends, sure, 0.0)
    from_the_end = (every > 0).flip(1).cumsum(1).flip(1)
    checked = option(canvas, "checked").to(sure.dtype)
    return torch.where(from_the_end <= checked[:, None], every, 0.0).sum(1) / checked


def select(canvas: Canvas, confidence: Tensor, plan: Plan) -> Tensor:
    """What is surer than `high`, at least the surest, in the block; all of it in its last step."""
    row = canvas.at[0]
    inside = _inside(canvas)[canvas.at]
    # Late end-of-text has minus infinity, too, and still comes before what is outside.
    ordered = confidence.clamp(min=torch.finfo(confidence.dtype).min).masked_fill(~inside, -torch.inf)
    best = rank(canvas, ordered) < 1
    high = option(canvas, "high").to(confidence.dtype)[row]
    return inside & (best | (confidence > high) | _last(canvas)[row])


def grow(canvas: Canvas, logits: Tensor, choice: Choice) -> tuple[Tensor, Tensor]:
    """(B,) bool: rows that commit nothing, because their length is still to be found; and what each row
    gets: `Choice.grow`. Where an insertion has too little room, what stands at the end is cut off."""
    rows, columns = canvas.at
    sure = ending(canvas, logits)
    room, masked = canvas.absent.sum(1), canvas.masked
    length = canvas.tokens.shape[1] - canvas.answer
    untouched = masked.sum(1) + room == length
    factor = option(canvas, "factor").long()
    begins = untouched & (room > 0) & ~_last(canvas)
    longer = begins & (sure < option(canvas, "end_threshold").to(sure.dtype)) & _may(canvas, factor)

    low = option(canvas, "low").to(choice.probability.dtype)[rows]
    doubtful = _inside(canvas)[canvas.at] & ~choice.commit & (choice.probability < low)
    least = torch.full(canvas.tokens.shape, torch.inf, dtype=choice.probability.dtype, device=rows.device)
    least[rows, columns] = choice.probability.masked_fill(~doubtful, torch.inf)
    inserts = ~untouched & (room > 0) & (least.amin(1) < torch.inf) & _may(canvas, factor)
    inserts = inserts & (sure < option(canvas, "insert_threshold").to(sure.dtype))

    place = torch.where(inserts, least.argmin(1), canvas.tokens.shape[1] - room - 1)
    masks = torch.where(longer, torch.minimum(factor, room), torch.where(inserts, factor - 1, 0))
    half = torch.div(option(canvas, "checked").long(), 2, rounding_mode="floor")
    ends = torch.where(begins & ~longer, torch.minimum(half, room), 0)
    return begins, torch.stack([place, masks, ends], 1)


def _inside(canvas: Canvas) -> Tensor:
    """(B, L) bool: masked positions of the block."""
    return canvas.masked & (canvas.block == canvas.state.block[:, None])


def _blocks(canvas: Canvas, more: Tensor | int = 0) -> Tensor:
    """(B,) long: blocks from the one that is denoised to the last, if the answer had so many positions
    more."""
    state = canvas.state
    there = canvas.tokens.shape[1] - canvas.answer - canvas.absent.sum(1) + more + state.lead
    last = torch.div((there - 1).clamp(min=0), state.block_length, rounding_mode="floor")
    return (last - state.block + 1).clamp(min=1)


def _last(canvas: Canvas) -> Tensor:
    """(B,) bool: rows that have no step to spare for the block."""
    return canvas.step + _blocks(canvas) >= canvas.state.steps


def _may(canvas: Canvas, factor: Tensor) -> Tensor:
    """(B,) bool: rows with steps enough for an answer of so many positions more."""
    return canvas.step + 1 + _blocks(canvas, factor) < canvas.state.steps
