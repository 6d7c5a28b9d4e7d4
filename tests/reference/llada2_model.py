"""The forward passes of LLaDA2 (arXiv 2512.15745) and Steerling from the published names of their weights,
written plainly after the published code.

Imports torch and safetensors, nothing of the program and nothing of transformers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.reference.decoder_model import swiglu
from tests.reference.llada_model import read, rms_norm, rotated


def blocks_so_far(length: int, block: int) -> Tensor:
    """(L, L) bool: which keys (columns) a query (rows) sees."""
    number = torch.arange(length) // block
    return number[:, None] >= number[None, :]


def attended(q: Tensor, k: Tensor, v: Tensor, sees: Tensor) -> Tensor:
    """(B, L, heads * D) of queries (B, heads, L, D) and fewer keys and values."""
    k, v = (part.repeat_interleave(q.shape[1] // part.shape[1], dim=1) for part in (k, v))
    scores = (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).masked_fill(~sees, -torch.inf)
    return (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)


@torch.no_grad()
def llada2_logits(
    folder: Path, tokens: Tensor, dtype: torch.dtype = torch.float32, block: int = 32, grouped: bool = True
) -> Tensor:
    """(B, L, V) logits; not `grouped`: experts are chosen among all groups, as by mistake."""
    config, weights = read(folder)
    w = {name: value.to(dtype) for name, value in weights.items()}
    heads, keys = config["num_attention_heads"], config["num_key_value_heads"]
    eps, theta, size = config["rms_norm_eps"], config["rope_theta"], config["head_dim"]
    turned = int(size * config["partial_rotary_factor"])
    sees = blocks_so_far(tokens.shape[1], block)

    def turn(x: Tensor) -> Tensor:
        return torch.cat([rotated(x[..., :turned], theta), x[..., turned:]], dim=-1)

    x = F.embedding(tokens, w["model.word_embeddings.weight"])
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}."
        y = rms_norm(x, w[at + "input_layernorm.weight"], eps)
        fused = (
            F.linear(y, w[f"{at}attention.query_key_value.weight"]).unflatten(-1, (-1, size)).transpose(1, 2)
        )
        q, k, v = fused.split([heads, keys, keys], dim=1)
        q = turn(rms_norm(q, w[f"{at}attention.query_layernorm.weight"], eps))
        k = turn(rms_norm(k, w[f"{at}attention.key_layernorm.weight"], eps))
        x = x + F.linear(attended(q, k, v, sees), w[f"{at}attention.dense.weight"])
        y = rms_norm(x, w[at + "post_attention_layernorm.weight"], eps)
        dense = layer < config["first_k_dense_replace"]
        x = x + (swiglu(y, w, f"{at}mlp.") if dense else routed(y, w, f"{at}mlp.", config, grouped))
    return F.linear(rms_norm(x, w["model.norm.weight"], eps), w["lm_head.weight"])


def routed(x: Tensor, w: dict[str, Tensor], at: str, config: dict[str, Any], grouped: bool) -> Tensor:
    """The chosen experts and the shared one. Scores and choice in fp32, as published; the bias counts for the
    choice alone."""
    count, groups = config["num_experts"], config["n_group"]
    scores = F.linear(x.float(), w[f"{at}gate.weight"].float()).sigmoid()  # (B, L, experts)
    ranked = scores + w[f"{at}gate.expert_bias"].float()
    if grouped:
        inside = ranked.unflatten(-1, (groups, count // groups))
        best = inside.topk(2, dim=-1).values.sum(-1).topk(config["topk_group"], dim=-1).indices
        kept = torch.zeros(*best.shape[:-1], groups, dtype=torch.bool).scatter(-1, best, True)
        ranked = inside.masked_fill(~kept[..., None], -torch.inf).flatten(-2)
    which = ranked.topk(config["num_experts_per_tok"], dim=-1).indices
    taken = scores.gather(-1, which)
    taken = taken / (taken.sum(-1, keepdim=True) + 1e-20) * config["routed_scaling_factor"]
    share = torch.zeros_like(scores).scatter(-1, which, taken).to(x.dtype)
    every = torch.stack([swiglu(x, w, f"{at}experts.{i}.") for i in range(count)], -1)
    return (every * share[..., None, :]).sum(-1) + swiglu(x, w, f"{at}shared_experts.")


@torch.no_grad()
def steerling_logits(
    folder: Path, tokens: Tensor, dtype: torch.dtype = torch.float32, clamped: bool = True
) -> Tensor:
    """(B, L, V) logits; not `clamped`: projections are used as they are, as by mistake."""
    config, weights = read(folder)
    prefix = "transformer." if config["interpretable"] else ""
    w = {name.removeprefix(prefix): value.to(dtype) for name, value in weights.items()}
    eps, theta, size = config["norm_eps"], config["rope_base"], config["n_embd"] // config["n_head"]
    sees = blocks_so_far(tokens.shape[1], config["diff_block_size"])
    x = F.embedding(tokens, w["tok_emb.weight"])
    for layer in range(config["n_layers"]):
        at = f"blocks.{layer}."
        fused = F.linear(x, w[f"{at}attn.c_attn.weight"])
        if clamped:
            fused = fused.clamp(-config["clip_qkv"], config["clip_qkv"])
        fused = fused.unflatten(-1, (-1, size)).transpose(1, 2)
        q, k, v = fused.split([config["n_head"], config["n_kv_heads"], config["n_kv_heads"]], dim=1)
        q = rotated(rms_norm(q, w[f"{at}attn.q_norm.weight"], eps), theta)
        k = rotated(rms_norm(k, w[f"{at}attn.k_norm.weight"], eps), theta)
        y = F.linear(attended(q, k, v, sees), w[f"{at}attn.c_proj.weight"])
        x = x + rms_norm(y, w[f"{at}ln_1.weight"], eps)
        up, gate = F.linear(x, w[f"{at}mlp.c_fc.weight"]).chunk(2, dim=-1)
        y = F.linear(F.silu(gate) * up, w[f"{at}mlp.c_proj.weight"])
        x = x + rms_norm(y, w[f"{at}ln_2.weight"], eps)
    return F.linear(rms_norm(x, w["ln_f.weight"], eps), w["tok_emb.weight"])
