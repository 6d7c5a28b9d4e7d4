"""Dream's samplers, written plainly after its published generation code: the yardstick for ours. It
imports torch and nothing of the program.

Dream 7B, arXiv:2508.15487. Times t run linearly from 1 to eps in S + 1 values; in the step from t to s of
n masked positions int(n (1 - s / t)) are committed, in the last step all. `origin` commits each masked
position with probability 1 - s / t instead. Which ones: the most confident; with alg_temp drawn without
replacement from softmax(confidence / alg_temp). Confidence is measured on the logits after temperature,
top-p and top-k: the probability of the token (maskgit_plus), its lead over the second (topk_margin), or
the negative entropy (entropy).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tests.reference.llada import LogitsFn


def times(steps: int, eps: float) -> list[float]:
    return [1 + (eps - 1) * i / steps for i in range(steps + 1)]


def count(masked: int, t: float, s: float, last: bool) -> int:
    return masked if last else int(masked * (1 - s / t))


def filtered(logits: Tensor, temperature: float, top_p: float, top_k: int) -> Tensor:
    """(L, V) logits of what the draw is from."""
    logits = logits / temperature if temperature > 0 else logits.clone()
    if top_k > 0:
        least = logits.topk(top_k, -1).values[:, -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    if top_p < 1:
        ordered, index = logits.sort(descending=True, stable=True)
        share = ordered.softmax(-1)
        drop = share.cumsum(-1) - share >= top_p
        logits = logits.masked_fill(torch.zeros_like(drop).scatter(-1, index, drop), -torch.inf)
    return logits


def confidence(logits: Tensor, alg: str) -> Tensor:
    share = logits.softmax(-1)
    if alg == "entropy":
        return torch.where(share > 0, share * share.log(), 0.0).sum(-1)
    top = share.topk(2, -1).values
    return top[:, 0] - top[:, 1] if alg == "topk_margin" else top[:, 0]


def order(value: Tensor, alg_temp: float, uniform: Tensor) -> Tensor:
    """What positions are ordered by: drawing k without replacement is taking the k highest of these."""
    return value / alg_temp - torch.log(-torch.log(uniform)) if alg_temp > 0 else value


@torch.no_grad()
def sample(
    logits_fn: LogitsFn,
    canvas: Tensor,
    answer: int,
    *,
    steps: int,
    mask_id: int,
    alg: str,
    uniform: Callable[[str, int, int], Tensor],
    alg_temp: float = 0.0,
    eps: float = 1e-3,
    top_p: float = 1.0,
    top_k: int = 0,
    banned: Sequence[int] = (),
) -> Tensor:
    """Denoises `canvas` (B, L), row by row; the likeliest token is drawn. uniform: "order" or "commit",
    row, step -> a number for each position of the answer."""
    rows = []
    for number, row in enumerate(canvas):
        tokens, at = row.clone(), times(steps, eps)
        for step in range(steps):
            masked = tokens == mask_id
            if not masked.any():
                break
            logits = logits_fn(tokens[None])[0].clone()
            logits[:, list(banned)] = -torch.inf
            logits = filtered(logits, 0.0, top_p, top_k)
            last, come = step == steps - 1, torch.zeros_like(masked)
            if alg == "origin":
                luck = torch.ones(len(row), dtype=torch.float64)
                luck[answer:] = uniform("commit", number, step)
                come = masked & ((luck < 1 - at[step + 1] / at[step]) | last)
            else:
                luck = torch.full((len(row),), 0.5)
                luck[answer:] = uniform("order", number, step).float()
                value = torch.where(masked, order(confidence(logits, alg), alg_temp, luck), -torch.inf)
                many = count(int(masked.sum()), at[step], at[step + 1], last)
                come[torch.argsort(value, descending=True, stable=True)[:many]] = True
            tokens = torch.where(come, logits.argmax(-1), tokens)
        rows.append(tokens)
    return torch.stack(rows)
