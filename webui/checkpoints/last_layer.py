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
        self.columns: tuple[int, int] | None = None  # from, to before; None: all
        layers = getattr(body, "layers", None)
        last: Any = layers[-1] if isinstance(layers, nn.ModuleList) and len(layers) else None
        self.plain = _is_plain(last)
        self._length = 0
        if self.plain:
            last.self_attn.o_proj.register_forward_pre_hook(self._cut)
            last.self_attn.register_forward_hook(self._attended)  # behind what patches add to the projection
            last.mlp.register_forward_pre_hook(self._cut)
            last.mlp.register_forward_hook(self._padded)

    @contextmanager
    def at(self, columns: Tensor, length: int) -> Iterator[None]:
        """Computed where these columns lie, of `length`. On a CPU, where asking for them costs nothing."""
        if not self.plain or columns.device.type != "cpu" or not columns.numel() or torch.is_grad_enabled():
            yield
            return
        first, last = int(columns.min()) // ALIGN * ALIGN, -(-(int(columns.max()) + 1) // ALIGN) * ALIGN
        self.columns, self._length = (first, min(last, length)), length
        try:
            yield
        finally:
            self.columns = None

    def _cut(self, part: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        if self.columns is None:
            return None
        return (inputs[0][:, self.columns[0] : self.columns[1]], *inputs[1:])

    def _attended(self, part: nn.Module, inputs: Any, output: tuple[Tensor, ...]) -> Any:
        if self.columns is None:
            return None
        return (self._padded(part, inputs, output[0]), *output[1:])

    def _padded(self, part: nn.Module, inputs: Any, output: Tensor) -> Tensor | None:
        if self.columns is None:
            return None
        first, last = self.columns
        return nn.functional.pad(output, (0, 0, first, self._length - last))


def _is_plain(layer: Any) -> bool:
    """Whether it is attention with an output projection, and a plain feed-forward network."""
    projection = getattr(getattr(layer, "self_attn", None), "o_proj", None)
    network = getattr(layer, "mlp", None)
    inner = [projection, *(getattr(network, name, None) for name in INNER)]
    return all(isinstance(part, nn.Linear) for part in inner)
