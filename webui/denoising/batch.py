"""One batch on the device: rows that are denoised together, and what the host knows of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from webui.canvas import Canvas, Choice
from webui.checkpoints.model import Model
from webui.core.events import Started
from webui.core.result import Change
from webui.denoising import samplers
from webui.denoising.chain import Chain
from webui.denoising.checks import Check
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


@dataclass(frozen=True)
class Step:
    """What one model call did.

    changes  positions committed and remasked, by row number
    failed   rows that cannot go on, by row number; nothing of theirs is in `changes`
    """

    changes: Mapping[int, tuple[Change, ...]]
    failed: Mapping[int, HookError]


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

    def step(self) -> Step:
        """One model call for every row. HookError if a hook raises; then nothing has changed."""
        canvas = samplers.activate(self.canvas)
        logits, finite = self.chain.logits(canvas)
        try:
            bans, something_left = self.chain.bans(canvas, self._bans(canvas, logits))
            logits = logits.masked_fill(bans, -torch.inf)
            choice, checks = self.chain.pick(canvas, logits, samplers.choose(canvas, logits))
        except HookError:
            failed = self._failed(canvas, [finite])  # of logits that make no sense anything may follow
            if failed:
                return Step({}, failed)
            raise
        failed = self._failed(canvas, [finite, something_left, *checks])
        self.canvas = samplers.commit(canvas, choice)
        return Step(self._changes(canvas, choice, failed), failed)

    def _failed(self, canvas: Canvas, checks: Sequence[Check]) -> dict[int, HookError]:
        """The error of every row with which something is wrong, by row number; the first check counts.
        HookError for a row that is none of the business of the extension at fault: others are to blame."""
        wrong = torch.stack([check.wrong for check in checks]).tolist()
        numbers, failed = canvas.row.tolist(), dict[int, HookError]()
        for check, found in zip(checks, wrong, strict=True):
            for index in (i for i, on in enumerate(found) if on and numbers[i] not in failed):
                error = check.blame(index)
                if not self.chain.work_for(error.extensions, numbers[index]):
                    raise error
                failed[numbers[index]] = error
        return failed

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

    def endless(self) -> dict[int, HookError]:
        """Rows that have been called more often than they have positions and steps, by row number: they would
        never end, which is the fault of the last `pick`."""
        error = ValueError("the text never got finished.")
        return {
            row: HookError(self.chain.last("pick", row), error)
            for row, live in self.live.items()
            if live.step > len(live.packed.answer) + live.packed.options.steps
        }

    def _bans(self, canvas: Canvas, logits: Tensor) -> Tensor:
        """bool (N, V): the mask token, and end-of-text where the row's policy forbids it."""
        bans = torch.zeros_like(logits, dtype=torch.bool)
        bans[:, self.model.mask] = True
        strict = torch.tensor([policy == "ban" for policy in self.policy], device=logits.device)[canvas.row]
        bans[:, list(self.model.ends)] |= strict[canvas.at[0]][:, None]
        return bans

    def _changes(
        self, canvas: Canvas, choice: Choice, failed: Mapping[int, HookError]
    ) -> dict[int, tuple[Change, ...]]:
        """What the step changed, by row number: first what was remasked, then what was committed."""
        changes: dict[int, list[Change]] = {row: [] for row in self.live if row not in failed}
        rows, columns = canvas.at
        if choice.remask is not None:
            masked = choice.remask & (canvas.tokens != canvas.mask) & (self.canvas.tokens == canvas.mask)
            index, column = masked.nonzero(as_tuple=True)
            where = torch.stack([canvas.row[index], column - canvas.answer[index]])
            for row, column in zip(*where.tolist(), strict=True):
                if row in changes:
                    changes[row].append(Change(self.live[row].step + 1, column, None, "", None))
        took = choice.commit & (choice.token != canvas.tokens[rows, columns])
        where = torch.stack([canvas.row[rows], columns - canvas.answer[rows], choice.token])[:, took].tolist()
        probabilities = choice.probability[took].tolist()
        for row, column, token, probability in zip(*where, probabilities, strict=True):
            if row in changes:
                step, text = self.live[row].step + 1, self.model.words[token]
                changes[row].append(Change(step, column, token, text, _exact(probability)))
        for row, made in changes.items():
            self.live[row].step += 1
            self.live[row].trace += made
        return {row: tuple(made) for row, made in changes.items()}

    def _started(self, live: LiveRow) -> Started:
        answer = live.packed.answer
        pieces = self.model.tokenizer.pieces(
            [None if token == self.model.mask else token for token in answer]
        )
        given = (Change(0, i, answer[i], piece, None) for i, piece in enumerate(pieces) if piece is not None)
        return Started(live.cell, len(answer), live.packed.options.steps, tuple(given))


def _exact(value: float) -> float:
    """A float32 in as few digits as bring it back exactly."""
    return float(f"{value:.9g}")
