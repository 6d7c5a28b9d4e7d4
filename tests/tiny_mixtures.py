"""Tiny random checkpoints of LLaDA2, Steerling, MDLM and SEDD, under the published names and with the published keys of
config.json. Never imports webui."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.tiny_checkpoints import (
    CODE,
    EOS,
    MASK,
    ROWS,
    random_weights,
    save_tokenizer,
    save_weights,
    write_json,
)


def llada2_config(**changes: Any) -> dict[str, Any]:
    """config.json as LLaDA2.0-mini publishes it, with small numbers."""
    config = {
        "architectures": ["LLaDA2MoeModelLM"],
        "attention_dropout": 0.0,
        "eos_token_id": EOS,
        "first_k_dense_replace": 1,
        "head_dim": 16,
        "hidden_act": "silu",
        "hidden_size": 32,
        "intermediate_size": 64,
        "mask_token_id": MASK,
        "max_position_embeddings": 256,
        "model_type": "llada2_moe",
        "moe_intermediate_size": 24,
        "n_group": 4,
        "norm_head": False,
        "norm_topk_prob": True,
        "num_attention_heads": 4,
        "num_experts": 8,
        "num_experts_per_tok": 2,
        "num_hidden_layers": 3,
        "num_key_value_heads": 2,
        "num_shared_experts": 1,
        "pad_token_id": EOS,
        "partial_rotary_factor": 0.5,
        "rms_norm_eps": 1e-06,
        "rope_scaling": None,
        "rope_theta": 600000,
        "routed_scaling_factor": 2.5,
        "tie_word_embeddings": False,
        "topk_group": 2,
        "use_bias": False,
        "use_qk_norm": True,
        "use_qkv_bias": False,
        "use_sliding_window": False,
        "vocab_size": ROWS,
    }
    return {**config, **changes}


def llada2_shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """The published names and shapes of the weights."""
    width, size = config["hidden_size"], config["head_dim"]
    heads, keys = config["num_attention_heads"], config["num_key_value_heads"]
    found: dict[str, tuple[int, ...]] = {
        "model.word_embeddings.weight": (config["vocab_size"], width),
        "model.norm.weight": (width,),
        "lm_head.weight": (config["vocab_size"], width),
    }
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}."
        found |= {
            f"{at}attention.query_key_value.weight": ((heads + 2 * keys) * size, width),
            f"{at}attention.dense.weight": (width, heads * size),
            f"{at}attention.query_layernorm.weight": (size,),
            f"{at}attention.key_layernorm.weight": (size,),
            f"{at}input_layernorm.weight": (width,),
            f"{at}post_attention_layernorm.weight": (width,),
        }
        feeds = {f"{at}mlp.": config["intermediate_size"]}
        if layer >= config["first_k_dense_replace"]:
            inner = config["moe_intermediate_size"]
            feeds = {f"{at}mlp.experts.{i}.": inner for i in range(config["num_experts"])}
            feeds[f"{at}mlp.shared_experts."] = inner * config["num_shared_experts"]
            found[f"{at}mlp.gate.weight"] = (config["num_experts"], width)
            found[f"{at}mlp.gate.expert_bias"] = (config["num_experts"],)
        for prefix, inner in feeds.items():
            found |= {f"{prefix}{name}_proj.weight": (inner, width) for name in ("gate", "up")}
            found[f"{prefix}down_proj.weight"] = (width, inner)
    return found


def llada2(folder: Path, *, seed: int = 0, shards: int = 1, **config: Any) -> Path:
    """Writes a LLaDA2 checkpoint."""
    return _write(folder, llada2_config(**config), llada2_shapes, seed, shards)


def steerling_config(**changes: Any) -> dict[str, Any]:
    """config.json as Steerling-8B publishes it, with small numbers."""
    config = {
        "architectures": ["SteerlingForCausalLM"],
        "activation": "gelu",
        "block_size": 256,
        "clip_qkv": 0.5,
        "diff_block_size": 8,
        "interpretable": True,
        "intermediate_size": None,
        "mask_token_id": MASK,
        "mlp_ratio": 2,
        "mlp_type": "swiglu",
        "model_type": "causal_diffusion",
        "n_embd": 32,
        "n_head": 4,
        "n_kv_heads": 2,
        "n_layers": 2,
        "norm_eps": 1e-05,
        "norm_order": "post",
        "rope_base": 500000.0,
        "rope_full_precision": True,
        "use_bias": False,
        "use_qk_norm": True,
        "use_rms_norm": True,
        "use_rope": True,
        "vocab_size": ROWS,
        "weight_sharing": True,
    }
    return {**config, **changes}


def steerling_shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """The published names and shapes of the weights, those of the concept heads among them."""
    width, inner = config["n_embd"], config["mlp_ratio"] * config["n_embd"]
    size = width // config["n_head"]
    prefix = "transformer." if config["interpretable"] else ""
    found: dict[str, tuple[int, ...]] = {
        f"{prefix}tok_emb.weight": (config["vocab_size"], width),
        f"{prefix}ln_f.weight": (width,),
    }
    if config["interpretable"]:
        found |= {
            "known_head.concept_embedding.weight": (5, width),
            "unknown_head.concept_embedding.weight": (7, width),
        }
    for layer in range(config["n_layers"]):
        at = f"{prefix}blocks.{layer}."
        found |= {
            f"{at}attn.c_attn.weight": (width + 2 * size * config["n_kv_heads"], width),
            f"{at}attn.c_proj.weight": (width, width),
            f"{at}attn.q_norm.weight": (size,),
            f"{at}attn.k_norm.weight": (size,),
            f"{at}mlp.c_fc.weight": (2 * inner, width),
            f"{at}mlp.c_proj.weight": (width, inner),
            f"{at}ln_1.weight": (width,),
            f"{at}ln_2.weight": (width,),
        }
    return found


def steerling(folder: Path, *, seed: int = 0, shards: int = 1, **config: Any) -> Path:
    """Writes a Steerling checkpoint; embedding and head are one tensor, published under both names."""
    return _write(folder, steerling_config(**config), steerling_shapes, seed, shards)


def mdlm_config(**changes: Any) -> dict[str, Any]:
    """config.json as mdlm-owt publishes it, with small numbers."""
    config = {
        "architectures": ["MDLM"],
        "cond_dim": 16,
        "dropout": 0.1,
        "hidden_dim": 32,
        "mask_token_id": MASK,
        "model_length": 256,
        "model_type": "mdlm",
        "n_blocks": 2,
        "n_heads": 4,
        "time_conditioning": False,
        "vocab_size": ROWS,
    }
    return {**config, **changes}


def mdlm_shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """The published names and shapes of the weights."""
    width, condition, rows = config["hidden_dim"], config["cond_dim"], config["vocab_size"]
    dense = {
        "sigma_map.mlp.0": (condition, 256),
        "sigma_map.mlp.2": (condition, condition),
        "output_layer.linear": (rows, width),
        "output_layer.adaLN_modulation": (2 * width, condition),
    }
    found: dict[str, tuple[int, ...]] = {
        "backbone.vocab_embed.embedding": (rows, width),
        "backbone.output_layer.norm_final.weight": (width,),
    }
    for block in range(config["n_blocks"]):
        at = f"blocks.{block}."
        dense |= {
            f"{at}mlp.0": (4 * width, width),
            f"{at}mlp.2": (width, 4 * width),
            f"{at}adaLN_modulation": (6 * width, condition),
        }
        found |= {
            f"backbone.{at}norm1.weight": (width,),
            f"backbone.{at}norm2.weight": (width,),
            f"backbone.{at}attn_qkv.weight": (3 * width, width),
            f"backbone.{at}attn_out.weight": (width, width),
        }
    for name, shape in dense.items():
        found |= {f"backbone.{name}.weight": shape, f"backbone.{name}.bias": shape[:1]}
    return found


def mdlm(folder: Path, *, seed: int = 0, shards: int = 1, **config: Any) -> Path:
    """Writes an MDLM checkpoint."""
    return _write(folder, mdlm_config(**config), mdlm_shapes, seed, shards)


def sedd_config(**changes: Any) -> dict[str, Any]:
    """config.json as sedd-small publishes it, its training options included, with small numbers; `changes` are of
    `model`."""
    model = {
        "cond_dim": 16,
        "dropout": 0.1,
        "hidden_size": 32,
        "length": 256,
        "n_blocks": 2,
        "n_heads": 4,
        "name": "small",
        "scale_by_sigma": True,
        "type": "ddit",
    }
    return {
        "eval": {"batch_size": 512, "perplexity": True, "perplexity_batch_size": 32},
        "graph": {"file": "data", "report_all": False, "type": "absorb"},
        "model": {**model, **changes},
        "ngpus": 8,
        "noise": {"sigma_max": 20, "sigma_min": 0.0001, "type": "loglinear"},
        "sampling": {"noise_removal": True, "predictor": "euler", "steps": 128},
        "tokens": ROWS - 1,
        "training": {"accum": 1, "batch_size": 512, "ema": 0.9999, "n_iters": 1300001},
    }


def sedd_shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """The published names and shapes of the weights: MDLM's, without their beginning."""
    model = config["model"]
    same = {"hidden_dim": model["hidden_size"], "vocab_size": config["tokens"] + 1}
    shapes = mdlm_shapes({**model, **same})
    found = {name.removeprefix("backbone."): shape for name, shape in shapes.items()}
    return {**found, "rotary_emb.inv_freq": (model["hidden_size"] // model["n_heads"] // 2,)}


def sedd(folder: Path, *, seed: int = 0, shards: int = 1, tokens: int = ROWS - 1, **model: Any) -> Path:
    """Writes a SEDD checkpoint; the mask is one more than its tokens."""
    return _write(folder, {**sedd_config(**model), "tokens": tokens}, sedd_shapes, seed, shards)


def _write(folder: Path, config: dict[str, Any], shapes: Any, seed: int, shards: int) -> Path:
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", config)
    weights = random_weights(shapes(config), seed)
    for name in [name for name in weights if name.endswith("tok_emb.weight")]:
        weights[name.replace("tok_emb", "lm_head")] = weights[name].clone()
    save_weights(folder, weights, shards)
    save_tokenizer(folder)
    (folder / "modeling_own.py").write_text(CODE, "utf-8")
    return folder
