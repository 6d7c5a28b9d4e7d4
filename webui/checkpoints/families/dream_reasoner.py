"""DreamReasoner (2026): a Qwen3 that denoises block after block, without Dream's shift. Names are Qwen3's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from webui.checkpoints.families import shapes
from webui.checkpoints.families.base import Family


def claims(config: Mapping[str, Any]) -> bool:
    blocks = "block_size" in config or shapes.architecture(config) == "DreamForCausalLM"
    return config.get("model_type") == "Dream" and blocks


FAMILY = Family(
    name="DreamReasoner",
    claims=claims,
    check=shapes.check_block("block_size"),
    translate=shapes.qwen3,
    model_class="Qwen3ForCausalLM",
    names={},
    unused=shapes.UNUSED,
    max_length=shapes.max_length,
    attention="block-causal",
    block_length=shapes.block_size(32, "block_size"),
    end_tokens=("<|endoftext|>", "<|im_end|>"),
    preset={
        "sampler": "threshold",
        "threshold": 0.9,
        "length": 512,
        "temperature": 1.0,
        "end_of_text": "stop",
        "cache": "prefix",
    },
    ancestor="Qwen3",
    covers="DreamReasoner-8B",
    proof="ab",
    license="Apache-2.0",
)
