"""A LoRA written into the weights of a checkpoint: W + w (W' - W), where W' is W with the LoRA at weight 1,
as PEFT's `merge_and_unload` makes it: B A scaled and added, DoRA's magnitudes, weights that were trained
whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from webui import Adapter, find_adapter, tensors

if TYPE_CHECKING:
    from torch import Tensor

Change = Callable[
    ["Tensor"], "Tensor"
]  # a tensor of the checkpoint to what it is with the LoRA, both in float64


def changes(app: Any, checkpoint: str, lora: str, folder: Path) -> tuple[dict[str, Change], str]:
    """What a LoRA makes of the tensors of a checkpoint's files, by their published names, and the LoRA's
    hash. ValueError with a sentence if a part of it cannot be written into them."""
    skeleton = app.checkpoints.skeleton(checkpoint)
    adapter = Adapter.read(find_adapter(app.settings.models / "loras", lora), lora)
    fitted = adapter.fit(skeleton.modules, skeleton.native, checkpoint)
    if fitted.unmatched:
        raise ValueError(f"{checkpoint} lacks {fitted.unmatched[0]}, which the LoRA {lora} changes.")
    published = {
        skeleton.native(one.name.removesuffix(".weight")): one
        for one in tensors(folder)
        if one.name.endswith(".weight")
    }
    made: dict[str, Change] = {}
    for name, part in fitted.parts.items():
        here = published.get(name)
        if here is None or tuple(here.shape) != tuple(skeleton.modules[name].weight.shape):
            raise ValueError(
                f"{checkpoint} has no tensor of its own for {name}, which the LoRA {lora} changes."
            )
        if part.bias is not None or part.own_bias is not None:
            raise ValueError(
                f"The LoRA {lora} changes the bias of {name}, which cannot be written into weights."
            )
        made[here.name] = _change(part)
    return made, adapter.hash


def _change(part: Any) -> Change:
    def change(own: Tensor) -> Tensor:
        if part.weight is not None:  # trained whole, or the base of an embedding, which PEFT saves with it
            own = part.weight.double()
        if part.up is None:
            return own
        added = part.up.double() @ part.down.double() * part.scale
        whole = own + (added.t() if part.embedding else added)
        if part.magnitude is None:
            return whole
        return whole * (part.magnitude.double() / whole.norm(dim=1))[:, None]

    return change


def baked(change: Change, own: Tensor, weight: float) -> Tensor:
    """A tensor (float64) with a LoRA at a weight."""
    return own + weight * (change(own) - own)
