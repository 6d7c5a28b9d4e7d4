"""Tiny random checkpoints of DiffuGPT, dLLM-Var, WeDLM, Nemotron-Labs-Diffusion and BD3-LM, under the published names
and with the published keys of config.json. Never imports webui."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.tiny_checkpoints import (
    EOS,
    MASK,
    ROWS,
    llada,
    random_weights,
    save_tokenizer,
    save_weights,
    write_json,
)
from tests.tiny_decoders import QWEN2, QWEN3, decoder_config, decoder_shapes
from tests.tiny_mixtures import mdlm_config, mdlm_shapes


def diffugpt(folder: Path, *, seed: int = 0, shards: int = 1, **config: Any) -> Path:
    """GPT-2's transformer as `denoise_model`, its embedding as `embed_tokens` and as the head."""
    settings = {
        "activation_function": "gelu_new",
        "architectures": ["DiscreteDiffusionModel"],
        "eos_token_id": EOS,
        "layer_norm_epsilon": 1e-05,
        "mask_token_id": MASK,
        "model_type": "gpt2",
        "n_embd": 32,
        "n_head": 4,
        "n_layer": 2,
        "n_positions": 256,
        "vocab_size": ROWS,
        **config,
    }
    width = settings["n_embd"]
    shapes: dict[str, tuple[int, ...]] = {
        "denoise_model.wpe.weight": (settings["n_positions"], width),
        "denoise_model.ln_f.weight": (width,),
        "denoise_model.ln_f.bias": (width,),
        "embed_tokens.weight": (settings["vocab_size"], width),
    }
    for layer in range(settings["n_layer"]):
        at = f"denoise_model.h.{layer}."
        shapes |= {f"{at}{norm}.{part}": (width,) for norm in ("ln_1", "ln_2") for part in ("weight", "bias")}
        dense = {"attn.c_attn": (width, 3 * width), "attn.c_proj": (width, width)}
        dense |= {"mlp.c_fc": (width, 4 * width), "mlp.c_proj": (4 * width, width)}
        for name, (into, out) in dense.items():
            shapes |= {f"{at}{name}.weight": (into, out), f"{at}{name}.bias": (out,)}
    weights = random_weights(shapes, seed)
    weights["lm_head.weight"] = weights["embed_tokens.weight"].clone()
    return _write(folder, settings, weights, shards, named="DiffuGPT")


def dllm_var(folder: Path, *, seed: int = 0, shards: int = 1, **config: Any) -> Path:
    """LLaDA's files, and a profile."""
    llada(folder, seed=seed, shards=shards, block_size=8, **config)
    write_json(Path(folder) / "profile.json", {"family": "dLLM-Var"})
    return Path(folder)


def wedlm(folder: Path, *, seed: int = 0, shards: int = 1, **config: Any) -> Path:
    """Qwen3's names."""
    settings = decoder_config(**QWEN3, model_type="wedlm", architectures=["WeDLMForCausalLM"], **config)
    return _write(folder, settings, random_weights(decoder_shapes(settings, "qwen3"), seed), shards)


def wedlm_qwen2(folder: Path, *, seed: int = 0, shards: int = 1, **config: Any) -> Path:
    """Qwen2's names."""
    own = {**QWEN2, "model_type": "wedlm", "architectures": ["WeDLMForCausalLM"], "attention_bias": True}
    settings = decoder_config(**own, **config)
    return _write(folder, settings, random_weights(decoder_shapes(settings, "qwen2"), seed), shards)


def nemotron_config(**changes: Any) -> dict[str, Any]:
    """config.json as Nemotron-Labs-Diffusion publishes it, with small numbers."""
    own = {
        "architectures": ["NemotronLabsDiffusionModel"],
        "block_size": 8,
        "head_dim": 12,
        "mask_token_id": MASK,
        "model_type": "nemotron_labs_diffusion",
        "rope_parameters": {
            "beta_fast": 32.0,
            "beta_slow": 1.0,
            "factor": 16.0,
            "llama_4_scaling_beta": 0.1,
            "mscale": 1.0,
            "mscale_all_dim": 1.0,
            "original_max_position_embeddings": 16,
            "rope_theta": 1000000.0,
            "rope_type": "yarn",
        },
    }
    return decoder_config(**{**own, **changes})


def nemotron_shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """The published names and shapes of the weights."""
    plain = decoder_shapes(config, "llama")
    names = {"model.": "encoder.", "lm_head.": "diffusion_head."}
    return {
        next(new + name.removeprefix(old) for old, new in names.items() if name.startswith(old)): shape
        for name, shape in plain.items()
    }


def nemotron(folder: Path, *, seed: int = 0, shards: int = 1, **config: Any) -> Path:
    """Ministral's names with other beginnings."""
    settings = nemotron_config(**config)
    return _write(folder, settings, random_weights(nemotron_shapes(settings), seed), shards)


def bd3lm(folder: Path, *, seed: int = 0, shards: int = 1, **config: Any) -> Path:
    """MDLM's names, without the modulation if `adaln` is off."""
    own = {"model_type": "bd3lm", "architectures": ["BD3LM"], "block_size": 8, "adaln": False}
    settings = mdlm_config(**{**own, **config})
    shapes = mdlm_shapes(settings)
    if not settings["adaln"]:
        shapes = {name: s for name, s in shapes.items() if "adaLN" not in name and "sigma_map" not in name}
    return _write(folder, settings, random_weights(shapes, seed), shards)


def _write(folder: Path, config: dict[str, Any], weights: Any, shards: int, named: str = "") -> Path:
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", config)
    if named:
        write_json(folder / "profile.json", {"family": named})
    save_weights(folder, weights, shards)
    save_tokenizer(folder)
    return folder


MORE = {
    "DiffuGPT": diffugpt,
    "dLLM-Var": dllm_var,
    "WeDLM": wedlm,
    "WeDLM (Qwen2)": wedlm_qwen2,
    "Nemotron-Labs-Diffusion": nemotron,
    "BD3-LM": bd3lm,
}
