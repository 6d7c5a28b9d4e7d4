"""SEDD (Lou, Meng and Ermon 2024, arXiv 2310.16834): the diffusion transformer of dit.py, conditioned
on the noise level; it predicts ratios of probabilities (score entropy). Absorbing process, log-linear noise,
scale_by_sigma.

Published sampler: the analytic predictor with as many steps as tokens; the sampler `sedd`. Its config.json is
the training program's, without a model_type.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from webui.checkpoints.families import dit
from webui.checkpoints.families.base import check_number
from webui.core.errors import Refusal

EPS = 1e-3  # of the log-linear noise
PARTS = {"graph": ("type",), "noise": ("type",), "model": ("type", "scale_by_sigma")}
COMPUTED = {
    "graph.type": "absorb",
    "noise.type": "loglinear",
    "model.type": "ddit",
    "model.scale_by_sigma": True,
}


def claims(config: Mapping[str, Any]) -> bool:
    parts = [config.get(part) for part in PARTS]
    return "tokens" in config and all(isinstance(part, Mapping) for part in parts)


def flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """The same in dit.py's names. One more row than tokens: the mask token, the last one."""
    model = config["model"]
    names = {"hidden_dim": "hidden_size", "model_length": "length"}
    own = {name: model.get(names.get(name, name)) for name in (*dit.NUMBERS, "model_length")}
    return {**own, "vocab_size": config["tokens"] + 1}


def check(config: Mapping[str, Any]) -> None:
    """Refusal names the key that is not computed, or that is not there."""
    check_number(config, "tokens", 1, (1 << 24) - 1)
    for path, computed in COMPUTED.items():
        part, _, key = path.partition(".")
        value = config[part].get(key)
        if value is not computed and value != computed:
            raise Refusal(f"config.json says {path} = {str(value)[:40]!r}, which is not computed for it.")
    dit.check(flat(config))


def translate(config: Mapping[str, Any]) -> Any:
    """The configuration of `dit.native()`."""
    native = dit.translate(flat(config))
    native.ratios = True
    return native


def inputs(model: Any, canvas: Any, unseen: Any) -> Mapping[str, Any]:
    """The noise level (B,) at the canvas's time: all but e^-level of a text is masked."""
    return {"level": -(-(1 - EPS) * canvas.time).log1p()}


def split(module: Any) -> tuple[Any, Any]:
    """Everything but the last linear layer, and that."""
    from webui.checkpoints.diffusion_transformer import Body, Ratios

    return Body(module), Ratios(module.output_layer.linear)


FAMILY = replace(
    dit.FAMILY,
    name="SEDD",
    claims=claims,
    check=check,
    translate=translate,
    names={},
    unused=(r"^rotary_emb\.",),
    max_length=lambda config: int(config["model"]["length"]),
    mask_id=lambda config: int(config["tokens"]),
    inputs=inputs,
    ratios=True,
    caches=False,
    split=split,
    preset={**dit.FAMILY.preset, "sampler": "sedd", "top_p": 1.0},
    covers="SEDD-small, SEDD-medium",
    proof="ab",
    about="absorbing graph; conditioned on the noise level, so keys change in every step and cannot be "
    "cached; GPT-2's tokenizer must lie beside it",
    license="MIT",
)
