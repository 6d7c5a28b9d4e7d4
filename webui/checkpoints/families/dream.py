"""Dream (Ye et al. 2025, arXiv 2508.15487), Dream-Coder, and DiffuCoder (Gong et al. 2025, arXiv 2506.20639):
a Qwen2.5 that sees everything and whose output at a column predicts the next one. Names are Qwen2's.

Published sampler: as many steps as tokens, the positions of lowest entropy first. The published confidence is
measured after temperature and top-p, ours before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from webui.checkpoints.families import shapes
from webui.checkpoints.families.base import Family


def claims(config: Mapping[str, Any]) -> bool:
    blocks = "block_size" in config or shapes.architecture(config) == "DreamForCausalLM"
    return config.get("model_type") == "Dream" and not blocks


FAMILY = Family(
    name="Dream",
    claims=claims,
    check=shapes.check,
    translate=shapes.qwen2,
    model_class="Qwen2ForCausalLM",
    names={},
    unused=shapes.UNUSED,
    max_length=shapes.max_length,
    shift=True,
    end_tokens=("<|endoftext|>", "<|im_end|>", "<|dlm_pad|>"),
    preset={
        "sampler": "low_confidence",
        "confidence": "entropy",
        "length": 256,
        "temperature": 0.2,
        "top_p": 0.95,
        "end_of_text": "stop",
    },
    ancestor="Qwen2.5",
    covers="Dream-7B, Dream-Coder-7B, DiffuCoder-7B",
    proof="ab",
    about="logits also those of its own code in dLLM (0.0); the published sampler measures entropy after "
    "top-p, ours before",
    license="Apache-2.0 (Dream), Apple AMLR (DiffuCoder)",
)
