"""The forward pass of LLaDA from the published names of its weights, written plainly: what our loader is
compared with.

Imports torch and safetensors, nothing of the program and nothing of transformers.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor


def read(folder: Path) -> tuple[dict, dict[str, Tensor]]:
    """config.json and all tensors of a checkpoint folder, one file or several."""
    folder = Path(folder)
    index = folder / "model.safetensors.index.json"
    names = ["model.safetensors"]
    if index.is_file():
        names = sorted(set(json.loads(index.read_text("utf-8"))["weight_map"].values()))
    weights: dict[str, Tensor] = {}
    for name in names:
        about = (folder / name).stat()
        weights.update(_loaded(folder / name, about.st_mtime_ns, about.st_size))
    return json.loads((folder / "config.json").read_text("utf-8")), weights


@functools.lru_cache(maxsize=8)
def _loaded(file: Path, changed: int, size: int) -> dict[str, Tensor]:
    """The tensors of a file that has not changed since; a forward pass is asked for at every step."""
    return load_file(file)


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    wide = x.float() if x.dtype != torch.float64 else x
    return weight * (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps)).to(x.dtype)


def rotated(x: Tensor, theta: float, positions: Tensor | None = None) -> Tensor:
    """Rotary position embedding of x (B, heads, L, D) by its columns, or by `positions` (L,), computed in
    fp32 whatever the model's dtype."""
    length, width = x.shape[-2:]
    at = torch.arange(length, dtype=torch.float32) if positions is None else positions.float()
    wide = x.float() if x.dtype != torch.float64 else x
    speed = 1.0 / theta ** (torch.arange(0, width, 2, dtype=torch.float32) / width)
    angle = torch.outer(at, speed).repeat(1, 2)
    first, second = wide.chunk(2, dim=-1)
    return (wide * angle.cos() + torch.cat([-second, first], dim=-1) * angle.sin()).to(x.dtype)


@torch.no_grad()
def reference_logits(
    folder: Path,
    tokens: Tensor,
    mask: Tensor | None = None,
    dtype: torch.dtype = torch.float32,
    positions: Tensor | None = None,
    sees: Tensor | None = None,
) -> Tensor:
    """(B, L, V) logits of `tokens` (B, L), every position seeing every other.

    `mask` (B, L), true where a token is and false where padding is, hides padding as key; logits *at*
    padding mean nothing. `positions` (L,) are those of the columns, by default 0, 1, 2 ... `sees`
    (B or 1, L, L): what each query sees of the keys, instead of everything. V is embedding_size, the rows of the output matrix, which may exceed vocab_size.
    """
    config, weights = read(folder)
    w = {name.removeprefix("model.transformer."): value.to(dtype) for name, value in weights.items()}
    heads, eps, theta = config["n_heads"], config["rms_norm_eps"], config["rope_theta"]
    kv_heads = config.get("n_kv_heads") or heads
    keys = None if mask is None else mask.bool()[:, None, None, :]
    keys = keys if sees is None else sees[:, None]

    def split(x: Tensor, count: int) -> Tensor:
        return x.unflatten(-1, (count, -1)).transpose(1, 2)  # (B, heads, L, D)

    x = F.embedding(tokens, w["wte.weight"])
    for layer in range(config["n_layers"]):
        block = f"blocks.{layer}."
        y = rms_norm(x, w[block + "attn_norm.weight"], eps)
        q = rotated(split(F.linear(y, w[block + "q_proj.weight"]), heads), theta, positions)
        k = rotated(split(F.linear(y, w[block + "k_proj.weight"]), kv_heads), theta, positions)
        v = split(F.linear(y, w[block + "v_proj.weight"]), kv_heads)
        k, v = (part.repeat_interleave(heads // kv_heads, dim=1) for part in (k, v))
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=keys).transpose(1, 2).flatten(2)
        x = x + F.linear(y, w[block + "attn_out.weight"])
        y = rms_norm(x, w[block + "ff_norm.weight"], eps)
        y = F.silu(F.linear(y, w[block + "ff_proj.weight"])) * F.linear(y, w[block + "up_proj.weight"])
        x = x + F.linear(y, w[block + "ff_out.weight"])
    head = w["wte.weight"] if config["weight_tying"] else w["ff_out.weight"]
    return F.linear(rms_norm(x, w["ln_f.weight"], eps), head)
