"""The last layer of a body, computed where its output is wanted: nothing reads what it gives elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from webui.canvas import ALIGN

INNER = ("gate_proj", "up_proj", "down_proj")  # of a plain feed-forward network


class LastLayer:
    """The output projection of attention and the feed-forward network of the last layer, for some columns
    alone; the others get zeros from them. Keys and values, which these columns attend to, are those of all.

    Columns in multiples of `ALIGN` give the same numbers as all columns would (see `Canvas`).
    """

    def __init__(self, body: Any):
        layers = getattr(body, "layers", None)
        last = layers[-1] if isinstance(layers, nn.ModuleList) and len(layers) else None
        self._layer: Any = last if _is_plain(last) else None  # None: computed as a whole
        self._columns, self._length = (0, 0), 0  # from, to before; of how many

    @contextmanager
    def at(self, columns: Tensor, length: int) -> Iterator[None]:
        """Computed where these columns lie, of `length`. On a CPU, where asking for them costs nothing."""
        layer = self._layer
        if layer is None or columns.device.type != "cpu" or not columns.numel() or torch.is_grad_enabled():
            yield
            return
        where = columns.numpy()
        first, last = int(where.min()) // ALIGN * ALIGN, -(-(int(where.max()) + 1) // ALIGN) * ALIGN
        self._columns, self._length = (first, min(last, length)), length
        hooks = (  # for this pass alone, so that the module is as it was loaded; behind those of patches
            layer.self_attn.o_proj.register_forward_pre_hook(self._cut),
            layer.self_attn.register_forward_hook(self._attended),
            layer.mlp.register_forward_pre_hook(self._cut),
            layer.mlp.register_forward_hook(self._padded),
        )
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _cut(self, part: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (inputs[0][:, self._columns[0] : self._columns[1]], *inputs[1:])

    def _attended(self, part: nn.Module, inputs: Any, output: tuple[Tensor, ...]) -> Any:
        return (self._padded(part, inputs, output[0]), *output[1:])

    def _padded(self, part: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        first, last = self._columns
        return nn.functional.pad(output, (0, 0, first, self._length - last))


def _is_plain(layer: Any) -> bool:
    """Whether it is attention with an output projection, and a plain feed-forward network."""
    projection = getattr(getattr(layer, "self_attn", None), "o_proj", None)
    network = getattr(layer, "mlp", None)
    inner = [projection, *(getattr(network, name, None) for name in INNER)]
    return all(isinstance(part, nn.Linear) for part in inner)
