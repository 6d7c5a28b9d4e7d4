"""A merge that is tried without being saved: for one batch the model has the weights that the saved
checkpoint would have, bit for bit. Its own are kept aside meanwhile and put back as they were
(`Network.exchanged`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from webui import Refusal, tensors

from .merging import Recipe, check, merged

if TYPE_CHECKING:
    from torch import Tensor

    from webui import Network


def folder_of(checkpoints: Path, name: str) -> Path:
    """The folder of a checkpoint that is merged without being loaded. ValueError if there is none: a request
    names no other folders of the machine."""
    parts = Path(name).parts
    folder = checkpoints.joinpath(*parts)
    plain = parts and not Path(name).is_absolute() and not any(part.startswith(".") for part in parts)
    if not plain or "\0" in name or not (folder / "config.json").is_file():
        raise Refusal(f"there is no checkpoint {name!r} in {checkpoints.name}/.")
    return folder


def stamps(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """What changes when a file of a checkpoint does: name, mtime and size of each."""
    there = ((file.name, file.stat()) for file in sorted(folder.iterdir()))
    return tuple((name, one.st_mtime_ns, one.st_size) for name, one in there)


def weights(network: Network, recipe: Recipe, folders: Sequence[Path]) -> Mapping[Tensor, Tensor]:
    """For each weight of the model what it is in the merged checkpoint, on its device and in its dtype.

    folders  of A, whose weights the model has, and of the others
    ValueError if the checkpoints do not go together, or if the family joins or cuts published tensors: then
    one of the files is no weight of the model.
    """
    import torch

    check(folders)
    others = [{one.name: one for one in tensors(folder)} for folder in folders[1:]]
    own = dict(network.module.named_parameters(remove_duplicate=False))
    made: dict[Tensor, Tensor] = {}
    for one in tensors(folders[0]):
        module, _, leaf = one.name.rpartition(".")
        there = own.get(f"{network.native(module)}.{leaf}")
        if there is None or tuple(there.shape) != one.shape or there in made:
            continue
        raw = merged(recipe, one, [other[one.name] for other in others])
        flat = torch.frombuffer(bytearray(raw), dtype=getattr(torch, _dtype(one.dtype)))
        made[there] = flat.reshape(one.shape).to(there.device, there.dtype)
    if lacking := [name for name, there in own.items() if there not in made]:
        raise Refusal(
            f"{lacking[0]} of {network.description.name} is made of several published tensors; save the "
            "merge, and choose the checkpoint."
        )
    return made


def _dtype(name: str) -> str:
    from .merging import FLOATS

    return FLOATS[name]
