"""DiffusionGemma (Google 2026): Gemma 4 with experts, as encoder and decoder that share their weights. The
text so far is read causally; a block of 256 positions behind it is denoised from random tokens, not from mask
tokens, and every step knows the guesses of the step before (self-conditioning). Native:
webui/checkpoints/gemma_canvas.py, of the layers of transformers.

A position that is not accepted yet is masked on our canvas; the model gets a random token there, another one
in each step. The mask token is one of the tokenizer that no text has. Images are not read.

Published sampler: `renoise`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from webui.checkpoints.families import shapes
from webui.checkpoints.families.base import Family, check_number
from webui.core.errors import Refusal

NUMBERS = {
    **shapes.NUMBERS,
    "intermediate_size": 1 << 22,
    "moe_intermediate_size": 1 << 22,
    "num_key_value_heads": 1 << 16,
    "head_dim": 1 << 16,
    "sliding_window": 1 << 28,
    "num_experts": 1 << 16,
    "top_k_experts": 1 << 16,
}
SET_HERE = ("model_type", "is_causal", "use_cache", "dtype", "torch_dtype", "transformers_version")
ROPES = {"full_attention": "proportional", "sliding_attention": "default"}  # layer: its rotary embedding
NAMES = {
    r"^model\.decoder\.(layers\.\d+\.)layer_scalar$": r"model.\1decoder_scalar",
    r"^model\.encoder\.language_model\.(layers\.\d+\.)layer_scalar$": r"model.\1encoder_scalar",
    r"^model\.decoder\.": "model.",
}


def text(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part of config.json that is about text. Refusal if there is none."""
    part = config.get("text_config")
    if not isinstance(part, dict):
        raise Refusal("config.json has no text_config.")
    return part


def check(config: Mapping[str, Any]) -> None:
    """Refusal names the key that is not computed, or that is not there."""
    part = text(config)
    for key, most in NUMBERS.items():
        check_number(part, key, 1, most)
    for key in ("global_head_dim", "num_global_key_value_heads"):
        if part.get(key) is not None:
            check_number(part, key, 1, 1 << 16)
    if config.get("canvas_length") is not None:
        check_number(config, "canvas_length", 1, 1 << 16)
    if part["top_k_experts"] > part["num_experts"]:
        raise Refusal(
            f"config.json says top_k_experts = {part['top_k_experts']}, more than num_experts = "
            f"{part['num_experts']}."
        )
    _check_layers(part)
    shapes.refuse_unless(part, "hidden_activation", ("gelu_pytorch_tanh", None))
    shapes.refuse_unless(part, "use_bidirectional_attention", ("vision", None))
    shapes.refuse_unless(part, "tie_word_embeddings", (True, None))
    check_number({"final_logit_softcapping": 30.0, **part}, "final_logit_softcapping", 1e-3, 1 << 20, float)


def _check_layers(part: Mapping[str, Any]) -> None:
    """Refusal for layers, heads and rotary embeddings that are none of those that are computed."""
    layers = part["num_hidden_layers"]
    kinds = part.get("layer_types")
    if kinds is not None and (
        not isinstance(kinds, list) or len(kinds) != layers or not {*map(str, kinds)} <= {*ROPES}
    ):
        raise Refusal(
            f"config.json needs layer_types of {layers} layers, each {' or '.join(ROPES)}, the last one full."
        )
    given = part.get("per_layer_config")
    one_by_one = {} if given is None else given
    if not isinstance(one_by_one, dict) or not all(
        str(key).isdecimal() and int(key) < layers and isinstance(value, dict)
        for key, value in one_by_one.items()
    ):
        raise Refusal("config.json has a per_layer_config that does not name its layers by their numbers.")
    sizes = [part, *one_by_one.values()]
    for one in sizes:
        for key in ("head_dim", "global_head_dim"):
            size = one.get(key, 2)
            if type(size) is not int or not 0 < size <= 1 << 16 or size % 2:
                raise Refusal(f"config.json says {key} = {repr(size)[:40]}; heads must be of even width.")
        for key in ("num_key_value_heads", "num_global_key_value_heads"):
            heads = one.get(key) or 1
            if type(heads) is not int or heads < 1 or part["num_attention_heads"] % heads:
                raise Refusal(
                    f"config.json says {key} = {repr(heads)[:40]}, of which num_attention_heads = "
                    f"{part['num_attention_heads']} is no multiple."
                )
    rope = part.get("rope_parameters")
    if rope is None:
        return
    for kind, type_ in ROPES.items():
        own = rope.get(kind) if isinstance(rope, dict) else None
        if not isinstance(own, dict) or own.get("rope_type") != type_:
            raise Refusal(f"config.json needs rope_parameters of {kind} whose rope_type is {type_}.")
        check_number(own, "rope_theta", 1, 1 << 40, float)
        if "partial_rotary_factor" in own:
            check_number(own, "partial_rotary_factor", 1e-6, 1, float)


def translate(config: Mapping[str, Any]) -> Any:
    """A DiffusionGemmaTextConfig."""
    from transformers.models.diffusion_gemma.configuration_diffusion_gemma import DiffusionGemmaTextConfig

    known = {key: value for key, value in text(config).items() if key not in SET_HERE}
    made = DiffusionGemmaTextConfig(**known)
    made.allow_global_per_layer_attribute_access = True  # sizes are looked at, whichever layer they are of
    return made


def native() -> Any:
    """The class of the model."""
    from webui.checkpoints.gemma_canvas import GemmaCanvas

    return GemmaCanvas


def split(module: Any) -> tuple[Any, Any]:
    """Everything but the last linear layer, and that with the cap behind it."""
    from webui.checkpoints.gemma_canvas import Head

    return module.model, Head(module.lm_head, module.config.final_logit_softcapping)


def inputs(model: Any, canvas: Any, unseen: Any) -> Mapping[str, Any]:
    """Random tokens where the block is masked; which columns are being denoised; and, where the sampler keeps
    them, the guesses of the step before."""
    import torch

    from webui.canvas import noise

    number = model.unfinished(canvas)
    inside = number >= 0
    key = noise.counter(canvas.seed[:, None], noise.CANVAS, canvas.column, canvas.step[:, None])
    random = (noise.bits(key).long() * model.vocabulary) >> 23
    tokens = torch.where(inside & (canvas.tokens == canvas.mask), random, canvas.tokens)
    kept, place = canvas.guess or (None, None)
    if unseen is not None:
        tokens = torch.cat([tokens, random.gather(1, unseen.target)], 1)
        inside = unseen.positions(inside)
        place = None if place is None else unseen.positions(place)
    said = {"input_ids": tokens, "inside": inside}
    return said if kept is None else {**said, "guess": (kept, place)}


FAMILY = Family(
    name="DiffusionGemma",
    claims=lambda config: config.get("model_type") == "diffusion_gemma",
    check=check,
    translate=translate,
    model_class=native,
    names=NAMES,
    unused=(
        r"^model\.encoder\.(?:vision_tower|embed_vision)\.",
        r"^model\.encoder\.language_model\.(?!layers\.\d+\.layer_scalar$)",  # the decoder has the same
    ),
    computed=(r"\.rotary_emb\.",),
    prepare=shapes.experts_one_by_one,
    split=split,
    max_length=lambda config: int(text(config)["max_position_embeddings"]),
    attention="causal-but-block",
    caches=False,  # a finished block is computed once more, causally
    answer_block=shapes.block_size(256, "canvas_length"),
    inputs=inputs,
    mask_tokens=("<mask>", "<pad>"),
    end_tokens=("<eos>", "<turn|>"),
    preset={
        "sampler": "renoise",
        "length": 256,
        "block_length": 256,
        "steps": 48,
        "temperature": 1.0,
        "end_of_text": "stop",
    },
    ancestor="Gemma 4",
    covers="DiffusionGemma-26B-A4B-it",
    proof="b",
    about="names are those that transformers writes, no file seen; no images; other samplers than renoise "
    "get no self-conditioning; the text so far is computed in every step",
    license="Gemma",
)
