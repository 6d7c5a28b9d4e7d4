"""The canvas: the tokens being denoised, as frozen tensors that can be saved, branched and resumed
anywhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

from webui.canvas.state import COLUMNS, SamplerState, renumber

ALIGN = 16  # columns; a row's sums are then grouped the same way in every batch


@dataclass(frozen=True)
class Template:
    """Prompts in tokens, flush right: row i of the batch has the last `lengths[i]` columns of `tokens[i]`.
    `name` is that of the rows' prompts ("main", "negative", ...)."""

    tokens: Tensor  # (rows of the batch, width) long
    lengths: Tensor  # (rows of the batch,) long
    host: tuple[int, ...]  # `lengths`, known without asking the device
    name: str = "main"
    weights: Tensor | None = None  # (rows of the batch, width) float: log-weights as keys; None: all 0

    @classmethod
    def of(
        cls,
        prompts: Sequence[Sequence[int]],
        device: torch.device | str = "cpu",
        name: str = "main",
        weights: Sequence[Sequence[float] | None] = (),
    ) -> Template:
        """A template of token lists, one per row of the batch; a row may have none. weights: for each row the
        log-weights of its tokens as attention keys, or None if all are 0."""
        width = max((len(prompt) for prompt in prompts), default=0)
        padded = [[0] * (width - len(prompt)) + list(prompt) for prompt in prompts]
        lengths = tuple(len(prompt) for prompt in prompts)
        return cls(
            torch.tensor(padded, dtype=torch.long, device=device).reshape(len(prompts), width),
            torch.tensor(lengths, dtype=torch.long, device=device),
            lengths,
            name,
            _flush_right(weights, width, device) if any(line is not None for line in weights) else None,
        )


class Count(NamedTuple):
    """What the host knows of one row of a canvas without asking the device. A branch has the numbers of the
    row that it was made from."""

    row: int  # its number in the batch
    length: int  # columns of its answer
    masked: int  # positions that are masked
    active: int  # positions whose logits are wanted
    step: int = 0  # its model calls so far
    block: int = 0  # positions of the block that is being denoised, 0 if the canvas has no sampler
    block_masked: int = 0  # of these, the masked ones
    unseen: int = 0  # active positions whose logits are given as if they were masked
    absent: int = 0  # columns of the answer that are no position; see `Canvas.absent`
    prompt: str = "main"  # name of the prompt before its answer: other branches have other prompts

    @property
    def progress(self) -> float:
        """Share of the answer's positions that are not masked: 0 to 1."""
        return 1 - self.masked / max(self.length - self.absent, 1)

    @property
    def block_progress(self) -> float:
        """The same of the block that is being denoised."""
        return 1 - self.block_masked / max(self.block, 1)


class _Known(NamedTuple):
    """Counts, and the tensors that they were counted in: they hold for no others."""

    tokens: Tensor
    active: Tensor
    counts: tuple[Count, ...]


@dataclass(frozen=True)
class Canvas:
    """B rows of L columns, flush right: `[padding | prompt | answer]`; L is a multiple of 16.

    Positions are counted from `start`, whatever the weights: a key of weight -inf is not attended to, and
    moves nothing. `branches` names the numbers in `branch`: "" is the canvas itself, "negative" one derived
    with that name, "negative/weights" one derived from it.
    """

    tokens: Tensor  # (B, L) long; `mask` where a position is masked
    given: Tensor  # (B, L) bool: padding, prompt, given text: never changed
    weights: Tensor  # (B, L) float: log-weight of a position as attention key: 0 ordinary, -inf none
    active: Tensor  # (B, L) bool: positions whose logits are wanted now, N of them
    unseen: Tensor  # (B, L) bool: active positions whose logits the model gives as if they were masked
    start: Tensor  # (B,) long: column where the row begins; padding lies before it
    answer: Tensor  # (B,) long: column where the answer starts
    row: Tensor  # (B,) long: number of the row in its batch
    branch: Tensor  # (B,) long: number of the branch in `branches`
    seed: Tensor  # (B,) long
    step: Tensor  # (B,) long: the row's own model calls so far
    mask: int  # the mask token
    ends: tuple[int, ...] = ()  # tokens that end a text
    nothing: int = -1  # the token of a position that is not there, `mask` too; -1: all are
    branches: tuple[str, ...] = ("",)
    sampler: SamplerState | None = None  # options and progress of the rows' samplers
    known: _Known | None = None  # see `counts`

    @classmethod
    def build(
        cls,
        prompts: Sequence[Sequence[int]],
        answers: Sequence[Sequence[int]],
        seeds: Sequence[int],
        mask: int,
        ends: Sequence[int] = (),
        device: torch.device | str = "cpu",
        given: Sequence[Sequence[bool]] | None = None,
        weights: Sequence[Sequence[float] | None] = (),
        nothing: int = -1,
        room: Sequence[int] = (),
    ) -> Canvas:
        """A canvas from prompts and answers in tokens; positions of an answer that hold `mask` are masked.
        `given`: which positions of each answer are never changed; by default those that are not masked.
        `weights`: for each row the log-weights of its prompt's tokens as attention keys, or None.
        `nothing`: the token in an answer of a position that is not there. `room`: how many of each answer's
        last positions are not there."""
        rows = len(answers)
        length = _aligned(max(len(p) + len(a) for p, a in zip(prompts, answers, strict=True)))
        tokens = torch.full((rows, length), mask, dtype=torch.long)
        fixed = torch.ones((rows, length), dtype=torch.bool)
        for i, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
            line = torch.tensor([*prompt, *answer], dtype=torch.long)
            tokens[i, length - len(line) :] = line
            own = line[len(prompt) :] != mask if given is None else torch.tensor(given[i], dtype=torch.bool)
            own = own if nothing in (-1, mask) else own | (line[len(prompt) :] == nothing)
            fixed[i, length - len(answer) :] = own
            if nothing >= 0 and room and room[i]:
                tokens[i, length - room[i] :], fixed[i, length - room[i] :] = nothing, True
        keys = torch.zeros((rows, length))
        for i, line in enumerate(weights):
            if line is not None:
                end = length - len(answers[i])
                keys[i, end - len(line) : end] = torch.tensor(line)
        counter = torch.arange(rows)
        whole = cls(
            tokens=tokens,
            given=fixed,
            weights=keys,
            active=torch.zeros_like(fixed),
            unseen=torch.zeros_like(fixed),
            start=torch.tensor([length - len(p) - len(a) for p, a in zip(prompts, answers, strict=True)]),
            answer=torch.tensor([length - len(answer) for answer in answers]),
            row=counter,
            branch=torch.zeros_like(counter),
            seed=torch.tensor(seeds),
            step=torch.zeros_like(counter),
            mask=mask,
            ends=tuple(ends),
            nothing=nothing,
        )
        return whole.to(device)

    @property
    def masked(self) -> Tensor:
        """(B, L) bool: positions not committed yet."""
        return ~self.given & (self.tokens == self.mask)

    @property
    def state(self) -> SamplerState:
        """The samplers' state. ValueError before `samplers.prepare`."""
        if self.sampler is None:
            raise ValueError("This canvas was not prepared for sampling.")
        return self.sampler

    @property
    def column(self) -> Tensor:
        """(B, L) long: position within the answer; negative in the prompt."""
        return torch.arange(self.tokens.shape[1], device=self.tokens.device) - self.answer[:, None]

    @property
    def block(self) -> Tensor:
        """(B, L) long: the sampler's block of each column; negative before the first one. Needs `state`."""
        state = self.state
        column = self.column + state.lead[:, None]
        return torch.div(column, state.block_length[:, None], rounding_mode="floor")

    @property
    def absent(self) -> Tensor:
        """(B, L) bool: columns of the answer that only keep room for a position that is not there: they are
        no position, given, and not attended to."""
        if self.nothing < 0:
            return torch.zeros_like(self.given)
        return (self.tokens == self.nothing) & self.given & (self.column >= 0)

    @property
    def writes_nothing(self) -> bool:
        """Whether `nothing` is a token that a sampler can write."""
        return self.nothing not in (-1, self.mask)

    @property
    def position(self) -> Tensor:
        """(B, L) long: position within the row, as the model counts it; 0 in the padding."""
        count = torch.arange(self.tokens.shape[1], device=self.tokens.device) - self.start[:, None]
        return (count if self.nothing < 0 else count - self.absent.cumsum(1)).clamp(min=0)

    def compact(self) -> Canvas:
        """The same positions without the columns that are none, for a model call: these become padding, and
        what is padding in every row is cut. The active positions are the same, in the same order."""
        if self.nothing < 0:
            return self
        counts = self.counts
        if not any(count.absent for count in counts):
            return replace(self, nothing=-1)
        absent = self.absent
        source = (~absent).to(torch.uint8).argsort(dim=1, stable=True)  # the absent ones come first
        less = absent.sum(1)

        def moved(x: Tensor) -> Tensor:
            return x.gather(1, source)

        columns = ("tokens", "given", "weights", "active", "unseen")
        made = replace(
            self,
            **{name: moved(getattr(self, name)) for name in columns},
            start=self.start + less,
            answer=self.answer + less,
            nothing=-1,
            sampler=None if self.sampler is None else self.sampler.each_column(moved),
            known=None,
        )
        made = made.counted(
            [count._replace(length=count.length - count.absent, absent=0) for count in counts]
        )
        width, cut = self.tokens.shape[1], min(count.absent for count in counts)
        return made._narrow(max(ALIGN, width - cut // ALIGN * ALIGN))

    def unpadded(self) -> Canvas:
        """A canvas of one row without its padding, whose width then is no multiple of `ALIGN`."""
        return self._narrow(self.tokens.shape[1] - int(self.start.amin()))

    def grown(self, grow: Tensor, ended_own: Mapping[str, float] | None = None) -> Canvas:
        """With more positions in the answers: grow (B, 3) long is for each row the column behind which masked
        positions come, how many of them, and how many end-of-text tokens behind everything. They take the
        room of the row's last columns; what does not fit is cut off at the end. ended_own: by name, what
        (B, L) tensors of `SamplerState.own` have for these end-of-text tokens."""
        place, masks, ends = (part[:, None] for part in grow.unbind(1))
        room, width = self.absent.sum(1, keepdim=True), self.tokens.shape[1]
        masks, ends = masks.clamp(0, width), ends.clamp(0, width)
        column = torch.arange(width, device=self.tokens.device).expand_as(self.tokens)
        last = width - room + masks  # where the end-of-text tokens begin
        new = (column > place) & (column <= place + masks)
        ended = (column >= last) & (column < last + ends)
        source = torch.where((column > place + masks) & (column < last), column - masks, column)
        tokens = self.tokens.gather(1, source).masked_fill(new, self.mask)
        tokens = torch.where(ended, self.ends[0], tokens) if self.ends else tokens
        given = self.given.gather(1, source) & ~new & ~ended
        state = None if self.sampler is None else self.sampler.each_column(lambda x: x.gather(1, source))
        if state is not None:
            known = {name: value for name, value in (ended_own or {}).items() if name in state.own}
            filled = {name: state.own[name].masked_fill(ended, value) for name, value in known.items()}
            state = state.with_own(**filled) if filled else state
        return replace(self, tokens=tokens, given=given, sampler=state, known=None)

    @property
    def padding(self) -> Tensor:
        """(B, L) bool: columns before the row begins."""
        return torch.arange(self.tokens.shape[1], device=self.tokens.device) < self.start[:, None]

    @property
    def t(self) -> Tensor:
        """(B,) float: share of the answer's positions that are masked."""
        length = self.tokens.shape[1] - self.answer
        length = length if self.nothing < 0 else length - self.absent.sum(1)
        return self.masked.sum(1) / length.clamp(min=1)

    @property
    def time(self) -> Tensor:
        """(B,) float: the diffusion time for models conditioned on it, 1 fully masked, 0 clean: the time of
        the row's sampler, or `t`."""
        said = None if self.sampler is None else self.sampler.own.get("time")
        return self.t if said is None else torch.where(said > 0, said, self.t)

    @property
    def guess(self) -> tuple[Tensor, Tensor] | None:
        """For models that know what the step before thought: its logits (B, S, V) at the positions of each
        row's block, and (B, L) long the place there of each column, -1 where it thought nothing. None if no
        sampler keeps them."""
        state = self.sampler
        if state is None or (kept := state.own.get("guess")) is None or not kept.shape[2]:
            return None
        holds = (state.own["guess_of"] == self.step) & (self.step > state.block_begin)
        place = torch.remainder(self.column + state.lead[:, None], state.block_length[:, None])
        inside = (self.block == state.block[:, None]) & (place < kept.shape[1]) & holds[:, None]
        return kept, torch.where(inside, place, -1)

    @property
    def counts(self) -> tuple[Count, ...]:
        """Per row what the host knows of it. Free on a canvas that the engine made and on those derived from
        it; others are counted, which asks the device."""
        if (counts := self._counts) is not None:
            return counts
        length, masked = self.tokens.shape[1] - self.answer, self.masked
        columns = [self.row, length, masked.sum(1), self.active.sum(1), self.step]
        if (state := self.sampler) is not None:
            there = length if self.nothing < 0 else length - self.absent.sum(1)
            rest = (there - state.block.clamp(min=0) * state.block_length).clamp(min=0)
            block = torch.minimum(rest, state.block_length)
            inside = masked & self.active & (self.block == state.block[:, None])
            columns += [block, inside.sum(1)]
        else:
            columns += [torch.zeros_like(self.row)] * 2
        columns += [self.unseen.sum(1), self.absent.sum(1)] if self.nothing >= 0 else [self.unseen.sum(1)]
        return tuple(Count(*line) for line in torch.stack(columns, 1).tolist())

    @property
    def _counts(self) -> tuple[Count, ...] | None:
        """`counts`, if they are known."""
        known = self.known
        if known is None or known.tokens is not self.tokens or known.active is not self.active:
            return None
        return known.counts

    def counted(self, counts: Sequence[Count]) -> Canvas:
        """With these `counts`, which must be true, so that nobody has to ask the device for them."""
        return replace(self, known=_Known(self.tokens, self.active, tuple(counts)))

    @cached_property
    def at(self) -> tuple[Tensor, Tensor]:
        """Rows and columns of the N active positions, row by row."""
        if self.active.device.type == "cpu":
            rows, columns = self.active.nonzero(as_tuple=True)
            return rows, columns
        size = sum(count.active for count in self.counts)
        rows, columns = self.active.nonzero_static(size=size).unbind(1)
        return rows, columns

    def activate(self, where: Tensor) -> Canvas:
        """With the positions of `where` (B, L) active."""
        return replace(self, active=where)

    def with_sampler(self, state: SamplerState) -> Canvas:
        """With this state of the samplers."""
        return replace(self, sampler=state)

    def fill(self, where: Tensor, tokens: Tensor) -> Canvas:
        """With `tokens` (N,) at the active positions where `where` (N,) is true."""
        rows, columns = self.at
        changed = self.tokens.clone()
        changed[rows, columns] = torch.where(where, tokens, changed[rows, columns])
        return replace(self, tokens=changed)

    def remask(self, where: Tensor) -> Canvas:
        """With the positions of `where` (B, L) masked again; given ones stay."""
        return replace(self, tokens=torch.where(where & ~self.given, self.mask, self.tokens))

    def take(self, rows: Tensor | Sequence[bool] | Sequence[int]) -> Canvas:
        """These rows (bools, one per row, or indices), in this order. A sequence asks nothing of the device
        and sends it nothing; a tensor of bools has to be counted."""
        if isinstance(rows, Tensor):
            # An index on the device cannot be followed on the host: the counts are left behind.
            return self._each(lambda value: value[rows], None)
        chosen = [i for i, on in enumerate(rows) if on] if _bools(rows) else [int(i) for i in rows]
        parts = list(_runs(chosen))

        def cut(value: Tensor) -> Tensor:
            pieces = [value[first:last] for first, last in parts]
            return pieces[0] if len(pieces) == 1 else torch.cat(pieces) if pieces else value[:0]

        counts = self._counts
        return self._each(cut, None if counts is None else [counts[i] for i in chosen])

    def cat(self, *others: Canvas) -> Canvas:
        """One canvas of all rows, the shorter padded on the left."""
        if not others:
            return self
        length = max(canvas.tokens.shape[1] for canvas in (self, *others))
        wide = [canvas._widen(length) for canvas in (self, *others)]
        branches = tuple(dict.fromkeys(name for canvas in wide for name in canvas.branches))
        changes = {name: torch.cat([getattr(canvas, name) for canvas in wide]) for name in _TENSORS}
        changes["branch"] = torch.cat([renumber(canvas.branch, canvas.branches, branches) for canvas in wide])
        states = [canvas.sampler for canvas in wide if canvas.sampler is not None]
        whole = replace(
            self,
            **changes,
            branches=branches,
            sampler=states[0].cat(*states[1:]) if len(states) == len(wide) else None,
            known=None,
        )
        counts = [canvas._counts for canvas in wide]
        if any(one is None for one in counts):
            return whole
        return whole.counted([count for one in counts for count in one or ()])

    def with_prompt(self, template: Template, name: str = "prompt") -> Canvas:
        """A branch with other prompts before the same answers."""
        counts, device = self.counts, self.tokens.device
        answers = self.tokens.shape[1] - self.answer  # (B,) lengths
        longest = max(count.length for count in counts)
        length = _aligned(template.tokens.shape[1] + longest)
        wide = self._widen(max(length, self.tokens.shape[1]))._narrow(length)
        relative = (
            torch.arange(length, device=device) - (length - answers)[:, None]
        )  # (B, L): negative before the answer
        prompts, lengths = template.tokens[self.row], template.lengths[self.row]
        inside = (relative < 0) & (relative >= -lengths[:, None])
        source = (relative + prompts.shape[1]).clamp(0, max(prompts.shape[1] - 1, 0))
        before = prompts.gather(1, source) if prompts.shape[1] else torch.zeros_like(relative)
        tokens = torch.where(relative >= 0, wide.tokens, torch.where(inside, before, self.mask))
        keys = 0.0
        if template.weights is not None:
            keys = torch.where(inside, template.weights[self.row].gather(1, source), 0.0)
        derived = replace(
            wide,
            tokens=tokens,
            weights=torch.where(relative >= 0, wide.weights, keys),
            answer=length - answers,
            start=length - answers - lengths,
            known=None,
        )._named(name)
        return derived.counted([count._replace(prompt=template.name) for count in counts])

    def with_weights(self, weights: Tensor) -> Canvas:
        """A branch with other attention log-weights (B, L) of keys; -inf takes a key out without moving the
        others."""
        return replace(self, weights=weights)._named("weights")

    def to(self, device: torch.device | str) -> Canvas:
        """The same canvas on a device; itself if it is there."""
        if self.tokens.device == torch.device(device):
            return self
        return self._each(lambda value: value.to(device), self._counts)

    def dump(self) -> bytes:
        """Everything, as safetensors with a JSON header; `load` gives the same canvas again, in any
        process."""
        from safetensors.torch import save

        tensors = {name: getattr(self, name) for name in _TENSORS}
        host: dict = {"mask": self.mask, "ends": self.ends, "branches": self.branches}
        host["nothing"] = self.nothing
        if (state := self.sampler) is not None:
            tensors |= {f"sampler.{name}": getattr(state, name) for name in COLUMNS}
            tensors |= {f"own.{name}": value for name, value in state.own.items()}
            host["sampler"] = {name: getattr(state, name) for name in _NAMES}
            host["sampler"] |= {"draws": sorted(state.draws), "largest_k": state.largest_k}
        separate = {
            name: value.clone(memory_format=torch.contiguous_format) for name, value in tensors.items()
        }  # safetensors refuses tensors that share memory
        return save(separate, {"canvas": json.dumps(host)})

    @classmethod
    def load(cls, data: bytes) -> Canvas:
        """The canvas that `dump` wrote. ValueError or SafetensorError if it did not."""
        from safetensors.torch import load

        size = int.from_bytes(data[:8], "little")
        host = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["canvas"])
        tensors = load(data)
        state = None
        if (names := host.get("sampler")) is not None:
            columns: dict[str, Any] = {name: tensors[f"sampler.{name}"] for name in COLUMNS}
            columns |= {name: tuple(names[name]) for name in _NAMES}
            state = SamplerState(
                **columns,
                own={
                    name.removeprefix("own."): value
                    for name, value in tensors.items()
                    if name.startswith("own.")
                },
                draws=frozenset(names["draws"]),
                largest_k=names["largest_k"],
            )
        held: dict[str, Any] = {name: tensors[name] for name in _TENSORS}
        return cls(
            **held,
            mask=host["mask"],
            ends=tuple(host["ends"]),
            branches=tuple(host["branches"]),
            nothing=host.get("nothing", -1),
            sampler=state,
        )

    def _named(self, name: str) -> Canvas:
        """With every branch derived under `name`."""
        derived = tuple(f"{branch}/{name}" if branch else name for branch in self.branches)
        branches = tuple(dict.fromkeys((*self.branches, *derived)))
        return replace(self, branches=branches, branch=renumber(self.branch, derived, branches))

    def _each(self, change: Callable[[Tensor], Tensor], counts: Sequence[Count] | None) -> Canvas:
        """With `change` applied to every tensor, the samplers' included."""
        changed = replace(
            self,
            **{name: change(getattr(self, name)) for name in _TENSORS},
            sampler=None if self.sampler is None else self.sampler.each(change),
            known=None,
        )
        return changed if counts is None else changed.counted(counts)

    def _widen(self, length: int) -> Canvas:
        more = length - self.tokens.shape[1]
        if not more:
            return self

        def pad(x: Tensor, value: float = 0) -> Tensor:
            return torch.nn.functional.pad(x, (more, 0), value=value)

        wide = replace(
            self,
            tokens=pad(self.tokens, self.mask),
            given=pad(self.given, True),
            weights=pad(self.weights),
            active=pad(self.active, False),
            unseen=pad(self.unseen, False),
            start=self.start + more,
            answer=self.answer + more,
            sampler=None if self.sampler is None else self.sampler.each_column(pad),
            known=None,
        )
        return wide if self._counts is None else wide.counted(self._counts)

    def _narrow(self, length: int) -> Canvas:
        less = self.tokens.shape[1] - length
        if not less:
            return self
        cut = {
            name: getattr(self, name)[:, less:] for name in ("tokens", "given", "weights", "active", "unseen")
        }
        state = None if self.sampler is None else self.sampler.each_column(lambda x: x[:, less:])
        narrow = replace(
            self, **cut, start=self.start - less, answer=self.answer - less, sampler=state, known=None
        )
        return narrow if self._counts is None else narrow.counted(self._counts)


@dataclass(frozen=True)
class Choice:
    """What a sampler makes of the logits: for the N active positions the token, its confidence, and whether
    to commit it now; and which committed positions to remask. What a `pick` put together stands or falls as
    one in its row."""

    token: Tensor  # (N,) long
    confidence: Tensor  # (N,) float; what positions were ordered by
    commit: Tensor  # (N,) bool
    probability: Tensor  # (N,) float in [0, 1], for people to look at
    remask: Tensor | None = None  # (B, L) bool: committed positions to mask again
    together: Tensor | None = None  # (N,) bool: commits of which a row gets all or none
    grow: Tensor | None = None  # (B, 3) long: positions that are added; see `Canvas.grown`


def _aligned(length: int) -> int:
    return max(ALIGN, -(-length // ALIGN) * ALIGN)


def _bools(rows: Sequence[bool] | Sequence[int]) -> bool:
    return bool(rows) and all(isinstance(row, bool) for row in rows)


def _runs(indices: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Ascending neighbours together: [3, 4, 5, 1] gives (3, 6), (1, 2)."""
    first = last = None
    for index in indices:
        if last is not None and index == last:
            last += 1
            continue
        if first is not None and last is not None:
            yield first, last
        first, last = index, index + 1
    if first is not None and last is not None:
        yield first, last


_TENSORS = tuple(f.name for f in fields(Canvas) if f.type == "Tensor")
_NAMES = ("samplers", "schedules", "confidences")


def _flush_right(lines: Sequence[Sequence[float] | None], width: int, device: torch.device | str) -> Tensor:
    """(rows, width) float: each line at the right end of its row, zeros before it."""
    padded = [[0.0] * (width - len(line or ())) + list(line or ()) for line in lines]
    return torch.tensor(padded, device=device).reshape(len(padded), width)
