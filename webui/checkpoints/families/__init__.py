"""Families of checkpoints: how a published folder becomes a native transformers model. One file per family;
no remote code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from webui.checkpoints.families import (
    a2d,
    adapted,
    bd3lm,
    converted,
    diffugpt,
    diffusion_gemma,
    dit,
    dllm_var,
    dream,
    dream_reasoner,
    fast_dllm,
    illada,
    llada,
    llada2,
    llada_moe,
    masked_lm,
    nemotron,
    rnd1,
    sdar,
    sedd,
    stable_diffcoder,
    steerling,
    wedlm,
)
from webui.checkpoints.families.base import Family
from webui.checkpoints.files import printable
from webui.core.errors import Refusal

FAMILIES: tuple[Family, ...] = (
    llada.FAMILY,
    llada_moe.FAMILY,
    llada2.FAMILY,
    illada.FAMILY,
    dream.RESIZING,
    dream.FAMILY,
    dream_reasoner.FAMILY,
    sdar.FAMILY,
    sdar.EXPERTS,
    fast_dllm.FAMILY,
    stable_diffcoder.FAMILY,
    rnd1.FAMILY,
    steerling.FAMILY,
    a2d.LLAMA,
    a2d.QWEN2,
    a2d.QWEN3,
    a2d.QWEN3_BLOCKS,
    converted.DIFFULLAMA,
    converted.OPEN_DLLM,
    adapted.LLAMA,
    adapted.QWEN2,
    adapted.QWEN3,
    diffugpt.FAMILY,
    dllm_var.FAMILY,
    wedlm.FAMILY,
    wedlm.QWEN2,
    nemotron.FAMILY,
    *masked_lm.FAMILIES,
    dit.FAMILY,
    bd3lm.FAMILY,
    sedd.FAMILY,
    diffusion_gemma.FAMILY,
)

REFUSED: Mapping[str, tuple[str, str]] = {  # model_type: the family, and why it is not loaded
    "editflow-llada": ("EditFlow", "it inserts and deletes tokens, which is not built here"),
    "editflow-dream": ("EditFlow", "it inserts and deletes tokens, which is not built here"),
}


def identify(
    config: Mapping[str, Any],
    folder: Path,
    families: Sequence[Family] = FAMILIES,
    named: str | None = None,
) -> Family:
    """The family whose checkpoints have such a config.json, or the one that profile.json has `named`. Refusal
    with the families there are, or with the reason why a known one is not loaded."""
    here = printable(folder.name)
    if named is not None:
        for family in families:
            if family.name == named:
                return family
        raise Refusal(
            f"{here}/profile.json: there is no family {named[:40]!r}. There are: "
            f"{', '.join(family.name for family in families)}."
        )
    if config.get("model_type") == "llada2_moe" and "2.2" in f"{folder.name} {config.get('_name_or_path')}":
        raise Refusal(
            f"{here} is LLaDA2.2, which is not loaded: it routes experts per block, in a way that is known "
            "from its report alone."
        )
    for family in families:
        if family.claims(config):
            return family
    refused = REFUSED.get(str(config.get("model_type")))
    if refused is not None:
        raise Refusal(f"{here} is of the family {refused[0]}, which is not loaded: {refused[1]}.")
    kind = f"model_type {config.get('model_type')!r}, architectures {config.get('architectures')!r}"
    raise Refusal(
        f"{here} is of no known family ({kind[:200]}). Known: "
        f"{', '.join(family.name for family in families)}. "
        'A profile.json beside the weights can name it: {"family": "Dream"}.'
    )
