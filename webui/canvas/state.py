"""What the samplers know of each row, as columns of the batch: options and progress."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType

import torch
from torch import Tensor

NOTHING: Mapping[str, Tensor] = MappingProxyType({})


@dataclass(frozen=True)
class SamplerState:
    """One entry per row in every tensor; B rows.

    `sampler`, `schedule` and `confidence` are numbers into the tuples of names. `own` holds what single
    samplers add, under "sampler.name": tensors (B,), or (B, L) with one value per column of the canvas, which
    are padded and cut together with it, or (B, ...) of more dimensions, whose columns are no canvas's.
    """

    sampler: Tensor  # (B,) long
    schedule: Tensor  # (B,) long
    confidence: Tensor  # (B,) long
    steps: Tensor  # (B,) long: denoising steps of the whole answer
    block_length: Tensor  # (B,) long
    lead: Tensor  # (B,) long: columns of the prompt that belong to the first block
    temperature: Tensor  # (B,) float
    top_k: Tensor  # (B,) long; 0 is off
    top_p: Tensor  # (B,) float; 1 is off
    min_p: Tensor  # (B,) float; 0 is off
    variation_seed: Tensor  # (B,) long
    variation_strength: Tensor  # (B,) float: share of positions that draw from that seed; 0 is off
    late: Tensor  # (B,) bool: end-of-text is committed last
    block: Tensor  # (B,) long: the block being denoised; -1 before the first
    block_begin: Tensor  # (B,) long: the row's step in which that block began
    block_masked: Tensor  # (B,) long: its masked positions then
    block_steps: Tensor  # (B,) long: the steps it was given
    changed: Tensor  # (B,) long: positions that got another token in the row's last step
    own: Mapping[str, Tensor] = field(default_factory=lambda: NOTHING)
    samplers: tuple[str, ...] = ()
    schedules: tuple[str, ...] = ()
    confidences: tuple[str, ...] = ()
    draws: frozenset[str] = frozenset()  # greedy, temperature, top_k, variation ...: what some row needs
    largest_k: int = 0  # the largest top-k of any row

    def with_own(self, **values: Tensor) -> SamplerState:
        """With these entries of `own` set; the names in full, as in `with_own(**{"remasker.rate": rate})`."""
        return replace(self, own=MappingProxyType({**self.own, **values}))

    def each(self, change: Callable[[Tensor], Tensor]) -> SamplerState:
        """With `change` applied to every tensor."""
        own = MappingProxyType({name: change(value) for name, value in self.own.items()})
        return replace(self, **{name: change(getattr(self, name)) for name in COLUMNS}, own=own)

    def each_column(self, change: Callable[[Tensor], Tensor]) -> SamplerState:
        """With `change` applied to the (B, L) tensors."""
        if not any(value.ndim == 2 for value in self.own.values()):
            return self
        own = {name: change(value) if value.ndim == 2 else value for name, value in self.own.items()}
        return replace(self, own=MappingProxyType(own))

    def cat(self, *others: SamplerState) -> SamplerState:
        """The rows of all, in order; names are numbered anew where they differ. A row without an entry in
        `own` gets 0."""
        parts = (self, *others)
        changes: dict[str, Tensor] = {
            name: torch.cat([getattr(part, name) for part in parts]) for name in COLUMNS
        }
        names: dict[str, tuple[str, ...]] = {}
        for column, kinds in (
            ("sampler", "samplers"),
            ("schedule", "schedules"),
            ("confidence", "confidences"),
        ):
            every = tuple(dict.fromkeys(name for part in parts for name in getattr(part, kinds)))
            names[kinds] = every
            changes[column] = torch.cat(
                [renumber(getattr(part, column), getattr(part, kinds), every) for part in parts]
            )
        own = {}
        for name in dict.fromkeys(name for part in parts for name in part.own):
            like = max((part.own[name] for part in parts if name in part.own), key=lambda one: one.shape[2:])
            own[name] = torch.cat([_or_zeros(part, name, like) for part in parts])
        return replace(
            self,
            **changes,
            **names,
            own=MappingProxyType(own),
            draws=frozenset().union(*(part.draws for part in parts)),
            largest_k=max(part.largest_k for part in parts),
        )


def _or_zeros(part: SamplerState, name: str, like: Tensor) -> Tensor:
    """What `own` has by this name; zeros in the shape of `like` if it has nothing, or nothing yet: some
    entries get their last dimensions in the first step."""
    there = part.own.get(name)
    if there is not None and (there.shape[2:] == like.shape[2:] or there.ndim < 3):
        return there
    return like.new_zeros((len(part.steps), *like.shape[1:]))


COLUMNS = tuple(f.name for f in fields(SamplerState) if f.type == "Tensor")


def renumber(numbers: Tensor, names: tuple[str, ...], every: tuple[str, ...]) -> Tensor:
    """Numbers into `names` as numbers of the same names in `every`."""
    if every[: len(names)] == names:
        return numbers
    changed = numbers
    for old, name in enumerate(names):
        changed = torch.where(numbers == old, every.index(name), changed)
    return changed
