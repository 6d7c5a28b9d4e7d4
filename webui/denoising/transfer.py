"""The one transfer of a step from the device to the host."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def to_host(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The tensors on the host, all copied at once. Those that lie there already are given back as they are.

    Every copy waits until the device has finished all that was asked of it: one wait instead of several.
    """
    if all(tensor.device.type == "cpu" for tensor in tensors):
        return list(tensors)
    order = sorted(range(len(tensors)), key=lambda i: -tensors[i].itemsize)  # wide types first: aligned
    packed = torch.cat([tensors[i].contiguous().view(torch.uint8).flatten() for i in order]).cpu()
    found: dict[int, Tensor] = {}
    for i, part in zip(order, packed.split([tensors[i].nbytes for i in order]), strict=True):
        found[i] = part.view(tensors[i].dtype).view(tensors[i].shape)
    return [found[i] for i in range(len(tensors))]
