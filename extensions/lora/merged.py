"""One LoRA merged into the weights for a batch: W + w (W' - W), computed in fp32 or better and rounded once.
The model's own weights are kept aside meanwhile and put back as they were (`Network.exchanged`); nothing is
ever subtracted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from .patch import Term, exact_term


def weights(modules: Mapping[str, Any], fitted: Any, weight: float) -> tuple[dict[Tensor, Tensor], set[str]]:
    """For each weight or bias that a LoRA changes what it is at a weight, in its dtype; and the names of the
    modules that need hooks all the same: those that share their weight with another module, as an embedding
    with the head, those that would get a bias they do not have, and quantized ones."""
    users: dict[int, int] = {}
    for module in modules.values():
        for own in module.parameters(recurse=False):
            users[id(own)] = users.get(id(own), 0) + 1
    made: dict[Tensor, Tensor] = {}
    hooked: set[str] = set()
    for name, part in fitted.parts.items():
        module, one = modules[name], exact_term(modules[name], part)
        bias = getattr(module, "bias", None)
        lacks_bias = bias is None and (one.bias is not None or one.own_bias is not None)
        if users[id(module.weight)] > 1 or lacks_bias or type(module.weight) is not torch.nn.Parameter:
            hooked.add(name)
            continue
        exact = torch.promote_types(module.weight.dtype, torch.float32)
        own = module.weight.data.to(exact)
        added = _added(one, own, isinstance(module, torch.nn.Embedding))
        made[module.weight] = (own + weight * added).to(module.weight.dtype)
        more = [tensor for tensor in (one.bias, one.own_bias) if tensor is not None]
        if bias is not None and more:
            made[bias] = (bias.data.to(exact) + weight * sum(more)).to(bias.dtype)
    return made, hooked


def _added(one: Term, own: Tensor, embedding: bool) -> Tensor:
    """W' - W: what a LoRA adds to a weight at weight 1."""
    total = torch.zeros_like(own)
    if one.down is not None and one.up is not None:
        total = total + (one.down @ one.up.t() if embedding else one.up @ one.down)
    if one.turn is not None:
        total = total + one.turn[:, None] * own
    if one.weight is not None:
        total = total + one.weight
    return total
