"""RND1 (Radical Numerics 2025): a Qwen3-MoE made bidirectional, with shift. Names are Qwen3-MoE's, experts
one by one. Its sampler masks again what the schedule leaves by entropy; ours commits by entropy and keeps."""

from __future__ import annotations

from webui.checkpoints.families import shapes
from webui.checkpoints.families.base import Family

FAMILY = Family(
    name="RND1",
    claims=lambda config: config.get("model_type") == "rnd1",
    check=shapes.check_experts,
    translate=shapes.qwen3_moe,
    model_class="Qwen3MoeForCausalLM",
    names={},
    assemble=shapes.fused_experts,
    prepare=shapes.experts_one_by_one,
    unused=shapes.UNUSED,
    max_length=shapes.max_length,
    shift=True,
    end_tokens=("<|endoftext|>", "<|im_end|>"),
    preset={
        "sampler": "low_confidence",
        "confidence": "entropy",
        "length": 256,
        "temperature": 0.1,
        "end_of_text": "stop",
    },
    ancestor="Qwen3",
    covers="RND1-Base-0910",
    proof="ab",
    about="experts' layout as a third party's code has it; its remasking sampler is not built",
    license="Apache-2.0",
)
