"""The architectures that many families share under their published names: Llama, Qwen2, Qwen3 and Qwen3-MoE
decoders. A family file says what is its own: how it is recognized, attention, shift, preset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from webui.checkpoints.families.base import check_number
from webui.checkpoints.recipes import Join, Recipe, Stack, Take
from webui.core.errors import Refusal

NUMBERS = {  # the most there can be of each; what the weights really have is checked when they are loaded
    "vocab_size": 1 << 24,
    "hidden_size": 1 << 20,
    "num_hidden_layers": 1 << 12,
    "num_attention_heads": 1 << 16,
    "max_position_embeddings": 1 << 28,
}
EXPERTS = {"num_experts": 1 << 16, "num_experts_per_tok": 1 << 16}
UNUSED = (r"\.rotary_emb\.inv_freq$",)  # computed, not read


def check(config: Mapping[str, Any]) -> None:
    """Refusal names the key of config.json that the native decoder does not compute, or that is not there."""
    check_attention(config)
    check_number(config, "intermediate_size", 1, 1 << 22)


def check_experts(config: Mapping[str, Any]) -> None:
    """The same for Qwen3-MoE's keys. Every layer must have experts."""
    check_attention(config)
    for key, most in EXPERTS.items():
        check_number(config, key, 1, most)
    check_number(config, "moe_intermediate_size", 1, 1 << 22)
    if config.get("mlp_only_layers") or config.get("decoder_sparse_step", 1) != 1:
        raise Refusal("config.json has layers without experts, which this family is not loaded with.")


def check_attention(config: Mapping[str, Any]) -> None:
    """What every decoder needs: sizes, heads that fit, ordinary rotary embedding, SiLU, no sliding window."""
    for key, most in NUMBERS.items():
        check_number(config, key, 1, most)
    for key, most in (("num_key_value_heads", 1 << 16), ("head_dim", 1 << 16)):
        if config.get(key) is not None:
            check_number(config, key, 1, most)
    for key, limit in (("rms_norm_eps", 1), ("rope_theta", 1 << 40)):
        if config.get(key) is not None:
            check_number(config, key, 0, limit, float)
    heads = config["num_attention_heads"]
    key_heads = config.get("num_key_value_heads") or heads
    if heads % key_heads or (config.get("head_dim") is None and config["hidden_size"] % heads):
        raise Refusal(
            f"config.json says hidden_size = {config['hidden_size']}, num_attention_heads = {heads}, "
            f"num_key_value_heads = {key_heads}: each must be a multiple of the next."
        )
    refuse_unless(config, "hidden_act", ("silu", None))
    refuse_unless(config, "use_sliding_window", (False, None))
    for key in ("rope_scaling", "rope_parameters"):
        scaling = config.get(key)
        if scaling is None:
            continue
        kind = scaling.get("rope_type", scaling.get("type")) if isinstance(scaling, dict) else scaling
        if kind not in ("default", None):
            raise Refusal(f"config.json says {key} = {str(kind)[:40]!r}, which is not computed for it.")


def refuse_unless(config: Mapping[str, Any], key: str, allowed: tuple[Any, ...]) -> None:
    """Refuses a key of config.json whose value the native class would not honour."""
    if config.get(key) not in allowed:
        raise Refusal(
            f"config.json says {key} = {repr(config.get(key))[:40]}, which the native model does not compute."
        )


def keywords(config: Mapping[str, Any], theta: float) -> dict[str, Any]:
    """What the configurations of all decoders take. `theta`: the rotary base if config.json has none."""
    heads = config["num_attention_heads"]
    scaling = config.get("rope_parameters")
    inner = scaling.get("rope_theta") if isinstance(scaling, dict) else None
    base = float(config.get("rope_theta") or inner or theta)
    return {
        "vocab_size": config["vocab_size"],
        "hidden_size": config["hidden_size"],
        "intermediate_size": config.get("intermediate_size") or config["hidden_size"],
        "num_hidden_layers": config["num_hidden_layers"],
        "num_attention_heads": heads,
        "num_key_value_heads": config.get("num_key_value_heads") or heads,
        "rms_norm_eps": config.get("rms_norm_eps") or 1e-6,
        "rope_parameters": {"rope_type": "default", "rope_theta": base},
        "max_position_embeddings": config["max_position_embeddings"],
        "tie_word_embeddings": bool(config.get("tie_word_embeddings", False)),
        "bos_token_id": None,
        "eos_token_id": None,  # which tokens end a text, the tokenizer says
        "pad_token_id": None,
        "is_causal": False,  # the mask says what is seen
        "use_cache": False,
    }


def llama(config: Mapping[str, Any]) -> Any:
    """A LlamaConfig."""
    from transformers import LlamaConfig

    biases: dict[str, Any] = {key: bool(config.get(key, False)) for key in ("attention_bias", "mlp_bias")}
    return LlamaConfig(**keywords(config, 1e4), **_head_dim(config), **biases)


def qwen2(config: Mapping[str, Any]) -> Any:
    """A Qwen2Config: biases on queries, keys and values."""
    from transformers import Qwen2Config

    return Qwen2Config(**keywords(config, 1e4), use_sliding_window=False)


def qwen3(config: Mapping[str, Any]) -> Any:
    """A Qwen3Config: no biases, queries and keys normed per head."""
    from transformers import Qwen3Config

    bias = bool(config.get("attention_bias", False))
    return Qwen3Config(
        **keywords(config, 1e4), **_head_dim(config), attention_bias=bias, use_sliding_window=False
    )


def qwen3_moe(config: Mapping[str, Any]) -> Any:
    """A Qwen3MoeConfig with experts in every layer."""
    from transformers import Qwen3MoeConfig

    return Qwen3MoeConfig(
        **keywords(config, 1e4),
        **_head_dim(config),
        attention_bias=bool(config.get("attention_bias", False)),
        moe_intermediate_size=config["moe_intermediate_size"],
        num_experts=config["num_experts"],
        num_experts_per_tok=config["num_experts_per_tok"],
        norm_topk_prob=bool(config.get("norm_topk_prob", False)),
        decoder_sparse_step=1,
        mlp_only_layers=[],
        use_sliding_window=False,
    )


def fused_experts(name: str, config: Any) -> Recipe | None:
    """The tensors of all experts of a layer, which are published one by one."""
    prefix, found, kind = name.partition(".experts.")
    if not found:
        return None

    def of(part: str) -> list[Recipe]:
        count = getattr(config, "num_experts", None) or config.num_local_experts
        return [Take(f"{prefix}.experts.{i}.{part}.weight") for i in range(count)]

    if kind == "down_proj":
        return Stack(tuple(of("down_proj")))
    return Stack(tuple(Join(pair, 0) for pair in zip(of("gate_proj"), of("up_proj"), strict=True)))


def experts_one_by_one(model: Any) -> None:
    """Computes experts in a loop where torch has no grouped matrix product of the weights' type."""
    if model.dtype.itemsize > 4:
        model.set_experts_implementation("eager")


def max_length(config: Mapping[str, Any]) -> int:
    """The longest canvas, as the published keys say it."""
    return int(config["max_position_embeddings"])


def block_size(default: int, *keys: str) -> Any:
    """config.json -> columns of a block: the first of these keys that it has, otherwise what is published."""

    def read(config: Mapping[str, Any]) -> int:
        return next((config[key] for key in keys if type(config.get(key)) is int), default)

    return read


def check_block(key: str, inner: Any = check) -> Any:
    """`inner`, and that the block length of config.json, if it has one, is a number that can be used."""

    def checked(config: Mapping[str, Any]) -> None:
        inner(config)
        if config.get(key) is not None:
            check_number(config, key, 1, 1 << 16)

    return checked


def architecture(config: Mapping[str, Any]) -> str:
    """The first name under `architectures`, "" if there is none."""
    listed = config.get("architectures")
    return str(listed[0]) if isinstance(listed, list) and listed else ""


def _head_dim(config: Mapping[str, Any]) -> dict[str, Any]:
    given = config.get("head_dim")
    return {"head_dim": given or config["hidden_size"] // config["num_attention_heads"]}
