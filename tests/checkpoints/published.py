"""What published checkpoints have in their config.json, and the names and shapes of their weights: test data, written
from what is known of each and never from the families. Never imports webui.

A checkpoint stands here only if its names were seen in the publisher's own code or files. Sizes are those that it
publishes; the one marked "derived" is not, and was worked out from the number of parameters.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.tiny_checkpoints import llada_config
from tests.tiny_decoders import PUBLISHED, decoder_config, decoder_shapes
from tests.tiny_mixtures import (
    llada2_config,
    llada2_shapes,
    mdlm_config,
    mdlm_shapes,
    sedd_config,
    sedd_shapes,
    steerling_config,
    steerling_shapes,
)
from tests.tiny_more import nemotron_config, nemotron_shapes

Shapes = dict[str, tuple[int, ...]]


def llada_shapes(config: dict[str, Any]) -> Shapes:
    """LLaDA's names: those of OLMo."""
    width, inner, rows = config["d_model"], config["mlp_hidden_size"], config["embedding_size"]
    keys = width // config["n_heads"] * config["n_kv_heads"]
    found: Shapes = {
        "model.transformer.wte.weight": (rows, width),
        "model.transformer.ln_f.weight": (width,),
        "model.transformer.ff_out.weight": (rows, width),
    }
    for layer in range(config["n_layers"]):
        at = f"model.transformer.blocks.{layer}."
        found |= {
            f"{at}q_proj.weight": (width, width),
            f"{at}k_proj.weight": (keys, width),
            f"{at}v_proj.weight": (keys, width),
            f"{at}attn_out.weight": (width, width),
            f"{at}ff_proj.weight": (inner, width),
            f"{at}up_proj.weight": (inner, width),
            f"{at}ff_out.weight": (width, inner),
            f"{at}attn_norm.weight": (width,),
            f"{at}ff_norm.weight": (width,),
        }
    return found


def qwen(
    hidden: int, layers: int, heads: int, keys: int, inner: int, rows: int, **more: Any
) -> dict[str, Any]:
    """The sizes of a Qwen or Llama under their usual keys."""
    return {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": keys,
        "intermediate_size": inner,
        "vocab_size": rows,
        **more,
    }


def decoder(family: str, **sizes: Any) -> tuple[str, dict[str, Any], Callable[[], Shapes]]:
    """A family whose names are those of its ancestor."""
    own = dict(PUBLISHED[family])
    shape, _ = own.pop("shape"), own.pop("named", None)
    config = decoder_config(**{**own, **sizes})
    return family, config, lambda: decoder_shapes(config, shape)


QWEN25_7B = qwen(3584, 28, 28, 4, 18944, 152064, max_position_embeddings=131072)
QWEN3_8B = qwen(4096, 36, 32, 8, 12288, 151936, head_dim=128, max_position_embeddings=40960)
QWEN3_30B = qwen(
    2048,
    48,
    32,
    4,
    6144,
    151936,
    head_dim=128,
    num_experts=128,
    num_experts_per_tok=8,
    moe_intermediate_size=768,
)
LLADA_8B = llada_config(
    d_model=4096,
    n_layers=32,
    n_heads=32,
    n_kv_heads=32,
    mlp_hidden_size=12288,
    vocab_size=126464,
    embedding_size=126464,
    max_sequence_length=4096,
)
LLADA2_MINI = llada2_config(
    **qwen(2048, 20, 16, 4, 5120, 157184, head_dim=128, max_position_embeddings=32768),
    num_experts=256,
    num_experts_per_tok=8,
    moe_intermediate_size=512,  # derived: 16 B parameters in all
    n_group=8,
    topk_group=4,
)
STEERLING_8B = steerling_config(
    n_embd=4096, n_layers=32, n_head=32, n_kv_heads=4, mlp_ratio=4, vocab_size=100281, block_size=4096
)
MDLM_OWT = mdlm_config(
    hidden_dim=768, n_blocks=12, n_heads=12, model_length=1024, vocab_size=50258, cond_dim=128
)
SEDD_SMALL = sedd_config(hidden_size=768, cond_dim=128, length=1024, n_blocks=12, n_heads=12) | {
    "tokens": 50257
}
SEDD_MEDIUM = sedd_config(hidden_size=1024, cond_dim=128, length=1024, n_blocks=24, n_heads=16) | {
    "tokens": 50257
}

NEMOTRON_8B = nemotron_config(
    **qwen(4096, 34, 32, 8, 14336, 131072, head_dim=128, max_position_embeddings=262144), block_size=32
)

# checkpoint: its family, its config.json, what makes the names and shapes of its weights
CHECKPOINTS: dict[str, tuple[str, dict[str, Any], Callable[[], Shapes]]] = {
    "LLaDA-8B-Instruct": ("LLaDA", LLADA_8B, lambda: llada_shapes(LLADA_8B)),
    "LLaDA-MoE-7B-A1B": decoder(
        "LLaDA-MoE",
        **qwen(2048, 16, 16, 16, 1024, 157184, max_position_embeddings=8192),
        num_experts=64,
        num_experts_per_tok=8,
        expert_intermediate_size=1024,
    ),
    "LLaDA2.0-mini": ("LLaDA2", LLADA2_MINI, lambda: llada2_shapes(LLADA2_MINI)),
    "Dream-v0-Instruct-7B": decoder("Dream", **QWEN25_7B),
    "DreamOn-v0-7B": decoder("DreamOn", **QWEN25_7B),
    "DreamReasoner-8B": decoder("DreamReasoner", **QWEN3_8B),
    "SDAR-8B-Chat": decoder("SDAR", **QWEN3_8B),
    "SDAR-30B-A3B": decoder("SDAR-MoE", **QWEN3_30B),
    "Fast_dLLM_v2_7B": decoder("Fast-dLLM v2", **QWEN25_7B),
    "Stable-DiffCoder-8B-Instruct": decoder(
        "Stable-DiffCoder", **qwen(4096, 32, 32, 8, 14336, 155136, max_position_embeddings=8192)
    ),
    "RND1-Base-0910": decoder("RND1", **QWEN3_30B),
    "open-dcoder-0.5B": decoder("Open-dLLM", **qwen(896, 24, 14, 2, 4864, 151936, tie_word_embeddings=True)),
    "Qwen2.5-Coder-0.5B-Instruct-diffusion": decoder(
        "Tiny-A2D (Qwen2)", **qwen(896, 24, 14, 2, 4864, 151936, tie_word_embeddings=True)
    ),
    "Qwen3-0.6B-diffusion-mdlm": decoder(
        "Tiny-A2D (Qwen3)", **qwen(1024, 28, 16, 8, 3072, 151936, head_dim=128, tie_word_embeddings=True)
    ),
    "Qwen3-0.6B-diffusion-bd3lm": decoder(
        "Tiny-A2D (Qwen3) blocks",
        **qwen(1024, 28, 16, 8, 3072, 151936, head_dim=128, tie_word_embeddings=True),
    ),
    "Steerling-8B": ("Steerling", STEERLING_8B, lambda: steerling_shapes(STEERLING_8B)),
    "mdlm-owt": ("MDLM", MDLM_OWT, lambda: mdlm_shapes(MDLM_OWT)),
    "sedd-small": ("SEDD", SEDD_SMALL, lambda: sedd_shapes(SEDD_SMALL)),
    "sedd-medium": ("SEDD", SEDD_MEDIUM, lambda: sedd_shapes(SEDD_MEDIUM)),
    "Nemotron-Labs-Diffusion-8B": (
        "Nemotron-Labs-Diffusion",
        NEMOTRON_8B,
        lambda: nemotron_shapes(NEMOTRON_8B),
    ),
}
# parameters in billions, as their publishers give them; a total that differs shows a wrong size above
BILLIONS = {
    "LLaDA-8B-Instruct": 8.02,
    "LLaDA-MoE-7B-A1B": 7.36,
    "LLaDA2.0-mini": 16.3,
    "Dream-v0-Instruct-7B": 7.62,
    "SDAR-8B-Chat": 8.19,
    "SDAR-30B-A3B": 30.5,
    "Fast_dLLM_v2_7B": 7.62,
    "Stable-DiffCoder-8B-Instruct": 8.25,
    "RND1-Base-0910": 30.5,
    "mdlm-owt": 0.17,
}
