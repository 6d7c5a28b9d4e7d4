"""MDLM (Sahoo et al. 2024, arXiv 2406.07524): a diffusion transformer that is no class of transformers, so it
is written here, after the paper and the published names of its weights.

Every block is modulated by an embedding of the noise level, which these checkpoints always get as 0 (their
time_conditioning is off). BD3-LM and SEDD share the names: BD3-LM's text is conditioned on a clean copy,
SEDD gives ratios instead of logits; both are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from webui.checkpoints.families.base import Family, check_number
from webui.core.errors import Refusal

FREQUENCIES = 256  # of the embedding of the noise level
NUMBERS = {
    "hidden_dim": 1 << 20,
    "n_heads": 1 << 16,
    "n_blocks": 1 << 12,
    "vocab_size": 1 << 24,
    "cond_dim": 1 << 20,
}


def check(config: Mapping[str, Any]) -> None:
    """Refusal names the key that is not computed, or that is not there."""
    for key, most in NUMBERS.items():
        check_number(config, key, 1, most)
    check_number(config, "model_length", 1, 1 << 28)
    if config["hidden_dim"] % config["n_heads"] or config["hidden_dim"] // config["n_heads"] % 2:
        raise Refusal(
            f"config.json says hidden_dim = {config['hidden_dim']}, n_heads = {config['n_heads']}: heads "
            "must be of equal, even width."
        )
    if config.get("time_conditioning"):
        raise Refusal("config.json says time_conditioning = True, which is not computed for it.")


def translate(config: Mapping[str, Any]) -> Any:
    """The configuration of `native()`."""
    return _classes()[0](
        vocab_size=config["vocab_size"],
        hidden_size=config["hidden_dim"],
        num_hidden_layers=config["n_blocks"],
        num_attention_heads=config["n_heads"],
        condition_size=config["cond_dim"],
        max_position_embeddings=config["model_length"],
        tie_word_embeddings=False,
    )


def native() -> Any:
    """The class of the model. Its tensors have the published names without `backbone.`."""
    return _classes()[1]


@cache
def _classes() -> tuple[Any, Any]:
    """Configuration and model, made when the libraries are there."""
    import torch
    import torch.nn.functional as F
    from torch import Tensor, nn
    from transformers import PretrainedConfig, PreTrainedModel
    from transformers.modeling_outputs import BaseModelOutput, MaskedLMOutput

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
            **more: Any,
        ):
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
            speed = torch.exp(
                -torch.arange(half, device=level.device).float() / half * torch.log(torch.tensor(1e4))
            )
            angle = level[:, None].float() * speed
            return self.mlp(torch.cat([angle.cos(), angle.sin()], dim=-1).to(self.mlp[0].weight.dtype))

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
            self.mlp = nn.Sequential(
                nn.Linear(width, 4 * width), nn.GELU("tanh"), nn.Linear(4 * width, width)
            )
            self.adaLN_modulation = nn.Linear(config.condition_size, 6 * width)

        def forward(self, x: Tensor, condition: Tensor, mask: Tensor | None, position: Tensor) -> Tensor:
            parts = self.adaLN_modulation(condition)[:, None].chunk(6, dim=2)
            shift, scale, gate, shift_mlp, scale_mlp, gate_mlp = parts
            y = self.norm1(x) * (1 + scale) + shift
            q, k, v = self.attn_qkv(y).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
            y = F.scaled_dot_product_attention(rotated(q, position), rotated(k, position), v, attn_mask=mask)
            x = x + gate * self.attn_out(y.transpose(1, 2).flatten(2))
            return x + gate_mlp * self.mlp(self.norm2(x) * (1 + scale_mlp) + shift_mlp)

    class Output(nn.Module):
        def __init__(self, config: Any):
            super().__init__()
            self.norm_final = Norm(config.hidden_size)
            self.linear = nn.Linear(config.hidden_size, config.vocab_size)
            self.adaLN_modulation = nn.Linear(config.condition_size, 2 * config.hidden_size)

        def modulated(self, x: Tensor, condition: Tensor) -> Tensor:
            shift, scale = self.adaLN_modulation(condition)[:, None].chunk(2, dim=2)
            return self.norm_final(x) * (1 + scale) + shift

    class DiffusionTransformer(PreTrainedModel):
        config_class = DiffusionTransformerConfig
        _supports_sdpa = True

        def __init__(self, config: Any):
            super().__init__(config)
            self.vocab_embed = Embedding(config.vocab_size, config.hidden_size)
            self.sigma_map = Level(config.condition_size)
            self.blocks = nn.ModuleList(Block(config) for _ in range(config.num_hidden_layers))
            self.output_layer = Output(config)
            self.post_init()

        def get_output_embeddings(self) -> Any:
            return self.output_layer.linear

        def hidden(self, tokens: Tensor, mask: Tensor | None, position: Tensor | None) -> Tensor:
            if position is None:
                position = torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)
            condition = F.silu(self.sigma_map(torch.zeros(tokens.shape[0], device=tokens.device)))
            x = self.vocab_embed(tokens)
            for block in self.blocks:
                x = block(x, condition, mask, position)
            return self.output_layer.modulated(x, condition)

        def forward(
            self,
            input_ids: Tensor,
            attention_mask: Tensor | None = None,
            position_ids: Tensor | None = None,
            **more: Any,
        ) -> Any:
            x = self.hidden(input_ids, attention_mask, position_ids)
            return MaskedLMOutput(logits=self.output_layer.linear(x))

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
            use_cache: bool = False,
        ) -> Any:
            return BaseModelOutput(
                last_hidden_state=self.model.hidden(input_ids, attention_mask, position_ids)
            )

    DiffusionTransformer.body = Body  # type: ignore[attr-defined]
    return DiffusionTransformerConfig, DiffusionTransformer


def split(module: Any) -> tuple[Any, Any]:
    """Everything but the last linear layer, and that."""
    return type(module).body(module), module.output_layer.linear


FAMILY = Family(
    name="MDLM",
    claims=lambda config: config.get("model_type") == "mdlm",
    check=check,
    translate=translate,
    model_class=native,
    names={r"^backbone\.": ""},
    unused=(r"\.rotary_emb\.", r"^noise\."),
    max_length=lambda config: int(config["model_length"]),
    split=split,
    preset={
        "sampler": "random",
        "length": 256,
        "temperature": 1.0,
        "top_p": 0.9,
        "end_of_text": "keep",
        "template": "raw",
    },
    license="Apache-2.0",
)
