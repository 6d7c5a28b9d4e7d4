"""Training a soft prompt: the embeddings of the trigger words learn, everything else stays (Lester et al.
2021, arXiv:2104.08691)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import state
from .finetune import Tuner

if TYPE_CHECKING:
    from torch import Tensor


class SoftTuner(Tuner):
    """A model whose trigger words stand for `vectors` (M, D), one for each of their tokens."""

    def _begin(self) -> None:
        import torch

        if not self.plan.trigger:
            raise ValueError("A soft prompt needs words that call it up; give --trigger.")
        tokenizer = self.model.tokenizer
        first = tuple(tokenizer.encode(self.plan.trigger))
        behind = tuple(tokenizer.encode(" " + self.plan.trigger))
        self.tokens = tuple(dict.fromkeys(one for one in (first, behind) if len(one) == len(first)))
        self.modules = {"embedding": self.model.module.get_input_embeddings()}
        own = self.modules["embedding"].weight.detach()
        self.vectors: Tensor = own[torch.tensor(first, device=own.device)].clone().requires_grad_()

    @property
    def size(self) -> int:
        """How many numbers learn."""
        return self.vectors.numel()

    @contextmanager
    def hooked(self) -> Iterator[None]:
        """The soft prompt acts in this context."""
        import torch

        variants = [torch.tensor(one, device=self.vectors.device) for one in self.tokens]

        def act(module: Any, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            for tokens in variants:
                output = _replaced(inputs[0], output, tokens, self.vectors)
            return output

        handle = self.modules["embedding"].register_forward_hook(act)
        try:
            yield
        finally:
            handle.remove()

    def _named(self, before: str) -> Iterator[tuple[str, Tensor]]:
        yield f"{before}.embedding", self.vectors

    def save(self, folder: Path) -> None:
        """The file that the extension soft_prompts reads."""
        from safetensors.torch import save

        said = {
            "trigger": self.plan.trigger,
            "checkpoint": self.plan.checkpoint,
            "fingerprint": self.plan.fingerprint,
            "tokens": json.dumps(self.tokens),
            "held_out": f"{self.best:.4f}",
            "held_out_without": f"{self.first:.4f}",
        }
        folder.parent.mkdir(parents=True, exist_ok=True)
        data = save({"embedding": self.vectors.detach().float().cpu().contiguous()}, said)
        state.replace(folder.with_name(f"{folder.name}.safetensors"), data)


def _replaced(ids: Tensor, output: Tensor, tokens: Tensor, vectors: Tensor) -> Tensor:
    """The embeddings (B, L, D) of ids (B, L) with `vectors` (M, D) wherever `tokens` (M,) stand."""
    import torch

    many = len(tokens)
    if ids.shape[1] < many:
        return output
    starts = (ids.unfold(1, many, 1) == tokens).all(-1)
    for offset in range(many):
        there = torch.nn.functional.pad(starts, (offset, many - 1 - offset))
        output = torch.where(there[..., None], vectors[offset].to(output.dtype), output)
    return output
