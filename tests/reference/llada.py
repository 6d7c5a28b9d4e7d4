"""LLaDA's published sampler, written plainly: the yardstick for ours. It imports torch and nothing of the
program.

Large Language Diffusion Models, arXiv:2502.09992; the block-wise low-confidence and random remasking of its
inference script, with what that script does at its edges:

- Confidence is the probability of the proposed token under the noiseless logits at temperature 1. - What
may be committed now: every mask before the end of the current block, also masks in the prompt and those
left over. How many: the masks inside the block when it started, dealt evenly over its steps. -
`confidence_eos_eot_inf` edits the logits *after* the proposal. At temperature 0 both ids become
impossible: where one is proposed the confidence is 0, and the others are renormalised; above 0 only the
end-of-turn id is touched. - Guidance with weight w adds up to a scale of s = w + 1: logits = base + s
(logits - base).

Not in the script, off by default: `banned`, and a defined order among equal confidences. The script leaves
that to `torch.topk`, which promises none (`ties="torch"`); here the leftmost comes first (`ties="first"`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

LogitsFn = Callable[[Tensor], Tensor]  # tokens (B, L) -> logits (B, L, V)
Uniform = Callable[[str, int, Sequence[int]], Tensor]  # "token" | "order", step, shape -> float64 in (0, 1)


def uniform_noise(purpose: str, step: int, shape: Sequence[int]) -> Tensor:
    """What the script draws from: torch's global generator."""
    return torch.rand(tuple(shape), dtype=torch.float64)


def even(count: int, steps: int) -> list[int]:
    """`count` dealt over `steps`; the first ones get what is left over."""
    return [count // steps + (step < count % steps) for step in range(steps)]


def guided(logits: Tensor, base: Tensor, cfg_scale: float) -> Tensor:
    """Classifier-free guidance; `base` are the logits of the canvas without its prompt."""
    return base + (cfg_scale + 1) * (logits - base)


def noisy(logits: Tensor, temperature: float, step: int, uniform: Uniform) -> Tensor:
    """Whose argmax is a sample of softmax(logits / temperature): exp(l) / (-log U)^T in float64, as
    published."""
    if temperature == 0:
        return logits
    exponential = -torch.log(uniform("token", step, logits.shape).to(torch.float64))
    return logits.to(torch.float64).exp() / exponential**temperature


def probability(logits: Tensor, proposal: Tensor) -> Tensor:
    """(B, L): how likely the proposed token is, in the dtype of the logits."""
    return torch.softmax(logits, dim=-1).gather(-1, proposal[..., None])[..., 0]


def candidates(tokens: Tensor, block_end: int, mask_id: int) -> Tensor:
    """(B, L) bool: what may be committed now."""
    column = torch.arange(tokens.shape[1])
    return (tokens == mask_id) & (column < block_end)


def best(confidence: Tensor, count: int, ties: str) -> Tensor:
    """Columns of the `count` highest values of one row."""
    if ties == "torch":
        return torch.topk(confidence, count).indices
    return torch.argsort(confidence, descending=True, stable=True)[:count]


@torch.no_grad()
def sample(
    logits_fn: LogitsFn,
    canvas: Tensor,
    answer: int,
    *,
    steps: int,
    block_length: int,
    mask_id: int,
    temperature: float = 0.0,
    cfg_scale: float = 0.0,
    remasking: str = "low_confidence",
    logits_eos_inf: bool = False,
    confidence_eos_eot_inf: bool = False,
    eos_id: int | None = None,
    eot_id: int | None = None,
    banned: Sequence[int] = (),
    ties: str = "first",
    uniform: Uniform = uniform_noise,
    trace: list[Tensor] | None = None,
) -> Tensor:
    """Denoises `canvas` (B, L), whose answer begins at column `answer`; every mask in it is to be filled.

    `steps` is the total, a multiple of the number of blocks. Each canvas after a step is appended to `trace`.
    """
    tokens = canvas.clone()
    given = canvas != mask_id
    blocks, rest = divmod(canvas.shape[1] - answer, block_length)
    assert rest == 0 and steps % blocks == 0, "the answer must be whole blocks, the steps the same for each"

    for block in range(blocks):
        start, end = answer + block * block_length, answer + (block + 1) * block_length
        open_masks = (tokens[:, start:end] == mask_id).sum(dim=1).tolist()
        counts = [even(n, steps // blocks) for n in open_masks]
        for i in range(steps // blocks):
            step = block * (steps // blocks) + i
            logits = logits_fn(tokens).clone()
            if cfg_scale > 0:
                logits = guided(logits, logits_fn(tokens.masked_fill(given, mask_id)), cfg_scale)
            logits[..., list(banned)] = -torch.inf
            if logits_eos_inf:
                logits[..., eos_id] = -torch.inf
            proposal = noisy(logits, temperature, step, uniform).argmax(dim=-1)
            if confidence_eos_eot_inf:
                logits[..., eot_id] = -torch.inf
                if temperature == 0:
                    logits[..., eos_id] = -torch.inf
            if remasking == "low_confidence":
                confidence = probability(logits, proposal)
            elif remasking == "random":
                confidence = uniform("order", step, proposal.shape)
            else:
                raise ValueError(f"remasking {remasking!r}: low_confidence or random")
            confidence = confidence.masked_fill(~candidates(tokens, end, mask_id), -torch.inf)
            for row in range(tokens.shape[0]):
                chosen = best(confidence[row], counts[row][i], ties)
                tokens[row, chosen] = proposal[row, chosen]
            if trace is not None:
                trace.append(tokens.clone())
    return tokens


def generate(logits_fn: LogitsFn, prompt: Tensor, *, length: int, mask_id: int, **options) -> Tensor:
    """`prompt` (B, P) followed by `length` masks, denoised: (B, P + length)."""
    answer = torch.full((prompt.shape[0], length), mask_id, dtype=prompt.dtype)
    return sample(logits_fn, torch.cat([prompt, answer], dim=1), prompt.shape[1], mask_id=mask_id, **options)
