"""iLLaDA (2026): LLaDA's training on a Llama with grouped queries, under Llama's names. Its mask token is not
in config.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from webui.checkpoints.families import shapes
from webui.checkpoints.families.base import Family


def check(config: Mapping[str, Any]) -> None:
    """A norm with another epsilon is a LayerNorm, which Llama does not have."""
    shapes.check(config)
    shapes.refuse_unless(config, "layer_norm_eps", (None,))


FAMILY = Family(
    name="iLLaDA",
    claims=lambda config: shapes.architecture(config).startswith("ILLaDA"),
    check=check,
    translate=shapes.llama,
    model_class="LlamaForCausalLM",
    names={},
    unused=shapes.UNUSED,
    max_length=shapes.max_length,
    preset={
        "sampler": "low_confidence",
        "length": 256,
        "block_length": 32,
        "temperature": 0.0,
        "end_of_text": "stop",
    },
    covers="iLLaDA-8B",
    proof="b",
    about="sizes not seen",
    license="Apache-2.0",
)
