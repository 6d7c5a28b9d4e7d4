"""The forward pass of Dream (Ye et al. 2025, arXiv 2508.15487) from the published names of its weights,
written plainly: a Qwen2 without causal mask, whose output at a column predicts the next one.

Imports torch and safetensors, nothing of the program and nothing of transformers.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.reference.llada_model import read, rms_norm, rotated


@torch.no_grad()
def dream_logits(folder: Path, tokens: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """(B, L, V) logits of `tokens` (B, L), those at a column for the token of that column: shifted by
    one, the first twice."""
    config, weights = read(folder)
    w = {name: value.to(dtype) for name, value in weights.items()}
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    eps, theta, rows = config["rms_norm_eps"], config["rope_theta"], config["vocab_size"]

    def linear(x: Tensor, name: str) -> Tensor:
        return F.linear(x, w[f"{name}.weight"], w.get(f"{name}.bias"))

    def split(x: Tensor, count: int) -> Tensor:
        return x.unflatten(-1, (count, -1)).transpose(1, 2)  # (B, heads, L, D)

    x = F.embedding(tokens, w["model.embed_tokens.weight"])
    for layer in range(config["num_hidden_layers"]):
        block = f"model.layers.{layer}."
        y = rms_norm(x, w[block + "input_layernorm.weight"], eps)
        if block + "self_attn.qkv_proj.weight" in w:
            width = y.shape[-1]
            sizes = [width, width // heads * kv_heads, width // heads * kv_heads]
            q, k, v = linear(y, block + "self_attn.qkv_proj").split(sizes, dim=-1)
        else:
            q, k, v = (linear(y, f"{block}self_attn.{name}_proj") for name in "qkv")
        q, k, v = rotated(split(q, heads), theta), rotated(split(k, kv_heads), theta), split(v, kv_heads)
        k, v = (part.repeat_interleave(heads // kv_heads, dim=1) for part in (k, v))
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        x = x + linear(y, block + "self_attn.o_proj")
        y = rms_norm(x, w[block + "post_attention_layernorm.weight"], eps)
        y = F.silu(linear(y, block + "mlp.gate_proj")) * linear(y, block + "mlp.up_proj")
        x = x + linear(y, block + "mlp.down_proj")
    logits = F.linear(rms_norm(x, w["model.norm.weight"], eps), w["lm_head.weight"][:rows])
    return torch.cat([logits[:, :1], logits[:, :-1]], dim=1)
