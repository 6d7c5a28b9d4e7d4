"""Adapters for tests, made by PEFT itself around a model of the program, with random weights."""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from webui.checkpoints.model import Model

SIZE = 0.3  # of the random weights: large enough that every text changes


def wrapped(model: Model, seed: int = 0, **config: Any) -> Any:
    """PEFT's model around a copy of this one, with the trained weights of an adapter drawn at random."""
    from peft import LoraConfig, get_peft_model

    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")  # about models that it does not know by name
        torch.manual_seed(seed)
        made = get_peft_model(copy.deepcopy(model.module), LoraConfig(**{"r": 4, "lora_alpha": 6, **config}))
    dice = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if parameter.requires_grad:
                noise = torch.randn(parameter.shape, generator=dice, dtype=torch.float64).to(parameter)
                if "magnitude" in name:
                    parameter.mul_(1 + SIZE * noise)
                else:
                    parameter.add_(SIZE * noise / max(1, parameter.shape[-1]) ** 0.5)
    return made.eval()


def saved(peft: Any, folder: Path) -> Path:
    """The adapter as PEFT saves it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peft.save_pretrained(folder)
    return folder


def as_peft(model: Model, peft: Any) -> Model:
    """PEFT's model in place of the program's own: what adapters are compared with."""
    return Model(
        peft.base_model.model, model.family, model.tokenizer, model.mask, model.ends, model.description
    )


def adapter(model: Model, folder: Path, seed: int = 0, **config: Any) -> Path:
    """An adapter folder for a model, by default of all linear layers of the body."""
    return saved(wrapped(model, seed, **{"target_modules": "all-linear", **config}), folder)


def renamed(
    folder: Path, file: Path, rename: Callable[[str], str | None], more: Mapping[str, Tensor] = {}
) -> Path:
    """A folder's weights as a single file under other names, those of None left out, with its configuration
    in the header."""
    tensors = load_file(folder / "adapter_model.safetensors")
    config = (folder / "adapter_config.json").read_text()
    named = {new: tensor for name, tensor in tensors.items() if (new := rename(name)) is not None}
    save_file({**named, **more}, file, {"adapter_config": json.dumps(json.loads(config))})
    return file


def configured(folder: Path, **changes: Any) -> Path:
    """The folder with these entries of adapter_config.json changed."""
    file = folder / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))
    return folder


def for_tiny_checkpoints(models: Path) -> None:
    """models/loras/tiny.safetensors, which has something for every tiny checkpoint of the contract: a part of a body or
    of a head, by its published or native name; what a model lacks is unmatched."""
    dice = torch.Generator().manual_seed(1)
    sizes = {
        "model.layers.0.mlp.gate_proj": (64, 32),
        "lm_head": (304, 32),
        "bert.encoder.layer.0.attention.self.query": (32, 32),
        "model.layers.0.attn.Wqkv": (96, 32),  # ModernBERT
        "blocks.0.attn_qkv": (96, 32),  # MDLM
    }
    tensors = {}
    for name, (outputs, inputs) in sizes.items():
        tensors[f"base_model.model.{name}.lora_A.weight"] = torch.randn(2, inputs, generator=dice)
        tensors[f"base_model.model.{name}.lora_B.weight"] = torch.randn(outputs, 2, generator=dice)
    (models / "loras").mkdir(parents=True, exist_ok=True)
    save_file(tensors, models / "loras" / "tiny.safetensors")
