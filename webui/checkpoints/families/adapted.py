"""A Llama, Qwen2 or Qwen3 that the command `adapt` made a masked-diffusion model of: it sees everything, and
its output at a column predicts the next one, as in Dream (Ye et al. 2025). config.json is the ancestor's, so
that adapters and other programs find it; profile.json names the family.
"""

from __future__ import annotations

from typing import Any

from webui.checkpoints.families import shapes
from webui.checkpoints.families.base import Family
from webui.checkpoints.families.converted import never


def _family(kind: str, translate: Any) -> Family:
    return Family(
        name=f"Adapted {kind}",
        claims=never,
        check=shapes.check,
        translate=translate,
        model_class=f"{kind}ForCausalLM",
        names={},
        unused=shapes.UNUSED,
        max_length=shapes.max_length,
        shift=True,
        end_tokens=("<|endoftext|>", "<|im_end|>"),
        preset={"sampler": "low_confidence", "length": 64, "temperature": 0.2, "template": "raw"},
        covers=f"any {kind} that `adapt` made one of",
        proof="b",
        about="profile.json names it",
        license="the ancestor's",
    )


LLAMA = _family("Llama", shapes.llama)
QWEN2 = _family("Qwen2", shapes.qwen2)
QWEN3 = _family("Qwen3", shapes.qwen3)
