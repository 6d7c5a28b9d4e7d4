"""Weights in 8 or 4 bits: the setting `quantize`, for the linear layers of a checkpoint's body. The head and
the embedding keep their precision, and so do all sums: only weights are stored in fewer bits, with a scale
for each row of a matrix (int8, fp8) or for 64 numbers (nf4, Dettmers et al. 2023), and multiplied out as they
are used.

int8 and fp8 by torchao, nf4 by bitsandbytes; neither is a requirement of the program.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from webui.core.errors import Refusal

if TYPE_CHECKING:
    from torch import Tensor

LIBRARIES: Mapping[str, str] = {"int8": "torchao", "fp8": "torchao", "nf4": "bitsandbytes"}
FP8_SINCE = (8, 9)  # compute capability of the GPUs that multiply fp8


def check(kind: str, device: str) -> None:
    """Refusal with the reason if a kind is not available here. "none" always is."""
    if kind == "none":
        return
    library = LIBRARIES[kind]
    try:
        import_module(library)
    except Exception as error:  # what a library does on a machine that it does not know is its own
        raise Refusal(
            f"The setting quantize = {kind} needs the library {library}, which is not there; install it "
            f"(pip install {library}) or set quantize = none."
        ) from error
    if kind == "fp8":
        import torch

        if device != "cuda" or torch.cuda.get_device_capability() < FP8_SINCE:
            raise Refusal(
                "The setting quantize = fp8 needs an NVIDIA GPU of compute capability 8.9 or newer; "
                "quantize = int8 works everywhere."
            )


def quantize(module: Any, body: Any, kind: str) -> None:
    """Stores the weights of the body's linear layers in fewer bits, in place, where the module lies."""
    import torch

    inside = {id(one) for one in body.modules()}
    linear = {
        name: one
        for name, one in module.named_modules()
        if isinstance(one, torch.nn.Linear) and id(one) in inside
    }
    if kind == "nf4":
        for name, one in linear.items():
            parent, _, leaf = name.rpartition(".")
            setattr(module.get_submodule(parent), leaf, _in_nf4(one))
        return
    quantization: Any = import_module("torchao.quantization")
    config = quantization.Int8WeightOnlyConfig() if kind == "int8" else quantization.Float8WeightOnlyConfig()
    chosen = {id(one) for one in linear.values()}
    quantization.quantize_(module.requires_grad_(False), config, lambda one, name: id(one) in chosen)


def stored(value: Tensor) -> Iterator[Tensor]:
    """The ordinary tensors that a weight consists of: itself, or what a quantized one is made of."""
    parts = getattr(value, "__tensor_flatten__", None)
    if parts is None:
        yield value
        return
    for name in parts()[0]:
        yield from stored(getattr(value, name))


# -- inside --------------------------------------------------------------------------------------------------


def _in_nf4(one: Any) -> Any:
    import torch

    kind: Any = import_module("bitsandbytes").nn.Linear4bit
    dtype, device = one.weight.dtype, one.weight.device
    packed = kind(
        one.in_features,
        one.out_features,
        bias=one.bias is not None,
        compute_dtype=dtype,
        compress_statistics=True,
        quant_type="nf4",
    )
    packed.load_state_dict(one.state_dict())
    with torch.no_grad():
        return packed.to(device).requires_grad_(False)  # quantizes what it holds
