"""A trained network as a checkpoint folder in the on-disk format of LLaDA (Nie et al. 2025).

config.json, the tokenizer's two files, and the weights in bf16 under LLaDA's names, in shards if they are
large. Files that stand beside them (README.md, profile.json) stay. Each file is replaced in one piece, the
weights last.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from . import state
from . import tokenizer as words
from .network import Shape

INDEX = "model.safetensors.index.json"


def config(shape: Shape, ids: dict[str, int]) -> dict:
    """The config.json of a shape; `ids` are the tokens mask, end and start."""
    return {
        "model_type": "llada",
        "architectures": ["LLaDAModelLM"],
        "d_model": shape.width,
        "n_heads": shape.heads,
        "n_kv_heads": shape.kv_heads,
        "n_layers": shape.layers,
        "mlp_hidden_size": shape.hidden,
        "max_sequence_length": shape.max_length,
        "vocab_size": shape.vocabulary,
        "embedding_size": shape.vocabulary,
        "rope": True,
        "rope_theta": shape.theta,
        "rope_full_precision": True,
        "alibi": False,
        "block_type": "llama",
        "block_group_size": 1,
        "activation_type": "silu",
        "layer_norm_type": "rms",
        "layer_norm_with_affine": True,
        "bias_for_layer_norm": False,
        "attention_layer_norm": False,
        "rms_norm_eps": shape.eps,
        "weight_tying": True,
        "include_bias": False,
        "include_qkv_bias": False,
        "input_emb_norm": False,
        "scale_logits": False,
        "clip_qkv": None,
        "attention_dropout": 0.0,
        "residual_dropout": 0.0,
        "embedding_dropout": 0.0,
        "use_cache": False,
        "mask_token_id": ids["mask"],
        "eos_token_id": ids["end"],
        "pad_token_id": ids["end"],
        "bos_token_id": ids["start"],
        "torch_dtype": "bfloat16",
    }


def names(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The network's weights under LLaDA's names, bf16."""
    named = {}
    for name, one in weights.items():
        named[f"model.transformer.{name}.weight"] = one.detach().to("cpu", torch.bfloat16).contiguous()
    return named


def read(folder: Path) -> dict[str, Tensor]:
    """The weights of a checkpoint that `export` wrote, by the network's names."""
    from safetensors.torch import load_file

    found = {
        name: one
        for file in sorted(folder.glob("model*.safetensors"))
        for name, one in load_file(file).items()
    }
    return {
        name.removeprefix("model.transformer.").removesuffix(".weight"): one for name, one in found.items()
    }


def tokens(folder: Path) -> int:
    """The tokens that a checkpoint's weights have seen, as `export` wrote it; 0 if it does not say."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return config.get("training", {}).get("tokens", 0)


def shards(weights: dict[str, Tensor], most: float) -> list[dict[str, Tensor]]:
    """Weights in groups of at most `most` megabytes, in order; a single larger tensor is a group of its
    own."""
    groups, used = [{}], 0.0
    for name, one in weights.items():
        size = one.numel() * one.element_size() / 1e6
        if groups[-1] and used + size > most:
            groups.append({})
            used = 0.0
        groups[-1][name] = one
        used += size
    return groups


def export(
    folder: Path, weights: dict[str, Tensor], shape: Shape, tokenizer, facts: dict, most: float = 16.0
) -> None:
    """Write the checkpoint. `weights` by the network's names, `tokenizer` a `tokenizers.Tokenizer`; `facts`
    go into the config under "training" (steps, tokens, recipe), `most` is the size of a shard in
    megabytes."""
    from safetensors.torch import save

    folder.mkdir(parents=True, exist_ok=True)
    ids = {
        key: tokenizer.token_to_id(token)
        for key, token in {"mask": words.MASK, "end": words.END, "start": words.START}.items()
    }
    words.save(tokenizer, folder, shape.max_length)
    _json(folder / "config.json", {**config(shape, ids), "training": facts})
    groups = shards(names(weights), most)
    files = (
        ["model.safetensors"]
        if len(groups) == 1
        else [f"model-{i:05d}-of-{len(groups):05d}.safetensors" for i in range(1, len(groups) + 1)]
    )
    for file, group in zip(files, groups, strict=False):
        state.replace(folder / file, save(group, metadata={"format": "pt"}))
    if len(groups) > 1:
        where = {name: file for file, group in zip(files, groups, strict=False) for name in group}
        total = sum(one.numel() * one.element_size() for group in groups for one in group.values())
        _json(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": where})
    for old in [*folder.glob("model*.safetensors"), folder / INDEX]:
        if old.name not in files and not (old.name == INDEX and len(groups) > 1):
            old.unlink(missing_ok=True)


def _json(path: Path, value: dict) -> None:
    state.replace(path, (json.dumps(value, indent=2) + "\n").encode())
