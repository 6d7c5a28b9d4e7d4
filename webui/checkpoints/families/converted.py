"""DiffuLLaMA (Gong et al. 2024, arXiv 2410.17891) and Open-dLLM: a Llama 2 and a Qwen2.5-Coder that see
everything, with shift, published under the ancestor's own config.json.

Nothing in the files tells them from the autoregressive ancestor, so their profile.json must name the family.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from webui.checkpoints.families import shapes
from webui.checkpoints.families.base import Family


def never(config: Mapping[str, Any]) -> bool:
    return False


DIFFULLAMA = Family(
    name="DiffuLLaMA",
    claims=never,
    check=shapes.check,
    translate=shapes.llama,
    model_class="LlamaForCausalLM",
    names={},
    unused=shapes.UNUSED,
    max_length=shapes.max_length,
    shift=True,
    preset={"sampler": "random", "length": 64, "temperature": 0.9, "top_p": 0.9, "template": "raw"},
    covers="DiffuLLaMA-7B",
    proof="b",
    about="profile.json names it",
    license="Llama 2",
)
OPEN_DLLM = Family(
    name="Open-dLLM",
    claims=never,
    check=shapes.check,
    translate=shapes.qwen2,
    model_class="Qwen2ForCausalLM",
    names={},
    unused=shapes.UNUSED,
    max_length=shapes.max_length,
    shift=True,
    end_tokens=("<|endoftext|>", "<|im_end|>"),
    preset={"sampler": "low_confidence", "length": 128, "temperature": 0.5, "end_of_text": "stop"},
    covers="Open-dLLM, open-dcoder-0.5B",
    proof="ab",
    about="profile.json names it",
    license="Apache-2.0",
)
