"""What a text diffusion model offers: the batched forward, with the output head on wanted positions and on
nothing else."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor

from webui.canvas import ALIGN, Canvas, Count
from webui.checkpoints.families.base import Family
from webui.checkpoints.last_layer import LastLayer
from webui.checkpoints.skipping import kept_layers, with_layers
from webui.checkpoints.tokenizer import Tokenizer
from webui.checkpoints.unseen import Unseen
from webui.checkpoints.weights import native_name
from webui.core.errors import Refusal

# in numbers of rows not a multiple of it, matrix products round some rows differently (see noise.py,
# determinism)
HEAD_ROWS = 8
Kept = TypeVar("Kept")


@dataclass(frozen=True)
class Description:
    """Facts of a loaded checkpoint. `fingerprint` identifies its weights; `preset` is what its prompts
    need."""

    name: str
    family: str
    fingerprint: str
    device: str
    dtype: str
    max_length: int
    preset: Mapping[str, Any]
    prefix: str = ""  # what the checkpoint writes between its frame and an answer
    block_length: int = 0  # columns of a block, if the family's attention is block-causal
    first_position: int = 0  # of a row's first token, as the body counts
    frame: tuple[int, int] | None = None  # the tokens that the body gets before and after a row
    forbidden: tuple[int, ...] = ()  # tokens that are never written
    ancestor: str = ""  # the autoregressive model that it was made from, if its family says so
    answer_block: int = 0  # columns of a block behind the prompt, if attention is causal-but-block
    ratios: bool = False  # logits are logs of probabilities that need not sum to 1
    expand: int | None = None  # the token that stands for two masked positions


class Model:
    """A native transformers model of a checkpoint, its tokenizer and special tokens."""

    def __init__(
        self,
        module: Any,
        family: Family,
        tokenizer: Tokenizer,
        mask: int,
        ends: tuple[int, ...],
        description: Description,
    ):
        self.module, self.family, self.tokenizer = module, family, tokenizer
        self.mask, self.ends, self.description = mask, ends, description
        self.body, self.head = family.split(module)
        self.last_layer = LastLayer(self.body)
        self.device = next(module.parameters()).device
        self.running: Canvas | None = None  # what the forward pass under way computes: see the hook `patch`
        self.varying: list[Callable[[Count], Hashable]] = []  # see `varies`
        self._exchanged: list[Mapping[Tensor, Tensor]] = []  # see `exchanged`, outermost first
        self._kept: dict[str, tuple[Hashable, Sequence[Mapping[Tensor, Tensor]], Any]] = {}  # see `kept`
        self._head_rows = 0  # of the hidden states that the head gets, 0 outside it

    @contextmanager
    def varies(self, by: Callable[[Count], Hashable]) -> Iterator[None]:
        """While inside, what a patch does to a row depends on `by`: keys that were computed under another
        value are not used."""
        self.varying.append(by)
        try:
            yield
        finally:
            self.varying.remove(by)

    @contextmanager
    def exchanged(self, weights: Mapping[Tensor, Tensor]) -> Iterator[None]:
        """The model has these weights in this context, and its own ones again behind it: the same memory.
        Refusal if some are quantized."""
        if any(type(there) not in (Tensor, torch.nn.Parameter) for there in weights):
            raise Refusal("Weights in fewer bits cannot be exchanged for others; set quantize = none.")
        before = {there: there.data for there in weights}
        try:
            for there, new in weights.items():
                there.data = new
            self._exchanged.append(weights)
            yield
        finally:
            self._exchanged = [one for one in self._exchanged if one is not weights]
            for there, own in before.items():
                there.data = own

    def kept(self, owner: str, key: Hashable, make: Callable[[], Kept]) -> Kept:
        """What `make` returned for this owner and key while the same weights were exchanged. A value of
        another key is given up before the new one is made, with those that were made inside of it."""
        before = self._kept.get(owner)
        if before is not None and before[0] == key:
            there = zip(before[1], self._exchanged, strict=False)
            if len(before[1]) == len(self._exchanged) and all(one is other for one, other in there):
                return before[2]
        depth = len(self._exchanged)
        self._kept = {name: one for name, one in self._kept.items() if name != owner and len(one[1]) <= depth}
        del before
        value = make()
        self._kept[owner] = key, tuple(self._exchanged), value
        return value

    def skipping(self, share: float) -> AbstractContextManager[None]:
        """A context in which passes leave out this share of the layers between the first and the last.
        Refusal if there are none."""
        return with_layers(self.body, kept_layers(self.body, share, self.description.name))

    @property
    def places(self) -> Tensor | None:
        """In the head, the row of `running` that each of its hidden states (R, D) is of: (R,) long. In the
        body None."""
        if self.running is None or not self._head_rows:
            return None
        rows = self.running.at[0]
        return torch.nn.functional.pad(rows, (0, self._head_rows - rows.numel()))

    def native(self, name: str) -> str:
        """The name that a published module has in `module`; one without dots has underscores for them, and
        so has the answer."""
        return native_name(name, self.family.names)

    @property
    def vocabulary(self) -> int:
        """Rows of the output matrix: as many as a position has logits."""
        return self._output.shape[0]

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights, and of keys and values."""
        return self._output.dtype

    @cached_property
    def _output(self) -> Tensor:
        return self.module.get_output_embeddings().weight

    @cached_property
    def words(self) -> tuple[str, ...]:
        """The text of every token by itself; special tokens and rows without a token are empty."""
        return tuple(self.tokenizer.words(self.vocabulary))

    @cached_property
    def token_bytes(self) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
        """The bytes that every token adds to a text: at its start, and behind other tokens."""
        return self.tokenizer.token_bytes(self.vocabulary)

    @torch.no_grad()
    def __call__(self, canvas: Canvas) -> Tensor:
        """Logits (N, V) of the canvas's active positions, row by row, in fp32 or better; always a tensor of
        its own. Halves the rows if memory runs out."""
        return self.logits(canvas)

    def logits(self, canvas: Canvas) -> Tensor:
        """The same with gradients, where torch has them on: for training."""
        return self.project(canvas, self._wanted(canvas))

    def alone(self, canvas: Canvas) -> Tensor:
        """The same as published programs compute it: each row by itself, without padding, the head on all of
        its positions; where every position sees every other, without a mask."""
        parts = []
        for i in range(canvas.tokens.shape[0]):
            row = canvas.take([i]).compact().unpadded()
            bare = self.family.attention == "bidirectional" and self.description.frame is None
            bare = bare and not bool(row.weights.any())
            hidden = self._forward(row, bare)[0]
            self.running, self._head_rows = row, hidden.shape[0]
            try:
                logits = self.head(hidden)
            finally:
                self.running, self._head_rows = None, 0
            columns = row.at[1]
            parts.append(logits[(columns - 1).clamp(min=0) if self.family.shift else columns])
        logits = torch.cat(parts)
        return logits if logits.dtype == torch.float64 else logits.float()

    def project(self, canvas: Canvas, hidden: Tensor) -> Tensor:
        """Logits of the canvas's active positions from their hidden states (N, D)."""
        short = -hidden.shape[0] % HEAD_ROWS
        self.running, self._head_rows = canvas, hidden.shape[0] + short
        try:
            logits = self.head(torch.nn.functional.pad(hidden, (0, 0, 0, short)) if short else hidden)
        finally:
            self.running, self._head_rows = None, 0
        logits = logits[: hidden.shape[0]]
        return logits if logits.dtype == torch.float64 else logits.float()

    def _wanted(self, canvas: Canvas) -> Tensor:
        """Hidden states (N, D) that the head turns into the logits of the active positions."""
        canvas = canvas.compact()
        rows, columns = canvas.at
        try:
            if self.family.shift:
                columns = torch.maximum(columns - 1, canvas.start[rows])
            return self._forward(canvas, columns=columns)[rows, columns]
        except torch.OutOfMemoryError:
            many = canvas.tokens.shape[0]
            if many == 1:
                raise
            self._kept.clear()  # what is exchanged now is held by its batch
            torch.cuda.empty_cache()
            half = many // 2
            parts = canvas.take(range(half)), canvas.take(range(half, many))
            return torch.cat([self._wanted(part) for part in parts])

    def _forward(self, canvas: Canvas, bare: bool = False, columns: Tensor | None = None) -> Tensor:
        """Hidden states (B, L, D); with `columns` right in these at least. The mask is given, so that a row
        is computed alike with and without padding, unless there is none and `bare` says so."""
        framed = canvas if self.description.frame is None else self._framed(canvas, *self.description.frame)
        tokens, mask = framed.tokens, self._mask(framed)
        positions = framed.position + self.description.first_position
        unseen = Unseen.of(canvas, self.family.shift)
        if unseen is not None:
            unseen = unseen.moved(framed.tokens.shape[1] - canvas.tokens.shape[1] - (framed is not canvas))
            tokens, positions = unseen.tokens(tokens), unseen.positions(positions)
            mask = unseen.attention(mask, torch.finfo(mask.dtype).min)
        if columns is None or unseen is not None or framed is not canvas:
            last_layer = nullcontext()
        else:
            last_layer = self.last_layer.at(columns, tokens.shape[1])
        self.running = canvas
        try:
            with last_layer:
                output = self.body(
                    **{
                        "input_ids": tokens,
                        "attention_mask": None if bare and unseen is None else mask,
                        "position_ids": positions,
                        "use_cache": False,
                        **self.family.inputs(self, canvas, unseen),
                    }
                )
        finally:
            self.running = None
        hidden = output.last_hidden_state
        hidden = hidden if unseen is None else unseen.taken(hidden)
        return hidden if framed is canvas else hidden[:, ALIGN - 1 : -1]

    def body_at(self, canvas: Canvas, tokens: Tensor, position: Tensor, mask: Tensor, kept: Any) -> Tensor:
        """Hidden states (B, W, D) of a part of the canvas's rows: `tokens` (B, W) at `position` (B, W), under
        `mask` (B, 1, W, keys). `kept` gets keys and values and gives those that are attended to."""
        self.running = canvas
        try:
            output = self.body(
                input_ids=tokens,
                attention_mask=mask,
                position_ids=position + self.description.first_position,
                past_key_values=kept,
                use_cache=False,
            )
        finally:
            self.running = None
        return output.last_hidden_state

    def _framed(self, canvas: Canvas, first: int, last: int) -> Canvas:
        """The canvas with a token before each row and one after it: `ALIGN` columns more, all but one on the
        left."""
        pad = torch.nn.functional.pad
        tokens = pad(pad(canvas.tokens, (ALIGN - 1, 0), value=canvas.mask), (0, 1), value=last)
        start = canvas.start + ALIGN - 2
        tokens = tokens.scatter(1, start[:, None], first)
        return replace(
            canvas,
            tokens=tokens,
            weights=pad(canvas.weights, (ALIGN - 1, 1)),
            start=start,
            answer=canvas.answer + ALIGN - 1,
            known=None,
        )

    def _mask(self, canvas: Canvas) -> Tensor:
        """(B, 1, L, L): what is added to the attention logits of each query (rows) and key (columns)."""
        length, dtype = canvas.tokens.shape[1], self.dtype
        least = torch.finfo(dtype).min  # minus infinity would be NaN where a query sees no key at all
        keys = canvas.weights.to(dtype).clamp(min=least).masked_fill(canvas.padding, least)
        mask = keys[:, None, None, :].expand(-1, 1, length, -1)
        if self.family.attention == "bidirectional":
            return mask
        block = self.description.block_length if self.family.attention == "block-causal" else 1
        part = torch.div(canvas.position, block, rounding_mode="floor")
        later = part[:, None, :, None] < part[:, None, None, :]
        if self.family.attention == "causal-but-block":
            now = self.unfinished(canvas)
            later &= (now[:, None, :, None] != now[:, None, None, :]) | (now < 0)[:, None, :, None]
        elif self.family.attention == "known-first":
            known = canvas.tokens != canvas.mask
            later &= known[:, None, :, None] | ~known[:, None, None, :]
            later |= known[:, None, :, None] & ~known[:, None, None, :]
        return mask.masked_fill(later, least)

    def unfinished(self, canvas: Canvas) -> Tensor:
        """(B, L) long: the number of each column's block of the answer, counted from its beginning, or -1
        before the block that is being denoised. Where there is a sampler it says which block that is, masked
        positions in it or not; otherwise it is the first that has one."""
        if canvas.sampler is not None:
            number = canvas.block
        else:
            number = torch.div(canvas.column, self.description.answer_block, rounding_mode="floor")
        first = torch.where(canvas.masked, number, number.amax() + 1).amin(1)
        if canvas.sampler is not None:
            first = torch.where(canvas.sampler.block >= 0, canvas.sampler.block, first)
        return torch.where((number >= first[:, None]) & (canvas.column >= 0), number, -1)
