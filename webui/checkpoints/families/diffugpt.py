"""DiffuGPT (Gong et al. 2024, arXiv 2410.17891): a GPT-2 that sees everything, with shift. Native:
GPT2LMHeadModel; its body is published under `denoise_model.`, its embedding once more as `embed_tokens`.

Its config.json is the ancestor's, so that its profile.json must name the family. Published sampler: random
order; the sampler `random`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from webui.checkpoints.families import shapes
from webui.checkpoints.families.base import Family, check_number
from webui.checkpoints.families.converted import never
from webui.core.errors import Refusal

NAMES = {r"^denoise_model\.": "transformer.", r"^embed_tokens\.": "transformer.wte."}
NUMBERS = {
    "vocab_size": 1 << 24,
    "n_embd": 1 << 20,
    "n_layer": 1 << 12,
    "n_head": 1 << 16,
    "n_positions": 1 << 28,
}
KEPT = ("vocab_size", "n_positions", "n_embd", "n_layer", "n_head", "n_inner", "layer_norm_epsilon")


def check(config: Mapping[str, Any]) -> None:
    """Refusal names the key that the native model cannot honour, or that is not there."""
    for key, most in NUMBERS.items():
        check_number(config, key, 1, most)
    if config.get("n_inner") is not None:
        check_number(config, "n_inner", 1, 1 << 22)
    if config["n_embd"] % config["n_head"]:
        raise Refusal(
            f"config.json says n_embd = {config['n_embd']}, n_head = {config['n_head']}: the first must be a "
            "multiple of the second."
        )
    shapes.refuse_unless(config, "activation_function", ("gelu_new", None))
    shapes.refuse_unless(config, "scale_attn_weights", (True, None))
    shapes.refuse_unless(config, "scale_attn_by_inverse_layer_idx", (False, None))
    shapes.refuse_unless(config, "reorder_and_upcast_attn", (False, None))
    shapes.refuse_unless(config, "add_cross_attention", (False, None))


def translate(config: Mapping[str, Any]) -> Any:
    """A GPT2Config."""
    from transformers import GPT2Config

    known = {key: config[key] for key in KEPT if config.get(key) is not None}
    return GPT2Config(
        **known,
        tie_word_embeddings=config.get("tie_word_embeddings") is not False,
        bos_token_id=None,
        eos_token_id=None,
        is_causal=False,  # type: ignore[call-arg]
        use_cache=False,
    )


FAMILY = Family(
    name="DiffuGPT",
    claims=never,
    check=check,
    translate=translate,
    model_class="GPT2LMHeadModel",
    names=NAMES,
    unused=(r"\.attn\.(masked_)?bias$",),
    max_length=lambda config: int(config["n_positions"]),
    shift=True,
    caches=False,
    split=lambda module: (module.transformer, module.lm_head),
    preset={
        "sampler": "random",
        "length": 64,
        "temperature": 0.95,
        "top_p": 0.9,
        "end_of_text": "keep",
        "template": "raw",
    },
    covers="DiffuGPT-s, DiffuGPT-m",
    proof="b",
    about="names as its code makes them, no file seen; profile.json names it",
    license="Apache-2.0",
)
