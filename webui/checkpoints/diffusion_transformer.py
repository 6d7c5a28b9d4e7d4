"""The diffusion transformer of MDLM (Sahoo et al. 2024, arXiv 2406.07524) and SEDD (Lou et al. 2024, arXiv
2310.16834), which is no class of transformers: blocks modulated by an embedding of the noise level (Peebles
and Xie 2022, arXiv 2212.09748). Its tensors have the published names without `backbone.`.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput, MaskedLMOutput

FREQUENCIES = 256  # of the embedding of the noise level


class DiffusionTransformerConfig(PretrainedConfig):
    model_type = "diffusion_transformer"

    def __init__(
        self,
        vocab_size: int = 64,
        hidden_size: int = 32,
        num_hidden_layers: int = 1,
        num_attention_heads: int = 2,
        condition_size: int = 8,
        max_position_embeddings: int = 64,
        modulated: bool = True,
        ratios: bool = False,
        **more: Any,
    ):
        self.modulated = modulated  # by the noise level; without it norms and sums are plain
        self.ratios = ratios  # the output is of ratios: see `Ratios`
        self.vocab_size, self.hidden_size = vocab_size, hidden_size
        self.num_hidden_layers, self.num_attention_heads = num_hidden_layers, num_attention_heads
        self.condition_size, self.max_position_embeddings = condition_size, max_position_embeddings
        super().__init__(**more)


class Norm(nn.Module):
    """Layer norm with a weight and no bias, in fp32 at least."""

    def __init__(self, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float() if x.dtype.itemsize < 4 else x
        return (F.layer_norm(wide, x.shape[-1:]) * self.weight).to(x.dtype)


class Embedding(nn.Module):
    def __init__(self, rows: int, width: int):
        super().__init__()
        self.embedding = nn.Parameter(torch.empty(rows, width))

    def forward(self, tokens: Tensor) -> Tensor:
        return F.embedding(tokens, self.embedding)


class Level(nn.Module):
    """Embedding of a noise level: cosines and sines of 128 speeds, then two linear layers."""

    def __init__(self, width: int):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, level: Tensor) -> Tensor:
        half = FREQUENCIES // 2
        speed = torch.exp(-torch.arange(half, device=level.device).float() / half * math.log(1e4))
        angle = level[:, None].float() * speed
        return self.mlp(torch.cat([angle.cos(), angle.sin()], dim=-1).to(next(self.mlp.parameters()).dtype))


def rotated(x: Tensor, position: Tensor) -> Tensor:
    """Rotary embedding of x (B, heads, L, D) in fp32 at least."""
    width = x.shape[-1]
    wide = x.float() if x.dtype.itemsize < 4 else x
    speed = 1.0 / 1e4 ** (torch.arange(0, width, 2, device=x.device).float() / width)
    angle = (position[..., None].float() * speed).repeat(1, 1, 2)[:, None]
    first, second = wide.chunk(2, dim=-1)
    return (wide * angle.cos() + torch.cat([-second, first], dim=-1) * angle.sin()).to(x.dtype)


class Block(nn.Module):
    def __init__(self, config: Any):
        super().__init__()
        width = config.hidden_size
        self.heads = config.num_attention_heads
        self.norm1, self.norm2 = Norm(width), Norm(width)
        self.attn_qkv = nn.Linear(width, 3 * width, bias=False)
        self.attn_out = nn.Linear(width, width, bias=False)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU("tanh"), nn.Linear(4 * width, width))
        self.adaLN_modulation = nn.Linear(config.condition_size, 6 * width) if config.modulated else None

    def forward(
        self,
        x: Tensor,
        condition: Tensor | None,
        mask: Tensor | None,
        position: Tensor,
        kept: Any = None,
        layer: int = 0,
    ) -> Tensor:
        shift, scale, gate, shift_mlp, scale_mlp, gate_mlp = _modulation(self.adaLN_modulation, condition, 6)
        y = self.norm1(x) * (1 + scale) + shift
        q, k, v = self.attn_qkv(y).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        q, k = rotated(q, position), rotated(k, position)
        if kept is not None:
            k, v = kept.update(k, v, layer)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = x + gate * self.attn_out(y.transpose(1, 2).flatten(2))
        return x + gate_mlp * self.mlp(self.norm2(x) * (1 + scale_mlp) + shift_mlp)


class Output(nn.Module):
    def __init__(self, config: Any):
        super().__init__()
        self.norm_final = Norm(config.hidden_size)
        self.linear = nn.Linear(config.hidden_size, config.vocab_size)
        self.adaLN_modulation = (
            nn.Linear(config.condition_size, 2 * config.hidden_size) if config.modulated else None
        )

    def modulated(self, x: Tensor, condition: Tensor | None) -> Tensor:
        shift, scale = _modulation(self.adaLN_modulation, condition, 2)
        return self.norm_final(x) * (1 + scale) + shift


def _modulation(layer: nn.Linear | None, condition: Tensor | None, parts: int) -> tuple[Any, ...]:
    """Shift, scale and gate, for attention and feed-forward; those that change nothing without a layer."""
    if layer is None or condition is None:
        return (0.0, 0.0, 1.0, 0.0, 0.0, 1.0)[:parts]
    return layer(condition)[:, None].chunk(parts, dim=2)


class DiffusionTransformer(PreTrainedModel):
    config_class = DiffusionTransformerConfig
    _supports_sdpa = True

    def __init__(self, config: Any):
        super().__init__(config)
        self.vocab_embed = Embedding(config.vocab_size, config.hidden_size)
        self.sigma_map = Level(config.condition_size) if config.modulated else None
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.num_hidden_layers))
        self.output_layer = Output(config)
        self.post_init()

    def get_output_embeddings(self) -> Any:
        return self.output_layer.linear

    def hidden(
        self,
        tokens: Tensor,
        mask: Tensor | None,
        position: Tensor | None,
        kept: Any = None,
        level: Tensor | None = None,
    ) -> Tensor:
        if position is None:
            position = torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)
        condition = None
        if self.sigma_map is not None:
            level = torch.zeros(tokens.shape[0], device=tokens.device) if level is None else level
            condition = F.silu(self.sigma_map(level))
        x = self.vocab_embed(tokens)
        for layer, block in enumerate(self.blocks):
            x = block(x, condition, mask, position, kept, layer)
        return self.output_layer.modulated(x, condition)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        level: Tensor | None = None,
        **more: Any,
    ) -> Any:
        x = self.hidden(input_ids, attention_mask, position_ids, level=level)
        head = Ratios(self.output_layer.linear) if self.config.ratios else self.output_layer.linear
        return MaskedLMOutput(logits=head(x))


class Ratios(nn.Module):
    """The last linear layer of a model of ratios of probabilities, p(text with another token) / p(text).

    Published: the log of the ratio is the layer's output, less log(e^level - 1) and less the log of the
    number of tokens (scale_by_sigma). In an absorbing process the ratio is the token's probability, given
    the rest of the text, divided by e^level - 1; so the output less the log of the number of tokens is the
    log of that probability. Over all tokens but the mask these sum to about 1, and by how much they miss it
    matters to SEDD's sampler.
    """

    def __init__(self, linear: nn.Linear):
        super().__init__()
        self.linear = linear

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) - math.log(self.linear.out_features - 1)


class Body(nn.Module):
    """The model up to the last linear layer."""

    def __init__(self, model: Any):
        super().__init__()
        self.model = model

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        use_cache: bool = False,
        level: Tensor | None = None,
    ) -> Any:
        hidden = self.model.hidden(input_ids, attention_mask, position_ids, past_key_values, level)
        return BaseModelOutput(last_hidden_state=hidden)
