"""QLoRA (Dettmers et al. 2023, arXiv:2305.14314): a LoRA that learns on a checkpoint whose linear layers are
held in 4 bits (NF4, scales quantized too) by bitsandbytes. The LoRA is like any other; it is written with the
checkpoint in full precision."""

from __future__ import annotations

from typing import Any

from .finetune import Tuner


def library() -> Any:
    """bitsandbytes. ValueError with what to do if it is not there."""
    try:
        import bitsandbytes
    except Exception as error:  # what it does on a machine that it does not know is its own
        raise ValueError(
            "QLoRA needs the library bitsandbytes, which is not there; install it (pip install bitsandbytes) "
            "or choose --kind lora."
        ) from error
    return bitsandbytes


class QuantizedTuner(Tuner):
    """A LoRA on linear layers in 4 bits. What is measured without it is measured with these too."""

    def _begin(self) -> None:
        super()._begin()
        kind = library().nn.Linear4bit
        module = self.model.module
        for name, one in list(self.modules.items()):
            packed = kind(
                one.in_features,
                one.out_features,
                bias=one.bias is not None,
                compute_dtype=self.model.dtype,
                compress_statistics=True,
                quant_type="nf4",
            )
            packed.load_state_dict(one.state_dict())
            packed = packed.to(self.model.device).requires_grad_(False)  # quantizes what it holds
            parent, _, leaf = name.rpartition(".")
            setattr(module.get_submodule(parent), leaf, packed)
            self.modules[name] = packed
