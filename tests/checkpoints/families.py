"""Families of the tests, registered nowhere but there: what a family file of the program may have to say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from webui.checkpoints.families.base import Family
from webui.checkpoints.recipes import Cut, Recipe, Stack, Take
from webui.checkpoints.recipes import Join as Joined

QWEN2 = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "max_position_embeddings",
    "rms_norm_eps",
    "tie_word_embeddings",
)


def dream_config(config: Mapping[str, Any]) -> Any:
    from transformers import Qwen2Config

    rope = {"rope_type": "default", "rope_theta": float(config["rope_theta"])}
    known = {key: config[key] for key in QWEN2}
    return Qwen2Config(**known, rope_parameters=rope, use_cache=False, is_causal=False)


def fused(name: str, config: Any) -> Recipe | None:
    """Queries, keys and values out of one tensor; embedding and head without the rows that pad them."""
    if name in ("model.embed_tokens.weight", "lm_head.weight"):
        return Cut(Take(name), 0, config.vocab_size)
    head = config.hidden_size // config.num_attention_heads
    width, keys = config.hidden_size, head * config.num_key_value_heads
    spans = {
        "q_proj": (0, width),
        "k_proj": (width, width + keys),
        "v_proj": (width + keys, width + 2 * keys),
    }
    for part, (start, stop) in spans.items():
        if f".{part}." in name:
            return Cut(Take(name.replace(part, "qkv_proj")), start, stop)
    return None


DREAM = Family(
    name="Own Dream",
    claims=lambda config: config.get("model_type") == "Dream own",
    translate=dream_config,
    model_class="Qwen2ForCausalLM",
    names={},
    max_length=lambda config: int(config["max_position_embeddings"]),
    shift=True,
    preset={"sampler": "low_confidence", "length": 16, "temperature": 0.0},
)
FUSED = Family(
    name="Fused Dream",
    claims=lambda config: config.get("model_type") == "Dream fused",
    translate=dream_config,
    model_class="Qwen2ForCausalLM",
    names={},
    assemble=fused,
    max_length=lambda config: int(config["max_position_embeddings"]),
    shift=True,
)


def bert_config(config: Mapping[str, Any]) -> Any:
    from transformers import BertConfig

    return BertConfig(
        **{key: value for key, value in config.items() if key not in ("model_type", "architectures")}
    )


BERT = Family(
    name="Own BERT",
    claims=lambda config: config.get("model_type") == "bert own",
    translate=bert_config,
    model_class="BertForMaskedLM",
    names={},
    unused=(r"^bert\.pooler\.", r"^cls\.seq_relationship\.", r"\.position_ids$"),
    split=lambda module: (module.bert, module.cls),
    max_length=lambda config: int(config["max_position_embeddings"]),
    preset={"sampler": "low_confidence", "length": 16, "temperature": 0.0},
)


def experts_config(config: Mapping[str, Any]) -> Any:
    from transformers import Qwen3MoeConfig

    return Qwen3MoeConfig(
        **{key: value for key, value in config.items() if key not in ("model_type", "architectures")}
    )


def experts(name: str, config: Any) -> Recipe | None:
    """Tensors of all experts, published one by one."""
    prefix, found, kind = name.partition(".experts.")
    if not found:
        return None

    def of(part: str) -> list[Recipe]:
        return [Take(f"{prefix}.experts.{i}.{part}.weight") for i in range(config.num_experts)]

    if kind == "down_proj":
        return Stack(tuple(of("down_proj")))
    pairs = zip(of("gate_proj"), of("up_proj"), strict=True)
    return Stack(tuple(Joined(pair, 0) for pair in pairs))


EXPERTS = Family(
    name="Experts",
    claims=lambda config: config.get("model_type") == "experts",
    translate=experts_config,
    model_class="Qwen3MoeForCausalLM",
    names={},
    assemble=experts,
    max_length=lambda config: int(config["max_position_embeddings"]),
)
FAMILIES = (DREAM, FUSED, BERT, EXPERTS)
