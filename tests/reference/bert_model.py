"""The forward pass of BERT for masked language modelling (Devlin et al. 2018, arXiv 1810.04805) from the
published names of its weights, written plainly.

Imports torch and safetensors, nothing of the program and nothing of transformers.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.reference.llada_model import read


@torch.no_grad()
def bert_logits(
    folder: Path, tokens: Tensor, dtype: torch.dtype = torch.float32, transform: bool = True
) -> Tensor:
    """(B, L, V) logits of `tokens` (B, L); without `transform` the head's dense layer and norm are
    skipped, as by mistake."""
    config, weights = read(folder)
    w = {name: value.to(dtype) for name, value in weights.items() if value.is_floating_point()}
    heads, eps = config["num_attention_heads"], config["layer_norm_eps"]

    def linear(x: Tensor, name: str) -> Tensor:
        return F.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])

    def norm(x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"], eps)

    def split(x: Tensor) -> Tensor:
        return x.unflatten(-1, (heads, -1)).transpose(1, 2)  # (B, heads, L, D)

    places = w["bert.embeddings.position_embeddings.weight"][: tokens.shape[1]]
    x = F.embedding(tokens, w["bert.embeddings.word_embeddings.weight"])
    x = norm(x + places + w["bert.embeddings.token_type_embeddings.weight"][0], "bert.embeddings.LayerNorm")
    for layer in range(config["num_hidden_layers"]):
        block = f"bert.encoder.layer.{layer}."
        q, k, v = (split(linear(x, f"{block}attention.self.{name}")) for name in ("query", "key", "value"))
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        x = norm(x + linear(y, block + "attention.output.dense"), block + "attention.output.LayerNorm")
        y = linear(F.gelu(linear(x, block + "intermediate.dense")), block + "output.dense")
        x = norm(x + y, block + "output.LayerNorm")
    if transform:
        y = F.gelu(linear(x, "cls.predictions.transform.dense"))
        x = norm(y, "cls.predictions.transform.LayerNorm")
    return F.linear(x, w["bert.embeddings.word_embeddings.weight"], w["cls.predictions.bias"])
