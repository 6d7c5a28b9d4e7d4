"""One batch on the device: rows that are denoised together, and the host's record of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property

import torch
from torch import Tensor

from webui.canvas import Canvas, Choice
from webui.checkpoints.model import Model
from webui.checkpoints.session import open_session
from webui.core.events import Event, Progress, Started
from webui.core.result import Alternative, Change
from webui.denoising import samplers
from webui.denoising.alternatives import likeliest
from webui.denoising.chain import Chain
from webui.denoising.checks import Check
from webui.denoising.decode import Decoded, decode
from webui.denoising.drafting import Drafts
from webui.denoising.packing import PackedRow
from webui.denoising.replay import replay
from webui.denoising.sampler_registry import SamplerRegistry
from webui.denoising.samplers import BUILT_IN
from webui.denoising.samplers.plan import MEMORY
from webui.denoising.transfer import to_host
from webui.extension.errors import HookError
from webui.extension.extension import Extension


@dataclass
class LiveRow:
    """The host's record of a row while it is on the device.

    alternatives  if the request asks for them: the likeliest tokens of what was committed, by step and column
    """

    packed: PackedRow
    trace: list[Change] = field(default_factory=list)
    step: int = 0  # denoising steps so far
    resumed: int = 0  # of these, the ones made in an earlier run
    alternatives: dict[tuple[int, int], tuple[Alternative, ...]] = field(default_factory=dict)

    @property
    def cell(self) -> str:
        return self.packed.row.cell.id


@dataclass(frozen=True)
class Step:
    """What one model call did.

    changes  positions committed and remasked, by row number
    failed   errors of the rows that cannot go on, by row number; these rows are not in `changes`
    """

    changes: Mapping[int, tuple[Change, ...]]
    failed: Mapping[int, HookError]


class Batch:
    """Rows that share every forward pass, all of one cache mode. `step()` is one model call; rows leave as
    they end. Stopped if it is cancelled while traces are replayed.

    canvas  on the device
    host    the same rows on the host, kept equal by the same arithmetic; on a CPU the canvas itself
    """

    def __init__(
        self,
        model: Model,
        rows: Sequence[PackedRow],
        extensions: Iterable[type[Extension]],
        registry: SamplerRegistry | None = None,
        cancelled: Callable[[], bool] = lambda: False,
        report: Callable[[Event], None] = lambda event: None,
    ):
        self.model, self.rows = model, rows
        self.table = table = registry.table if registry else BUILT_IN
        self._owners: Mapping[str, str] = registry.owners if registry else {}
        traces: dict[int, list[Change]] = {}  # rows of one job share their start
        self.live = {i: self._resumed(packed, traces) for i, packed in enumerate(rows)}
        canvas = Canvas.build(
            [packed.prompt.tokens for packed in rows],
            [packed.answer for packed in rows],
            [packed.row.request.seed for packed in rows],
            model.mask,
            model.ends,
            given=[packed.given for packed in rows],
            weights=[packed.weights for packed in rows],
            nothing=self._nothing(),
            room=[packed.room for packed in rows],
        )
        request = rows[0].row.request
        reference = request.confidence_dtype == "reference"
        options = [packed.options for packed in rows]
        if reference:
            bits = float(model.dtype.itemsize * 8)
            options = [replace(one, own={**one.own, samplers.REFERENCE: bits}) for one in options]
        canvas = samplers.prepare(canvas, options, table)
        self.host = replay(canvas, [packed.row.request.canvas for packed in rows], table, cancelled)
        self.canvas = self.host.to(model.device)
        self.policy = [packed.row.request.end_of_text for packed in rows]
        self._endless = torch.tensor([policy == "ban" for policy in self.policy], device=model.device)
        self._ends = torch.tensor(model.ends, dtype=torch.long)
        steps = [packed.row.request.draft_steps for packed in rows]
        self._skip = request.draft_skip if max(steps) > 1 else 0.0
        if self._skip:
            model.skipping(self._skip)  # refused now, if it cannot
        self.drafts = Drafts(steps, table, self._draft if self._skip else None) if max(steps) > 1 else None
        self.session = open_session(model, request.cache or "exact", reference)
        self.chain = Chain(model, rows, extensions, self.session, cancelled, report)

    def start(self) -> list[Started | Progress]:
        """Calls the `canvas` hooks, and returns the events that describe each row at the start. HookError."""
        self.chain.build()
        self.canvas = self.chain.canvas(self.canvas)
        self.host = self.canvas.to("cpu")
        events: list[Started | Progress] = []
        for live in self.live.values():
            events.append(self._started(live))
            if live.resumed:
                events.append(Progress({live.cell: tuple(live.trace)}, {live.cell: live.step}))
        return events

    def step(self) -> Step:
        """One model call for every row. HookError if a hook raises; then nothing has changed.

        One transfer from the device: what the sampler chose, and the results of the checks. From these the
        host computes the next canvas just as the device does, and so knows every shape without asking.
        """
        host = samplers.activate(self.host, self.table)
        host, canvas = host.counted(host.counts), self.canvas
        if self._apart:
            begins = host.state is not self.host.state
            canvas = samplers.activate(canvas, self.table, begins).counted(host.counts)
        else:
            canvas = host
        self.chain.of_step = canvas, host
        drafts = self.drafts
        ask = None if drafts is None else (lambda canvas, call: drafts.logits(canvas, host, call))
        logits, finite = self.chain.logits(canvas, ask)
        checks = [finite]
        try:
            self._ban_ends(canvas, logits)
            logits, something_left = self.chain.banned(canvas, logits)
            checks += something_left
            if drafts is not None:
                drafts.saw(canvas, logits)
            kept = samplers.observe(canvas, logits, self.table)
            choice = samplers.choose(kept, logits, self.table)
            choice, more = self.chain.pick(canvas, logits, choice)
            chosen, failed = self._read(host, choice, [*checks, *more])
        except HookError:
            failed = self._failed(host, checks[:1], to_host([finite.wrong]))
            if failed:  # of logits that make no sense anything may follow
                return Step({}, failed)
            raise
        chosen, read = self._reviewed(host, chosen, failed), chosen
        if chosen is not read:
            choice = replace(choice, commit=chosen.commit.to(canvas.tokens.device))
        self.host = samplers.commit(host if self._apart else kept, chosen, self.table)
        self.canvas = samplers.commit(kept, choice, self.table) if self._apart else self.host
        changes = self._changes(host, chosen, failed)
        self._look_around(host, logits, chosen, changes)
        return Step(changes, failed)

    def ended(self) -> list[int]:
        """Row numbers of the rows that have ended: their sampler has finished, or there is an end-of-text
        token with no masked position before it."""
        canvas = self.host
        done = samplers.finished(canvas, self.table).tolist()
        numbers = canvas.row.tolist()
        ends = (canvas.tokens[:, :, None] == self._ends).any(2) & ~canvas.given
        if bool(ends.any()):
            first_end, first_masked = _first(ends), _first(canvas.masked)
            for i, number in enumerate(numbers):
                done[i] |= self.policy[number] != "keep" and first_end[i] < first_masked[i]
        return [number for number, over in zip(numbers, done, strict=True) if over]

    def leave(self, rows: Sequence[int]) -> None:
        """Takes these rows out of the canvas."""
        if rows:
            stay = [number not in rows for number in self.host.row.tolist()]
            self.host = self.host.take(stay)
            self.canvas = self.canvas.take(stay) if self._apart else self.host
            self.session.leave(rows)
            if self.drafts is not None:
                self.drafts.leave(rows)
            for row in rows:
                del self.live[row]

    def decode(self, row: int) -> Decoded:
        """The answer of a row as it stands now, as text."""
        return decode(self.model, self.rows[row], self.tokens(row))

    def tokens(self, row: int) -> list[int]:
        """The answer of a row as it stands now; the mask token where it is masked. Without the room that an
        answer has not grown into."""
        index, host = self.host.row.tolist().index(row), self.host
        end = host.tokens.shape[1]
        if self.rows[row].room:
            end -= int(host.absent[index].sum())
        return host.tokens[index, int(host.answer[index]) : end].tolist()

    def forwards(self, row: int) -> int:
        """The model calls that a row took part in, in this run."""
        live = self.live[row]
        return live.step - live.resumed - (0 if self.drafts is None else self.drafts.saved[row])

    def endless(self) -> dict[int, HookError]:
        """Errors of the rows that took more steps than they have positions and denoising steps, by row
        number. They would never end, which is the fault of the last `pick` or of an extension's sampler."""
        error = ValueError("the text was never finished.")
        return {
            row: HookError(
                self._owners.get(live.packed.options.sampler) or self.chain.last("pick", row), error
            )
            for row, live in self.live.items()
            if live.step - live.resumed > len(live.packed.answer) + live.packed.options.steps
        }

    @property
    def _apart(self) -> bool:
        """Whether the device has memory of its own."""
        return self.model.device.type != "cpu"

    def _ban_ends(self, canvas: Canvas, logits: Tensor) -> None:
        """Makes what is never written minus infinity, the mask token too, and end-of-text where the row's
        policy forbids it."""
        for token in (self.model.mask, *self.model.description.forbidden):
            logits.select(1, token).fill_(-torch.inf)
        if "ban" in self.policy:
            endless = self._endless[canvas.row[canvas.at[0]]]
            for end in self.model.ends:
                logits.select(1, end).masked_fill_(endless, -torch.inf)
        if (expand := self.model.description.expand) is not None:
            if canvas.nothing == expand:
                rows = self._resizing_on_device[canvas.row]
                logits.select(1, expand).masked_fill_(~samplers.may_expand(canvas, rows), -torch.inf)
            else:
                logits.select(1, expand).fill_(-torch.inf)

    def _draft(self, canvas: Canvas) -> Tensor:
        """Logits (N, V) that the next draft of each row is made from, by a pass without some layers."""
        with self.model.skipping(self._skip):
            logits = self.chain.logits(canvas)[0]
        self._ban_ends(canvas, logits)
        return logits

    def _nothing(self) -> int:
        """The token of positions that are not there, if some row's sampler adds or takes away positions;
        else -1."""
        expand = self.model.description.expand
        if expand is not None and any(
            self.table.samplers[packed.options.sampler].resize is not None for packed in self.rows
        ):
            return expand
        return self.model.mask if any(packed.room for packed in self.rows) else -1

    @cached_property
    def _resizing_on_device(self) -> Tensor:
        return torch.tensor(self._resizing, device=self.model.device)

    @cached_property
    def _resizing(self) -> list[bool]:
        """Of each row whether its sampler adds or takes away positions."""
        return [
            packed.room > 0 or self.table.samplers[packed.options.sampler].resize is not None
            for packed in self.rows
        ]

    def _read(
        self, host: Canvas, choice: Choice, checks: Sequence[Check]
    ) -> tuple[Choice, dict[int, HookError]]:
        """The choice on the host, and the rows with which something is wrong: the one transfer of a step."""
        values = ((part.name, getattr(choice, part.name)) for part in fields(Choice))
        parts = {name: value for name, value in values if value is not None}
        read = to_host([*parts.values(), *(check.wrong for check in checks)])
        chosen = Choice(**dict(zip(parts, read, strict=False)))
        return chosen, self._failed(host, checks, read[len(parts) :])

    def _reviewed(self, host: Canvas, chosen: Choice, failed: Mapping[int, HookError]) -> Choice:
        """What the `review` hooks leave of the choice. What rows commit that failed is not shown to them: it
        may be nonsense."""
        if failed:
            wrong = torch.tensor([count.row in failed for count in host.counts])
            chosen = replace(chosen, commit=chosen.commit & ~wrong[host.at[0]])
        return self.chain.review(host, chosen)

    def _failed(
        self,
        host: Canvas,
        checks: Sequence[Check],
        wrong: Sequence[Tensor],
    ) -> dict[int, HookError]:
        """The error of every row that failed a check, by row number; the first failed check counts. Raises
        HookError if the extension at fault does not work for the row that it damaged: then its own rows must
        be found."""
        failed: dict[int, HookError] = {}
        for check, found in zip(checks, wrong, strict=True):
            for index in check.rows(host, found):
                number = host.counts[index].row
                if number not in failed:
                    error = check.blame(index)
                    if not self.chain.work_for(error.extensions, number):
                        raise error
                    failed[number] = error
        return failed

    def _changes(
        self, host: Canvas, choice: Choice, failed: Mapping[int, HookError]
    ) -> dict[int, tuple[Change, ...]]:
        """What the step changed, by row number: first what was remasked, then what was committed."""
        changes: dict[int, list[Change]] = {row: [] for row in self.live if row not in failed}
        numbers, starts = [count.row for count in host.counts], host.answer.tolist()
        if choice.remask is not None:
            remasked = choice.remask & ~host.given & ~host.masked & self.host.masked
            for index, column in remasked.nonzero().tolist():
                if (number := numbers[index]) in changes:
                    step = self.live[number].step + 1
                    changes[number].append(Change(step, column - starts[index], None, "", None))
        rows, columns = host.at
        took = (choice.commit & (choice.token != host.tokens[rows, columns])).nonzero()[:, 0]
        parts = (rows, columns, choice.token, choice.probability)
        for index, column, token, probability in zip(*(part[took].tolist() for part in parts), strict=True):
            if (number := numbers[index]) in changes:
                step, text = self.live[number].step + 1, self.model.words[token]
                made = Change(step, column - starts[index], token, text, _exact(probability))
                changes[number].append(made)
        for index, number in enumerate(numbers):
            if host.nothing >= 0 and self._resizing[number] and number in changes:
                changes[number] = self._resized(host, index, starts[index], self.live[number].step + 1)
        for row, made in changes.items():
            self.live[row].step += 1
            self.live[row].trace += made
        return {row: tuple(made) for row, made in changes.items()}

    def _resized(self, host: Canvas, index: int, start: int, step: int) -> list[Change]:
        """What a step changed of a row whose sampler adds and takes away positions: tokens that moved, too,
        with the probability that they were committed with."""
        old, new = host.tokens[index], self.host.tokens[index]
        was, now = host.state.own[MEMORY][index], self.host.state.own[MEMORY][index]
        there = (new != host.mask) & (new != host.nothing)
        moved = ~self.host.given[index] & there & (was != now)
        made = []
        came = host.absent[index] & ~self.host.absent[index]
        for column in ((old != new) | moved | came).nonzero()[:, 0].tolist():
            token = int(new[column])
            if token == host.mask:
                made.append(Change(step, column - start, None, "", None))
            else:
                probability = _exact(float(now[column]))
                made.append(Change(step, column - start, token, self.model.words[token], probability))
        return made

    def _look_around(
        self, host: Canvas, logits: Tensor, chosen: Choice, changes: Mapping[int, Sequence[Change]]
    ) -> None:
        """Keeps the likeliest tokens of what was committed, for the rows that ask for them: a second transfer
        from the device, of a few numbers for each token."""
        asked = {row: self.rows[row].row.request.alternatives for row in changes}
        if not any(asked.values()):
            return
        starts, counts = host.answer.tolist(), host.counts
        places = {
            (counts[index].row, column - starts[index], token): n
            for n, (index, column, token) in enumerate(
                zip(*(part.tolist() for part in (*host.at, chosen.token)), strict=True)
            )
        }
        committed = [
            (row, change)
            for row, made in changes.items()
            for change in made
            if asked[row] and change.token is not None and (row, change.column, change.token) in places
        ]
        found = likeliest(
            logits,
            [
                places[row, change.column, change.token]
                for row, change in committed
                if change.token is not None
            ],
            max(asked.values()),
        )
        for (row, change), tokens in zip(committed, found, strict=True):
            self.live[row].alternatives[change.step, change.column] = tuple(
                Alternative(token, self.model.words[token], _exact(probability))
                for token, probability in tokens[: asked[row]]
            )

    def _resumed(self, packed: PackedRow, traces: dict[int, list[Change]]) -> LiveRow:
        """The row, with the trace that it continues. traces: those already made, by the id of their start."""
        start = packed.row.request.canvas
        if start is None:
            return LiveRow(packed)
        words = self.model.words
        if id(start) not in traces:
            traces[id(start)] = [
                Change(step, column, token, "" if token is None else words[token], confidence)
                for step, column, token, confidence in start.entries
            ]
        return LiveRow(packed, list(traces[id(start)]), start.steps, start.steps)

    def _started(self, live: LiveRow) -> Started:
        answer = live.packed.answer
        pieces = self.model.tokenizer.pieces(
            [None if token == self.model.mask else token for token in answer]
        )
        first = len(answer) - live.packed.room
        pieces = [*pieces[:first], *[""] * live.packed.room]
        there = (Change(0, i, answer[i], piece, None) for i, piece in enumerate(pieces) if piece is not None)
        return Started(live.cell, len(answer), live.packed.options.steps, tuple(there))


def _exact(value: float) -> float:
    """A probability in as few digits as bring a float32 back exactly; what rounding put outside 0 to 1 is
    moved there."""
    return min(max(float(f"{value:.9g}"), 0.0), 1.0)


def _first(where: Tensor) -> list[int]:
    """For each row of `where` (B, L) the first column that is true, L if none is."""
    width = where.shape[1]
    return torch.where(where, torch.arange(width), width).amin(1).tolist()
