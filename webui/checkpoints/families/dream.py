"""Dream (Ye et al. 2025, arXiv 2508.15487), Dream-Coder, and DiffuCoder (Gong et al. 2025, arXiv 2506.20639):
a Qwen2.5 that sees everything and whose output at a column predicts the next one. Names are Qwen2's.

Published sampler: as many steps as tokens, the positions of lowest entropy first. The published confidence is
measured after temperature and top-p, ours before.

DreamOn (Wu et al. 2026, arXiv 2602.01326) is a Dream that makes gaps longer and shorter, by a token that
expands and by end-of-text; the sampler `dreamon`. Nothing in its config.json need tell it from Dream.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from webui.checkpoints.families import shapes
from webui.checkpoints.families.base import Family, check_number

EXPAND = 151667  # DreamOn's; DiffuCoder pads with it


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


def claims_resizing(config: Mapping[str, Any]) -> bool:
    named = "dreamon" in str(config.get("_name_or_path")).lower()
    return claims(config) and ("expand_token_id" in config or named)


def check_resizing(config: Mapping[str, Any]) -> None:
    """Refusal for a token that is none of its own."""
    shapes.check(config)
    if "expand_token_id" in config:
        check_number(config, "expand_token_id", 0, int(config["vocab_size"]) - 1)


RESIZING = replace(
    FAMILY,
    name="DreamOn",
    claims=claims_resizing,
    check=check_resizing,
    expand=lambda config: int(config.get("expand_token_id", EXPAND)),
    end_tokens=("<|endoftext|>",),
    preset={
        "sampler": "dreamon",
        "length": 64,
        "temperature": 0.2,
        "top_p": 0.9,
        "end_of_text": "stop",
        "template": "raw",
    },
    covers="DreamOn-v0-7B",
    proof="ab",
    about="gaps grow and shrink with the sampler dreamon, without a cache and without rules for gaps; "
    "unless its config.json has expand_token_id, profile.json names it",
    license="Apache-2.0",
)
