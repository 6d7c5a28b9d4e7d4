"""Fast-dLLM's prefix and dual cache, and the same decoding without a cache, written plainly: the
yardstick for ours. It imports torch and nothing of the program.

Fast-dLLM, arXiv:2505.22618, algorithm 1. Each block begins with a pass over the whole canvas, which
commits as any other pass does and whose keys and values are kept. The passes after it, until the block is
filled, compute

none    the whole canvas again
prefix  the block and everything after it, against the keys and values of what comes before the block
dual    the block alone, against those of everything else, in whose places the block's own are put

A pass commits the block's masked positions whose confidence reaches the threshold, the best one in any
case; without a threshold as many of the best as `even` deals to the step. Confidence is the probability
of the proposed token at temperature 1, in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.reference.llada import Uniform, best, even, noisy, uniform_noise

Kept = list[tuple[Tensor, Tensor]]  # keys (rotated) and values of each layer, (B, heads, L, D)


class Llada:
    """LLaDA's forward pass from the published names of its weights, with keys and values of earlier passes.

    config   of config.json
    weights  the tensors of its files
    """

    def __init__(self, config: dict, weights: dict[str, Tensor], dtype: torch.dtype = torch.float32):
        self.config = config
        w = {name.removeprefix("model.transformer."): value.to(dtype) for name, value in weights.items()}
        self.embedding, self.norm = w["wte.weight"], w["ln_f.weight"]
        self.head = self.embedding if config["weight_tying"] else w["ff_out.weight"]
        self.layers = [
            {name.removeprefix(f"blocks.{i}."): w[name] for name in w if name.startswith(f"blocks.{i}.")}
            for i in range(config["n_layers"])
        ]
        self.calls: list[int] = []  # columns of each pass

    def __call__(self, tokens: Tensor, kept: Kept | None = None, at: int = 0) -> tuple[Tensor, Kept]:
        """(B, L, V) logits of `tokens` (B, L), which stand at column `at` and after it, and the keys and
        values that they attended to: those `kept`, with their own in the places of the columns."""
        self.calls.append(tokens.shape[1])
        turn = turns(self.config, at, tokens.shape[1])
        x, made = F.embedding(tokens, self.embedding), []
        for i, w in enumerate(self.layers):
            y = self.normed(x, w["attn_norm.weight"])
            q, k, v = (self.split(F.linear(y, w[f"{part}_proj.weight"])) for part in "qkv")
            q, k = rotated(q, turn), rotated(k, turn)
            if kept is not None:
                k, v = (placed(old, new, at) for old, new in zip(kept[i], (k, v), strict=True))
            made.append((k, v))
            groups = q.shape[1] // k.shape[1]
            if groups > 1:
                k, v = k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1)
            y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
            x = x + F.linear(y, w["attn_out.weight"])
            y = self.normed(x, w["ff_norm.weight"])
            y = F.silu(F.linear(y, w["ff_proj.weight"])) * F.linear(y, w["up_proj.weight"])
            x = x + F.linear(y, w["ff_out.weight"])
        return F.linear(self.normed(x, self.norm), self.head), made

    def split(self, x: Tensor) -> Tensor:
        """(B, L, heads * D) as (B, heads, L, D)."""
        return x.unflatten(-1, (-1, self.config["d_model"] // self.config["n_heads"])).transpose(1, 2)

    def normed(self, x: Tensor, weight: Tensor) -> Tensor:
        return F.rms_norm(x, x.shape[-1:], weight, self.config["rms_norm_eps"])


def turns(config: dict, at: int, length: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine of the rotary embedding of the columns from `at` on, (L, D) each, in fp32."""
    width = config["d_model"] // config["n_heads"]
    speed = 1.0 / config["rope_theta"] ** (torch.arange(0, width, 2, dtype=torch.float32) / width)
    angle = torch.outer(torch.arange(at, at + length, dtype=torch.float32), speed).repeat(1, 2)
    return angle.cos(), angle.sin()


def rotated(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    cos, sin = turn
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin


def placed(old: Tensor, new: Tensor, at: int) -> Tensor:
    """`old` (B, heads, L, D) with `new` in its columns from `at` on; longer if `new` reaches further."""
    return torch.cat([old[:, :, :at], new, old[:, :, at + new.shape[2] :]], dim=2)


def cut(kept: Kept, end: int) -> Kept:
    """What is kept of the columns before `end`."""
    return [(k[:, :, :end], v[:, :, :end]) for k, v in kept]


def again(cache: str, kept: Kept, start: int, end: int, length: int) -> tuple[int, int, Kept | None]:
    """What the passes after a block's first one compute: columns from and to, and what they attend to
    beside."""
    if cache == "prefix":
        return start, length, cut(kept, start)
    if cache == "dual":
        return start, end, kept
    return 0, length, None


def chosen(confidence: Tensor, masked: Tensor, count: int, threshold: float | None, ties: str) -> Tensor:
    """Which masked positions of one row, (L,), are committed in a pass."""
    found = torch.zeros_like(masked)
    if not bool(masked.any()):
        return found
    confidence = confidence.masked_fill(~masked, -torch.inf)
    if threshold is None:
        found[best(confidence, count, ties)] = True
        return found & masked
    found[best(confidence, 1, ties)] = True
    return found | (masked & (confidence >= threshold))


@torch.no_grad()
def sample(
    model: Llada,
    canvas: Tensor,
    answer: int,
    *,
    cache: Literal["none", "prefix", "dual"],
    block_length: int,
    mask_id: int,
    steps: int = 0,
    threshold: float | None = None,
    temperature: float = 0.0,
    banned: Sequence[int] = (),
    ties: str = "first",
    uniform: Uniform = uniform_noise,
    trace: list[Tensor] | None = None,
) -> Tensor:
    """Denoises `canvas` (B, L), whose answer begins at column `answer`. `steps` is the total, the same
    for each block; not needed with a threshold. The canvas after each pass is appended to `trace`.

    Rows do not depend on each other: one whose block is filled waits for the others and changes no more.
    """
    tokens = canvas.clone()
    length = canvas.shape[1]
    blocks, rest = divmod(length - answer, block_length)
    assert rest == 0, "the answer must be whole blocks"
    step = 0
    for block in range(blocks):
        start, end = answer + block * block_length, answer + (block + 1) * block_length
        masked = tokens[:, start:end] == mask_id
        counts = [even(n, max(steps // blocks, 1)) for n in masked.sum(dim=1).tolist()]
        first, last, kept = 0, length, None
        i = 0
        while bool((tokens[:, start:end] == mask_id).any()):
            logits, made = model(tokens[:, first:last], kept, first)
            if i == 0:
                first, last, kept = again(cache, made, start, end, length)
                view = slice(0, length)
            else:
                view = slice(first, last)
            part = tokens[:, view]
            logits[..., list(banned)] = -torch.inf
            proposal = noisy(logits, temperature, step, uniform).argmax(dim=-1)
            shares = torch.softmax(logits.to(torch.float64), dim=-1)
            confidence = shares.gather(-1, proposal[..., None])[..., 0]
            column = torch.arange(view.start, view.stop)
            masked = (part == mask_id) & (column >= start) & (column < end)
            for row in range(len(tokens)):
                count = counts[row][i] if i < len(counts[row]) else 1
                where = chosen(confidence[row], masked[row], count, threshold, ties)
                part[row] = torch.where(where, proposal[row], part[row])
            i, step = i + 1, step + 1
            if trace is not None:
                trace.append(tokens.clone())
    return tokens
