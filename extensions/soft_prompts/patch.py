"""What soft prompts change while a batch runs: a forward hook on the embedding, for each row by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from webui import Refusal

if TYPE_CHECKING:
    from webui import Network

    from .files import SoftPrompt


class Patch:
    """The soft prompts of a batch at a model's embedding; `used` of each row of the batch, by its number."""

    def __init__(self, network: Network, used: Sequence[Mapping[str, SoftPrompt]]):
        self._network, self._handle = network, None
        self._module = network.module.get_input_embeddings()
        own = self._module.weight
        self._terms = []
        for name in sorted({name for some in used for name in some}):
            one = next(some[name] for some in used if name in some)
            try:
                vectors = load_file(one.path)["embedding"]
            except (OSError, KeyError, SafetensorError):
                raise Refusal(f"embeddings/{name}.safetensors cannot be read any more.") from None
            if vectors.shape[1] != own.shape[1] or max(map(max, one.tokens)) >= own.shape[0]:
                raise Refusal(
                    f"The soft prompt {name} does not fit {network.description.name}: it was made for "
                    f"{one.checkpoint}, whose tokens have {vectors.shape[1]} numbers, not {own.shape[1]}."
                )
            rows = torch.tensor([name in some for some in used], device=own.device)
            tokens = [torch.tensor(variant, device=own.device) for variant in one.tokens]
            self._terms.append((tokens, vectors.to(own), rows))

    def enter(self) -> None:
        """Hooks the embedding."""
        self._handle = self._module.register_forward_hook(self._act)

    def leave(self) -> None:
        """Takes the hook away."""
        if self._handle is not None:
            self._handle.remove()

    def _act(self, module: Any, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        canvas = self._network.running
        if canvas is None or inputs[0].dim() != 2:
            return output
        for tokens, vectors, rows in self._terms:
            for variant in tokens:
                output = replaced(inputs[0], output, variant, vectors, rows[canvas.row])
        return output


def replaced(ids: Tensor, output: Tensor, tokens: Tensor, vectors: Tensor, rows: Tensor) -> Tensor:
    """The embeddings (B, L, D) of ids (B, L) with `vectors` (M, D) wherever `tokens` (M,) stand, in the rows
    (B,) that are on."""
    many = len(tokens)
    if ids.shape[1] < many:
        return output
    starts = (ids.unfold(1, many, 1) == tokens).all(-1) & rows[:, None]  # (B, L - M + 1)
    for offset in range(many):
        there = torch.nn.functional.pad(starts, (offset, many - 1 - offset))
        output = torch.where(there[..., None], vectors[offset], output)
    return output
