"""LLaDA2.0 and 2.1 (Bie et al. 2025, arXiv 2512.15745): mixtures of experts that denoise blocks of 32 tokens.
Native: GLM-4-MoE, with the fused queries, keys and values cut and the experts stacked.

Published sampler of 2.0: everything above the threshold, or as many as scheduled. LLaDA2.1 edits committed
tokens of the block too: the sampler `editing`. LLaDA2.2 routes experts per block, which GLM-4-MoE does not:
it is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from webui.checkpoints.families import shapes
from webui.checkpoints.families.base import Family, check_number
from webui.checkpoints.recipes import Cut, Recipe, Take
from webui.core.errors import Refusal

NAMES = {
    r"^model\.word_embeddings\.": "model.embed_tokens.",
    r"\.attention\.dense\.": ".self_attn.o_proj.",
    r"\.attention\.query_layernorm\.": ".self_attn.q_norm.",
    r"\.attention\.key_layernorm\.": ".self_attn.k_norm.",
    r"\.mlp\.gate\.expert_bias$": ".mlp.gate.e_score_correction_bias",
}
NEEDED = {  # what the native class computes; anything else is refused rather than computed wrongly
    "use_qkv_bias": (False, None),
    "use_bias": (False,),
    "use_qk_norm": (True, None),
    "norm_head": (False, None),
    "norm_topk_prob": (True, None),
    "score_function": ("sigmoid", None),
    "moe_router_enable_expert_bias": (True, None),
}
NUMBERS = {
    "intermediate_size": 1 << 22,
    "moe_intermediate_size": 1 << 22,
    "num_experts": 1 << 16,
    "num_experts_per_tok": 1 << 16,
    "num_shared_experts": 1 << 10,
    "n_group": 1 << 16,
    "topk_group": 1 << 16,
}


def check(config: Mapping[str, Any]) -> None:
    """Refusal names the key that the native model cannot honour, or that is not there."""
    shapes.check_attention(config)
    for key, allowed in NEEDED.items():
        shapes.refuse_unless(config, key, allowed)
    for key, most in NUMBERS.items():
        check_number(config, key, 1, most)
    if config.get("first_k_dense_replace") is not None:
        check_number(config, "first_k_dense_replace", 0, 1 << 12)
    for key in ("routed_scaling_factor", "partial_rotary_factor"):
        if config.get(key) is not None:
            check_number(config, key, 0, 1 << 10, float)
    experts, groups, taken = config["num_experts"], config["n_group"], config["topk_group"]
    if experts % groups or experts // groups < 2 or taken > groups:
        raise Refusal(
            f"config.json says num_experts = {experts}, n_group = {groups}, topk_group = {taken}: "
            "groups must be equal, of two experts at least, and no more may be taken than there are."
        )
    if config["num_experts_per_tok"] == 1:
        raise Refusal("config.json says num_experts_per_tok = 1, which the native model does not compute.")


def translate(config: Mapping[str, Any]) -> Any:
    """A Glm4MoeConfig that computes what the published code computes."""
    from transformers import Glm4MoeConfig

    known = shapes.keywords(config, 1e4)
    heads = config["num_attention_heads"]
    share = config.get("partial_rotary_factor")
    known["rope_parameters"] |= {"partial_rotary_factor": 0.5 if share is None else share}
    dense, scale = config.get("first_k_dense_replace"), config.get("routed_scaling_factor")
    return Glm4MoeConfig(
        **known,
        head_dim=config.get("head_dim") or config["hidden_size"] // heads,  # type: ignore[call-arg]
        attention_bias=False,
        use_qk_norm=True,
        moe_intermediate_size=config["moe_intermediate_size"],
        num_experts_per_tok=config["num_experts_per_tok"],
        n_shared_experts=config["num_shared_experts"],
        n_routed_experts=config["num_experts"],
        routed_scaling_factor=2.5 if scale is None else scale,
        n_group=config["n_group"],
        topk_group=config["topk_group"],
        first_k_dense_replace=dense or 0,
        norm_topk_prob=True,
    )


def assemble(name: str, config: Any) -> Recipe | None:
    """Queries, keys and values out of one tensor; the tensors of all experts out of each one's."""
    size, heads, keys = config.head_dim, config.num_attention_heads, config.num_key_value_heads
    spans = {
        "q_proj": (0, heads * size),
        "k_proj": (heads * size, (heads + keys) * size),
        "v_proj": ((heads + keys) * size, (heads + 2 * keys) * size),
    }
    for part, (start, stop) in spans.items():
        if name.endswith(f".self_attn.{part}.weight"):
            fused = name.replace(f".self_attn.{part}.", ".attention.query_key_value.")
            return Cut(Take(fused), start, stop)
    return shapes.fused_experts(name, config)


FAMILY = Family(
    name="LLaDA2",
    claims=lambda config: config.get("model_type") == "llada2_moe",
    check=check,
    translate=translate,
    model_class="Glm4MoeForCausalLM",
    names=NAMES,
    assemble=assemble,
    prepare=shapes.experts_one_by_one,
    unused=shapes.UNUSED,
    max_length=shapes.max_length,
    attention="block-causal",
    block_length=shapes.block_size(32, "block_size"),
    end_tokens=("<|endoftext|>", "<|role_end|>"),
    preset={
        "sampler": "threshold",
        "threshold": 0.95,
        "length": 256,
        "temperature": 0.0,
        "end_of_text": "stop",
        "cache": "prefix",
    },
    covers="LLaDA2.0, LLaDA2.1 (2.2 is refused)",
    proof="ab",
    about="logits also those of its own code in dLLM (1.2e-6, fp32); in bf16 not compared: close scores "
    "may choose other experts",
    license="Apache-2.0",
)
