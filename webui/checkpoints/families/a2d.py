"""Tiny-A2D of dLLM (Zhou et al. 2026): small Llama, Qwen2, Qwen3 as diffusion models, no shift.

Names are those of the ancestors. The checkpoints trained with blocks (bd3lm) have the same config.json as the
others: their profile.json names the family "Tiny-A2D (Qwen3) blocks".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from webui.checkpoints.families import shapes
from webui.checkpoints.families.base import Family

PRESET = {
    "sampler": "low_confidence",
    "length": 256,
    "block_length": 32,
    "temperature": 0.0,
    "end_of_text": "stop",
}


def _family(kind: str, model_class: str, translate: Any, covers: str = "", proof: str = "ab") -> Family:
    return Family(
        name=f"Tiny-A2D ({kind})",
        claims=lambda config: config.get("model_type") == f"a2d-{kind.lower()}",
        check=shapes.check,
        translate=translate,
        model_class=model_class,
        names={},
        unused=shapes.UNUSED,
        max_length=shapes.max_length,
        end_tokens=("<|endoftext|>", "<|im_end|>"),
        preset=PRESET,
        license="Apache-2.0",
        covers=covers,
        proof=proof,
        about="" if covers else "no published checkpoint seen",
    )


def _blocks(family: Family) -> Family:
    def never(config: Mapping[str, Any]) -> bool:
        return False

    return replace(
        family,
        name=f"{family.name} blocks",
        claims=never,
        check=shapes.check_block("block_size"),
        attention="block-causal",
        preset={**PRESET, "cache": "prefix"},
        block_length=shapes.block_size(32, "block_size"),
        covers="Qwen3-0.6B-diffusion-bd3lm",
        about="profile.json names it",
    )


LLAMA = _family("Llama", "LlamaForCausalLM", shapes.llama, proof="b")
QWEN2 = _family("Qwen2", "Qwen2ForCausalLM", shapes.qwen2, "Qwen2.5-Coder-0.5B-diffusion")
QWEN3 = _family("Qwen3", "Qwen3ForCausalLM", shapes.qwen3, "Qwen3-0.6B-diffusion-mdlm")
QWEN3_BLOCKS = _blocks(QWEN3)
