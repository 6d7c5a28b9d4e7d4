"""Checkpoint folders for tests, tiny and random, in the published on-disk format. Never imports webui.

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
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor

MERGES = "Ġt Ġa he in re Ġs Ġw on nd er ou Ġb Ġc it ed Ġth Ġthe or an Ġan Ġand is at es to Ġto al ar Ġo st om Ġf".split()
SPECIAL = (
    "<|startoftext|>",
    "<|endoftext|>",
    "[CLS]",
    "[gMASK]",
    "<|reserved_token_0|>",
    "<|mdm_mask|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
)
FIRST_SPECIAL = 256 + len(MERGES)
BOS, EOS, MASK, EOT = (
    FIRST_SPECIAL + SPECIAL.index(f"<|{n}|>") for n in ("startoftext", "endoftext", "mdm_mask", "eot_id")
)
ROWS = 304  # of the embedding: as published, some more than the tokenizer has tokens

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if loop.first %}{{ bos_token }}{% endif %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}"
    "{{ message['content'] | trim + '<|eot_id|>' }}"
    "{% endfor %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}"
)
CODE = 'raise RuntimeError("code from a checkpoint was executed")\n'

VARIANTS: dict[str, dict] = {
    "plain": {},
    "gqa": {"n_kv_heads": 2},
    "tied": {"weight_tying": True},
    "wide": {"embedding_size": ROWS + 16},
    "sharded": {"shards": 3},
}


def llada_config(**changes) -> dict:
    """config.json as LLaDA-8B-Instruct publishes it, with small numbers. Unknown names in `changes` are
    added."""
    config = {
        "activation_type": "silu",
        "alibi": False,
        "alibi_bias_max": 8.0,
        "architectures": ["LLaDAModelLM"],
        "attention_dropout": 0.0,
        "attention_layer_norm": False,
        "attention_layer_norm_with_affine": True,
        "auto_map": {
            "AutoConfig": "configuration_llada.LLaDAConfig",
            "AutoModel": "modeling_llada.LLaDAModelLM",
            "AutoModelForCausalLM": "modeling_llada.LLaDAModelLM",
        },
        "bias_for_layer_norm": False,
        "block_group_size": 1,
        "block_type": "llama",
        "d_model": 32,
        "embedding_dropout": 0.0,
        "embedding_size": ROWS,
        "eos_token_id": EOS,
        "flash_attention": False,
        "include_bias": False,
        "include_qkv_bias": False,
        "init_cutoff_factor": None,
        "init_device": "meta",
        "init_fn": "mitchell",
        "init_std": 0.02,
        "input_emb_norm": False,
        "layer_norm_type": "rms",
        "layer_norm_with_affine": True,
        "mask_token_id": MASK,
        "max_sequence_length": 256,
        "mlp_hidden_size": 64,
        "mlp_ratio": 4,
        "model_type": "llada",
        "multi_query_attention": None,
        "n_heads": 4,
        "n_kv_heads": 4,
        "n_layers": 2,
        "pad_token_id": EOS,
        "precision": "amp_bf16",
        "residual_dropout": 0.0,
        "rms_norm_eps": 1e-05,
        "rope": True,
        "rope_full_precision": True,
        "rope_theta": 500000.0,
        "scale_logits": False,
        "transformers_version": "4.46.3",
        "use_cache": False,
        "vocab_size": ROWS,
        "weight_tying": False,
    }
    return {**config, **changes}


def llada_weights(config: dict, seed: int = 0, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Random weights under the published names, scaled so that logits differ by ones, not by thousandths."""
    generator = torch.Generator().manual_seed(seed)
    width, inner, rows = config["d_model"], config["mlp_hidden_size"], config["embedding_size"]
    kv_width = width // config["n_heads"] * config["n_kv_heads"]

    def matrix(out: int, into: int, scale: float = 1.0) -> Tensor:
        return (torch.randn(out, into, generator=generator) * scale / into**0.5).to(dtype)

    def norm() -> Tensor:
        return (1 + 0.1 * torch.randn(width, generator=generator)).to(dtype)

    weights = {"wte.weight": matrix(rows, width, 1.0 if config["weight_tying"] else width**0.5)}
    for layer in range(config["n_layers"]):
        shapes = {
            "q_proj": (width, width),
            "k_proj": (kv_width, width),
            "v_proj": (kv_width, width),
            "attn_out": (width, width),
            "ff_proj": (inner, width),
            "up_proj": (inner, width),
            "ff_out": (width, inner),
        }
        weights |= {f"blocks.{layer}.{name}.weight": matrix(*shape) for name, shape in shapes.items()}
        weights |= {f"blocks.{layer}.{name}.weight": norm() for name in ("attn_norm", "ff_norm")}
    weights["ln_f.weight"] = norm()
    if not config["weight_tying"]:
        weights["ff_out.weight"] = matrix(rows, width)
    return {f"model.transformer.{name}": value for name, value in weights.items()}


def save_weights(folder: Path, weights: dict[str, Tensor], shards: int = 1) -> None:
    """model.safetensors, or numbered shards and their index."""
    if shards == 1:
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        return
    names = list(weights)
    where = {
        name: f"model-{1 + i * shards // len(names):05}-of-{shards:05}.safetensors"
        for i, name in enumerate(names)
    }
    for file in sorted(set(where.values())):
        part = {name: weights[name] for name in names if where[name] == file}
        save_file(part, folder / file, metadata={"format": "pt"})
    size = sum(value.numel() * value.element_size() for value in weights.values())
    write_json(
        folder / "model.safetensors.index.json", {"metadata": {"total_size": size}, "weight_map": where}
    )


def save_tokenizer(folder: Path, special: tuple[str, ...] = SPECIAL) -> None:
    """A byte-level BPE of some 300 tokens, special tokens last, and tokenizer_config.json with the chat
    template."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate(alphabet + MERGES)}
    merges = [pair(token, vocabulary) for token in MERGES]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    tokenizer.save(str(folder / "tokenizer.json"))
    flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
    names = {"bos_token": SPECIAL[0], "eos_token": SPECIAL[1], "pad_token": SPECIAL[1], "cls_token": "[CLS]"}
    added = {str(tokenizer.token_to_id(token)): {"content": token, **flags} for token in special}
    write_json(
        folder / "tokenizer_config.json",
        {
            "add_bos_token": False,
            "add_eos_token": False,
            "added_tokens_decoder": added,
            "chat_template": CHAT_TEMPLATE,
            "clean_up_tokenization_spaces": False,
            "fast_tokenizer": True,
            "gmask_token": "[gMASK]",
            "merges_file": None,
            "model_max_length": 1000000000000000019884624838656,
            "tokenizer_class": "PreTrainedTokenizerFast",
            "trust_remote_code": True,
            **names,
        },
    )
    write_json(
        folder / "special_tokens_map.json",
        {name: {"content": token, **flags} for name, token in names.items()},
    )


def pair(token: str, vocabulary: dict[str, int]) -> tuple[str, str]:
    """The two tokens that merge into `token`: those that exist earliest."""
    pairs = [(token[:i], token[i:]) for i in range(1, len(token))]
    known = [pair for pair in pairs if pair[0] in vocabulary and pair[1] in vocabulary]
    return min(known, key=lambda pair: max(vocabulary[part] for part in pair))


def write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")


def llada(
    folder: Path, *, shards: int = 1, seed: int = 0, dtype: torch.dtype = torch.float32, **config
) -> Path:
    """Writes a whole LLaDA checkpoint to `folder` (made if missing) and returns it; `config` changes
    config.json.

    As published it comes with Python files, which nothing may execute: these raise.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    settings = llada_config(**config)
    write_json(folder / "config.json", settings)
    save_weights(folder, llada_weights(settings, seed, dtype), shards)
    save_tokenizer(folder)
    for name in ("configuration_llada.py", "modeling_llada.py"):
        (folder / name).write_text(CODE, "utf-8")
    return folder


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
