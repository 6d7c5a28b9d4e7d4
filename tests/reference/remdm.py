"""ReMDM's sampler, written plainly: the yardstick for ours. It imports torch and nothing of the program.

Remasking Discrete Diffusion Models with Inference-Time Scaling, arXiv:2503.00307; its step from t to s,
with alpha_t and alpha_s the chances that a position is not masked (section 3 and 4.1):

- a committed position is masked again with probability sigma, otherwise it stays; - a masked one becomes
a token with probability (alpha_s - (1 - sigma) alpha_t) / (1 - alpha_t), otherwise it stays masked; -
sigma is at most min(1, (1 - alpha_s) / alpha_t): eta times that (rescale), or eta where that is more
(cap), or shared out over the committed positions by the softmax of minus the probability that each token
had when it was committed (conf); masked positions then come with probability (alpha_s - alpha_t) / (1 -
alpha_t); - loop (section 4.2, sampling.t_on, t_off, alpha_on of the published program): alpha rises to
alpha_on while time is above t_on, stays there with sigma = eta down to t_off, and rises to 1.

Around that stands the block-wise script of LLaDA, with its even schedule: alpha is the share of a block
that the schedule has committed. The token is the likeliest one; what is drawn is which positions change,
from `uniform`, one number for each position of the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tests.reference.llada import LogitsFn, even

Draw = Callable[
    [str, int, int], Tensor
]  # "remask" | "commit", row, step -> (length of the answer,) in (0, 1)


def largest(before: float, after: float) -> float:
    """The largest sigma for which probabilities stay between 0 and 1."""
    return 1.0 if before == 0 else min(1.0, (1 - after) / before)


def rescale(eta: float, before: float, after: float) -> float:
    return eta * largest(before, after)


def cap(eta: float, before: float, after: float) -> float:
    return min(eta, largest(before, after))


def conf(psi: Tensor, free: Tensor, before: float, after: float) -> Tensor:
    """sigma of each position; `psi` are the probabilities, `free` the committed positions."""
    if not free.any():
        return torch.zeros_like(psi)
    return torch.where(free, torch.where(free, -psi, -torch.inf).softmax(0), 0.0) * largest(before, after)


def loop_shares(step: int, steps: int, on: float, off: float, alpha: float) -> tuple[float, float, bool]:
    """alpha_t, alpha_s, and whether the step is in the loop."""
    t, s = 1 - step / steps, 1 - (step + 1) / steps
    if t > on:
        return (1 - t) * alpha / (1 - on), (1 - s) * alpha / (1 - on), False
    if t <= off:
        return 1 - t * (1 - alpha) / off, 1 - s * (1 - alpha) / off, False
    return alpha, alpha, True


def chance(sigma: float, before: float, after: float) -> float:
    """That a masked position becomes a token."""
    return (after - (1 - sigma) * before) / (1 - before)


def may_go(tokens: Tensor, given: Tensor, mask_id: int) -> Tensor:
    """What can be masked again: committed positions."""
    return (tokens != mask_id) & ~given


def step(tokens: Tensor, given: Tensor, proposal: Tensor, go: Tensor, come: Tensor, mask_id: int) -> Tensor:
    """The block after one step: what goes and what comes, both of what stood there before."""
    masked = tokens == mask_id
    after = torch.where(go & may_go(tokens, given, mask_id), mask_id, tokens)
    return torch.where(come & masked, proposal, after)


def remembered(psi: Tensor, likely: Tensor, old: Tensor, new: Tensor, mask_id: int) -> Tensor:
    """The probability of each token when it was committed."""
    return torch.where((old == mask_id) & (new != mask_id), likely, psi)


@torch.no_grad()
def sample(
    logits_fn: LogitsFn,
    canvas: Tensor,
    answer: int,
    *,
    steps: int,
    block_length: int,
    mask_id: int,
    eta: float,
    sigma: str,
    uniform: Draw,
    banned: Sequence[int] = (),
    t_on: float = 0.55,
    t_off: float = 0.05,
    alpha_on: float = 0.9,
) -> Tensor:
    """Denoises `canvas` (B, L), whose answer begins at column `answer`; every mask in it is to be filled.

    `steps` is the total, a multiple of the number of blocks; `sigma` is "rescale", "cap", "conf" or "loop".
    """
    tokens, given = canvas.clone(), canvas != mask_id
    psi = torch.zeros(canvas.shape, dtype=torch.float64)
    blocks, rest = divmod(canvas.shape[1] - answer, block_length)
    assert rest == 0 and steps % blocks == 0, "the answer must be whole blocks, the steps the same for each"
    each = steps // blocks
    for block in range(blocks):
        start, end = answer + block * block_length, answer + (block + 1) * block_length
        sizes = (tokens[:, start:end] == mask_id).sum(1).tolist()
        for i in range(each):
            logits = logits_fn(tokens).clone()
            logits[..., list(banned)] = -torch.inf
            proposal = logits.argmax(-1)
            likely = logits.softmax(-1).amax(-1).double()
            for row, size in enumerate(sizes):
                if not size:
                    continue
                dealt = even(size, each)
                before, after = sum(dealt[:i]) / size, sum(dealt[: i + 1]) / size
                part, place = slice(start, end), slice(start - answer, end - answer)
                old = tokens[row, part]
                if sigma == "loop":
                    before, after, inside = loop_shares(i, each, t_on, t_off, alpha_on)
                    probability = eta if inside else 0.0
                elif sigma == "conf":
                    probability = conf(psi[row, part], may_go(old, given[row, part], mask_id), before, after)
                else:
                    probability = (rescale if sigma == "rescale" else cap)(eta, before, after)
                go = uniform("remask", row, block * each + i)[place] < probability
                come = uniform("commit", row, block * each + i)[place] < chance(probability, before, after)
                if i == each - 1:
                    go, come = torch.zeros_like(go), torch.ones_like(come)
                new = step(old, given[row, part], proposal[row, part], go, come, mask_id)
                psi[row, part] = remembered(psi[row, part], likely[row, part], old, new, mask_id)
                tokens[row, part] = new
    return tokens
