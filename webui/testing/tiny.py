"""A whole checkpoint, tiny and random, in the published on-disk format of LLaDA. Imports nothing of webui, so
that what reads checkpoints is tested against something else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor

MERGES = (
    "Ġt Ġa he in re Ġs Ġw on nd er ou Ġb Ġc it ed Ġth Ġthe or an Ġan Ġand is at es to Ġto al ar Ġo st om Ġf"
).split()
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


def save_tokenizer(folder: Path, special: tuple[str, ...] = SPECIAL, merges: Sequence[str] = MERGES) -> None:
    """A byte-level BPE of some 300 tokens, special tokens last, and tokenizer_config.json with the chat
    template. merges: its tokens of several bytes, in the alphabet of byte-level tokenizers."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate([*alphabet, *merges])}
    pairs = [pair(token, vocabulary) for token in merges]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=pairs))
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
    folder: Path,
    *,
    shards: int = 1,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    merges: Sequence[str] = MERGES,
    **config,
) -> Path:
    """Writes a whole LLaDA checkpoint to `folder` (made if missing) and returns it; `config` changes
    config.json, `merges` its tokens, of which there must be as many as there are.

    As published it comes with Python files, which nothing may execute: these raise.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    settings = llada_config(**config)
    write_json(folder / "config.json", settings)
    save_weights(folder, llada_weights(settings, seed, dtype), shards)
    save_tokenizer(folder, merges=merges)
    for name in ("configuration_llada.py", "modeling_llada.py"):
        (folder / name).write_text(CODE, "utf-8")
    return folder
