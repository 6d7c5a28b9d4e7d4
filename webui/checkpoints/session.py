"""What a model keeps from one step of a batch to the next: keys and values of positions that are not computed
again.

exact   nothing
prefix  of the positions before the block that is being denoised
dual    of those before it and after it

Where every position sees every other, all keys depend on all tokens, so kept ones are those of a pass over
the whole row when its block began (Fast-dLLM, Wu et al. 2025, arXiv 2505.22618, algorithm 1): the text can
differ from the exact one. Where attention is block-causal, keys of finished blocks depend on nothing that
still changes: kept ones are exact. A finished block's keys are then computed in the first step of the next
block, in the same pass.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from webui.canvas import ALIGN, Canvas
from webui.checkpoints.capabilities import without_cache
from webui.checkpoints.model import Model
from webui.core.errors import Refusal

NONE = -1  # stands for the token of a position whose keys are not kept
WASTE = 0.2  # share of a pass that may be padding before its rows are split
FEW = 128  # positions of padding that are never worth a second pass


def open_session(model: Model, mode: str, reference: bool = False) -> Session:
    """The model for one batch in a cache mode: exact, prefix or dual. Refusal if its family has no cache.
    reference: rows are computed as published programs do it; see `Model.alone`."""
    if mode == "exact":
        return Alone(model) if reference else Session(model)
    if not model.family.caches:
        raise Refusal(without_cache(mode, model.description.name, model.family))
    return CachedSession(model, mode == "dual")


class Session:
    """The model for one batch; this one keeps nothing."""

    def __init__(self, model: Model):
        self.model = model

    def __call__(self, canvas: Canvas) -> Tensor:
        """Logits (N, V) of the canvas's active positions, as the model gives them."""
        return self.model(canvas)

    def leave(self, rows: Iterable[int]) -> None:
        """Forgets these rows of the batch."""


class Alone(Session):
    """Keeps nothing, and computes each row by itself."""

    @torch.no_grad()
    def __call__(self, canvas: Canvas) -> Tensor:
        return self.model.alone(canvas)


class Span(NamedTuple):
    """Positions of a row that a pass computes, from `first` to before `last`, and how many it attends to."""

    first: int
    last: int
    seen: int

    @property
    def width(self) -> int:
        return self.last - self.first


class CachedSession(Session):
    """Keeps keys, values and the last hidden states by position within the row, in one slot for each row and
    prompt: branches of guidance and of other extensions have slots of their own.

    What was kept for a row is used only as long as everything it was computed from is the same: the tokens
    and the attention weights of the kept positions, the block, and what patches say they depend on. Any other
    row is computed as a whole, and that is its step. It depends on nothing but the row itself, so a row has
    the same text alone and in a batch. One reading from the device for each call says which rows these are.

    dual  keys of later positions are kept too
    """

    def __init__(self, model: Model, dual: bool):
        super().__init__(model)
        self.dual = dual
        self.causal = model.family.attention != "bidirectional"
        self._block = max(model.description.block_length, 1)
        self._slots: dict[tuple[int, str, int], int] = {}  # by row, prompt, and which time it stands there
        self._found: list[Hashable] = []  # of each slot, what its keys were computed for; None: nothing
        self._layers: dict[
            int, tuple[Tensor, Tensor]
        ] = {}  # keys and values, (slots, positions, heads, D) each
        device = model.device
        self._tokens = torch.empty((0, 0), dtype=torch.long, device=device)  # (slots, positions)
        self._weights = torch.empty((0, 0), device=device)
        self._hidden: Tensor | None = None  # (slots, positions, D)

    @torch.no_grad()
    def __call__(self, canvas: Canvas) -> Tensor:
        if any(count.unseen for count in canvas.counts):
            return self._unseen(canvas)
        slots = self._slots_of(canvas)
        position = torch.arange(_aligned(canvas.tokens.shape[1]), device=canvas.tokens.device)
        self._reserve(len(self._found), position.shape[0] + ALIGN)
        known = _Known.of(canvas, position)
        spans = self._spans(canvas, known, slots)
        at = torch.tensor(slots, device=canvas.tokens.device)
        for group in _groups(spans):
            part = canvas if len(group) == len(spans) else canvas.take(group)
            self._compute(part, [spans[i] for i in group], [slots[i] for i in group])
        self._remember(canvas, known, spans, at)
        rows, columns = canvas.at
        if self.model.family.shift:
            columns = torch.maximum(columns - 1, canvas.start[rows])
        assert self._hidden is not None
        return self.model.project(canvas, self._hidden[at[rows], columns - canvas.start[rows]])

    def _unseen(self, canvas: Canvas) -> Tensor:
        """Logits of a canvas with rows that have unseen positions: these rows are computed as a whole, and
        nothing of them is kept."""
        whole = [i for i, count in enumerate(canvas.counts) if count.unseen]
        rest = [i for i, count in enumerate(canvas.counts) if not count.unseen]
        found: dict[int, Tensor] = {}
        for rows, run in ((whole, self.model), (rest, self)):
            if rows:
                part = canvas.take(rows)
                logits = run(part).split([count.active for count in part.counts])
                found |= dict(zip(rows, logits, strict=True))
        return torch.cat([found[i] for i in range(len(found))])

    def leave(self, rows: Iterable[int]) -> None:
        gone = set(rows)
        stay = {key: slot for key, slot in self._slots.items() if key[0] not in gone}
        if len(stay) == len(self._slots):
            return
        index = torch.tensor(list(stay.values()), dtype=torch.long, device=self._tokens.device)
        self._found = [self._found[slot] for slot in stay.values()]
        self._slots = {key: number for number, key in enumerate(stay)}
        self._change(lambda kept, empty: kept[index])

    def _slots_of(self, canvas: Canvas) -> list[int]:
        """The slot of each row of the canvas; those that have none get one."""
        slots: list[int] = []
        for count in canvas.counts:
            key = (count.row, count.prompt, 0)
            while self._slots.get(key) in slots:  # the same row and prompt once more
                key = (*key[:2], key[2] + 1)
            if key not in self._slots:
                self._slots[key] = len(self._found)
                self._found.append(None)
            slots.append(self._slots[key])
        return slots

    def _spans(self, canvas: Canvas, known: _Known, slots: Sequence[int]) -> list[Span]:
        """What has to be computed of each row."""
        position, size = known.position, known.position.shape[0]
        at = torch.tensor(slots, device=position.device)
        changed = known.differs(self._tokens[at, :size], self._weights[at, :size])
        last = torch.where(known.placed(canvas.active), position, NONE).amax(1)
        if self.causal:
            first = torch.where(changed, position, size).amin(1)
            read = torch.stack([known.length, last, first], 1).tolist()
            lines = zip(read, slots, self._depends(canvas), strict=True)
            return [self._after(length, end, begin, slot, key) for (length, end, begin), slot, key in lines]
        inside = known.placed(canvas.block == canvas.state.block[:, None]) & (known.column(canvas) >= 0)
        begin = torch.where(inside, position, size).amin(1)
        if self.model.family.shift:  # the output there is of the position after it
            begin = (begin - 1).clamp(min=0)
        end = torch.where(inside, position, NONE).amax(1) + 1
        kept = position < begin[:, None]
        if self.dual:
            kept = kept | (position >= end[:, None])
        else:
            end = known.length
        wrong = (changed & kept).any(1) | (kept & known.placed(canvas.active)).any(1)
        read = torch.stack([known.length, begin, end, wrong], 1).tolist()
        lines = zip(read, slots, self._depends(canvas), strict=True)
        return [
            self._within(length, first, last, stale, slot, key)
            for (length, first, last, stale), slot, key in lines
        ]

    def _within(self, length: int, begin: int, end: int, wrong: int, slot: int, key: Hashable) -> Span:
        """The block alone, or the whole row where what is kept does not hold."""
        found = (length, begin, end, key)
        if not wrong and self._found[slot] == found:
            return Span(begin, end, length)
        self._found[slot] = found if begin < end else None
        return Span(0, length, length)

    def _after(self, length: int, last: int, first: int, slot: int, key: Hashable) -> Span:
        """From the first block with a token that is not the one its keys were computed for, to the last one
        that is wanted; what comes after it is not seen."""
        end = min(-(-(last + 1) // self._block) * self._block, length)
        begin = first // self._block * self._block if self._found[slot] == (key,) else 0
        self._found[slot] = (key,)
        return Span(min(begin, end), end, end)

    def _depends(self, canvas: Canvas) -> list[Hashable]:
        """Of each row what patches say that their effect on it depends on."""
        return [tuple(by(count) for by in self.model.varying) for count in canvas.counts]

    def _compute(self, canvas: Canvas, spans: Sequence[Span], slots: Sequence[int]) -> None:
        """One pass over these positions of the rows: their keys, values and hidden states are kept. Each
        row's positions are padded on the right to the widest."""
        device = canvas.tokens.device
        width, seen = _aligned(max(s.width for s in spans)), _aligned(max(s.seen for s in spans))
        firsts, lasts, ends = (
            torch.tensor(part, device=device)[:, None] for part in zip(*spans, strict=True)
        )
        at = firsts + torch.arange(width, device=device)
        inside = at < lasts
        tokens = _by_position(canvas.tokens, canvas.start, at).masked_fill(~inside, canvas.mask)
        kept = _Kept(self._layers, self._tokens.shape, self.model.dtype, slots, spans, at, inside, seen)
        hidden = self.model.body_at(canvas, tokens, at, self._mask(canvas, at, ends, seen), kept)
        if self._hidden is None:
            self._hidden = hidden.new_empty((*self._tokens.shape, hidden.shape[-1]))
        kept.store(self._hidden, hidden)

    def _mask(self, canvas: Canvas, at: Tensor, ends: Tensor, seen: int) -> Tensor:
        """(B, 1, queries, keys): what is added to the attention logits of positions `at` (B, queries)."""
        key, dtype = torch.arange(seen, device=at.device), self.model.dtype
        least = torch.finfo(dtype).min
        keys = _by_position(canvas.weights, canvas.start, key.expand(at.shape[0], -1))
        keys = keys.to(dtype).clamp(min=least).masked_fill(key >= ends, least)
        mask = keys[:, None, None, :].expand(-1, 1, at.shape[1], -1)
        if not self.causal:
            return mask
        later = (at // self._block)[:, None, :, None] < (key // self._block)[None, None, None, :]
        return mask.masked_fill(later, least)

    def _remember(self, canvas: Canvas, known: _Known, spans: Sequence[Span], at: Tensor) -> None:
        """Writes down for which tokens and weights the keys were computed."""
        device, size = known.position.device, known.position.shape[0]
        firsts, lasts, _ = (torch.tensor(part, device=device)[:, None] for part in zip(*spans, strict=True))
        tokens, weights = self._tokens[at], self._weights[at]
        if self.causal:
            new = (known.position >= firsts) & (known.position < lasts)
            stale = (known.position >= lasts) & (lasts > firsts)  # computed for what came before
        else:
            new = ((firsts == 0) & (lasts == known.length[:, None])).expand(-1, size)
            stale = torch.zeros_like(new)
        tokens[:, :size] = torch.where(stale, NONE, torch.where(new, known.tokens, tokens[:, :size]))
        weights[:, :size] = torch.where(new, known.weights, weights[:, :size])
        tokens[:, size:] = NONE
        self._tokens[at], self._weights[at] = tokens, weights

    def _reserve(self, slots: int, positions: int) -> None:
        """Makes room for so many slots of so many positions, the last `ALIGN` of which hold nothing."""
        here = self._tokens.shape
        if here[0] >= slots and here[1] >= positions:
            return
        shape = max(slots, here[0]), max(positions, here[1])

        def grown(kept: Tensor, empty: float) -> Tensor:
            wide = kept.new_full((*shape, *kept.shape[2:]), empty)
            wide[: here[0], : here[1]] = kept
            return wide

        self._change(grown)

    def _change(self, change: Callable[[Tensor, float], Tensor]) -> None:
        """Replaces everything that is kept by `change` (kept, what is put where nothing is)."""
        self._tokens, self._weights = change(self._tokens, NONE), change(self._weights, 0.0)
        self._hidden = None if self._hidden is None else change(self._hidden, 0.0)
        self._layers = {i: (change(k, 0.0), change(v, 0.0)) for i, (k, v) in self._layers.items()}


class _Known(NamedTuple):
    """The rows of a canvas by position: B rows, P positions, of which a row has the first `length`."""

    position: Tensor  # (P,) long
    start: Tensor  # (B,) long
    length: Tensor  # (B,) long
    tokens: Tensor  # (B, P) long; `NONE` where the row has ended
    weights: Tensor  # (B, P) float

    @classmethod
    def of(cls, canvas: Canvas, position: Tensor) -> _Known:
        length = canvas.tokens.shape[1] - canvas.start
        at = position.expand(canvas.tokens.shape[0], -1)
        out = at >= length[:, None]
        tokens = _by_position(canvas.tokens, canvas.start, at).masked_fill(out, NONE)
        weights = _by_position(canvas.weights, canvas.start, at).masked_fill(out, 0)
        return cls(position, canvas.start, length, tokens, weights)

    def placed(self, columns: Tensor) -> Tensor:
        """(B, P): bools by column (B, L) by position."""
        at = self.position.expand(columns.shape[0], -1)
        return _by_position(columns, self.start, at) & (at < self.length[:, None])

    def column(self, canvas: Canvas) -> Tensor:
        """(B, P): position within the answer."""
        return self.position - (canvas.answer - canvas.start)[:, None]

    def differs(self, tokens: Tensor, weights: Tensor) -> Tensor:
        """(B, P): positions of the rows that are not as in these tokens and weights."""
        return ((self.tokens != tokens) | (self.weights != weights)) & (self.position < self.length[:, None])


class _Kept:
    """The keys and values of one pass, as the attention of transformers asks for them.

    layers        of all slots, filled as the layers come up
    shape         slots and positions of these
    at, inside    (B, W): the positions that are computed, and which of them are no padding
    seen          how many positions are attended to
    """

    def __init__(
        self,
        layers: dict[int, tuple[Tensor, Tensor]],
        shape: Sequence[int],
        dtype: torch.dtype,
        slots: Sequence[int],
        spans: Sequence[Span],
        at: Tensor,
        inside: Tensor,
        seen: int,
    ):
        self._layers, self._shape, self._dtype, self._seen = layers, shape, dtype, seen
        self._run = (
            slice(slots[0], slots[-1] + 1) if list(slots) == list(range(slots[0], slots[-1] + 1)) else None
        )
        self._index = torch.tensor(slots, device=at.device)
        alike = all(span == spans[0] for span in spans) and spans[0].width == at.shape[1]
        self._columns = slice(spans[0].first, spans[0].last) if alike else None
        self._at = torch.where(inside, at, shape[1] - 1)  # what is padding goes where nobody looks

    def update(self, keys: Tensor, values: Tensor, layer: int, *more: object) -> tuple[Tensor, Tensor]:
        """Puts keys and values (B, heads, W, D) in their places; gives all seen, (B, heads, S, D)."""
        if layer not in self._layers:
            made = [
                x.new_zeros((*self._shape, x.shape[1], x.shape[3]), dtype=self._dtype) for x in (keys, values)
            ]
            self._layers[layer] = made[0], made[1]
        kept = self._layers[layer]
        for whole, new in zip(kept, (keys, values), strict=True):
            self.store(whole, new.transpose(1, 2))
        part = self._index if self._run is None else self._run
        return tuple(whole[:, : self._seen][part].transpose(1, 2) for whole in kept)  # type: ignore[return-value]

    def store(self, whole: Tensor, new: Tensor) -> None:
        """Puts `new` (B, W, ...) in its places in `whole` (slots, positions, ...)."""
        if self._run is not None and self._columns is not None:
            whole[self._run, self._columns] = new
        else:
            whole[self._index[:, None], self._at] = new.to(whole.dtype)


def _by_position(columns: Tensor, start: Tensor, at: Tensor) -> Tensor:
    """The values by column (B, L) at positions `at` (B, P); any where a row has none."""
    return columns.gather(1, (start[:, None] + at).clamp(max=columns.shape[1] - 1))


def _groups(spans: Sequence[Span]) -> Iterator[list[int]]:
    """Rows that are computed in one pass: all that have to be, unless too much of it would be padding."""
    rows = [i for i, span in enumerate(spans) if span.width > 0]
    while rows:
        most = max(spans[i].width for i in rows)
        waste = sum(most - spans[i].width for i in rows)
        if waste > max(FEW, WASTE * most * len(rows)):
            group = [i for i in rows if 2 * spans[i].width > most]
        else:
            group = rows
        yield group
        rows = [i for i in rows if i not in group]


def _aligned(length: int) -> int:
    return max(ALIGN, -(-length // ALIGN) * ALIGN)
