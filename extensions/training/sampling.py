"""A small sampler to look at a network while it trains, and the bound that tells how good it is.

The program's own samplers do this properly; this one is a page long, so that training needs nothing but this
folder. Low-confidence remasking as in Nie et al. 2025: the most confident predictions are kept, one or more a
step.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .conditions import FRAME
from .tokenizer import END, MASK


@torch.no_grad()
def sample(
    network,
    tokenizer,
    prompts: Sequence[str],
    length: int = 96,
    steps: int = 96,
    temperature: float = 0.0,
    guidance: float = 1.0,
    block: int | None = None,
    seed: int = 0,
) -> list[str]:
    """One text a prompt. `guidance` 1 is none; `block`: blocks filled from left to right; `temperature`: of
    Gumbel noise."""
    generator = torch.Generator().manual_seed(seed)
    mask, end = tokenizer.token_to_id(MASK), tokenizer.token_to_id(END)
    block = block or length
    texts = []
    for prompt in prompts:
        content, frame = tokenizer.encode(prompt).ids, tokenizer.encode(FRAME).ids
        start = len(content) + len(frame)
        size = min(length, network.shape.max_length - start)
        row = torch.tensor([*content, *frame, *[mask] * size])
        each = max(1, round(size / steps))
        while (masked := (row == mask).nonzero().squeeze(1)).numel():
            first = (int(masked[0]) - start) // block * block + start
            masked = masked[masked < first + block]
            logits = _guided(network, row, len(content), mask, guidance)[masked]
            logits[:, mask] = float("-inf")
            noise = -(-torch.rand(logits.shape, generator=generator, dtype=torch.float64).log()).log()
            token = (logits + temperature * noise).argmax(-1) if temperature else logits.argmax(-1)
            confidence = logits.softmax(-1).gather(-1, token[:, None]).squeeze(-1)
            chosen = confidence.topk(min(each, len(masked))).indices
            row[masked[chosen]] = token[chosen]
        answer = row[start:].tolist()
        texts.append(tokenizer.decode(answer[: answer.index(end)] if end in answer else answer).strip())
    return texts


def _guided(network, row: Tensor, content: int, mask: int, guidance: float) -> Tensor:
    rows = row[None]
    if guidance != 1.0:
        empty = row.clone()
        empty[:content] = mask
        rows = torch.stack([row, empty])
    logits = network.logits(network(rows))
    return (
        logits[0].double() if guidance == 1.0 else (logits[1] + guidance * (logits[0] - logits[1])).double()
    )


@torch.no_grad()
def bound(
    network,
    tokens: Tensor,
    counted: Tensor,
    mask: int,
    draws: int = 8,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> tuple[float, int]:
    """The bound on the negative log-likelihood of rows (B, L): (nats in all, number of tokens counted).

    `counted` (B, L) bool marks the text (masked with t stratified in (0, 1], weight 1/t); the rest is
    context.
    """
    generator = torch.Generator().manual_seed(seed)
    nats, b = 0.0, tokens.shape[0]
    for draw in range(draws):
        t = ((draw + torch.rand(b, 1, generator=generator)) / draws).clamp_min(1e-3)
        hidden = (torch.rand(tokens.shape, generator=generator) < t) & counted
        states = network(tokens.masked_fill(hidden, mask), dtype=dtype)[hidden]
        losses = torch.cat(
            [
                torch.nn.functional.cross_entropy(network.logits(part), target, reduction="none")
                for part, target in zip(states.split(2048), tokens[hidden].split(2048), strict=False)
            ]
        )
        nats += float((losses / t.expand(tokens.shape)[hidden]).sum()) / draws
    return nats, int(counted.sum())
