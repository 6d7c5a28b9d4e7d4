"""Families of checkpoints: how a published folder becomes a native transformers model. One file per family;
no remote code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from webui.checkpoints.families import llada
from webui.checkpoints.families.base import Family
from webui.checkpoints.files import printable
from webui.core.errors import Refusal

FAMILIES: tuple[Family, ...] = (llada.FAMILY,)


def identify(config: Mapping[str, Any], folder: Path, families: Sequence[Family] = FAMILIES) -> Family:
    """The family whose checkpoints have such a config.json. Refusal with the families there are."""
    for family in families:
        if family.claims(config):
            return family
    kind = f"model_type {config.get('model_type')!r}, architectures {config.get('architectures')!r}"
    raise Refusal(
        f"{printable(folder.name)} is of no known family ({kind[:200]}). Known: "
        f"{', '.join(family.name for family in families)}."
    )
