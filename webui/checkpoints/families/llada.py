"""LLaDA (Nie et al. 2025, arXiv 2502.09992): a Llama without causal mask, under OLMo's weight names. Native:
LlamaForCausalLM.

The default checkpoint is saved in this format, so what loads LLaDA-8B is what runs every day.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from webui.checkpoints.families.attention import FULL_PRECISION_ROPE, register, rope_in_fp32
from webui.checkpoints.families.base import Family

if TYPE_CHECKING:
    from transformers import LlamaConfig, PreTrainedModel

NAMES = {
    r"^model\.transformer\.ff_out\.": "lm_head.",  # before the layers' ff_out
    r"^model\.transformer\.wte\.": "model.embed_tokens.",
    r"^model\.transformer\.ln_f\.": "model.norm.",
    r"^model\.transformer\.blocks\.": "model.layers.",
    r"\.attn_out\.": ".self_attn.o_proj.",
    r"\.(q_proj|k_proj|v_proj)\.": r".self_attn.\1.",
    r"\.ff_proj\.": ".mlp.gate_proj.",
    r"\.up_proj\.": ".mlp.up_proj.",
    r"\.ff_out\.": ".mlp.down_proj.",
    r"\.attn_norm\.": ".input_layernorm.",
    r"\.ff_norm\.": ".post_attention_layernorm.",
}
NEEDED = {  # what the native class computes; anything else is refused rather than computed wrongly
    "block_type": ("llama",),
    "activation_type": ("silu",),
    "layer_norm_type": ("rms",),
    "alibi": (False,),
    "rope": (True,),
    "attention_layer_norm": (False,),
    "clip_qkv": (None,),
    "input_emb_norm": (False,),
    "scale_logits": (False,),
    "bias_for_layer_norm": (False, None),
}
NUMBERS = ("d_model", "n_heads", "n_layers", "vocab_size", "max_sequence_length")


def claims(config: Mapping[str, Any]) -> bool:
    architecture = str(config.get("architectures") or "")
    return config.get("model_type") == "llada" and "LLaDAMoE" not in architecture


def check(config: Mapping[str, Any]) -> None:
    """ValueError names the key that the native model cannot honour, or that is not there."""
    for key, allowed in NEEDED.items():
        if key in config and config[key] not in allowed:
            raise ValueError(
                f"config.json says {key} = {config[key]!r}, which the native LLaDA model does not compute."
            )
    for key in NUMBERS:
        if not isinstance(config.get(key), int) or config[key] < 1:
            raise ValueError(
                f"config.json says {key} = {config.get(key)!r}, where a positive whole number is needed."
            )


def translate(config: Mapping[str, Any]) -> LlamaConfig:
    """A LlamaConfig that computes what the published code computes."""
    from transformers import LlamaConfig

    heads = config["n_heads"]
    return LlamaConfig(
        vocab_size=config.get("embedding_size") or config["vocab_size"],
        hidden_size=config["d_model"],
        intermediate_size=config.get("mlp_hidden_size") or config["mlp_ratio"] * config["d_model"],
        num_hidden_layers=config["n_layers"],
        num_attention_heads=heads,
        num_key_value_heads=config.get("n_kv_heads") or heads,
        rms_norm_eps=config.get("rms_norm_eps", 1e-5),
        rope_parameters={"rope_type": "default", "rope_theta": float(config.get("rope_theta", 10000.0))},
        max_position_embeddings=config["max_sequence_length"],
        attention_bias=bool(config.get("include_qkv_bias", False)),
        mlp_bias=bool(config.get("include_bias", False)),
        tie_word_embeddings=bool(config.get("weight_tying", False)),
        bos_token_id=None,
        eos_token_id=config.get("eos_token_id"),
        pad_token_id=None,
        is_causal=False,
        use_cache=False,
    )


def prepare(model: PreTrainedModel) -> None:
    """LLaDA rotates queries and keys in fp32 whatever the weights are; Llama rotates in the weights' type."""
    register()
    model.set_attn_implementation(FULL_PRECISION_ROPE)
    rope_in_fp32(model.model.rotary_emb)


FAMILY = Family(
    name="LLaDA",
    claims=claims,
    check=check,
    translate=translate,
    model_class="LlamaForCausalLM",
    names=NAMES,
    max_length=lambda config: int(config["max_sequence_length"]),
    prepare=prepare,
    end_tokens=("<|endoftext|>", "<|eot_id|>"),
    preset={
        "sampler": "low_confidence",
        "length": 128,
        "block_length": 32,
        "temperature": 0.0,
        "end_of_text": "stop",
    },
    license="MIT",
)
