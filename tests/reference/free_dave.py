"""FreeDave, free draft and verification, written plainly after its paper: the yardstick for ours. It imports
torch and nothing of the program.

Wu and Zhang 2025, arXiv:2510.00294, algorithm 1 (Gao et al. 2025, arXiv:2510.04147, verify alike). Stepwise
denoising commits the most confident position of the block in each pass. From the logits of one pass `draft_steps`
canvases are made: with the most confident position committed, which is the next one for certain, with the two
most confident, and so on. The model sees all of them at once. A draft is accepted as long as it is what
stepwise denoising makes of the one before it, by that one's logits; the logits of the last accepted draft give
the next ones. The text is that of stepwise denoising.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tests.reference.llada import LogitsFn


def most_confident(logits: Tensor, masked: Tensor, count: int) -> Tensor:
    """(L,) bool: the `count` most confident of what is masked; ties go left."""
    confidence = torch.where(masked, logits.softmax(-1).amax(-1), -torch.inf)
    chosen = torch.zeros_like(masked)
    chosen[torch.argsort(confidence, descending=True, stable=True)[:count]] = True
    return chosen & masked


def drafted(tokens: Tensor, logits: Tensor, masked: Tensor, draft_steps: int) -> list[Tensor]:
    """What the next canvases are if the logits do not change."""
    most = min(draft_steps, int(masked.sum()))
    return [
        torch.where(most_confident(logits, masked, k), logits.argmax(-1), tokens) for k in range(1, most + 1)
    ]


def accepted(drafts: Sequence[Tensor], logits: Sequence[Tensor], inside: Tensor, mask_id: int) -> int:
    """How many of the drafts are those of stepwise denoising; the first one always is."""
    for k in range(1, len(drafts)):
        masked = inside & (drafts[k - 1] == mask_id)
        one = most_confident(logits[k - 1], masked, 1)
        if not torch.equal(torch.where(one, logits[k - 1].argmax(-1), drafts[k - 1]), drafts[k]):
            return k
    return len(drafts)


@torch.no_grad()
def sample(
    logits_fn: LogitsFn,
    canvas: Tensor,
    answer: int,
    *,
    block_length: int,
    mask_id: int,
    draft_steps: int,
    banned: Sequence[int] = (),
) -> tuple[Tensor, list[int]]:
    """Denoises `canvas` (B, L), row by row and block by block; the likeliest token is drawn. With it the number
    of passes that each row took."""

    def ask(canvases: Sequence[Tensor]) -> Tensor:
        logits = logits_fn(torch.stack(list(canvases))).clone()
        logits[..., list(banned)] = -torch.inf
        return logits

    rows, passes = [], []
    for row in canvas:
        tokens, made = row.clone(), 0
        for start in range(answer, len(row), block_length):
            inside = torch.zeros(len(row), dtype=torch.bool)
            inside[start : start + block_length] = True
            if not (inside & (tokens == mask_id)).any():
                continue
            (logits,) = ask([tokens])
            made += 1
            while (masked := inside & (tokens == mask_id)).any():
                drafts = drafted(tokens, logits, masked, draft_steps)
                if (inside & (drafts[0] == mask_id)).any():
                    drafts = [
                        one for one in drafts if (inside & (one == mask_id)).any()
                    ]  # a full one needs none
                    each = ask(drafts)
                    made += 1
                    last = accepted(drafts, list(each), inside, mask_id) - 1
                    tokens, logits = drafts[last], each[last]
                else:
                    tokens = drafts[0]
        rows.append(tokens)
        passes.append(made)
    return torch.stack(rows), passes
