"""DiffusionGemma's sampler (Google 2026; transformers: EntropyBoundSampler,
StableAndConfidentStoppingCriteria): every step decides anew about the whole block.

All positions of the block draw a token, at a temperature that falls from `t_max` to `t_min`. In ascending
order of entropy they are accepted as long as the entropies of those before sum up to at most `entropy_bound`;
all others are masked again. The block is finished once the likeliest tokens are those of the last `stable`
steps and the mean entropy is below `confident`, or with its last step: then every position gets its likeliest
token.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from webui.canvas import Canvas, Choice
from webui.denoising.samplers.plan import Plan
from webui.denoising.samplers.selections import rank

# of `own`: the logits of the step before and for which step they hold, see `Canvas.guess`; the likeliest
# tokens by column; for how many steps they have been the same; the step that finishes the block; the
# most steps of a block
GUESS, GUESS_OF = "guess", "guess_of"
OPTIONS = ("entropy_bound", "t_max", "t_min", "stable", "confident")
LIKELIEST, SAME, DONE, MOST = "renoise.likeliest", "renoise.same", "renoise.done", "renoise.most"


def begin(canvas: Canvas) -> Mapping[str, Tensor]:
    """How many steps a block has, an equal share; nothing else is known. How long a block can be is known
    here, on the host, and how large the vocabulary is in the first step."""
    rows, length = canvas.tokens.shape
    state = canvas.state
    columns = length - canvas.answer + state.lead
    blocks = torch.div(columns + state.block_length - 1, state.block_length, rounding_mode="floor").clamp(
        min=1
    )
    longest = min(int(canvas.state.block_length.max()), length)
    never = torch.full_like(canvas.step, -1)
    return {
        GUESS: torch.zeros((rows, longest, 0), device=canvas.tokens.device),
        GUESS_OF: never,
        LIKELIEST: torch.full_like(canvas.tokens, -1),
        SAME: torch.zeros_like(never),
        DONE: never,
        MOST: torch.div(state.steps, blocks, rounding_mode="floor").clamp(min=1),
    }


def adjusted(canvas: Canvas, logits: Tensor) -> Tensor:
    """The logits (N, V) over the temperature of the step; in a block's last nothing but the likeliest
    token."""
    rows, own = canvas.at[0], canvas.state.own
    left = 1 - _made(canvas) / _steps(canvas)
    heat = own["t_min"].double() + (own["t_max"].double() - own["t_min"].double()) * left
    logits = logits / heat.to(logits.dtype).clamp(min=1e-6)[rows][:, None]
    last = finishes(canvas)[rows][:, None]
    likeliest = torch.zeros_like(logits, dtype=torch.bool).scatter_(1, logits.argmax(1, keepdim=True), True)
    return torch.where(last & ~likeliest, -torch.inf, logits)


def observe(canvas: Canvas, logits: Tensor) -> Mapping[str, Tensor]:
    """The guesses of this step, for the next one, and whether it finishes the block: entries of `own`."""
    state, (rows, columns) = canvas.state, canvas.at
    place = torch.remainder(columns - canvas.answer[rows] + state.lead[rows], state.block_length[rows])
    kept = state.own[GUESS]
    wide = kept.clone() if kept.shape[2] else kept.new_zeros((*kept.shape[:2], logits.shape[1]))
    wide[rows, place] = logits.to(wide.dtype)
    best, before = logits.argmax(1), state.own[LIKELIEST]
    other = torch.zeros_like(canvas.step).scatter_add_(0, rows, (before[rows, columns] != best).long())
    known = (state.own[GUESS_OF] == canvas.step) & (_made(canvas) > 0)
    same = torch.where(known & (other == 0), state.own[SAME] + 1, 0)
    logs = logits.log_softmax(1)
    entropy = -(logs.exp() * logs.clamp(min=torch.finfo(logs.dtype).min)).sum(1)
    total = torch.zeros(canvas.step.shape, dtype=entropy.dtype, device=entropy.device).scatter_add_(
        0, rows, entropy
    )
    many = torch.zeros_like(canvas.step).scatter_add_(0, rows, torch.ones_like(rows)).clamp(min=1)
    calm = (same >= state.own["stable"]) & (total / many < state.own["confident"].to(entropy.dtype))
    likeliest = before.clone()
    likeliest[rows, columns] = best
    return {
        GUESS: wide,
        GUESS_OF: canvas.step + 1,
        LIKELIEST: likeliest,
        SAME: same,
        DONE: torch.where(calm, canvas.step, state.own[DONE]),
    }


def select(canvas: Canvas, confidence: Tensor, plan: Plan) -> Tensor:
    """Those that are accepted; all of them in a block's last step."""
    rows, place = canvas.at[0], rank(canvas, confidence)
    entropy = -plan.measured("entropy").double()
    ordered = torch.zeros(canvas.tokens.shape, dtype=entropy.dtype, device=entropy.device)
    ordered[rows, place] = entropy
    before = (ordered.cumsum(1) - ordered)[rows, place]
    return (before <= canvas.state.own["entropy_bound"].double()[rows]) | finishes(canvas)[rows]


def remask(canvas: Canvas, plan: Plan, choice: Choice) -> Tensor:
    """(B, L) bool: what was accepted before and is not accepted now."""
    chosen = torch.zeros_like(canvas.active)
    chosen[canvas.at] = choice.commit
    return canvas.active & ~canvas.masked & ~chosen


def finishes(canvas: Canvas) -> Tensor:
    """(B,) bool: rows whose block is finished by this step."""
    return (canvas.state.own[DONE] == canvas.step) | (_made(canvas) + 1 >= _steps(canvas))


def finished(canvas: Canvas) -> Tensor:
    """(B,) bool: rows whose block was finished by the step before."""
    return (canvas.state.own[DONE] == canvas.step - 1) | (_made(canvas) >= _steps(canvas))


def _made(canvas: Canvas) -> Tensor:
    """(B,) long: steps that the block has had."""
    return canvas.step - canvas.state.block_begin


def _steps(canvas: Canvas) -> Tensor:
    """(B,) long: the most steps of a block, each of which has as many."""
    return canvas.state.own[MOST]
