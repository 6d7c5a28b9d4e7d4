"""The canvas: the tokens being denoised, as frozen tensors that can be saved, branched and resumed
anywhere."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from types import MappingProxyType

import torch
from torch import Tensor

ALIGN = (
    16  # columns; with it a row's sums are grouped the same way in every batch (see noise.py, determinism)
)
NOTHING: Mapping = MappingProxyType({})


@dataclass(frozen=True)
class Template:
    """Prompts in tokens, flush right: row i of the batch has `lengths[i]` of them at the end of
    `tokens[i]`."""

    tokens: Tensor  # (rows of the batch, width) long
    lengths: Tensor  # (rows of the batch,) long

    @classmethod
    def of(cls, prompts: Sequence[Sequence[int]], device: torch.device | str = "cpu") -> Template:
        width = max((len(prompt) for prompt in prompts), default=0)
        padded = [[0] * (width - len(prompt)) + list(prompt) for prompt in prompts]
        lengths = [len(prompt) for prompt in prompts]
        return cls(
            torch.tensor(padded, dtype=torch.long, device=device).reshape(len(prompts), width),
            torch.tensor(lengths, dtype=torch.long, device=device),
        )


@dataclass(frozen=True)
class Canvas:
    """B rows of L columns, flush right: `[padding | prompt | answer]`; L is a multiple of 16."""

    tokens: Tensor  # (B, L) long; `mask` where a position is open
    given: Tensor  # (B, L) bool: padding, prompt, given text: never changed
    weights: Tensor  # (B, L) float: log-weight of a position as attention key; -inf is padding, 0 ordinary
    active: Tensor  # (B, L) bool: positions whose logits are wanted now, N of them
    answer: Tensor  # (B,) long: column where the answer starts
    row: Tensor  # (B,) long: number of the row in its batch
    seed: Tensor  # (B,) long
    step: Tensor  # (B,) long: the row's own model calls so far
    mask: int  # the mask token
    ends: tuple[int, ...] = ()  # tokens that end a text
    branch: tuple[str, ...] = ()  # () is the canvas itself; a derived one says how it was made
    kept: Mapping[str, Tensor] = field(default_factory=lambda: NOTHING)  # what the sampler keeps: (B, ...)
    names: Mapping[str, tuple[str, ...]] = field(
        default_factory=lambda: NOTHING
    )  # per part of the samplers, the kinds that `kept` numbers

    @classmethod
    def build(
        cls,
        prompts: Sequence[Sequence[int]],
        answers: Sequence[Sequence[int]],
        seeds: Sequence[int],
        mask: int,
        ends: Sequence[int] = (),
        device: torch.device | str = "cpu",
    ) -> Canvas:
        """A canvas from prompts and answers in tokens; positions of an answer that hold `mask` are open, the
        others given."""
        rows = len(answers)
        length = _aligned(max(len(p) + len(a) for p, a in zip(prompts, answers, strict=True)))
        tokens = torch.full((rows, length), mask, dtype=torch.long)
        given = torch.ones((rows, length), dtype=torch.bool)
        weights = torch.full((rows, length), -torch.inf)
        for i, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
            line = torch.tensor([*prompt, *answer], dtype=torch.long)
            tokens[i, length - len(line) :] = line
            weights[i, length - len(line) :] = 0.0
            given[i, length - len(answer) :] = line[len(prompt) :] != mask
        start = torch.tensor([length - len(answer) for answer in answers])
        counter = torch.arange(rows)
        whole = cls(
            tokens,
            given,
            weights,
            torch.zeros_like(given),
            start,
            counter,
            torch.tensor(seeds),
            torch.zeros_like(counter),
            mask,
            tuple(ends),
        )
        return whole.to(device)

    @property
    def open(self) -> Tensor:
        """(B, L) bool: positions still to be decided."""
        return ~self.given & (self.tokens == self.mask)

    @property
    def column(self) -> Tensor:
        """(B, L) long: position within the answer; negative in the prompt."""
        return torch.arange(self.tokens.shape[1], device=self.tokens.device) - self.answer[:, None]

    @property
    def t(self) -> Tensor:
        """(B,) float: share of the answer's positions that are open."""
        return self.open.sum(1) / (self.tokens.shape[1] - self.answer).clamp(min=1)

    @cached_property
    def at(self) -> tuple[Tensor, Tensor]:
        """Rows and columns of the N active positions, row by row."""
        return self.active.nonzero(as_tuple=True)

    def keep(self, **state: Tensor) -> Canvas:
        """With these entries of `kept` set."""
        return replace(self, kept=MappingProxyType({**self.kept, **state}))

    def fill(self, where: Tensor, tokens: Tensor) -> Canvas:
        """With `tokens` (N,) at the active positions where `where` (N,) is true."""
        rows, columns = self.at
        changed = self.tokens.clone()
        changed[rows, columns] = torch.where(where, tokens, changed[rows, columns])
        return replace(self, tokens=changed)

    def reopen(self, where: Tensor) -> Canvas:
        """With the positions of `where` (B, L) open again; given ones stay."""
        return replace(self, tokens=torch.where(where & ~self.given, self.mask, self.tokens))

    def take(self, rows: Tensor) -> Canvas:
        """These rows (bool (B,) or indices), in this order."""
        changes = {name: getattr(self, name)[rows] for name in _TENSORS}
        return replace(
            self, **changes, kept=MappingProxyType({name: value[rows] for name, value in self.kept.items()})
        )

    def cat(self, *others: Canvas) -> Canvas:
        """One canvas of all rows, the shorter padded on the left. The sampler's state is not carried over."""
        length = max(canvas.tokens.shape[1] for canvas in (self, *others))
        wide = [canvas._widen(length) for canvas in (self, *others)]
        changes = {name: torch.cat([getattr(canvas, name) for canvas in wide]) for name in _TENSORS}
        return replace(self, **changes, kept=NOTHING, names=NOTHING)

    def with_prompt(self, template: Template, name: str = "prompt") -> Canvas:
        """A branch with other prompts before the same answers."""
        answers = self.tokens.shape[1] - self.answer  # (B,) lengths
        length = _aligned(template.tokens.shape[1] + self.tokens.shape[1] - int(self.answer.min()))
        device = self.tokens.device
        wide = self._widen(max(length, self.tokens.shape[1]))
        wide = wide._narrow(length)
        relative = (
            torch.arange(length, device=device) - (length - answers)[:, None]
        )  # (B, L): negative before the answer
        prompts, lengths = template.tokens[self.row], template.lengths[self.row]
        inside = (relative < 0) & (relative >= -lengths[:, None])
        source = (relative + prompts.shape[1]).clamp(0, max(prompts.shape[1] - 1, 0))
        before = prompts.gather(1, source) if prompts.shape[1] else torch.zeros_like(relative)
        tokens = torch.where(relative >= 0, wide.tokens, torch.where(inside, before, self.mask))
        weights = torch.where(relative >= 0, wide.weights, torch.where(inside, 0.0, -torch.inf))
        return replace(
            wide, tokens=tokens, weights=weights, answer=length - answers, branch=(*self.branch, name)
        )

    def with_weights(self, weights: Tensor) -> Canvas:
        """A branch with other attention log-weights (B, L) of keys."""
        return replace(self, weights=weights, branch=(*self.branch, "weights"))

    def to(self, device: torch.device | str) -> Canvas:
        changes = {name: getattr(self, name).to(device) for name in _TENSORS}
        return replace(
            self,
            **changes,
            kept=MappingProxyType({name: value.to(device) for name, value in self.kept.items()}),
        )

    def dump(self) -> bytes:
        """Everything, as safetensors with a JSON header; `load` gives the same canvas again, in any
        process."""
        from safetensors.torch import save

        tensors = {name: getattr(self, name) for name in _TENSORS}
        tensors |= {f"kept.{name}": value for name, value in self.kept.items()}
        host = {"mask": self.mask, "ends": self.ends, "branch": self.branch, "names": dict(self.names)}
        own = {
            name: value.clone(memory_format=torch.contiguous_format) for name, value in tensors.items()
        }  # none shared
        return save(own, {"canvas": json.dumps(host)})

    @classmethod
    def load(cls, data: bytes) -> Canvas:
        from safetensors.torch import load

        size = int.from_bytes(data[:8], "little")
        host = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["canvas"])
        tensors = load(data)
        kept = {
            name.removeprefix("kept."): value for name, value in tensors.items() if name.startswith("kept.")
        }
        return cls(
            **{name: tensors[name] for name in _TENSORS},
            mask=host["mask"],
            ends=tuple(host["ends"]),
            branch=tuple(host["branch"]),
            kept=MappingProxyType(kept),
            names=MappingProxyType({name: tuple(kinds) for name, kinds in host["names"].items()}),
        )

    def _widen(self, length: int) -> Canvas:
        more = length - self.tokens.shape[1]
        if not more:
            return self

        def pad(x: Tensor, value: float) -> Tensor:
            return torch.nn.functional.pad(x, (more, 0), value=value)

        return replace(
            self,
            tokens=pad(self.tokens, self.mask),
            given=pad(self.given, True),
            weights=pad(self.weights, -torch.inf),
            active=pad(self.active, False),
            answer=self.answer + more,
        )

    def _narrow(self, length: int) -> Canvas:
        less = self.tokens.shape[1] - length
        if not less:
            return self
        cut = {name: getattr(self, name)[:, less:] for name in ("tokens", "given", "weights", "active")}
        return replace(self, **cut, answer=self.answer - less)


@dataclass(frozen=True)
class Choice:
    """What a sampler makes of the logits: for the N active positions the token, how sure it is, and whether
    to decide it now."""

    token: Tensor  # (N,) long
    confidence: Tensor  # (N,) float; what the order was made by
    commit: Tensor  # (N,) bool
    probability: Tensor  # (N,) float in [0, 1], for people to look at
    reopen: Tensor | None = None  # (B, L) bool: decided positions that become open again


def _aligned(length: int) -> int:
    return max(ALIGN, -(-length // ALIGN) * ALIGN)


_TENSORS = tuple(f.name for f in fields(Canvas) if f.type == "Tensor")
