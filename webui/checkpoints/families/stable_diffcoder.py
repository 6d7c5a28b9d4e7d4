"""Stable-DiffCoder (ByteDance Seed 2026): Seed-Coder, a Llama, that denoises blocks of four tokens. Names are
Llama's."""

from __future__ import annotations

from webui.checkpoints.families import shapes
from webui.checkpoints.families.base import Family

FAMILY = Family(
    name="Stable-DiffCoder",
    claims=lambda config: "StableDiff" in shapes.architecture(config),
    check=shapes.check_block("block_length"),
    translate=shapes.llama,
    model_class="LlamaForCausalLM",
    names={},
    unused=shapes.UNUSED,
    max_length=shapes.max_length,
    attention="block-causal",
    block_length=shapes.block_size(4, "block_length"),
    preset={
        "sampler": "low_confidence",
        "length": 512,
        "temperature": 0.0,
        "end_of_text": "stop",
        "cache": "prefix",
    },
    ancestor="Seed-Coder",
    covers="Stable-DiffCoder-8B",
    proof="ab",
    license="MIT",
)
