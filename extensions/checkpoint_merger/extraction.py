"""A LoRA extracted from the difference of two checkpoints: of each linear layer's B - A the closest one
of a given rank, by its singular value decomposition (Eckart and Young 1936), as a folder that PEFT reads.

One layer is in memory at a time. A layer that was finished is not computed again when the same extraction is
started again.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from webui import tensors, write

from .merging import tensor_of

if TYPE_CHECKING:
    from torch import Tensor

EXTRACT = "extract"
ABOUT = "a LoRA of B - A: the best one of its rank for each linear layer, with the error that it leaves"
RECIPE = "extraction.json"
EXACT = 2048  # least dimension up to which the decomposition is exact; above it is a randomized one
EXTRA = 16  # more ranks than wanted in the randomized decomposition (Halko et al. 2011, arXiv:0909.4061)
PASSES = 6  # of its power iteration


@dataclass(frozen=True)
class Extraction:
    """What is extracted how; `parents`: names and fingerprints of A and B."""

    rank: int
    parents: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Report:
    """What a LoRA left of the difference.

    error   the Frobenius norm of what it leaves of the layers' differences, divided by theirs
    layers  how many it has
    left    names of tensors that differ and are no linear layers
    share   their part of the squared difference of the two checkpoints
    """

    error: float
    layers: int
    left: tuple[str, ...]
    share: float

    @property
    def text(self) -> str:
        """In one sentence."""
        said = f"{self.layers} layers, relative error {self.error:.4f}"
        if self.left:
            said += f"; {len(self.left)} other tensors differ and are left out, {self.left[0]} among them, "
            said += f"{100 * self.share:.1f} % of the squared difference"
        return said


def low_rank(difference: Tensor, rank: int) -> tuple[Tensor, Tensor, float]:
    """Of a difference (outputs, inputs) in fp32 or better: lora_B (outputs, rank), lora_A (rank, inputs),
    whose product is the closest of this rank, and the squared Frobenius norm of what is left. Both get the
    square roots of the singular values, so that they are of one size."""
    import torch

    if min(difference.shape) <= EXACT:
        left, values, right = torch.linalg.svd(difference, full_matrices=False)
    else:
        torch.manual_seed(0)  # the same extraction gives the same file
        left, values, right = torch.svd_lowrank(difference, rank + EXTRA, niter=PASSES)
        right = right.t()
    root = values[:rank].sqrt()
    up, down = left[:, :rank] * root, root[:, None] * right[:rank]
    return up, down, float((difference - up @ down).double().square().sum())


def extract(
    recipe: Extraction,
    folders: Sequence[Path],
    linear: Mapping[str, str],
    out: Path,
    progress: Callable[[float], None] = lambda done: None,
) -> Report:
    """Write the LoRA to the folder `out`, which must not exist.

    linear  of each published tensor that is a linear layer's weight, the layer's native name
    ValueError if the checkpoints do not differ in a linear layer, or if the rank is larger than one of its
    dimensions. OSError if the disk refuses: what was finished is used by the next run.
    """
    draft = out.with_name(f".extracting-{out.name}")
    said = json.dumps({"recipe": asdict(recipe)}, indent=2) + "\n"
    if not (draft / RECIPE).is_file() or (draft / RECIPE).read_text("utf-8") != said:
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        write(draft / RECIPE, said)
    first, second = ({one.name: one for one in tensors(folder)} for folder in folders)
    whole, done = sum(one.size for one in first.values()), 0
    found: list[dict[str, Any]] = []
    for number, (name, own) in enumerate(sorted(first.items())):
        place = draft / f"{number:05}.json"
        if not place.is_file():
            file = place.with_suffix(".safetensors")
            facts = _layer(own, second[name], linear.get(name), recipe.rank, file)
            write(place, json.dumps({"name": name, **facts}) + "\n")
        found.append(json.loads(place.read_text("utf-8")))
        done += own.size
        progress(done / whole)
    layers = [one for one in found if one["layer"] and one["squared"] > 0]
    left = [one for one in found if not one["layer"] and one["squared"] > 0]
    if not layers:
        shutil.rmtree(draft)
        raise ValueError(
            f"{recipe.parents[0][0]} and {recipe.parents[1][0]} do not differ in any linear layer."
        )
    represented = sum(one["squared"] for one in layers)
    report = Report(
        math.sqrt(sum(one["lost"] for one in layers) / represented),
        len(layers),
        tuple(one["name"] for one in left),
        sum(one["squared"] for one in left) / (represented + sum(one["squared"] for one in left)),
    )
    _write_adapter(recipe, draft, found, report, out.name)
    for place in draft.glob("[0-9]*"):
        place.unlink()
    os.rename(draft, out)
    return report


def _layer(own: Any, other: Any, layer: str | None, rank: int, file: Path) -> dict[str, Any]:
    """What a tensor's difference is: {"layer", "squared": its squared norm, "lost": what the LoRA leaves of
    it}. Writes the layer's two matrices to `file` if it differs."""
    difference = tensor_of(other) - tensor_of(own)
    squared = float(difference.square().sum())
    if layer is None or squared == 0:
        return {"layer": layer, "squared": squared, "lost": 0.0}
    if rank > min(difference.shape):
        raise ValueError(
            f"--rank must be at most {min(difference.shape)}, the smaller dimension of {own.name}."
        )
    from safetensors.torch import save

    up, down, lost = low_rank(difference.float(), rank)
    named = {"A": down, "B": up}
    data = save({_name(layer, which): one.contiguous() for which, one in named.items()})
    part = file.with_name(f"{file.name}.part")
    part.write_bytes(data)
    os.replace(part, file)
    return {"layer": layer, "squared": squared, "lost": lost}


def _name(layer: str, which: str) -> str:
    """As PEFT saves it."""
    return f"base_model.model.{layer}.lora_{which}.weight"


def _write_adapter(
    recipe: Extraction, draft: Path, found: Sequence[Mapping[str, Any]], report: Report, name: str
) -> None:
    """PEFT's two files, what the cards show, and a card."""
    from safetensors.torch import load_file, save

    matrices: dict[str, Tensor] = {}
    layers = []
    for number, one in enumerate(found):
        if one["layer"] and one["squared"] > 0:
            layers.append(one["layer"])
            matrices |= load_file(draft / f"{number:05}.safetensors")
    (base, digest), (tuned, other) = recipe.parents
    config = {
        "peft_type": "LORA",
        "base_model_name_or_path": base,
        "r": recipe.rank,
        "lora_alpha": recipe.rank,
        "target_modules": layers,
        "bias": "none",
        "inference_mode": True,
    }
    about = {
        "about": f"{tuned} less {base}, rank {recipe.rank}; relative error {report.error:.4f}.",
        "tags": ["extracted"],
        "base": {"name": base, "fingerprint": digest},
        "extraction": {**asdict(recipe), **asdict(report)},
    }
    for file, content in (("adapter_config.json", config), ("about.json", about)):
        write(draft / file, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    lines = [
        f"# {name}",
        "",
        f"A LoRA of rank {recipe.rank}, extracted from the difference of two checkpoints: {report.text}.",
        "",
        f"- A: {base}, weights {digest}",
        f"- B: {tuned}, weights {other}",
        "",
        f"The recipe is in {RECIPE}; the parents' licences apply.",
        "",
    ]
    write(draft / "README.md", "\n".join(lines))
    part = draft / "adapter_model.safetensors.part"
    with part.open("wb") as stream:
        stream.write(save(matrices, {"format": "pt"}))
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(part, draft / "adapter_model.safetensors")


def linear_layers(app: Any, checkpoint: str, folder: Path) -> dict[str, str]:
    """Of each published tensor that is the weight of a linear layer with a tensor of its own: the layer's
    native name. Those of the head are not among them where it shares the embedding's tensor."""
    import torch

    skeleton = app.checkpoints.skeleton(checkpoint)
    found = {}
    for one in tensors(folder):
        layer = skeleton.native(one.name.removesuffix(".weight"))
        module = skeleton.modules.get(layer)
        plain = one.name.endswith(".weight") and isinstance(module, torch.nn.Linear)
        if plain and tuple(module.weight.shape) == one.shape:
            found[one.name] = layer
    return found
