"""The model that is trained: a Llama-shaped transformer without biases, small enough to train on a CPU.

Its numbers equal `transformers.LlamaForCausalLM` with `is_causal=False` (a test compares them), so the
exported checkpoint runs in the program through the LLaDA loader. Written plainly here because training wants
what a library class does not give: a body without the head (the head runs on masked positions only), one
switch between causal and bidirectional attention, and few enough operations for `torch.compile` to fuse.

Sources: Touvron et al. 2023 (Llama), Su et al. 2021 (rotary positions), Nie et al. 2025 (LLaDA).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Shape:
    """Sizes of the network; `width` must be a multiple of `heads`, and `heads` of `kv_heads`."""

    vocabulary: int = 4096
    width: int = 192
    layers: int = 5
    heads: int = 6
    kv_heads: int = 6
    hidden: int = 512
    max_length: int = 128
    theta: float = 10000.0
    eps: float = 1e-5
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.width % self.heads or self.heads % self.kv_heads or (self.width // self.heads) % 2:
            raise ValueError(
                "Choose a width that is an even multiple of heads, and heads that are a multiple of kv_heads."
            )

    @property
    def head(self) -> int:
        """Width of one attention head."""
        return self.width // self.heads


def rotary(length: int, shape: Shape) -> tuple[Tensor, Tensor]:
    """Cosines and sines of the rotary positions, (length, head) fp32, each half repeated (the rotate-half
    layout)."""
    frequency = 1.0 / shape.theta ** (torch.arange(0, shape.head, 2, dtype=torch.float32) / shape.head)
    angle = torch.outer(torch.arange(length, dtype=torch.float32), frequency)
    angle = torch.cat([angle, angle], dim=-1)
    return angle.cos(), angle.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn (B, heads, L, head) by its positions in fp32; gives x's dtype."""
    y = x.float()
    left, right = y.chunk(2, dim=-1)
    return (y * cos + torch.cat([-right, left], dim=-1) * sin).to(x.dtype)


def norm(x: Tensor, weight: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
    """Root-mean-square norm over the last axis in fp32, given as `dtype`."""
    y = x.float()
    return (y * torch.rsqrt(y.square().mean(-1, keepdim=True) + eps) * weight).to(dtype)


def linear(x: Tensor, weight: Tensor) -> Tensor:
    """x @ weight.T in x's dtype (the weights stay fp32 masters)."""
    return F.linear(x, weight.to(x.dtype))


def attend(q: Tensor, k: Tensor, v: Tensor, causal: bool) -> Tensor:
    """Attention over (B, heads, L, head); k and v may have fewer heads.

    On a CPU written out: at these lengths the library's fused backward pass takes five times as long as these
    products.
    """
    if q.device.type != "cpu":
        return F.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=q.shape[1] != k.shape[1])
    if q.shape[1] != k.shape[1]:
        k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], dim=1) for x in (k, v))
    scores = (q @ k.transpose(-1, -2)).float() * q.shape[-1] ** -0.5
    if causal:
        n = q.shape[2]
        scores = scores.masked_fill(
            torch.ones(n, n, dtype=torch.bool, device=q.device).triu(1), float("-inf")
        )
    return scores.softmax(-1).to(v.dtype) @ v


class Block(nn.Module):
    """One layer: attention, then the gated feed-forward part, each behind a norm and added to the stream."""

    def __init__(self, shape: Shape):
        super().__init__()
        self.shape = shape
        d, kv, f = shape.width, shape.kv_heads * shape.head, shape.hidden
        self.attn_norm, self.ff_norm = nn.Parameter(torch.ones(d)), nn.Parameter(torch.ones(d))
        for name, size in {
            "q_proj": (d, d),
            "k_proj": (kv, d),
            "v_proj": (kv, d),
            "attn_out": (d, d),
            "ff_proj": (f, d),
            "up_proj": (f, d),
            "ff_out": (d, f),
        }.items():
            setattr(self, name, nn.Parameter(torch.empty(size)))

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, causal: bool, dtype: torch.dtype) -> Tensor:
        s, (b, n, _) = self.shape, x.shape
        y = norm(x, self.attn_norm, s.eps, dtype)
        q, k = self.asked(y, cos, sin)
        v = linear(y, self.v_proj).view(b, n, s.kv_heads, s.head).transpose(1, 2)
        y = attend(q, k, v, causal)
        y = linear(y.transpose(1, 2).reshape(b, n, s.width), self.attn_out)
        x = x + F.dropout(y, s.dropout, self.training)
        y = norm(x, self.ff_norm, s.eps, dtype)
        y = linear(F.silu(linear(y, self.ff_proj)) * linear(y, self.up_proj), self.ff_out)
        return x + F.dropout(y, s.dropout, self.training)

    def asked(self, y: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
        """Queries (B, heads, L, head) and keys (B, kv_heads, L, head) of the normed stream, turned by their
        positions."""
        s, (b, n, _) = self.shape, y.shape
        q = linear(y, self.q_proj).view(b, n, s.heads, s.head).transpose(1, 2)
        k = linear(y, self.k_proj).view(b, n, s.kv_heads, s.head).transpose(1, 2)
        return rotate(q, cos, sin), rotate(k, cos, sin)

    @torch.no_grad()
    def soften(self, x: Tensor, cos: Tensor, sin: Tensor, most: float) -> None:
        """Shrink the queries of heads whose score somewhere in the stream x lies more than `most` above its
        row's mean."""
        s = self.shape
        q, k = self.asked(norm(x, self.attn_norm, s.eps, torch.float32), cos, sin)
        scores = q @ k.repeat_interleave(s.heads // s.kv_heads, dim=1).transpose(-1, -2) * s.head**-0.5
        peak = (scores.amax(-1) - scores.mean(-1)).amax((0, 2))
        self.q_proj.view(s.heads, s.head, s.width).mul_((most / peak).clamp(max=1.0)[:, None, None])


def deepened(weights: dict[str, Tensor], layers: int) -> dict[str, Tensor]:
    """The weights of a network as those of a deeper one of the same width, which computes the same.

    The layers it has are spread over the new ones; each of the others begins as a copy of the layer before it
    that adds nothing to the stream yet (its two output matrices are zero). Net2Net, Chen et al. 2016, for
    depth.
    """
    there = 1 + max((int(name.split(".")[1]) for name in weights if name.startswith("blocks.")), default=-1)
    made = {name: one for name, one in weights.items() if not name.startswith("blocks.")}
    for layer in range(layers):
        source = layer * there // layers
        new = layer and source == (layer - 1) * there // layers
        for name, one in weights.items():
            head, _, rest = name.removeprefix("blocks.").partition(".")
            if name.startswith("blocks.") and int(head) == source:
                silent = new and rest in ("attn_out", "ff_out")
                made[f"blocks.{layer}.{rest}"] = torch.zeros_like(one) if silent else one.clone()
    return made


class Network(nn.Module):
    """Tokens (B, L) in, hidden states (B, L, width) out; `logits` applies the tied head to the positions that
    are wanted."""

    def __init__(self, shape: Shape, generator: torch.Generator | None = None):
        super().__init__()
        self.shape = shape
        self.wte = nn.Parameter(torch.empty(shape.vocabulary, shape.width))
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.ln_f = nn.Parameter(torch.ones(shape.width))
        cos, sin = rotary(shape.max_length, shape)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        self.reset(generator)

    def reset(self, generator: torch.Generator | None) -> None:
        """Draw the first weights: normal, 0.02 for the embedding, by fan-in for the rest, less for what the
        stream adds up."""
        with torch.no_grad():
            for name, weight in self.named_parameters():
                if weight.dim() < 2:
                    continue
                scale = 0.02 if name == "wte" else weight.shape[1] ** -0.5
                if name.endswith(("attn_out", "ff_out")):
                    scale *= (2 * self.shape.layers) ** -0.5
                weight.normal_(0.0, scale, generator=generator)

    def forward(self, tokens: Tensor, causal: bool = False, dtype: torch.dtype = torch.float32) -> Tensor:
        """Hidden states after the last norm, in `dtype`, the type of the matrix products; the stream stays
        fp32."""
        n = tokens.shape[1]
        x = F.embedding(tokens, self.wte)
        cos, sin = self.cos[:n], self.sin[:n]
        for block in self.blocks:
            x = block(x, cos, sin, causal, dtype)
        return norm(x, self.ln_f, self.shape.eps, dtype)

    @torch.no_grad()
    def soften(self, tokens: Tensor, causal: bool, most: float) -> None:
        """Keep attention from becoming so sharp that it stops learning: `Block.soften` in every layer, on
        tokens (B, L).

        What query and key norms would do, which the checkpoint's format cannot hold (as QK-clip in Kimi Team
        2025).
        """
        n = tokens.shape[1]
        x, cos, sin = F.embedding(tokens, self.wte), self.cos[:n], self.sin[:n]
        for block in self.blocks:
            block.soften(x, cos, sin, most)
            x = block(x, cos, sin, causal, torch.float32)

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores over the vocabulary for hidden states (..., width), fp32."""
        return linear(hidden, self.wte).float()
