"""The forward pass of MDLM's diffusion transformer (Sahoo et al. 2024, arXiv 2406.07524) from the
published names of its weights, written plainly.

Imports torch and safetensors, nothing of the program and nothing of transformers.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.reference.llada_model import read, rotated


@torch.no_grad()
def mdlm_logits(
    folder: Path, tokens: Tensor, dtype: torch.dtype = torch.float32, level: float = 0.0, gated: bool = True
) -> Tensor:
    """(B, L, V) logits. `level`: the noise level, which published checkpoints get as 0; not `gated`: the
    gates of the modulation are left out, as by mistake."""
    config, weights = read(folder)
    w = {name.removeprefix("backbone."): value.to(dtype) for name, value in weights.items()}
    return transformer(w, config["n_blocks"], config["n_heads"], tokens, level, gated)


def transformer(
    w: dict[str, Tensor], blocks: int, heads: int, tokens: Tensor, level: float, gated: bool = True
) -> Tensor:
    """The output (B, L, V) of the last layer, from the weights `w` by name."""
    dtype = w["vocab_embed.embedding"].dtype

    def linear(x: Tensor, name: str) -> Tensor:
        return F.linear(x, w[f"{name}.weight"], w.get(f"{name}.bias"))

    def norm(x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, x.shape[-1:]) * w[f"{name}.weight"]

    speeds = [math.exp(-math.log(10000) * i / 128) for i in range(128)]
    angle = torch.tensor([level * speed for speed in speeds], dtype=torch.float32)
    wave = torch.cat([angle.cos(), angle.sin()]).to(dtype)
    condition = F.silu(linear(F.silu(linear(wave, "sigma_map.mlp.0")), "sigma_map.mlp.2"))  # (C,)
    x = w["vocab_embed.embedding"][tokens]
    for block in range(blocks):
        at = f"blocks.{block}."
        moved, scaled, gate, moved_mlp, scaled_mlp, gate_mlp = linear(
            condition, f"{at}adaLN_modulation"
        ).chunk(6)
        if not gated:
            gate = gate_mlp = torch.ones_like(gate)
        y = norm(x, f"{at}norm1") * (1 + scaled) + moved
        q, k, v = linear(y, f"{at}attn_qkv").chunk(3, dim=-1)
        q, k, v = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in (q, k, v))
        q, k = rotated(q, 10000.0), rotated(k, 10000.0)
        y = ((q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(-1) @ v).transpose(1, 2).flatten(2)
        x = x + gate * linear(y, f"{at}attn_out")
        y = norm(x, f"{at}norm2") * (1 + scaled_mlp) + moved_mlp
        y = linear(F.gelu(linear(y, f"{at}mlp.0"), approximate="tanh"), f"{at}mlp.2")
        x = x + gate_mlp * y
    moved, scaled = linear(condition, "output_layer.adaLN_modulation").chunk(2)
    return linear(norm(x, "output_layer.norm_final") * (1 + scaled) + moved, "output_layer.linear")
