"""How tensors of checkpoints are merged: each method takes float64 tensors of one shape and gives one.

In all of them weight 0 is A. `a` is the base where a method has one; c is None where there is no third
checkpoint.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

BAKE, BAKE_ABOUT = "bake", "A with a LoRA written into its weights"  # takes no B
PARALLEL = 1e-9  # a sine of the angle below which slerp is a straight line


@dataclass(frozen=True)
class Settings:
    """What a method may use besides the tensors: the share of a difference that is kept, and what random
    numbers of this tensor depend on."""

    weight: float
    density: float = 0.5
    seed: int = 0
    name: str = ""


Merge = Callable[["Tensor", "Tensor", "Tensor | None", Settings], "Tensor"]


@dataclass(frozen=True)
class Method:
    """A method: `third` says whether it needs a third checkpoint (True), takes one (None) or has no use for
    it (False); `ends` whether weight 1 is B."""

    about: str
    merge: Merge
    third: bool | None = False
    ends: bool = False


def weighted_sum(a: Tensor, b: Tensor, c: Tensor | None, settings: Settings) -> Tensor:
    """(1 - w) a + w b."""
    return (1 - settings.weight) * a + settings.weight * b


def add_difference(a: Tensor, b: Tensor, c: Tensor | None, settings: Settings) -> Tensor:
    """a + w (b - c)."""
    assert c is not None
    return a + settings.weight * (b - c)


def slerp(a: Tensor, b: Tensor, c: Tensor | None, settings: Settings) -> Tensor:
    """Along the arc between the two tensors, each taken as one vector (Shoemake 1985); along the line where
    there is no angle between them."""
    import torch

    lengths = a.norm() * b.norm()
    if lengths == 0:
        return weighted_sum(a, b, c, settings)
    angle = torch.arccos(((a * b).sum() / lengths).clamp(-1, 1))
    sine = torch.sin(angle)
    if sine < PARALLEL:
        return weighted_sum(a, b, c, settings)
    w = settings.weight
    return (torch.sin((1 - w) * angle) * a + torch.sin(w * angle) * b) / sine


def task_arithmetic(a: Tensor, b: Tensor, c: Tensor | None, settings: Settings) -> Tensor:
    """a + w ((b - a) + (c - a)) (Ilharco et al. 2022, arXiv:2212.04089)."""
    return a + settings.weight * sum(_differences(a, b, c))


def ties(a: Tensor, b: Tensor, c: Tensor | None, settings: Settings) -> Tensor:
    """Differences trimmed to their largest elements, the sign of each element elected by their sum, and the
    mean of those that agree with it added (Yadav et al. 2023, arXiv:2306.01708)."""
    import torch

    trimmed = torch.stack([_trimmed(one, settings.density) for one in _differences(a, b, c)])
    agree = (trimmed.sign() == trimmed.sum(0).sign()) & (trimmed != 0)
    total = (trimmed * agree).sum(0)
    return a + settings.weight * total / agree.sum(0).clamp(min=1)


def dare(a: Tensor, b: Tensor, c: Tensor | None, settings: Settings) -> Tensor:
    """Elements of the differences are dropped at random, those that stay divided by the share that stays (Yu
    et al. 2023, arXiv:2311.03099). The same seed drops the same ones."""
    import torch

    digest = hashlib.sha256(f"{settings.seed} {settings.name}".encode()).digest()
    dice = torch.Generator().manual_seed(int.from_bytes(digest[:7], "little"))
    total = torch.zeros_like(a)
    for one in _differences(a, b, c):
        stays = torch.rand(a.shape, generator=dice, dtype=torch.float64) < settings.density
        total += one * stays / settings.density
    return a + settings.weight * total


def _differences(a: Tensor, b: Tensor, c: Tensor | None) -> list[Tensor]:
    return [one - a for one in (b, c) if one is not None]


def _trimmed(difference: Tensor, density: float) -> Tensor:
    """The share `density` of the elements that is largest in magnitude, at least one; the others are 0. Of
    equal ones the first stay."""
    import torch

    flat = difference.flatten()
    many = max(1, round(density * flat.numel()))
    order = flat.abs().argsort(descending=True, stable=True)[:many]
    kept = torch.zeros_like(flat)
    kept[order] = flat[order]
    return kept.view_as(difference)


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "weighted_sum": Method("(1 - w) A + w B", weighted_sum, ends=True),
        "add_difference": Method("A + w (B - C)", add_difference, third=True),
        "slerp": Method("along the arc from A to B", slerp, ends=True),
        "task_arithmetic": Method("A + w ((B - A) + (C - A)); C may be left out", task_arithmetic, None),
        "ties": Method("the differences from A, trimmed and agreed on; C may be left out", ties, None),
        "dare": Method("the differences from A, dropped at random; C may be left out", dare, None),
    }
)
