"""The forward pass of SEDD (Lou, Meng and Ermon 2024, arXiv 2310.16834) from the published names of its weights,
written plainly: MDLM's diffusion transformer, then the scaling by the noise level.

Imports torch and safetensors, nothing of the program and nothing of transformers.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from tests.reference.llada_model import read
from tests.reference.mdlm_model import transformer


@torch.no_grad()
def sedd_scores(folder: Path, tokens: Tensor, sigma: float, dtype: torch.dtype = torch.float32) -> Tensor:
    """(B, L, V): the log of p(text with that token there) / p(text) at the noise level `sigma`."""
    config, weights = read(folder)
    model, w = config["model"], {name: value.to(dtype) for name, value in weights.items()}
    output = transformer(w, model["n_blocks"], model["n_heads"], tokens, sigma)
    output = output - math.log(math.expm1(sigma)) - math.log(output.shape[-1] - 1)
    return output.scatter(-1, tokens[..., None], 0.0)
