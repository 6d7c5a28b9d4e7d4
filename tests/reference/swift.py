"""Drafts by a cheaper pass, verified by the model, written plainly: the yardstick for ours. It imports torch and
nothing of the program.

SWIFT (Xia et al. 2024, arXiv:2410.06916) leaves out layers of an autoregressive model to draft several tokens, which
the whole model verifies in one pass. Here stepwise denoising takes the place of the next token, as in SSD (Gao et
al. 2025, arXiv:2510.04147): `draft_fn` gives one canvas after the other, the model sees all of them at once, and
they are followed as long as each is what the model's own logits make of the one before it. The text is that of
stepwise denoising by the model.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tests.reference.llada import LogitsFn


def step(tokens: Tensor, logits: Tensor, answer: int, block_length: int, mask_id: int) -> Tensor:
    """The canvas (L,) with the most confident masked position of its first unfinished block committed."""
    masked = tokens == mask_id
    masked[:answer] = False
    block = (torch.arange(len(tokens)) - answer) // block_length
    masked &= block == block[masked].min()
    confidence = torch.where(masked, logits.softmax(-1).amax(-1), -torch.inf)
    place = torch.argsort(confidence, descending=True, stable=True)[0]
    new = tokens.clone()
    new[place] = logits[place].argmax()
    return new


def followed(drafts: Sequence[Tensor], nexts: Sequence[Tensor]) -> int:
    """How many canvases hold: the first, and each after it that is what the model makes of the one before."""
    for k in range(1, len(drafts)):
        if not torch.equal(nexts[k - 1], drafts[k]):
            return k
    return len(drafts)


@torch.no_grad()
def sample(
    logits_fn: LogitsFn,
    draft_fn: LogitsFn,
    canvas: Tensor,
    answer: int,
    *,
    block_length: int,
    mask_id: int,
    draft_steps: int,
    banned: Sequence[int] = (),
) -> tuple[Tensor, list[int]]:
    """Denoises `canvas` (B, L), row by row; the likeliest token is drawn. With it the number of the model's passes
    that each row took."""

    def nexts(ask: LogitsFn, canvases: Sequence[Tensor]) -> list[Tensor]:
        logits = ask(torch.stack(list(canvases))).clone()
        logits[..., list(banned)] = -torch.inf
        return [
            step(one, each, answer, block_length, mask_id) for one, each in zip(canvases, logits, strict=True)
        ]

    rows, passes = [], []
    for row in canvas:
        tokens, made = row.clone(), 0
        while (tokens[answer:] == mask_id).any():
            drafts = [tokens]
            while len(drafts) < draft_steps:
                (draft,) = nexts(draft_fn, drafts[-1:])
                if not (draft[answer:] == mask_id).any():
                    break
                drafts.append(draft)
            after = nexts(logits_fn, drafts)
            made += 1
            tokens = after[followed(drafts, after) - 1]
        rows.append(tokens)
        passes.append(made)
    return torch.stack(rows), passes
