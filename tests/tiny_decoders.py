"""Tiny random checkpoints of the families that are Llama, Qwen2, Qwen3 or Qwen3-MoE under the ancestors' own
weight names, as published: config.json with the published keys and small numbers. Never imports webui.

folder = decoder(tmp_path / "tiny", **PUBLISHED["SDAR"])
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.tiny_checkpoints import (
    CODE,
    EOS,
    EOT,
    MASK,
    ROWS,
    random_weights,
    save_tokenizer,
    save_weights,
    write_json,
)

LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": False,
    "mlp_bias": False,
    "rope_theta": 500000.0,
}
QWEN2 = {"architectures": ["Qwen2ForCausalLM"], "rope_theta": 1000000.0, "use_sliding_window": False}
QWEN3 = {
    "attention_bias": False,
    "head_dim": 12,
    "rope_theta": 1000000,
    "rope_scaling": None,
    "use_sliding_window": False,
}
MOE = {
    **QWEN3,
    "num_experts": 6,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 24,
    "norm_topk_prob": True,
    "decoder_sparse_step": 1,
    "mlp_only_layers": [],
}

# what tells a family's config.json from others', with the shape of its weights
PUBLISHED: dict[str, dict[str, Any]] = {
    "Dream": {"shape": "qwen2", **QWEN2, "model_type": "Dream", "architectures": ["DreamModel"]},
    "DreamOn": {
        "shape": "qwen2",
        **QWEN2,
        "model_type": "Dream",
        "architectures": ["DreamModel"],
        "expand_token_id": EOT,
    },
    "DreamReasoner": {
        "shape": "qwen3",
        **QWEN3,
        "model_type": "Dream",
        "architectures": ["DreamForCausalLM"],
        "block_size": 8,
    },
    "SDAR": {
        "shape": "qwen3",
        **QWEN3,
        "model_type": "sdar",
        "architectures": ["SDARForCausalLM"],
        "block_size": 4,
    },
    "SDAR-MoE": {
        "shape": "moe",
        **MOE,
        "model_type": "sdar_moe",
        "architectures": ["SDARMoeForCausalLM"],
        "block_size": 4,
    },
    "Fast-dLLM v2": {
        "shape": "qwen2",
        **QWEN2,
        "model_type": "Fast_dLLM_Qwen",
        "architectures": ["Fast_dLLM_QwenForCausalLM"],
        "bd_size": 8,
    },
    "Stable-DiffCoder": {
        "shape": "llama",
        **LLAMA,
        "model_type": "llama",
        "architectures": ["StableDiffcoderForCausalLM"],
    },
    "iLLaDA": {
        "shape": "llama",
        **LLAMA,
        "model_type": "illada",
        "architectures": ["ILLaDAForCausalLM"],
        "tie_word_embeddings": True,
    },
    "RND1": {"shape": "moe", **MOE, "model_type": "rnd1", "architectures": ["RND1LM"]},
    "LLaDA-MoE": {
        "shape": "moe",
        "architectures": ["LLaDAMoEModelLM"],
        "model_type": "llada",
        "attention_bias": False,
        "clip_qkv": None,
        "dense_intermediate_size": 64,
        "expert_intermediate_size": 24,
        "shared_expert_intermediate_size": None,
        "moe_layer_freq": [1, 1],
        "moe_router_enable_expert_bias": False,
        "moe_router_score_function": "softmax",
        "norm_topk_prob": False,
        "num_experts": 6,
        "num_experts_per_tok": 2,
        "partial_rotary_factor": 1,
        "qk_layernorm": True,
        "rope_scaling": None,
        "rope_theta": 50000,
        "routed_scaling_factor": 1,
    },
    "Tiny-A2D (Llama)": {
        "shape": "llama",
        **LLAMA,
        "model_type": "a2d-llama",
        "architectures": ["A2DLlamaLMHeadModel"],
    },
    "Tiny-A2D (Qwen2)": {
        "shape": "qwen2",
        **QWEN2,
        "model_type": "a2d-qwen2",
        "architectures": ["A2DQwen2LMHeadModel"],
        "tie_word_embeddings": True,
    },
    "Tiny-A2D (Qwen3)": {
        "shape": "qwen3",
        **QWEN3,
        "model_type": "a2d-qwen3",
        "architectures": ["A2DQwen3LMHeadModel"],
        "tie_word_embeddings": True,
    },
    "Tiny-A2D (Qwen3) blocks": {
        "shape": "qwen3",
        **QWEN3,
        "model_type": "a2d-qwen3",
        "architectures": ["A2DQwen3LMHeadModel"],
        "named": True,
    },
    "DiffuLLaMA": {"shape": "llama", **LLAMA, "model_type": "llama", "named": True},
    "Open-dLLM": {"shape": "qwen2", **QWEN2, "model_type": "qwen2", "named": True},
    "Adapted Llama": {"shape": "llama", **LLAMA, "model_type": "llama", "named": True},
    "Adapted Qwen2": {"shape": "qwen2", **QWEN2, "model_type": "qwen2", "named": True},
    "Adapted Qwen3": {"shape": "qwen3", **QWEN3, "model_type": "qwen3", "named": True},
}


def dreamon(folder: Path, seed: int = 0) -> Path:
    """A DreamOn to which the token that expands and end-of-text are often the likeliest."""
    from safetensors.torch import load_file, save_file

    decoder(folder, seed=seed, **PUBLISHED["DreamOn"])
    file = next(folder.glob("*.safetensors"))
    weights = load_file(file)
    weights["lm_head.weight"][EOT] *= 7.0
    weights["lm_head.weight"][EOS] *= 4.0
    save_file(weights, file, {"format": "pt"})
    return folder


# how each computes: whether the output at a column predicts the next one, and columns of a block
SHIFTED = {"Dream", "DreamOn", "Fast-dLLM v2", "RND1", "DiffuLLaMA", "Open-dLLM"} | {
    f"Adapted {kind}" for kind in ("Llama", "Qwen2", "Qwen3")
}
BLOCKS = {
    "DreamReasoner": 8,
    "SDAR": 4,
    "SDAR-MoE": 4,
    "Fast-dLLM v2": 8,
    "Stable-DiffCoder": 4,
    "Tiny-A2D (Qwen3) blocks": 32,
}


def decoder_config(**changes: Any) -> dict[str, Any]:
    """config.json with the keys that all of them have, with small numbers."""
    config = {
        "bos_token_id": EOS,
        "eos_token_id": EOS,
        "hidden_act": "silu",
        "hidden_size": 32,
        "intermediate_size": 64,
        "mask_token_id": MASK,
        "max_position_embeddings": 256,
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-06,
        "tie_word_embeddings": False,
        "use_cache": True,
        "vocab_size": ROWS,
    }
    return {**config, **changes}


def decoder_shapes(config: dict[str, Any], shape: str) -> dict[str, tuple[int, ...]]:
    """The published names and shapes of the weights."""
    width, rows = config["hidden_size"], config["vocab_size"]
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    size = config.get("head_dim") or width // heads
    found: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (rows, width),
        "model.norm.weight": (width,),
    }
    if not config["tie_word_embeddings"]:
        found["lm_head.weight"] = (rows, width)
    for layer in range(config["num_hidden_layers"]):
        block = f"model.layers.{layer}."
        for name, out in (("q", heads * size), ("k", kv_heads * size), ("v", kv_heads * size)):
            found[f"{block}self_attn.{name}_proj.weight"] = (out, width)
            if shape == "qwen2":
                found[f"{block}self_attn.{name}_proj.bias"] = (out,)
        found[f"{block}self_attn.o_proj.weight"] = (width, heads * size)
        if shape in ("qwen3", "moe"):
            found |= {f"{block}self_attn.{name}_norm.weight": (size,) for name in "qk"}
        found |= {f"{block}{name}_layernorm.weight": (width,) for name in ("input", "post_attention")}
        feeds = {f"{block}mlp.": config["intermediate_size"]}
        if shape == "moe":
            inner = config.get("expert_intermediate_size") or config["moe_intermediate_size"]
            feeds = {f"{block}mlp.experts.{i}.": inner for i in range(config["num_experts"])}
            found[f"{block}mlp.gate.weight"] = (config["num_experts"], width)
        for prefix, inner in feeds.items():
            found |= {f"{prefix}{name}_proj.weight": (inner, width) for name in ("gate", "up")}
            found[f"{prefix}down_proj.weight"] = (width, inner)
    return found


def decoder(
    folder: Path, *, shape: str, named: bool = False, seed: int = 0, shards: int = 1, **config: Any
) -> Path:
    """Writes a checkpoint of one of these shapes. `named`: profile.json says the family, which is the folder's
    name, as config.json does not."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    settings = decoder_config(**config)
    write_json(folder / "config.json", settings)
    if named:
        write_json(folder / "profile.json", {"family": folder.name})
    save_weights(folder, random_weights(decoder_shapes(settings, shape), seed), shards)
    save_tokenizer(folder)
    (folder / "modeling_own.py").write_text(CODE, "utf-8")
    return folder
