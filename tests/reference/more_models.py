"""The forward passes of DiffuGPT (GPT-2), WeDLM, Nemotron-Labs-Diffusion (Ministral 3) and BD3-LM from the published
names of their weights, written plainly. What a column sees is given from outside, as a matrix of booleans.

Imports torch and safetensors, nothing of the program and nothing of transformers.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.reference.decoder_model import swiglu
from tests.reference.llada_model import read, rms_norm, rotated


def attended(q: Tensor, k: Tensor, v: Tensor, sees: Tensor) -> Tensor:
    """(B, L, heads * D) of q, k, v (B, heads, L, D); `sees` (B or 1, L, L): query, key."""
    scores = (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).masked_fill(~sees[:, None], -torch.inf)
    return (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)


def everything(tokens: Tensor) -> Tensor:
    return torch.ones(1, tokens.shape[1], tokens.shape[1], dtype=torch.bool)


def blocks(tokens: Tensor, length: int) -> Tensor:
    """A column sees its own block and those before it."""
    number = torch.arange(tokens.shape[1]) // length
    return (number[:, None] >= number[None, :])[None]


def physical_order(tokens: Tensor, mask: int) -> Tensor:
    """WeDLM: known tokens are put first, masked ones last, each in the text's order; then everyone sees those before
    and itself. Here by the place each column gets in that order."""
    found = []
    for row in tokens.tolist():
        order = [i for i, t in enumerate(row) if t != mask] + [i for i, t in enumerate(row) if t == mask]
        place = {column: rank for rank, column in enumerate(order)}
        found.append([[place[key] <= place[query] for key in range(len(row))] for query in range(len(row))])
    return torch.tensor(found)


def causal_but(tokens: Tensor, first: int, length: int) -> Tensor:
    """Nemotron: causal, but for the block of `length` columns from `first` on, which sees all of itself."""
    sees = torch.ones(tokens.shape[1], tokens.shape[1], dtype=torch.bool).tril()
    sees[first : first + length, first : first + length] = True
    return sees[None]


def shifted(logits: Tensor) -> Tensor:
    return torch.cat([logits[:, :1], logits[:, :-1]], dim=1)


@torch.no_grad()
def diffugpt_logits(
    folder: Path, tokens: Tensor, dtype: torch.dtype = torch.float64, shift: bool = True
) -> Tensor:
    """(B, L, V) logits, those of a column at the predicted token's column."""
    config, weights = read(folder)
    w = {name.removeprefix("denoise_model."): value.to(dtype) for name, value in weights.items()}
    width, eps = config["n_embd"], config["layer_norm_epsilon"]

    def norm(x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, (width,), w[f"{name}.weight"], w[f"{name}.bias"], eps)

    def dense(x: Tensor, name: str) -> Tensor:  # stored as (in, out)
        return x @ w[f"{name}.weight"] + w[f"{name}.bias"]

    x = w["embed_tokens.weight"][tokens] + w["wpe.weight"][: tokens.shape[1]]
    for layer in range(config["n_layer"]):
        at = f"h.{layer}."
        parts = dense(norm(x, f"{at}ln_1"), f"{at}attn.c_attn").chunk(3, dim=-1)
        q, k, v = (part.unflatten(-1, (config["n_head"], -1)).transpose(1, 2) for part in parts)
        x = x + dense(attended(q, k, v, everything(tokens)), f"{at}attn.c_proj")
        inner = dense(norm(x, f"{at}ln_2"), f"{at}mlp.c_fc")
        inner = 0.5 * inner * (1 + torch.tanh(math.sqrt(2 / math.pi) * (inner + 0.044715 * inner**3)))
        x = x + dense(inner, f"{at}mlp.c_proj")
    logits = norm(x, "ln_f") @ w["lm_head.weight"].T
    return shifted(logits) if shift else logits


@torch.no_grad()
def nemotron_logits(
    folder: Path, tokens: Tensor, sees: Tensor, dtype: torch.dtype = torch.float64, scaled: bool = True
) -> Tensor:
    """(B, L, V) logits. not `scaled`: queries are not scaled by their position, as by mistake."""
    config, weights = read(folder)
    w = {name: value.to(dtype) for name, value in weights.items()}
    rope, size, eps = config["rope_parameters"], config["head_dim"], config["rms_norm_eps"]
    base, factor, whole = rope["rope_theta"], rope["factor"], rope["original_max_position_embeddings"]
    at = torch.arange(tokens.shape[1], dtype=torch.float64)

    def dim(turns: float) -> float:  # YaRN (Peng et al. 2023, arXiv 2309.00071), section 3.2
        return size * math.log(whole / (turns * 2 * math.pi)) / (2 * math.log(base))

    low, high = max(math.floor(dim(rope["beta_fast"])), 0), min(math.ceil(dim(rope["beta_slow"])), size - 1)
    speeds = []
    for i in range(size // 2):
        ramp = min(max((i - low) / ((high - low) or 0.001), 0.0), 1.0)
        speed = base ** (-2 * i / size)
        speeds.append(speed / factor * ramp + speed * (1 - ramp))
    angle = torch.outer(at, torch.tensor(speeds, dtype=torch.float64)).repeat(1, 2).to(dtype)

    def turned(x: Tensor) -> Tensor:
        first, second = x.chunk(2, dim=-1)
        return x * angle.cos() + torch.cat([-second, first], dim=-1) * angle.sin()

    scale = 1 + rope["llama_4_scaling_beta"] * torch.log(1 + torch.floor(at / whole))
    x = w["encoder.embed_tokens.weight"][tokens]
    for layer in range(config["num_hidden_layers"]):
        name = f"encoder.layers.{layer}."
        y = rms_norm(x, w[f"{name}input_layernorm.weight"], eps)
        q, k, v = (
            (y @ w[f"{name}self_attn.{part}_proj.weight"].T).unflatten(-1, (-1, size)).transpose(1, 2)
            for part in "qkv"
        )
        q, k = turned(q) * (scale.to(dtype)[:, None] if scaled else 1), turned(k)
        many = config["num_attention_heads"] // config["num_key_value_heads"]
        k, v = (part.repeat_interleave(many, dim=1) for part in (k, v))
        x = x + attended(q, k, v, sees) @ w[f"{name}self_attn.o_proj.weight"].T
        x = x + swiglu(rms_norm(x, w[f"{name}post_attention_layernorm.weight"], eps), w, f"{name}mlp.")
    return rms_norm(x, w["encoder.norm.weight"], eps) @ w["diffusion_head.weight"].T


@torch.no_grad()
def bd3lm_logits(folder: Path, tokens: Tensor, dtype: torch.dtype = torch.float64, length: int = 0) -> Tensor:
    """(B, L, V) logits of a checkpoint without modulation. `length`: of a block, by default as published."""
    config, weights = read(folder)
    w = {name.removeprefix("backbone."): value.to(dtype) for name, value in weights.items()}
    sees = blocks(tokens, length or config["block_size"])

    def norm(x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, x.shape[-1:]) * w[f"{name}.weight"]

    x = w["vocab_embed.embedding"][tokens]
    for block in range(config["n_blocks"]):
        at = f"blocks.{block}."
        parts = (norm(x, f"{at}norm1") @ w[f"{at}attn_qkv.weight"].T).chunk(3, dim=-1)
        q, k, v = (part.unflatten(-1, (config["n_heads"], -1)).transpose(1, 2) for part in parts)
        x = x + attended(rotated(q, 10000.0), rotated(k, 10000.0), v, sees) @ w[f"{at}attn_out.weight"].T
        inner = F.linear(norm(x, f"{at}norm2"), w[f"{at}mlp.0.weight"], w[f"{at}mlp.0.bias"])
        x = x + F.linear(F.gelu(inner, approximate="tanh"), w[f"{at}mlp.2.weight"], w[f"{at}mlp.2.bias"])
    head = w["output_layer.linear.weight"], w["output_layer.linear.bias"]
    return F.linear(norm(x, "output_layer.norm_final"), *head)
