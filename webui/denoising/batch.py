"""One batch on the device: rows that are denoised together, and what the host knows of each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from webui.canvas import Canvas, Choice
from webui.checkpoints.model import Model
from webui.core.events import Started
from webui.core.result import Change
from webui.denoising import samplers
from webui.denoising.chain import Chain
from webui.denoising.decode import Decoded, decode
from webui.denoising.packing import PackedRow
from webui.extension.errors import HookError
from webui.extension.extension import Extension


@dataclass
class LiveRow:
    """What the host keeps of a row while it is on the device."""

    packed: PackedRow
    trace: list[Change] = field(default_factory=list)
    step: int = 0  # model calls so far

    @property
    def cell(self) -> str:
        return self.packed.row.cell.id


class Batch:
    """Rows that share every forward pass. `step()` is one model call; rows leave as they end."""

    def __init__(self, model: Model, rows: Sequence[PackedRow], extensions: Iterable[type[Extension]]):
        self.model = model
        self.live = {i: LiveRow(packed) for i, packed in enumerate(rows)}
        self.rows = rows
        prompts, answers = [packed.prompt.tokens for packed in rows], [packed.answer for packed in rows]
        seeds = [packed.row.request.seed for packed in rows]
        canvas = Canvas.build(prompts, answers, seeds, model.mask, model.ends, model.device)
        self.canvas = samplers.prepare(canvas, [packed.options for packed in rows])
        self.policy = [packed.row.request.end_of_text for packed in rows]
        self.chain = Chain(model, rows, extensions)

    def start(self) -> list[Started]:
        """Lets extensions see the canvas, and tells what it holds at the start. HookError."""
        self.chain.build()
        self.canvas = self.chain.canvas(self.canvas)
        return [self._started(live) for live in self.live.values()]

    def step(self) -> dict[int, tuple[Change, ...]]:
        """One model call for every row; what changed, by row number. HookError."""
        canvas = samplers.activate(self.canvas)
        logits = self.chain.logits(canvas)
        logits = logits.masked_fill(self.chain.bans(canvas, self._bans(canvas, logits)), -torch.inf)
        choice = self.chain.pick(canvas, samplers.choose(canvas, logits))
        self.canvas = samplers.commit(canvas, choice)
        return self._changes(canvas, choice)

    def ended(self) -> list[int]:
        """Numbers of the rows that are done: no masked position, or an end-of-text token with no masked one
        before it."""
        canvas = self.canvas
        columns = torch.arange(canvas.tokens.shape[1], device=canvas.tokens.device)
        far = canvas.tokens.shape[1]
        first_masked = torch.where(canvas.masked, columns, far).amin(1)
        ends = (
            torch.isin(canvas.tokens, torch.tensor(canvas.ends, device=canvas.tokens.device)) & ~canvas.given
        )
        first_end = torch.where(ends, columns, far).amin(1)
        stops = torch.tensor([policy != "keep" for policy in self.policy], device=canvas.tokens.device)[
            canvas.row
        ]
        done = samplers.finished(canvas) | ((first_end < first_masked) & stops)
        return canvas.row[done].tolist()

    def leave(self, rows: Sequence[int]) -> None:
        """Takes these rows out of the canvas."""
        if rows:
            gone = torch.tensor(list(rows), device=self.canvas.tokens.device)
            self.canvas = self.canvas.take(~torch.isin(self.canvas.row, gone))
            for row in rows:
                del self.live[row]

    def decode(self, row: int) -> Decoded:
        """The text of a row as it stands now."""
        index = int((self.canvas.row == row).nonzero()[0, 0])
        tokens = self.canvas.tokens[index, int(self.canvas.answer[index]) :].tolist()
        return decode(self.model, self.rows[row], tokens)

    def check_progress(self) -> None:
        """HookError if a row has been called more often than it has positions and steps: it would never end,
        which is the fault of the last `pick`."""
        for row, live in self.live.items():
            if live.step > len(live.packed.answer) + live.packed.options.steps:
                raise HookError(self.chain.last("pick", row), ValueError("the text never got finished."))

    def _bans(self, canvas: Canvas, logits: Tensor) -> Tensor:
        """bool (N, V): the mask token, and end-of-text where the row's policy forbids it."""
        bans = torch.zeros_like(logits, dtype=torch.bool)
        bans[:, self.model.mask] = True
        strict = torch.tensor([policy == "ban" for policy in self.policy], device=logits.device)[canvas.row]
        bans[:, list(self.model.ends)] |= strict[canvas.at[0]][:, None]
        return bans

    def _changes(self, canvas: Canvas, choice: Choice) -> dict[int, tuple[Change, ...]]:
        rows, columns = canvas.at
        took = choice.commit
        where = torch.stack([canvas.row[rows], columns - canvas.answer[rows], choice.token])[:, took].tolist()
        probability = choice.probability[took].tolist()
        changes: dict[int, list[Change]] = {row: [] for row in self.live}
        for row, column, token, confidence in zip(*where, probability, strict=True):
            step = self.live[row].step + 1
            changes[row].append(Change(step, column, token, self.model.words[token], round(confidence, 4)))
        for row, live in self.live.items():
            live.step += 1
            live.trace += changes[row]
        return {row: tuple(made) for row, made in changes.items()}

    def _started(self, live: LiveRow) -> Started:
        answer = live.packed.answer
        pieces = self.model.tokenizer.pieces(
            [None if token == self.model.mask else token for token in answer]
        )
        given = (Change(0, i, answer[i], piece, None) for i, piece in enumerate(pieces) if piece is not None)
        return Started(live.cell, len(answer), live.packed.options.steps, tuple(given))
