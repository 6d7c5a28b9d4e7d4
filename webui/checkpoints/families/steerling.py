"""Steerling (Guide Labs 2026): norms after attention and feed-forward, norms of queries and keys per head,
projections clamped before them, in blocks of 64 tokens. Native: EXAONE 4 with clamps.

The heads for concepts are not needed for writing: without an intervention the logits are those of the hidden
states. Its tokenizer is published for tiktoken; a tokenizer.json has to lie beside the weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from webui.checkpoints.families import shapes
from webui.checkpoints.families.attention import FULL_PRECISION_ROPE, register, rope_in_fp32
from webui.checkpoints.families.base import Family, check_number
from webui.checkpoints.recipes import Cut, Recipe, Take
from webui.core.errors import Refusal

NAMES = {
    r"^transformer\.": "",  # before all of them in the checkpoints with concepts
    r"^tok_emb\.": "model.embed_tokens.",
    r"^ln_f\.": "model.norm.",
    r"^blocks\.": "model.layers.",
    r"\.attn\.c_attn\.": ".self_attn.qkv.",
    r"\.attn\.c_proj\.": ".self_attn.o_proj.",
    r"\.attn\.(q_norm|k_norm)\.": r".self_attn.\1.",
    r"\.mlp\.c_fc\.": ".mlp.up_gate.",
    r"\.mlp\.c_proj\.": ".mlp.down_proj.",
    r"\.ln_1\.": ".post_attention_layernorm.",
    r"\.ln_2\.": ".post_feedforward_layernorm.",
}
NEEDED = {  # what the native class computes; anything else is refused rather than computed wrongly
    "use_rms_norm": (True, None),
    "norm_order": ("post", None),
    "use_qk_norm": (True, None),
    "use_rope": (True, None),
    "mlp_type": ("swiglu", None),
    "use_bias": (False, None),
}
NUMBERS = {
    "n_layers": 1 << 12,
    "n_head": 1 << 16,
    "n_embd": 1 << 20,
    "vocab_size": 1 << 24,
    "block_size": 1 << 28,
}


def check(config: Mapping[str, Any]) -> None:
    """Refusal names the key that the native model cannot honour, or that is not there."""
    for key, allowed in NEEDED.items():
        shapes.refuse_unless(config, key, allowed)
    for key, most in NUMBERS.items():
        check_number(config, key, 1, most)
    for key in ("n_kv_heads", "intermediate_size", "mlp_ratio", "diff_block_size"):
        if config.get(key) is not None:
            check_number(config, key, 1, 1 << 22)
    for key, most in (("norm_eps", 1), ("rope_base", 1 << 40), ("clip_qkv", 1 << 20)):
        if config.get(key) is not None:
            check_number(config, key, 0, most, float)
    heads, key_heads = config["n_head"], config.get("n_kv_heads") or config["n_head"]
    if config["n_embd"] % heads or heads % key_heads:
        raise Refusal(
            f"config.json says n_embd = {config['n_embd']}, n_head = {heads}, n_kv_heads = {key_heads}: "
            "each must be a multiple of the next."
        )


def translate(config: Mapping[str, Any]) -> Any:
    """An Exaone4Config of full attention with rotary embedding in every layer. `clip_qkv` is ours: `prepare`
    reads it."""
    from transformers import Exaone4Config

    layers, heads = config["n_layers"], config["n_head"]
    return Exaone4Config(
        vocab_size=config["vocab_size"],
        hidden_size=config["n_embd"],
        intermediate_size=config.get("intermediate_size")
        or (config.get("mlp_ratio") or 4) * config["n_embd"],
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=config.get("n_kv_heads") or heads,
        max_position_embeddings=config["block_size"],
        rms_norm_eps=config.get("norm_eps") or 1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": float(config.get("rope_base") or 5e5)},
        tie_word_embeddings=config.get("weight_sharing") is not False,
        sliding_window=None,
        layer_types=["full_attention"] * layers,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
        use_cache=False,
        is_causal=False,  # type: ignore[call-arg]
        clip_qkv=config.get("clip_qkv"),  # type: ignore[call-arg]
    )


def assemble(name: str, config: Any) -> Recipe | None:
    """Queries, keys and values out of one tensor; up and gate out of another."""
    size = config.hidden_size // config.num_attention_heads
    queries, keys, inner = config.hidden_size, size * config.num_key_value_heads, config.intermediate_size
    parts = {
        ".self_attn.q_proj.": (".self_attn.qkv.", 0, queries),
        ".self_attn.k_proj.": (".self_attn.qkv.", queries, queries + keys),
        ".self_attn.v_proj.": (".self_attn.qkv.", queries + keys, queries + 2 * keys),
        ".mlp.up_proj.": (".mlp.up_gate.", 0, inner),
        ".mlp.gate_proj.": (".mlp.up_gate.", inner, 2 * inner),
    }
    for part, (whole, start, stop) in parts.items():
        if part in name:
            return Cut(Take(name.replace(part, whole)), start, stop)
    return None


def prepare(model: Any) -> None:
    """Clamps queries, keys and values before their norms, and rotates them in fp32, as published."""
    register()
    model.set_attn_implementation(FULL_PRECISION_ROPE)
    rope_in_fp32(model.model.rotary_emb)
    _norms_in_fp32(model)
    most = model.config.clip_qkv
    if most is None:
        return
    for layer in model.model.layers:
        for part in (layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj):
            part.register_forward_hook(lambda module, inputs, output: output.clamp(-most, most))


def _norms_in_fp32(model: Any) -> None:
    """The published norms are rounded after their weight is multiplied in, the native ones before."""
    import torch
    from transformers.models.exaone4.modeling_exaone4 import Exaone4RMSNorm

    class RoundedLast(Exaone4RMSNorm):
        def forward(self, hidden_states: Any) -> Any:
            if hidden_states.dtype.itemsize >= 4:
                return super().forward(hidden_states)
            wide = hidden_states.float()
            wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)
            return (self.weight * wide).to(hidden_states.dtype)

    for module in model.modules():
        if type(module) is Exaone4RMSNorm:
            module.__class__ = RoundedLast


FAMILY = Family(
    name="Steerling",
    claims=lambda config: config.get("model_type") == "causal_diffusion",
    check=check,
    translate=translate,
    model_class="Exaone4ForCausalLM",
    names=NAMES,
    assemble=assemble,
    prepare=prepare,
    unused=(*shapes.UNUSED, r"^known_head\.", r"^unknown_head\."),
    max_length=lambda config: int(config["block_size"]),
    attention="block-causal",
    block_length=shapes.block_size(64, "diff_block_size"),
    end_tokens=("<|endoftext|>", "<|endofchunk|>", "<|eot_id|>"),
    preset={
        "sampler": "low_confidence",
        "length": 256,
        "temperature": 1.2,
        "top_p": 0.8,
        "end_of_text": "stop",
        "cache": "prefix",
    },
    covers="Steerling-8B",
    proof="ab",
    about="logits also those of its own code (0.0 in fp32 and bf16); needs a tokenizer.json, which is not "
    "published; concepts are not steered",
    license="Apache-2.0",
)
