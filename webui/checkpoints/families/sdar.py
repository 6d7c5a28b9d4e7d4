"""SDAR (Cheng et al. 2025, arXiv 2510.06303) and TraDo: a Qwen3, dense or with experts, that denoises blocks
of a few tokens one after the other. Names are Qwen3's.

Its dynamic strategy is the sampler `threshold`: everything above the threshold, or as many as scheduled.
"""

from __future__ import annotations

from webui.checkpoints.families import shapes
from webui.checkpoints.families.base import Family

PRESET = {
    "sampler": "threshold",
    "threshold": 0.85,
    "length": 256,
    "temperature": 1.0,
    "end_of_text": "stop",
    "cache": "prefix",
}
ENDS = ("<|endoftext|>", "<|im_end|>")

FAMILY = Family(
    name="SDAR",
    claims=lambda config: config.get("model_type") == "sdar",
    check=shapes.check_block("block_size"),
    translate=shapes.qwen3,
    model_class="Qwen3ForCausalLM",
    names={},
    unused=shapes.UNUSED,
    max_length=shapes.max_length,
    attention="block-causal",
    block_length=shapes.block_size(4, "block_size"),
    end_tokens=ENDS,
    preset=PRESET,
    ancestor="Qwen3",
    covers="SDAR, TraDo",
    proof="ab",
    about="its dynamic strategy is the sampler threshold",
    license="MIT",
)
EXPERTS = Family(
    name="SDAR-MoE",
    claims=lambda config: config.get("model_type") == "sdar_moe",
    check=shapes.check_block("block_size", shapes.check_experts),
    translate=shapes.qwen3_moe,
    model_class="Qwen3MoeForCausalLM",
    names={},
    assemble=shapes.fused_experts,
    prepare=shapes.experts_one_by_one,
    unused=shapes.UNUSED,
    max_length=shapes.max_length,
    attention="block-causal",
    block_length=shapes.block_size(4, "block_size"),
    end_tokens=ENDS,
    preset=PRESET,
    ancestor="Qwen3",
    covers="SDAR-30B-A3B",
    proof="ab",
    license="MIT",
)
