"""How one tensor of a native model is made of published ones: taken, cut, joined, stacked, padded.

A family file says it where the two differ by more than names:

    fused queries, keys and values    Cut(Take("...qkv.weight"), 0, width)
    experts in one tensor             Stack(tuple(Take(f"...experts.{i}.down_proj.weight") for i in range(8)))
    a vocabulary padded on disk       Cut(Take("...embed_tokens.weight"), 0, rows)
    a vocabulary padded in memory     Pad(Take("...embed_tokens.weight"), rows)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Take:
    """A published tensor as it is, under the name it has after the family's renaming."""

    name: str


@dataclass(frozen=True)
class Cut:
    """Elements `start` to `stop` of a dimension."""

    part: Recipe
    start: int
    stop: int
    dim: int = 0


@dataclass(frozen=True)
class Join:
    """Parts one after the other in a dimension they have."""

    parts: tuple[Recipe, ...]
    dim: int = 0


@dataclass(frozen=True)
class Stack:
    """Parts of one shape along a new first dimension."""

    parts: tuple[Recipe, ...]


@dataclass(frozen=True)
class Pad:
    """Rows of zeros after the part's own, so that there are `rows`."""

    part: Recipe
    rows: int


Recipe = Take | Cut | Join | Stack | Pad


def names(recipe: Recipe) -> Iterator[str]:
    """The published tensors that a recipe takes."""
    match recipe:
        case Take(name):
            yield name
        case Cut(part) | Pad(part):
            yield from names(part)
        case Join(parts) | Stack(parts):
            for part in parts:
                yield from names(part)


def shape(recipe: Recipe, published: Callable[[str], Shape]) -> Shape | None:
    """The shape of what a recipe makes, by the shapes of what it takes; None if these do not fit together."""
    match recipe:
        case Take(name):
            return published(name)
        case Cut(part, start, stop, dim):
            inner = shape(part, published)
            if inner is None or dim >= len(inner) or not 0 <= start <= stop <= inner[dim]:
                return None
            return (*inner[:dim], stop - start, *inner[dim + 1 :])
        case Pad(part, rows):
            inner = shape(part, published)
            return (rows, *inner[1:]) if inner and inner[0] <= rows else None
        case Join(parts, dim):
            all_shapes = [shape(part, published) for part in parts]
            shapes = [one for one in all_shapes if one is not None and dim < len(one)]
            if len(shapes) < len(parts) or len({(*one[:dim], *one[dim + 1 :]) for one in shapes}) != 1:
                return None
            return (*shapes[0][:dim], sum(one[dim] for one in shapes), *shapes[0][dim + 1 :])
        case Stack(parts):
            inner_shapes = {shape(part, published) for part in parts}
            inner = inner_shapes.pop() if len(inner_shapes) == 1 else None
            return None if inner is None else (len(parts), *inner)


def make(recipe: Recipe, read: Callable[[str], Any]) -> Any:
    """The tensor; `read` gives a published one."""
    import torch

    match recipe:
        case Take(name):
            return read(name)
        case Cut(part, start, stop, dim):
            return make(part, read).narrow(dim, start, stop - start).contiguous()
        case Pad(part, rows):
            inner = make(part, read)
            return torch.cat([inner, inner.new_zeros((rows - inner.shape[0], *inner.shape[1:]))])
        case Join(parts, dim):
            return torch.cat([make(part, read) for part in parts], dim=dim)
        case Stack(parts):
            return torch.stack([make(part, read) for part in parts])
