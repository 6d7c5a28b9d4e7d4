"""The forward pass of Llama, Qwen2, Qwen3 and Qwen3-MoE decoders made into diffusion models, from the
published names of their weights, written plainly: attention to everything or to the blocks so far, with
or without shift.

Imports torch and safetensors, nothing of the program and nothing of transformers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.reference.llada_model import read, rms_norm, rotated


@torch.no_grad()
def decoder_logits(
    folder: Path,
    tokens: Tensor,
    shift: bool = False,
    block: int = 0,
    dtype: torch.dtype = torch.float32,
    sees: Tensor | None = None,
) -> Tensor:
    """(B, L, V) logits of `tokens` (B, L).

    shift   the output at a column predicts the next one; the result is at the predicted token's column
    block   columns of a block, which sees itself and those before it; 0: every column sees every other
    sees    (B or 1, L, L) bool: what each query sees of the keys, instead
    """
    config, weights = read(folder)
    w = {name: value.to(dtype) for name, value in weights.items()}
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    eps, theta = config["rms_norm_eps"], config["rope_theta"]
    size = config.get("head_dim") or config["hidden_size"] // heads
    number = torch.arange(tokens.shape[1]) // (block or tokens.shape[1])
    seen = (number[:, None] >= number[None, :])[None] if sees is None else sees  # query, key

    x = F.embedding(tokens, w["model.embed_tokens.weight"])
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}."
        y = rms_norm(x, w[at + "input_layernorm.weight"], eps)
        q, k, v = (
            F.linear(y, w[f"{at}self_attn.{n}_proj.weight"], w.get(f"{at}self_attn.{n}_proj.bias"))
            .unflatten(-1, (-1, size))
            .transpose(1, 2)
            for n in "qkv"
        )  # (B, heads, L, D)
        if f"{at}self_attn.q_norm.weight" in w:
            q, k = (rms_norm(p, w[f"{at}self_attn.{n}_norm.weight"], eps) for p, n in ((q, "q"), (k, "k")))
        q, k = rotated(q, theta), rotated(k, theta)
        k, v = (part.repeat_interleave(heads // kv_heads, dim=1) for part in (k, v))
        scores = (q @ k.transpose(-1, -2) * size**-0.5).masked_fill(~seen[:, None], -torch.inf)
        y = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
        x = x + F.linear(y, w[f"{at}self_attn.o_proj.weight"])
        y = rms_norm(x, w[at + "post_attention_layernorm.weight"], eps)
        x = x + (experts(y, w, at, config) if f"{at}mlp.gate.weight" in w else swiglu(y, w, f"{at}mlp."))
    head = w.get("lm_head.weight", w["model.embed_tokens.weight"])
    logits = F.linear(rms_norm(x, w["model.norm.weight"], eps), head)
    return torch.cat([logits[:, :1], logits[:, :-1]], dim=1) if shift else logits


def swiglu(x: Tensor, w: dict[str, Tensor], prefix: str) -> Tensor:
    gate, up = F.linear(x, w[f"{prefix}gate_proj.weight"]), F.linear(x, w[f"{prefix}up_proj.weight"])
    return F.linear(F.silu(gate) * up, w[f"{prefix}down_proj.weight"])


def experts(x: Tensor, w: dict[str, Tensor], at: str, config: dict[str, Any]) -> Tensor:
    """The likeliest experts of each token, weighted by their probabilities (in fp32, as published), which
    are normalized if the checkpoint says so. Every expert is computed for every token."""
    shares = F.linear(x, w[f"{at}mlp.gate.weight"]).softmax(-1, dtype=torch.float32)
    best, which = shares.topk(config["num_experts_per_tok"], dim=-1)
    if config["norm_topk_prob"]:
        best = best / best.sum(-1, keepdim=True)
    weights = torch.zeros_like(shares).scatter(-1, which, best).to(x.dtype)
    every = torch.stack([swiglu(x, w, f"{at}mlp.experts.{i}.") for i in range(config["num_experts"])], -1)
    return (every * weights[..., None, :]).sum(-1)
