"""Checkpoint folders for tests, tiny and random, in the published on-disk format. Of webui it imports
only the writer of tiny checkpoints, which imports nothing of webui itself.

folder = llada(tmp_path / "tiny")                        # or with **VARIANTS["gqa"], shards=3, n_layers=1,
  ...
folder = BROKEN["missing tensor"](tmp_path / "broken")   # every entry makes a folder that must be refused
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from webui.testing.tiny import (  # noqa: F401
    BOS,
    CODE,
    EOS,
    EOT,
    FIRST_SPECIAL,
    MASK,
    ROWS,
    SPECIAL,
    llada,
    llada_config,
    llada_weights,
    save_tokenizer,
    save_weights,
    write_json,
)

VARIANTS: dict[str, dict] = {
    "plain": {},
    "gqa": {"n_kv_heads": 2},
    "tied": {"weight_tying": True},
    "wide": {"embedding_size": ROWS + 16},
    "sharded": {"shards": 3},
}


def random_weights(shapes: dict[str, tuple[int, ...]], seed: int) -> dict[str, Tensor]:
    """Random weights by name: matrices scaled by their width, norms around 1, biases around 0; embeddings of
    size 1."""
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for name, shape in shapes.items():
        value = torch.randn(*shape, generator=generator)
        norm = name.endswith("weight") and len(shape) == 1
        scale = 1.0 if "embed" in name else shape[-1] ** -0.5
        found[name] = 1 + 0.1 * value if norm else 0.1 * value if len(shape) == 1 else value * scale
    return found


def dream_config(**changes) -> dict:
    """config.json as Dream-7B publishes it, with small numbers."""
    config = {
        "architectures": ["DreamModel"],
        "auto_map": {"AutoModel": "modeling_dream.DreamModel"},
        "attention_dropout": 0.0,
        "bos_token_id": BOS,
        "eos_token_id": EOS,
        "hidden_act": "silu",
        "hidden_size": 32,
        "initializer_range": 0.02,
        "intermediate_size": 64,
        "mask_token_id": MASK,
        "max_position_embeddings": 256,
        "model_type": "Dream",
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "num_key_value_heads": 2,
        "pad_token_id": EOS,
        "rms_norm_eps": 1e-06,
        "rope_theta": 1000000.0,
        "tie_word_embeddings": False,
        "use_cache": True,
        "use_sliding_window": False,
        "vocab_size": ROWS,
    }
    return {**config, **changes}


def dream_weights(config: dict, seed: int = 0) -> dict[str, Tensor]:
    """Random weights under the published names: those of Qwen2."""
    width, inner, rows = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    keys = width // config["num_attention_heads"] * config["num_key_value_heads"]
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (rows, width)}
    for layer in range(config["num_hidden_layers"]):
        block = f"model.layers.{layer}."
        for name, out in (("q_proj", width), ("k_proj", keys), ("v_proj", keys)):
            shapes |= {
                f"{block}self_attn.{name}.weight": (out, width),
                f"{block}self_attn.{name}.bias": (out,),
            }
        shapes |= {
            f"{block}self_attn.o_proj.weight": (width, width),
            f"{block}mlp.gate_proj.weight": (inner, width),
            f"{block}mlp.up_proj.weight": (inner, width),
            f"{block}mlp.down_proj.weight": (width, inner),
            f"{block}input_layernorm.weight": (width,),
            f"{block}post_attention_layernorm.weight": (width,),
        }
    shapes |= {"model.norm.weight": (width,), "lm_head.weight": (rows, width)}
    return random_weights(shapes, seed)


def dream(folder: Path, *, seed: int = 0, fused: bool = False, padding: int = 0, **config) -> Path:
    """Writes a Dream checkpoint: a Qwen2 whose output at a column predicts the next one.

    fused    queries, keys and values are published as one tensor
    padding  further rows of embedding and head on disk, of ones
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    settings = dream_config(**config)
    write_json(folder / "config.json", settings)
    weights = dream_weights(settings, seed)
    if fused:
        for layer in range(settings["num_hidden_layers"]):
            prefix = f"model.layers.{layer}.self_attn."
            for kind in ("weight", "bias"):
                parts = [weights.pop(f"{prefix}{name}_proj.{kind}") for name in "qkv"]
                weights[f"{prefix}qkv_proj.{kind}"] = torch.cat(parts)
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        weights[name] = torch.cat([weights[name], torch.ones(padding, settings["hidden_size"])])
    save_weights(folder, weights)
    save_tokenizer(folder)
    (folder / "modeling_dream.py").write_text(CODE, "utf-8")
    return folder


def bert_config(**changes) -> dict:
    """config.json as bert-base publishes it, with small numbers."""
    config = {
        "architectures": ["BertForMaskedLM"],
        "attention_probs_dropout_prob": 0.1,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "hidden_size": 32,
        "initializer_range": 0.02,
        "intermediate_size": 64,
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": 128,
        "model_type": "bert",
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "pad_token_id": EOS,
        "type_vocab_size": 2,
        "vocab_size": ROWS,
    }
    return {**config, **changes}


def bert_weights(config: dict, seed: int = 0) -> dict[str, Tensor]:
    """Random weights under the published names, with those that only pre-training needed."""
    width, inner, rows = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    shapes: dict[str, tuple[int, ...]] = {
        "bert.embeddings.word_embeddings.weight": (rows, width),
        "bert.embeddings.position_embeddings.weight": (config["max_position_embeddings"], width),
        "bert.embeddings.token_type_embeddings.weight": (config["type_vocab_size"], width),
        "cls.predictions.bias": (rows,),
        "cls.seq_relationship.weight": (2, width),
        "cls.seq_relationship.bias": (2,),
    }
    dense = {"bert.pooler.dense": (width, width), "cls.predictions.transform.dense": (width, width)}
    norms = ["bert.embeddings.LayerNorm", "cls.predictions.transform.LayerNorm"]
    for layer in range(config["num_hidden_layers"]):
        block = f"bert.encoder.layer.{layer}."
        for name in (
            "attention.self.query",
            "attention.self.key",
            "attention.self.value",
            "attention.output.dense",
        ):
            dense[block + name] = (width, width)
        dense |= {block + "intermediate.dense": (inner, width), block + "output.dense": (width, inner)}
        norms += [block + "attention.output.LayerNorm", block + "output.LayerNorm"]
    for name, shape in dense.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    for name in norms:
        shapes |= {f"{name}.weight": (width,), f"{name}.bias": (width,)}
    return random_weights(shapes, seed)


def bert(folder: Path, *, seed: int = 0, **config) -> Path:
    """Writes a BERT for masked language modelling, tied, with positions as a tensor and without a chat
    template."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    settings = bert_config(**config)
    write_json(folder / "config.json", settings)
    positions = torch.arange(settings["max_position_embeddings"])[None]
    save_weights(folder, {**bert_weights(settings, seed), "bert.embeddings.position_ids": positions})
    save_tokenizer(folder)
    described = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    del described["chat_template"]
    write_json(folder / "tokenizer_config.json", described)
    return folder


def rewrite(folder: Path, change: Callable[[dict[str, Tensor]], object]) -> Path:
    """Applies `change` to the dictionary of weights on disk (in one file)."""
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_weights(folder, weights)
    return folder


class Trap:
    """Pickled, it raises when it is loaded."""

    def __reduce__(self):
        return exec, ('raise RuntimeError("a pickle was executed")',)


def pickle_only(folder: Path) -> Path:
    (llada(folder) / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Trap()))
    return folder


def missing_shard(folder: Path) -> Path:
    (llada(folder, shards=3) / "model-00002-of-00003.safetensors").unlink()
    return folder


def missing_tensor(folder: Path) -> Path:
    return rewrite(llada(folder), lambda weights: weights.pop("model.transformer.blocks.1.up_proj.weight"))


def extra_tensor(folder: Path) -> Path:
    extra = {"model.transformer.blocks.0.q_norm.weight": torch.ones(8)}
    return rewrite(llada(folder), lambda weights: weights.update(extra))


def wrong_shape(folder: Path) -> Path:
    name = "model.transformer.blocks.0.ff_proj.weight"
    return rewrite(llada(folder), lambda weights: weights.update({name: weights[name][:-1].contiguous()}))


def alibi(folder: Path) -> Path:
    return llada(folder, alibi=True, rope=False)


def gelu(folder: Path) -> Path:
    return llada(folder, activation_type="gelu")


def no_mask_token(folder: Path) -> Path:
    llada(folder)
    config = llada_config()
    del config["mask_token_id"]
    write_json(folder / "config.json", config)
    save_tokenizer(
        folder, tuple("<|reserved_token_1|>" if token == "<|mdm_mask|>" else token for token in SPECIAL)
    )
    return folder


def truncated(folder: Path) -> Path:
    file = llada(folder) / "model.safetensors"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    return folder


def mask_beyond_rows(folder: Path) -> Path:
    return llada(folder, mask_token_id=ROWS)


BROKEN: dict[str, Callable[[Path], Path]] = {
    "pickle only": pickle_only,
    "missing shard": missing_shard,
    "missing tensor": missing_tensor,
    "extra tensor": extra_tensor,
    "wrong shape": wrong_shape,
    "alibi": alibi,
    "gelu": gelu,
    "no mask token": no_mask_token,
    "truncated": truncated,
    "mask beyond rows": mask_beyond_rows,
}
