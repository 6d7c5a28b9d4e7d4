"""LLaDA-MoE (Zhu et al. 2025, arXiv 2509.24389): a bidirectional mixture of experts. Native: Qwen3-MoE, whose
names it has; norms of queries and keys are per head, the chosen experts' weights are not normalized."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from webui.checkpoints.families import shapes
from webui.checkpoints.families.base import Family, check_number

NEEDED = {  # what the native class computes; anything else is refused rather than computed wrongly
    "clip_qkv": (None,),
    "qk_layernorm": (True,),
    "shared_expert_intermediate_size": (None, 0),
    "moe_router_enable_expert_bias": (False, None),
    "moe_router_score_function": ("softmax", None),
    "partial_rotary_factor": (1, None),
    "routed_scaling_factor": (1, None),
}


def claims(config: Mapping[str, Any]) -> bool:
    named = config.get("model_type") in ("llada", "lladamoe", "llada_moe")
    return named and shapes.architecture(config).startswith("LLaDAMoE")


def check(config: Mapping[str, Any]) -> None:
    """Refusal names the key that the native model cannot honour, or that is not there."""
    shapes.check_attention(config)
    for key, allowed in NEEDED.items():
        shapes.refuse_unless(config, key, allowed)
    for key in ("num_experts", "num_experts_per_tok"):
        check_number(config, key, 1, 1 << 16)
    check_number(config, "expert_intermediate_size", 1, 1 << 22)


def translate(config: Mapping[str, Any]) -> Any:
    """A Qwen3MoeConfig; the published code never normalizes the experts' weights, whatever config.json
    says."""
    renamed = {"moe_intermediate_size": config["expert_intermediate_size"], "norm_topk_prob": False}
    return shapes.qwen3_moe({**config, **renamed})


FAMILY = Family(
    name="LLaDA-MoE",
    claims=claims,
    check=check,
    translate=translate,
    model_class="Qwen3MoeForCausalLM",
    names={},
    assemble=shapes.fused_experts,
    prepare=shapes.experts_one_by_one,
    unused=shapes.UNUSED,
    max_length=shapes.max_length,
    end_tokens=("<|endoftext|>", "<|role_end|>"),
    preset={
        "sampler": "low_confidence",
        "length": 128,
        "block_length": 32,
        "temperature": 0.0,
        "end_of_text": "stop",
    },
    covers="LLaDA-MoE-7B-A1B",
    proof="ab",
    about="logits also those of its own code in dLLM (9.5e-7)",
    license="Apache-2.0",
)
