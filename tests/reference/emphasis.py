"""What weights of a prompt's tokens mean, without a weight anywhere: the yardstick for ours. It imports
torch and nothing of the program.

- attention: a whole weight w is the prompt with the token there w times, at one position; 0 is the prompt
without it, the others where they were. For weights between, softmax over scores s_j with multiplicities
w_j is softmax(s_j + log w_j), so that the logits are a continuous function of w through these points. -
contrast: logits + sum over weights of (w - 1) (logits - logits without the tokens of this weight).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

Model = Callable[[Tensor, Tensor], Tensor]  # tokens (1, L) and their positions (L,) to logits (1, L, V)


def copies(weight: int) -> int:
    """How many times a token of this weight stands there."""
    return weight


def multiplied(tokens: Sequence[int], weights: Sequence[int]) -> tuple[list[int], list[int], list[int]]:
    """Tokens with their copies; the position of each; and for each token that is left the place of its first
    copy."""
    made: list[int] = []
    positions: list[int] = []
    first: list[int] = []
    for position, (token, weight) in enumerate(zip(tokens, weights, strict=True)):
        if copies(weight):
            first.append(len(made))
        made += [token] * copies(weight)
        positions += [position] * copies(weight)
    return made, positions, first


def attended(model: Model, prompt: Sequence[int], weights: Sequence[int], answer: Sequence[int]) -> Tensor:
    """(answer, V) logits after a prompt whose tokens have whole weights."""
    made, positions, _ = multiplied([*prompt, *answer], [*weights, *[1] * len(answer)])
    return model(torch.tensor([made]), torch.tensor(positions))[0, -len(answer) :]


def factor(weight: float) -> float:
    """What the difference that a span makes is multiplied by, beyond being there."""
    return weight - 1


def contrasted(logits: Tensor, without: Mapping[float, Tensor]) -> Tensor:
    """The logits of a prompt, moved along what its spans change. without: the logits without the spans of
    each weight."""
    moved = logits
    for weight, other in without.items():
        moved = moved + factor(weight) * (logits - other)
    return moved
