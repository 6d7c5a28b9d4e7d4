"""The evidence bound of a masked diffusion model on given texts, through the program's own forward pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Protocol

import torch

from webui.canvas import Canvas

DRAWS = 8
TOKENS = 4096  # of a forward pass on a CPU
NUMBERS = 1 << 25  # logits of a forward pass, at most


class Scored(Protocol):
    """A text to score: the tokens of `answer` at the positions `scored`, given `prompt` and the rest of the
    answer. `weights`, where there are some: the log-weights of the prompt's tokens as attention keys."""

    @property
    def prompt(self) -> Sequence[int]: ...
    @property
    def answer(self) -> Sequence[int]: ...
    @property
    def scored(self) -> Sequence[int]: ...


@dataclass(frozen=True)
class Whole:
    """A text without a prompt, all of which is scored."""

    answer: Sequence[int]
    prompt: Sequence[int] = ()

    @property
    def scored(self) -> Sequence[int]:
        return range(len(self.answer))


@dataclass(frozen=True)
class _Row:
    """One draw: these positions of a passage's answer are masked; the sum of their losses counts `weight`
    times."""

    passage: int
    masked: tuple[int, ...]
    weight: float


def bounds(
    model: Any,
    passages: Sequence[Scored],
    seed: int = 0,
    draws: int = DRAWS,
    progress: Callable[[float], None] | None = None,
    alike: bool = False,
) -> list[float]:
    """For each passage, an estimate in nats of the bound on -log p(scored tokens | prompt, the rest of the
    answer).

    Of n scored tokens, m = floor(t n) + 1 are masked, t drawn in (0, 1] once in each of `draws` equal strata,
    and the sum of their cross-entropies counts n/m times. That is the same expectation as masking each with
    probability t and weighing 1/t, with less variance (Nie et al. 2025, appendix A, equation 14). The mask
    token is no possible token. The canvas is as long as the answer, so its length is given to the model.
    `progress` is called with the share that is done. `alike`: the masks of a passage do not depend on its
    place in the list, so those of equal length are scored at the same positions and can be compared closely.
    """
    rows = [row for i, one in enumerate(passages) for row in _rows(i, one, seed, draws, alike)]
    rows.sort(key=lambda row: len(passages[row.passage].prompt) + len(passages[row.passage].answer))
    nats, done = [0.0] * len(passages), 0
    while done < len(rows):
        widest = min(len(rows), done + _many(model, passages, rows[done])) - 1
        some = rows[done : done + _many(model, passages, rows[widest])]
        for row, loss in zip(some, _losses(model, passages, some), strict=True):
            nats[row.passage] += row.weight * loss / draws
        done += len(some)
        if progress is not None:
            progress(done / len(rows))
    return nats


def _rows(number: int, passage: Scored, seed: int, draws: int, alike: bool) -> list[_Row]:
    dice, n = Random(f"{seed} masks {0 if alike else number}"), len(passage.scored)
    counts = [min(n, int((draw + dice.random()) / draws * n) + 1) for draw in range(draws)] if n else []
    return [_Row(number, tuple(sorted(dice.sample(passage.scored, m))), n / m) for m in counts]


def _many(model: Any, passages: Sequence[Scored], row: _Row) -> int:
    """Rows of a forward pass, if none is longer than this one."""
    width = len(passages[row.passage].prompt) + len(passages[row.passage].answer)
    most = NUMBERS // (width * model.vocabulary)
    return max(1, min(most, TOKENS // width) if model.device.type == "cpu" else most)


@torch.no_grad()
def _losses(model: Any, passages: Sequence[Scored], rows: Sequence[_Row]) -> list[float]:
    """For each row, the sum of the cross-entropies at its masked positions."""
    answers, targets, owners = [], [], []
    for i, row in enumerate(rows):
        answer = list(passages[row.passage].answer)
        for position in row.masked:
            targets.append(answer[position])
            owners.append(i)
            answer[position] = model.mask
        answers.append(answer)
    prompts = [passages[row.passage].prompt for row in rows]
    weights = [getattr(passages[row.passage], "weights", None) for row in rows]
    canvas = Canvas.build(
        prompts, answers, [0] * len(rows), model.mask, model.ends, model.device, weights=weights
    )
    logits = model(replace(canvas, active=canvas.masked)).clone()
    logits[:, model.mask] = -torch.inf
    losses = torch.nn.functional.cross_entropy(
        logits, torch.tensor(targets, device=logits.device), reduction="none"
    )
    sums = torch.zeros(len(rows), dtype=torch.float64, device=logits.device)
    return sums.index_add(0, torch.tensor(owners, device=logits.device), losses.double()).tolist()
