"""MDLM (Sahoo et al. 2024, arXiv 2406.07524): a diffusion transformer that is no class of transformers, so it
is written in webui/checkpoints/diffusion_transformer.py.

Every block is modulated by an embedding of the noise level, which these checkpoints always get as 0 (their
time_conditioning is off). BD3-LM (bd3lm.py) and SEDD (sedd.py) share the names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from webui.checkpoints.families.base import Family, check_number
from webui.core.errors import Refusal

NUMBERS = {
    "hidden_dim": 1 << 20,
    "n_heads": 1 << 16,
    "n_blocks": 1 << 12,
    "vocab_size": 1 << 24,
    "cond_dim": 1 << 20,
}


def check(config: Mapping[str, Any]) -> None:
    """Refusal names the key that is not computed, or that is not there."""
    for key, most in NUMBERS.items():
        check_number(config, key, 1, most)
    check_number(config, "model_length", 1, 1 << 28)
    if config["hidden_dim"] % config["n_heads"] or config["hidden_dim"] // config["n_heads"] % 2:
        raise Refusal(
            f"config.json says hidden_dim = {config['hidden_dim']}, n_heads = {config['n_heads']}: heads "
            "must be of equal, even width."
        )
    if config.get("time_conditioning"):
        raise Refusal("config.json says time_conditioning = True, which is not computed for it.")


def translate(config: Mapping[str, Any]) -> Any:
    """The configuration of `native()`."""
    from webui.checkpoints.diffusion_transformer import DiffusionTransformerConfig

    return DiffusionTransformerConfig(
        vocab_size=config["vocab_size"],
        hidden_size=config["hidden_dim"],
        num_hidden_layers=config["n_blocks"],
        num_attention_heads=config["n_heads"],
        condition_size=config["cond_dim"],
        max_position_embeddings=config["model_length"],
        modulated=config.get("adaln") is not False,
        tie_word_embeddings=False,
    )


def native() -> Any:
    """The class of the model."""
    from webui.checkpoints.diffusion_transformer import DiffusionTransformer

    return DiffusionTransformer


def split(module: Any) -> tuple[Any, Any]:
    """Everything but the last linear layer, and that."""
    from webui.checkpoints.diffusion_transformer import Body

    return Body(module), module.output_layer.linear


FAMILY = Family(
    name="MDLM",
    claims=lambda config: config.get("model_type") == "mdlm",
    check=check,
    translate=translate,
    model_class=native,
    names={r"^backbone\.": ""},
    unused=(r"\.rotary_emb\.", r"^noise\."),
    max_length=lambda config: int(config["model_length"]),
    split=split,
    preset={
        "sampler": "random",
        "length": 256,
        "temperature": 1.0,
        "top_p": 0.9,
        "end_of_text": "keep",
        "template": "raw",
    },
    covers="MDLM",
    proof="ab",
    about="logits also those of its own code (0.0); its sampler draws the number of commits, ours follows "
    "the schedule; GPT-2's tokenizer must lie beside it",
    license="Apache-2.0",
)
