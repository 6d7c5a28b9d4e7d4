"""Nemotron-Labs-Diffusion (NVIDIA 2026): a Ministral 3 whose row is causal but for the block that is being
denoised, in which every position sees every other. Blocks begin behind the prompt. Native:
Ministral3ForCausalLM.

The first token of a block, which its own sampler takes from the autoregressive head, is denoised like the
others; drafting with a LoRA is not built.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from webui.checkpoints.families import shapes
from webui.checkpoints.families.base import Family, check_number
from webui.core.errors import Refusal

NAMES = {r"^encoder\.": "model.", r"^diffusion_head\.": "lm_head."}
YARN = {  # of the rotary embedding, as published
    "rope_type": "yarn",
    "rope_theta": 1000000.0,
    "factor": 16.0,
    "original_max_position_embeddings": 16384,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
    "mscale": 1.0,
    "mscale_all_dim": 1.0,
    "llama_4_scaling_beta": 0.1,
}


def check(config: Mapping[str, Any]) -> None:
    """Refusal names the key that the native model cannot honour, or that is not there."""
    plain = {key: value for key, value in config.items() if key not in ("rope_parameters", "rope_scaling")}
    shapes.check_block("block_size", shapes.check)(plain)
    rope = _rope(config)
    if rope.get("rope_type", rope.get("type")) != "yarn":
        raise Refusal("config.json has another rotary embedding than yarn, which is not computed for it.")
    for key in ("rope_theta", "factor", "original_max_position_embeddings"):
        check_number(rope, key, 1, 1 << 40, float)
    for key in YARN.keys() - {"rope_type", "rope_theta", "factor", "original_max_position_embeddings"}:
        check_number(rope, key, 0, 1 << 20, float)
    shapes.refuse_unless(config, "sliding_window", (None,))


def translate(config: Mapping[str, Any]) -> Any:
    """A Ministral3Config."""
    from transformers import Ministral3Config

    known = shapes.keywords({**config, "rope_parameters": None}, 1e6)
    size = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    rope = {key: value for key, value in _rope(config).items() if key in YARN}
    return Ministral3Config(
        **{**known, "rope_parameters": {**rope, "rope_type": "yarn"}}, head_dim=size, sliding_window=None
    )


def _rope(config: Mapping[str, Any]) -> dict[str, Any]:
    """The published parameters, over those that are usual."""
    given = config.get("rope_parameters") or config.get("rope_scaling") or {}
    return {**YARN, **given} if isinstance(given, dict) else {}


FAMILY = Family(
    name="Nemotron-Labs-Diffusion",
    claims=lambda config: config.get("model_type") == "nemotron_labs_diffusion",
    check=check,
    translate=translate,
    model_class="Ministral3ForCausalLM",
    names=NAMES,
    unused=shapes.UNUSED,
    max_length=shapes.max_length,
    attention="causal-but-block",
    caches=False,  # a finished block is computed once more, causally
    answer_block=shapes.block_size(32, "block_size"),
    preset={
        "sampler": "threshold",
        "threshold": 0.9,
        "length": 512,
        "block_length": 32,
        "temperature": 0.0,
        "end_of_text": "stop",
    },
    covers="Nemotron-Labs-Diffusion 3B, 8B, 14B",
    proof="ab",
    about="the first token of a block is not committed first; no drafting",
    license="NVIDIA Open Model License",
)
