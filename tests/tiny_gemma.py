"""Tiny random checkpoints of DiffusionGemma, under the names that transformers writes and with its keys of
config.json. Never imports webui."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tests.tiny_checkpoints import (
    BOS,
    EOS,
    MASK,
    ROWS,
    random_weights,
    save_tokenizer,
    save_weights,
    write_json,
)


def gemma_config(canvas_length: int = 8, **changes: Any) -> dict[str, Any]:
    """config.json; `changes` are those of the part about text."""
    text = {
        "bos_token_id": BOS,
        "eos_token_id": EOS,
        "final_logit_softcapping": 30.0,
        "global_head_dim": 16,
        "head_dim": 8,
        "hidden_activation": "gelu_pytorch_tanh",
        "hidden_size": 32,
        "intermediate_size": 64,
        "layer_types": ["sliding_attention", "full_attention"],
        "max_position_embeddings": 256,
        "model_type": "diffusion_gemma_text",
        "moe_intermediate_size": 12,
        "num_attention_heads": 4,
        "num_experts": 4,
        "num_global_key_value_heads": 1,
        "num_hidden_layers": 2,
        "num_key_value_heads": 2,
        "pad_token_id": MASK,
        "rms_norm_eps": 1e-06,
        "rope_parameters": {
            "full_attention": {
                "partial_rotary_factor": 0.25,
                "rope_theta": 1000000.0,
                "rope_type": "proportional",
            },
            "sliding_attention": {"rope_theta": 10000.0, "rope_type": "default"},
        },
        "sliding_window": 6,
        "tie_word_embeddings": True,
        "top_k_experts": 2,
        "use_bidirectional_attention": "vision",
        "vocab_size": ROWS,
        **changes,
    }
    return {
        "architectures": ["DiffusionGemmaForBlockDiffusion"],
        "canvas_length": canvas_length,
        "model_type": "diffusion_gemma",
        "text_config": text,
        "tie_word_embeddings": True,
        "vision_config": {
            "head_dim": 8,
            "hidden_size": 16,
            "intermediate_size": 24,
            "model_type": "gemma4_vision",
            "num_attention_heads": 2,
            "num_hidden_layers": 1,
            "num_key_value_heads": 2,
        },
    }


def gemma_shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """The names and shapes of the weights, a few of those of images among them."""
    text = config["text_config"]
    width, inner, experts = text["hidden_size"], text["intermediate_size"], text["num_experts"]
    small, heads = text["moe_intermediate_size"], text["num_attention_heads"]
    shapes: dict[str, tuple[int, ...]] = {
        "model.decoder.embed_tokens.weight": (text["vocab_size"], width),
        "model.decoder.norm.weight": (width,),
        "model.decoder.self_conditioning.pre_norm.weight": (width,),
        "model.encoder.embed_vision.embedding_projection.weight": (width, 16),
        "model.encoder.vision_tower.encoder.layers.0.input_layernorm.weight": (16,),
    }
    for network in (
        "decoder.self_conditioning",
        *(f"decoder.layers.{i}.mlp" for i in range(len(text["layer_types"]))),
    ):
        shapes |= {
            f"model.{network}.gate_proj.weight": (inner, width),
            f"model.{network}.up_proj.weight": (inner, width),
            f"model.{network}.down_proj.weight": (width, inner),
        }
    for layer, kind in enumerate(text["layer_types"]):
        at, sliding = f"model.decoder.layers.{layer}.", kind == "sliding_attention"
        head = text["head_dim"] if sliding else text["global_head_dim"]
        keys = head * (text["num_key_value_heads"] if sliding else text["num_global_key_value_heads"])
        norms = ("input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm",
                 "pre_feedforward_layernorm_2", "post_feedforward_layernorm", "post_feedforward_layernorm_1",
                 "post_feedforward_layernorm_2")  # fmt: skip
        shapes |= {f"{at}{norm}.weight": (width,) for norm in norms}
        shapes |= {
            f"{at}self_attn.q_proj.weight": (heads * head, width),
            f"{at}self_attn.k_proj.weight": (keys, width),
            f"{at}self_attn.o_proj.weight": (width, heads * head),
            f"{at}self_attn.q_norm.weight": (head,),
            f"{at}self_attn.k_norm.weight": (head,),
            f"{at}router.proj.weight": (experts, width),
            f"{at}router.scale": (width,),
            f"{at}router.per_expert_scale": (experts,),
            f"{at}experts.gate_up_proj": (experts, 2 * small, width),
            f"{at}experts.down_proj": (experts, width, small),
            f"{at}layer_scalar": (1,),
            f"model.encoder.language_model.layers.{layer}.layer_scalar": (1,),
        }
        if sliding:
            shapes[f"{at}self_attn.v_proj.weight"] = (keys, width)
    return shapes


def gemma(folder: Path, *, seed: int = 0, shards: int = 1, **config: Any) -> Path:
    """A folder with such a checkpoint; sliding attention in the first layer, full attention in the second."""
    folder, settings = Path(folder), gemma_config(**config)
    folder.mkdir(parents=True, exist_ok=True)
    weights = random_weights(gemma_shapes(settings), seed)
    for name, value in weights.items():
        if name.endswith("scale"):
            weights[name] = 1 + value
        if name.endswith("layer_scalar"):
            weights[name] = torch.tensor([0.7 if ".decoder." in name else 1.2])
    write_json(folder / "config.json", settings)
    write_json(
        folder / "profile.json", {"mask_token_id": MASK}
    )  # the tokenizer of tests has none of its names
    save_weights(folder, weights, shards)
    save_tokenizer(folder)
    return folder
