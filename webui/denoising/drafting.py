"""Draft and verify: the text of stepwise denoising in fewer model calls (FreeDave, Wu and Zhang 2025, arXiv
2510.00294; SSD, Gao et al. 2025, arXiv 2510.04147, verify alike).

When the model is called for a row, it sees at the same time the canvases that the row's sampler would make
next if the logits stayed as they were in its last step, or were those of a cheaper model: the drafts, rows
of the same batch. A later step whose canvas is a draft has its logits already; any other canvas means a
call. So every token is chosen as without drafts, by the logits of the canvas that it is chosen on, whatever
the sampler, the temperature and the extensions around the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from webui.canvas import Canvas
from webui.denoising import samplers
from webui.denoising.samplers import SamplerTable
from webui.denoising.transfer import to_host


class _Draft(NamedTuple):
    """A canvas of one row that the model has seen, on the host, and its logits (n, V)."""

    step: int
    tokens: Tensor  # (L,)
    active: Tensor  # (L,)
    unseen: Tensor  # (L,)
    logits: Tensor


class _Last(NamedTuple):
    """What a row's last step chose from: for each column its place in `logits` (n, V), -1 for none."""

    place: Tensor  # (L,)
    logits: Tensor


class Drafts:
    """The drafts of a batch. `saved` counts, by row number, the steps that needed no model call.

    steps  canvases of a row that the model sees at once, by row number; 1 means no drafts
    draft  canvas -> logits (N, V) to make the next draft from, as those of a cheaper model (SWIFT, Xia et
           al. 2024, arXiv 2410.06916); None: those of the row's last step
    """

    def __init__(
        self, steps: Sequence[int], table: SamplerTable, draft: Callable[[Canvas], Tensor] | None = None
    ):
        self._steps, self._table, self._draft = steps, table, draft
        self._known: dict[int, list[_Draft]] = {}
        self._last: dict[int, _Last] = {}
        self.saved = [0] * len(steps)

    def logits(self, canvas: Canvas, host: Canvas, call: Callable[[Canvas], Tensor]) -> Tensor:
        """Logits (N, V) of the canvas's active positions, from the model only for rows that are no drafts.
        host: the same canvas on the host."""
        numbers = [count.row for count in host.counts]
        found = [self._found(host, i, number) for i, number in enumerate(numbers)]
        missing = [i for i, one in enumerate(found) if one is None]
        for number, one in zip(numbers, found, strict=True):
            self.saved[number] += one is not None
        if missing:
            part = canvas.take(missing)
            drafts = self._drafted(part)
            every = part.cat(*drafts)
            parts = call(every).split([count.active for count in every.counts])
            for i, logits in zip(missing, parts, strict=False):
                found[i] = logits
            self._keep(drafts, parts[len(missing) :], [numbers[i] for i in missing])
        return torch.cat([one for one in found if one is not None])

    def saw(self, canvas: Canvas, logits: Tensor) -> None:
        """What the rows choose from in this step, bans included: the next drafts are made from it."""
        parts = logits.split([count.active for count in canvas.counts])
        for active, count, part in zip(canvas.active, canvas.counts, parts, strict=True):
            if self._steps[count.row] > 1:
                place = torch.where(active, active.cumsum(0) - 1, -1)
                self._last[count.row] = _Last(place, part)

    def leave(self, rows: Iterable[int]) -> None:
        """Forgets these rows of the batch."""
        for row in rows:
            self._known.pop(row, None)
            self._last.pop(row, None)

    def _found(self, host: Canvas, i: int, number: int) -> Tensor | None:
        """The logits of row i of the canvas if it is one of the drafts of its number; earlier ones are
        forgotten, and all if it is none of them."""
        step = host.counts[i].step
        left = [draft for draft in self._known.pop(number, []) if draft.step >= step]
        if not left or left[0].step != step:
            return None
        first = left[0]
        same = (
            torch.equal(first.tokens, host.tokens[i])
            and torch.equal(first.active, host.active[i])
            and torch.equal(first.unseen, host.unseen[i])
        )
        if not same:
            return None
        self._known[number] = left[1:]
        return first.logits.clone()  # what is banned is written into it

    def _drafted(self, canvas: Canvas) -> list[Canvas]:
        """The canvases that follow this one if the logits stay those of the last step, each of the rows that
        have one: the first of a new block is the last, as nothing is known of its positions."""
        drafts: list[Canvas] = []
        while (rows := self._going_on(canvas, len(drafts) + 1)) and any(rows):
            canvas = canvas.take(rows)
            logits = self._stale(canvas) if self._draft is None else self._draft(canvas)
            kept = samplers.observe(canvas, logits, self._table)
            canvas = samplers.commit(kept, samplers.choose(kept, logits, self._table), self._table)
            masked = (~samplers.finished(canvas, self._table)).tolist()
            if not any(masked):
                break
            canvas = samplers.activate(canvas.take(masked), self._table)
            canvas = canvas.counted(canvas.counts)
            drafts.append(canvas)
        return drafts

    def _going_on(self, canvas: Canvas, made: int) -> list[bool]:
        """The rows that have less than their number of canvases, `made` of them, and whose positions were all
        in their last step, if drafts are made from that."""
        if self._draft is not None:
            return [made < self._steps[count.row] for count in canvas.counts]
        going = []
        for active, count in zip(canvas.active, canvas.counts, strict=True):
            last = self._last.get(count.row)
            if last is None or made >= self._steps[count.row]:
                going.append(False)
            else:
                going.append(bool((last.place[active] >= 0).all()))
        return going

    def _stale(self, canvas: Canvas) -> Tensor:
        """The logits (N, V) of the canvas's active positions in the last step of its rows."""
        last = [self._last[count.row] for count in canvas.counts]
        return torch.cat(
            [one.logits[one.place[active]] for one, active in zip(last, canvas.active, strict=True)]
        )

    def _keep(self, drafts: Sequence[Canvas], parts: Sequence[Tensor], asked: Sequence[int]) -> None:
        """The drafts with their logits, by row."""
        for number in asked:
            self._known[number] = []
        tensors = [part for one in drafts for part in (one.tokens, one.active, one.unseen)]
        read = iter(to_host(tensors) if tensors else [])
        logits = iter(parts)
        for one in drafts:
            tokens, active, unseen = next(read), next(read), next(read)
            for i, count in enumerate(one.counts):
                draft = _Draft(count.step, tokens[i], active[i], unseen[i], next(logits))
                self._known[count.row].append(draft)
