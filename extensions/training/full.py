"""Full fine-tuning: every weight of a checkpoint learns, and the result is a checkpoint of its own, in the
published names, types and files of the one it was made from."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from webui import tensors, write

from .finetune import Example, Plan, Tuner

if TYPE_CHECKING:
    from torch import Tensor

RECIPE = "finetune.json"
NOT_COPIED = re.compile(
    r"(?:.*\.(?:safetensors|bin|pt|pth|ckpt|pkl|py|tmp)|README\.md|(?:merge|pruning|finetune)\.json|\..*)"
)
DTYPES = {"F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64"}


class FullTuner(Tuner):
    """A model all of whose weights learn: those that are one tensor of the published files each. What a
    family joins or cuts (experts of mixtures, fused queries, keys and values) stays as it is.

    folder  of the checkpoint that it starts from
    """

    def __init__(self, model: Any, examples: Sequence[Example], plan: Plan, folder: Path):
        self.folder = folder
        super().__init__(model, examples, plan)

    def _begin(self) -> None:
        import torch

        if self.model.dtype not in (torch.float32, torch.float64):
            raise ValueError("Full fine-tuning needs weights in fp32; start it with --dtype float32.")
        own = dict(self.model.module.named_parameters(remove_duplicate=False))
        self.published: dict[str, Tensor] = {}
        seen: set[Tensor] = set()
        for one in tensors(self.folder):
            module, _, leaf = one.name.rpartition(".")
            weight = own.get(f"{self.model.native(module)}.{leaf}")
            if weight is not None and tuple(weight.shape) == one.shape:
                self.published[one.name] = weight
                seen.add(weight)
        for weight in seen:
            weight.requires_grad_(True)
        self.modules = {
            name: module
            for name, module in self.model.module.named_modules()
            if any(weight in seen for weight in module.parameters(recurse=False))
        }
        if not seen:
            raise ValueError(f"No weight of {self.plan.checkpoint} is one published tensor.")

    @property
    def size(self) -> int:
        """How many numbers learn."""
        return sum(weight.numel() for _, weight in self._named(""))

    @contextmanager
    def hooked(self) -> Iterator[None]:
        """The weights are the model's own: nothing is hooked."""
        yield

    def _named(self, before: str) -> Iterator[tuple[str, Tensor]]:
        seen: set[Tensor] = set()
        for name, weight in self.published.items():
            if weight not in seen:  # two published names may be one weight: an embedding and its head
                seen.add(weight)
                yield f"{before}.{name}", weight

    def save(self, folder: Path) -> None:
        """The checkpoint. It gets its name when all is there; the one of before is there until then."""
        draft, old = _beside(folder)
        for stale in (draft, old):
            shutil.rmtree(stale, ignore_errors=True)
        draft.mkdir(parents=True)
        by_file: dict[Path, list[Any]] = {}
        for one in tensors(self.folder):
            by_file.setdefault(one.file, []).append(one)
        for file, some in by_file.items():
            self._write_file(file, some, draft / file.name)
        for file in self.folder.iterdir():
            if file.is_file() and not NOT_COPIED.fullmatch(file.name):
                shutil.copyfile(file, draft / file.name)
        measured = {"step": self.step, "held_out": self.best, "held_out_without": self.first}
        write(draft / RECIPE, json.dumps({"recipe": asdict(self.plan), **measured}, indent=2) + "\n")
        write(draft / "README.md", self._card(folder.name))
        if folder.exists():
            os.rename(folder, old)
        os.rename(draft, folder)
        shutil.rmtree(old, ignore_errors=True)

    def _write_file(self, file: Path, some: Sequence[Any], target: Path) -> None:
        """A file of the checkpoint with the bytes of what learnt replaced, one tensor at a time."""
        shutil.copyfile(file, target)
        with target.open("r+b") as stream:
            for one in some:
                if (weight := self.published.get(one.name)) is not None:
                    stream.seek(one.start)
                    stream.write(_raw(weight, one.dtype))
            stream.flush()
            os.fsync(stream.fileno())

    def _card(self, name: str) -> str:
        plan = self.plan
        return "\n".join(
            [
                f"# {name}",
                "",
                f"Fine-tuned from {plan.checkpoint} (weights {plan.fingerprint}): {self.step} steps of "
                f"{plan.batch} rows, learning rate {plan.rate:g}.",
                "",
                f"Bound on held-out rows: {self.first:.4f} nats per token before, {self.best:.4f} after.",
                "",
                f"The recipe is in {RECIPE}; the licences of the checkpoint and of the text apply.",
                "",
            ]
        )


def named(folder: Path) -> None:
    """Finishes what a kill between the two renames of `save` left: the new checkpoint gets its name. While
    the one of before is aside, the new one is whole."""
    draft, old = _beside(folder)
    if old.is_dir() and not folder.exists():
        os.rename(draft if draft.is_dir() else old, folder)
        shutil.rmtree(old, ignore_errors=True)


def _beside(folder: Path) -> tuple[Path, Path]:
    """Where a checkpoint is written, and where the one of before is while names change."""
    return folder.with_name(f".writing-{folder.name}"), folder.with_name(f".former-{folder.name}")


def _raw(weight: Tensor, dtype: str) -> bytes:
    """The bytes of a weight in a type of safetensors."""
    import torch

    exact = weight.detach().cpu().to(getattr(torch, DTYPES[dtype])).contiguous()
    return exact.reshape(-1).view(torch.uint8).numpy().tobytes()
