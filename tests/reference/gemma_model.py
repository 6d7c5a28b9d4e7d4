"""DiffusionGemma's forward pass in plain torch, as encoder and then decoder: the yardstick for ours, which is one
pass. It imports torch and the reader of checkpoints, and nothing of the program.

Sources: transformers 5.23, modeling_diffusion_gemma.py; Gemma 4.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.reference.decoder_model import read


class Gemma:
    """A checkpoint, in float64."""

    def __init__(self, folder: Path):
        config, weights = read(folder)
        self.config: dict[str, Any] = config["text_config"]
        self.w = {name: value.double() for name, value in weights.items()}
        self.embedding = self.w["model.decoder.embed_tokens.weight"]

    @torch.no_grad()
    def logits(self, context: Tensor, block: Tensor, guess: Tensor | None = None) -> Tensor:
        """(S, V) of the tokens of a block (S,) behind a context (L,); guess (S, V): logits of the step before."""
        kept = self.encoded(context)
        x = self.embedding[block] * math.sqrt(self.embedding.shape[1])
        soft = torch.zeros_like(x)
        if guess is not None:
            soft = guess.double().softmax(-1) @ self.embedding * math.sqrt(self.embedding.shape[1])
        x = self.conditioned(x, soft)
        at = torch.arange(len(context), len(context) + len(block))
        for layer, kind in enumerate(self.config["layer_types"]):
            x, _ = self.layer(layer, kind, x, at, kept[layer], None, "decoder")
        cap = self.config["final_logit_softcapping"]
        return torch.tanh(self.norm(x, "model.decoder.norm") @ self.embedding.T / cap) * cap

    def encoded(self, context: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Keys and values (heads, L, D) of the context in each layer, of sliding ones those in the window."""
        x = self.embedding[context] * math.sqrt(self.embedding.shape[1])
        at, kept = torch.arange(len(context)), []
        for layer, kind in enumerate(self.config["layer_types"]):
            far = at[:, None] - at[None]
            sees = (far >= 0) & ((far < self.config["sliding_window"]) | (kind == "full_attention"))
            x, (k, v) = self.layer(layer, kind, x, at, None, sees, "encoder")
            if kind == "sliding_attention":
                most = self.config["sliding_window"] - 1
                k, v = k[:, max(k.shape[1] - most, 0) :], v[:, max(v.shape[1] - most, 0) :]
            kept.append((k, v))
        return kept

    def conditioned(self, x: Tensor, soft: Tensor) -> Tensor:
        signal = self.network(
            self.norm(soft, "model.decoder.self_conditioning.pre_norm"), "model.decoder.self_conditioning."
        )
        return self.norm(x + signal)

    def layer(
        self, number: int, kind: str, x: Tensor, at: Tensor, before: Any, sees: Tensor | None, part: str
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Its output, and the keys and values of these positions."""
        name = f"model.decoder.layers.{number}."
        y = self.norm(x, f"{name}input_layernorm")
        size = self.config["head_dim" if kind == "sliding_attention" else "global_head_dim"]
        q, k = (
            self.norm(
                (y @ self.w[f"{name}self_attn.{one}_proj.weight"].T).unflatten(-1, (-1, size)),
                f"{name}self_attn.{one}_norm",
            )
            for one in "qk"
        )
        plain = self.w.get(f"{name}self_attn.v_proj.weight", self.w[f"{name}self_attn.k_proj.weight"])
        v = self.norm((y @ plain.T).unflatten(-1, (-1, size))).transpose(0, 1)
        q, k = self.turned(q, at, kind).transpose(0, 1), self.turned(k, at, kind).transpose(0, 1)
        own = (k, v)
        if before is not None:
            k, v = torch.cat([before[0], k], 1), torch.cat([before[1], v], 1)
        many = len(q) // len(k)
        scores = q @ k.repeat_interleave(many, 0).transpose(-1, -2)
        if sees is not None:
            scores = scores.masked_fill(~sees, -torch.inf)
        y = (scores.softmax(-1) @ v.repeat_interleave(many, 0)).transpose(0, 1).flatten(1)
        x = x + self.norm(y @ self.w[f"{name}self_attn.o_proj.weight"].T, f"{name}post_attention_layernorm")
        dense = self.network(self.norm(x, f"{name}pre_feedforward_layernorm"), f"{name}mlp.")
        dense = self.norm(dense, f"{name}post_feedforward_layernorm_1")
        mixed = self.norm(self.experts(x, name), f"{name}post_feedforward_layernorm_2")
        x = x + self.norm(dense + mixed, f"{name}post_feedforward_layernorm")
        at_ = "model.decoder." if part == "decoder" else "model.encoder.language_model."
        return x * self.w[f"{at_}layers.{number}.layer_scalar"], own

    def experts(self, x: Tensor, name: str) -> Tensor:
        """The likeliest experts of each token, by the norm of what the layer has so far."""
        routed = self.norm(x) * self.w[f"{name}router.scale"] * x.shape[-1] ** -0.5
        shares, which = (
            (routed @ self.w[f"{name}router.proj.weight"].T).softmax(-1).topk(self.config["top_k_experts"])
        )
        shares = shares / shares.sum(-1, keepdim=True) * self.w[f"{name}router.per_expert_scale"][which]
        y = self.norm(x, f"{name}pre_feedforward_layernorm_2")
        out = torch.zeros_like(y)
        for row in range(len(y)):
            for share, expert in zip(shares[row], which[row], strict=True):
                gate, up = (self.w[f"{name}experts.gate_up_proj"][expert] @ y[row]).chunk(2)
                out[row] += share * (
                    self.w[f"{name}experts.down_proj"][expert] @ (F.gelu(gate, approximate="tanh") * up)
                )
        return out

    def network(self, x: Tensor, name: str) -> Tensor:
        gate, up = (x @ self.w[f"{name}{part}_proj.weight"].T for part in ("gate", "up"))
        return (F.gelu(gate, approximate="tanh") * up) @ self.w[f"{name}down_proj.weight"].T

    def norm(self, x: Tensor, name: str = "") -> Tensor:
        y = x * (x.square().mean(-1, keepdim=True) + self.config["rms_norm_eps"]).rsqrt()
        return y * self.w[f"{name}.weight"] if name else y

    def turned(self, x: Tensor, at: Tensor, kind: str) -> Tensor:
        """Rotary embedding of x (L, heads, D); of a layer with full attention a part of the dimensions."""
        rope, size = self.config["rope_parameters"][kind], x.shape[-1]
        turning = int(rope.get("partial_rotary_factor", 1.0) * size // 2)
        speed = torch.zeros(size // 2, dtype=torch.float64)
        speed[:turning] = rope["rope_theta"] ** (-torch.arange(0, 2 * turning, 2, dtype=torch.float64) / size)
        angle = torch.outer(at.double(), speed).repeat(1, 2)[:, None]
        first, second = x.chunk(2, dim=-1)
        return x * angle.cos() + torch.cat([-second, first], dim=-1) * angle.sin()
