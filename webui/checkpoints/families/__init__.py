"""Families of checkpoints: how a published folder becomes a native transformers model. One file per family;
no remote code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from webui.checkpoints.families import llada
from webui.checkpoints.families.base import Family

FAMILIES: tuple[Family, ...] = (llada.FAMILY,)


def identify(config: Mapping[str, Any], folder: Path) -> Family:
    """The family whose checkpoints have such a config.json. ValueError with the families there are."""
    for family in FAMILIES:
        if family.claims(config):
            return family
    kind = f"model_type {config.get('model_type')!r}, architectures {config.get('architectures')!r}"
    raise ValueError(
        f"{folder.name} is of no known family ({kind}). Known: {', '.join(f.name for f in FAMILIES)}."
    )
