"""Tiny random masked language models, written by transformers' own classes, with tokenizers of each kind of
file: tokenizer.json, vocab.txt. Never imports webui."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch

from tests.tiny_checkpoints import CODE, ROWS, save_tokenizer, write_json

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
COMMON = {"vocab_size": ROWS, "max_position_embeddings": 256, "pad_token_id": 1}
AMINO = (
    "<cls> <pad> <eos> <unk> L A G V S E R T I D P K Q N F Y M H W C X B U Z O . - <null_1> <mask>".split()
)
# class of transformers, what its config has
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "BERT": ("Bert", SIZES),
    "ALBERT": ("Albert", {**SIZES, "embedding_size": 16, "num_hidden_groups": 1}),
    "RoBERTa": ("Roberta", {**SIZES, "type_vocab_size": 1}),
    "XLM-RoBERTa": ("XLMRoberta", {**SIZES, "type_vocab_size": 1}),
    "DistilBERT": ("DistilBert", {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48}),
    "ModernBERT": (
        "ModernBert",
        {**SIZES, "num_hidden_layers": 4, "local_attention": 8, "global_attn_every_n_layers": 3},
    ),
    "ESM": (
        "Esm",
        {**SIZES, "vocab_size": len(AMINO), "position_embedding_type": "rotary", "token_dropout": True},
    ),
}


def masked_lm(folder: Path, *, kind: str, seed: int = 0, vocabulary: bool = False, **config: Any) -> Path:
    """Writes a checkpoint with config.json, weights and tokenizer. `vocabulary`: the tokenizer is a vocab.txt."""
    import transformers

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    prefix, sizes = KINDS[kind]
    own = {"mask_token_id": AMINO.index("<mask>")} if kind == "ESM" else {}
    settings = {**COMMON, **sizes, **own, **config}
    torch.manual_seed(seed)
    module = getattr(transformers, f"{prefix}ForMaskedLM")(
        getattr(transformers, f"{prefix}Config")(**settings)
    )
    for name, value in module.named_parameters():
        norm = "norm" in name.lower() and name.endswith("weight")
        with torch.no_grad():
            size = value.shape[-1] ** -0.5 if value.ndim > 1 and "embed" not in name else 0.3
            value.copy_(torch.randn(value.shape) * size * 1.5 + (1.0 if norm else 0.0))
    module.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    if kind == "ESM":
        (folder / "vocab.txt").write_text("\n".join(AMINO) + "\n", "utf-8")
        write_json(folder / "tokenizer_config.json", {"tokenizer_class": "EsmTokenizer"})
    elif vocabulary:
        letters = [chr(c) for c in range(33, 127)]
        words = ["the", "cat", "sat", "rain", *letters, *(f"##{letter}" for letter in letters)]
        (folder / "vocab.txt").write_text("\n".join([*SPECIAL, *words]) + "\n", "utf-8")
    else:
        save_tokenizer(folder, SPECIAL)
        names = {f"{name.strip('[]').lower()}_token": name for name in SPECIAL}
        write_json(folder / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", **names})
        (folder / "special_tokens_map.json").unlink()
    (folder / "modeling_own.py").write_text(CODE, "utf-8")
    return folder


MASKED_LMS = {kind: partial(masked_lm, kind=kind) for kind in KINDS}
