"""DiffusionGemma's sampler, written plainly after the published program (transformers 5.23,
generation_diffusion_gemma.py): the yardstick for ours. It imports torch and nothing of the program.

A block begins as noise. Each step draws a token for every position, at a temperature that falls linearly, and
accepts them in ascending order of entropy as long as the entropies of those accepted before, without its own, sum
up to at most the bound; all others are noise again. The block ends once the likeliest tokens have been the same for
`stable` steps and the mean entropy is below `confident`, and with its last step. What is kept of it are the
likeliest tokens of the step that ended it.

Noise is `mask_id` here; what a model sees in its place is the model's business. Tokens drawn are the likeliest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

LogitsFn = Callable[[Tensor], Tensor]  # (1, L) tokens -> (1, L, V)


def temperature(left: int, steps: int, t_max: float, t_min: float) -> float:
    """Of the step with which `left` are left, itself among them."""
    return t_min + (t_max - t_min) * left / steps


def entropy(logits: Tensor) -> Tensor:
    """(N,) in nats."""
    logs = logits.double().log_softmax(-1)
    return -(logs.exp() * logs.clamp(min=-1e30)).sum(-1)


def accepted(entropies: Tensor, bound: float) -> Tensor:
    """(N,) bool."""
    ordered, index = entropies.sort(stable=True)
    return torch.zeros_like(index, dtype=torch.bool).scatter(0, index, ordered.cumsum(0) - ordered <= bound)


def kept(now: Tensor, before: Tensor) -> Tensor:
    """(N,) bool: which tokens stand after the step: those accepted in it, whatever was accepted before."""
    return now


def settled(history: Sequence[Tensor], best: Tensor, stable: int) -> bool:
    """Whether the likeliest tokens are those of each of the last `stable` steps."""
    return len(history) >= stable and all(torch.equal(one, best) for one in history[len(history) - stable :])


def calm(entropies: Tensor, confident: float) -> bool:
    return bool(entropies.mean() < confident)


@torch.no_grad()
def sample(
    logits_fn: LogitsFn,
    canvas: Tensor,
    answer: int,
    *,
    steps: int,
    block_length: int,
    mask_id: int,
    entropy_bound: float = 0.1,
    t_max: float = 0.8,
    t_min: float = 0.4,
    stable: int = 1,
    confident: float = 0.005,
    banned: Sequence[int] = (),
    trace: list[Tensor] | None = None,
) -> Tensor:
    """Denoises `canvas` (B, L), row by row, at most `steps` for each block. `trace` gets each row's tokens after
    every step."""
    rows = []
    for row in canvas:
        tokens = row.clone()
        for start in range(answer, len(row), block_length):
            inside = torch.zeros(len(row), dtype=torch.bool)
            inside[start : start + block_length] = True
            inside &= row == mask_id
            history: list[Tensor] = []
            best, stood = tokens[inside], torch.zeros(int(inside.sum()), dtype=torch.bool)
            for left in range(steps, 0, -1):
                if not inside.any():
                    break
                logits = logits_fn(tokens[None])[0][inside].clone()
                logits[:, list(banned)] = -torch.inf
                logits = logits / temperature(left, steps, t_max, t_min)
                best, entropies = logits.argmax(-1), entropy(logits)
                stood = kept(accepted(entropies, entropy_bound), stood)
                tokens[inside] = torch.where(stood, best, mask_id)
                ends = settled(history, best, stable) and calm(entropies, confident)
                history.append(best)
                if trace is not None:
                    trace.append(tokens.clone())
                if ends:
                    break
            tokens[inside] = best
        rows.append(tokens)
    return torch.stack(rows)
