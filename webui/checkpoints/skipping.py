"""A body without some of its layers: a pass that costs less, to draft with (SWIFT, Xia et al. 2024, arXiv
2410.06916: the model itself is its draft model)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import nn

from webui.core.errors import Refusal


def kept_layers(body: Any, share: float, name: str) -> list[int]:
    """Numbers of the layers that stay if this share of those between the first and the last is left out,
    evenly. Refusal if the body of the checkpoint `name` has none that can be."""
    layers = getattr(body, "layers", None)
    inner = len(layers) - 2 if isinstance(layers, nn.ModuleList) else 0
    if inner < 1:
        raise Refusal(f"draft_skip: {name} has no layers that a pass can leave out; set it to 0.")
    number = round(share * inner)
    skipped = {1 + place * inner // number for place in range(number)}
    return [place for place in range(inner + 2) if place not in skipped]


@contextmanager
def with_layers(body: Any, kept: Sequence[int]) -> Iterator[None]:
    """The body computes these of its layers alone in this context; they are the same modules, patches and
    all."""
    layers = body.layers
    body.layers = nn.ModuleList(layers[place] for place in kept)
    try:
        yield
    finally:
        body.layers = layers
