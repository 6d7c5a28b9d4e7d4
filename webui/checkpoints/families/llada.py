"""LLaDA (Nie et al. 2025, arXiv 2502.09992): a Llama without causal mask, under OLMo's weight names. Native:
LlamaForCausalLM.

The default checkpoint is saved in this format: the code that loads LLaDA-8B runs in every test.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from webui.checkpoints.families.attention import FULL_PRECISION_ROPE, register, rope_in_fp32
from webui.checkpoints.families.base import Family, check_number
from webui.core.errors import Refusal

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
NUMBERS = {  # the most there can be of each; what the weights really have is checked when they are loaded
    "d_model": 1 << 20,
    "n_heads": 1 << 16,
    "n_layers": 1 << 12,
    "vocab_size": 1 << 24,
    "max_sequence_length": 1 << 28,
}
OPTIONAL = {
    "embedding_size": 1 << 24,
    "mlp_hidden_size": 1 << 22,
    "mlp_ratio": 1 << 10,
    "n_kv_heads": 1 << 16,
}


def claims(config: Mapping[str, Any]) -> bool:
    architecture = str(config.get("architectures") or "")
    return config.get("model_type") == "llada" and "LLaDAMoE" not in architecture


def check(config: Mapping[str, Any]) -> None:
    """Refusal names the key that the native model cannot honour, or that is not there."""
    for key, allowed in NEEDED.items():
        if key in config and config[key] not in allowed:
            raise Refusal(
                f"config.json says {key} = {str(config[key])[:40]!r}, which the native LLaDA model does not "
                "compute."
            )
    for key, most in NUMBERS.items():
        check_number(config, key, 1, most)
    for key, most in OPTIONAL.items():
        if config.get(key) is not None:
            check_number(config, key, 1, most)
    for key, most in (("rms_norm_eps", 1), ("rope_theta", 1 << 40)):
        if config.get(key) is not None:
            check_number(config, key, 0, most, float)
    if config.get("mlp_hidden_size") is None:
        check_number(config, "mlp_ratio", 1, OPTIONAL["mlp_ratio"])
    heads, key_heads = config["n_heads"], config.get("n_kv_heads") or config["n_heads"]
    if config["d_model"] % heads or heads % key_heads:
        raise Refusal(
            f"config.json says d_model = {config['d_model']}, n_heads = {heads}, n_kv_heads = {key_heads}: "
            "each must be a multiple of the next."
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
        rms_norm_eps=config.get("rms_norm_eps") or 1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": float(config.get("rope_theta") or 10000.0)},
        max_position_embeddings=config["max_sequence_length"],
        attention_bias=bool(config.get("include_qkv_bias", False)),
        mlp_bias=bool(config.get("include_bias", False)),
        tie_word_embeddings=bool(config.get("weight_tying", False)),
        bos_token_id=None,
        eos_token_id=None,  # which tokens end a text, the tokenizer says
        pad_token_id=None,
        is_causal=False,  # type: ignore[call-arg]
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
    covers="LLaDA-8B-Base, LLaDA-8B-Instruct, LLaDA 1.5",
    proof="ab",
    about="tokens at temperature 0 too; the default checkpoint has this format",
    license="MIT",
)
