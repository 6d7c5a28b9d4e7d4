"""One batch on the device: the chain of extensions around the model, and what the host knows of each row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import torch
from torch import Tensor

from webui.canvas import Canvas, Choice, Template
from webui.checkpoints.model import Model
from webui.core.events import Started
from webui.core.prompt import Gap
from webui.core.result import Change
from webui.denoising import samplers
from webui.denoising.packing import PackedRow, encode
from webui.extension.errors import HookError
from webui.extension.extension import Extension
from webui.extension.row import Row

OPEN = "…"  # stands for open positions in the text of a row that was stopped


class Link:
    """The model as one extension sees it: what lies below it in the chain, and the batch's texts in
    tokens."""

    def __init__(self, model: Model, rows: Sequence[PackedRow], below: Callable[[Canvas], Tensor]):
        self._model, self._rows, self._below = model, rows, below
        self.mask, self.ends, self.vocabulary, self.device = (
            model.mask,
            model.ends,
            model.vocabulary,
            model.device,
        )

    def __call__(self, *canvases: Canvas) -> Tensor | tuple[Tensor, ...]:
        """Logits (N, V) of the active positions of each canvas, all of them in one forward pass; one tensor
        for one canvas."""
        if len(canvases) == 1:
            return self._below(canvases[0])
        logits = self._below(canvases[0].cat(*canvases[1:]))
        return logits.split([canvas.at[0].numel() for canvas in canvases])

    def template(self, name: str) -> Template:
        """The rows' prompts of this name; a row without one gets the empty branch: its prompt, content
        masked, frame kept."""
        tokens = [encode(packed.row, name, self._model.tokenizer, self.mask).tokens for packed in self._rows]
        return Template.of(tokens, self.device)

    def encode(self, text: str) -> list[int]:
        """User text in tokens; nothing in it is special."""
        return self._model.tokenizer.encode(text)

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens, special ones left out."""
        return self._model.tokenizer.decode(tokens)

    def words(self) -> tuple[str, ...]:
        """The text of every token by itself, special tokens empty: what spelling tables are built from."""
        return self._model.words

    def answer(self, row: int) -> tuple[int, ...]:
        """What row number `row` of the batch started from, in tokens; `mask` where it was open."""
        return self._rows[row].answer


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
        self.links: dict[str, tuple[Extension, Link]] = {}
        self._extensions = tuple(extensions)
        self._working: dict[str, list[Row | None]] = {}  # per extension, the rows it has something to do for
        self._order: dict[str, list[str]] = {hook: [] for hook in ("canvas", "denoise", "ban", "pick")}

    def _build(self) -> None:
        """Makes one object per extension that has something to do here, and the chain of links around the
        model. HookError."""
        self.below: Callable[[Canvas], Tensor] = self.model
        hooked = [kind for kind in self._extensions if any(kind.has(hook) for hook in self._order)]
        for kind in sorted(hooked, key=lambda kind: (kind.order_of("denoise"), kind.name)):
            on = [None if kind.neutral(packed.row) else packed.row for packed in self.rows]
            if all(row is None for row in on):
                continue
            self._working[kind.name] = on
            link = Link(self.model, self.rows, self.below)
            try:
                extension = kind(on)
            except Exception as error:
                raise HookError(kind.name, error) from error
            self.links[kind.name] = (extension, link)
            if kind.has("denoise"):
                self.below = _guarded(extension, link)
        for hook, names in self._order.items():
            having = [name for name, (extension, _) in self.links.items() if type(extension).has(hook)]
            names += sorted(having, key=lambda name: (type(self.links[name][0]).order_of(hook), name))

    def start(self) -> list[Started]:
        """Lets extensions see the canvas, and tells what it holds at the start. HookError."""
        self._build()
        for name in self._order["canvas"]:
            self.canvas = self._hook(name, "canvas", self.canvas)
        return [self._started(live) for live in self.live.values()]

    def step(self) -> dict[int, tuple[Change, ...]]:
        """One model call for every row; what changed, by row number. HookError, or ValueError for logits that
        are no numbers."""
        canvas = samplers.activate(self.canvas)
        logits = self.below(canvas)
        if not bool(torch.isfinite(logits).all()):
            raise HookError(self.last("denoise"), ValueError("gave logits that are not finite numbers."))
        logits = self._banned(canvas, logits)
        choice = samplers.choose(canvas, logits)
        for name in self._order["pick"]:
            choice = self._hook(name, "pick", canvas, choice)
            _check_shape(name, "a choice of tokens", choice.token, logits.shape[:1])
            _check_shape(name, "a choice of commits", choice.commit, logits.shape[:1])
        self.canvas = samplers.commit(canvas, choice)
        return self._changes(canvas, choice)

    def ended(self) -> list[int]:
        """Row numbers that have nothing left to decide: no open position, or an end-of-text with nothing open
        before it."""
        canvas = self.canvas
        columns = torch.arange(canvas.tokens.shape[1], device=canvas.tokens.device)
        far = canvas.tokens.shape[1]
        first_open = torch.where(canvas.open, columns, far).amin(1)
        ends = (
            torch.isin(canvas.tokens, torch.tensor(canvas.ends, device=canvas.tokens.device)) & ~canvas.given
        )
        first_end = torch.where(ends, columns, far).amin(1)
        stops = torch.tensor([policy != "keep" for policy in self.policy], device=canvas.tokens.device)[
            canvas.row
        ]
        done = (first_open == far) | ((first_end < first_open) & stops)
        return canvas.row[done].tolist()

    def leave(self, rows: Sequence[int]) -> None:
        """Takes these rows out of the canvas."""
        if rows:
            gone = torch.tensor(list(rows), device=self.canvas.tokens.device)
            self.canvas = self.canvas.take(~torch.isin(self.canvas.row, gone))
            for row in rows:
                del self.live[row]

    def last(self, hook: str, row: int | None = None) -> str:
        """Name of the outermost extension with this hook (that works for this row), or of the checkpoint if
        there is none."""
        names = [name for name in self._order[hook] if row is None or self._working[name][row] is not None]
        return names[-1] if names else self.model.description.name

    def without(self, extension: str) -> list[int]:
        """The numbers of the live rows that a failed extension was working for; all of them if it is no
        extension."""
        working = self._working.get(extension)
        return [i for i in self.live if working is None or working[i] is not None]

    def text(self, row: int) -> tuple[str, tuple[str | None, ...], bool]:
        """A row's text, its pieces token by token (None is open), and whether nothing is missing."""
        index = int((self.canvas.row == row).nonzero()[0, 0])
        packed = self.rows[row]
        tokens = self.canvas.tokens[index, int(self.canvas.answer[index]) :].tolist()
        pieces = self.model.tokenizer.pieces(
            [None if token == self.model.mask else token for token in tokens]
        )
        if packed.row.draft is not None:
            return self._filled(packed, tokens, pieces)
        end = next((i for i, token in enumerate(tokens) if token in self.model.ends), len(tokens))
        whole = None not in pieces[:end]
        text = _join(pieces[:end])
        prefix = self.model.description.prefix
        return (
            text.removeprefix(prefix) if packed.row.request.template != "raw" else text,
            tuple(pieces),
            whole,
        )

    def _filled(self, packed: PackedRow, tokens: list[int], pieces: list) -> tuple[str, tuple, bool]:
        """A draft's text: what was given byte for byte, what was decided between."""
        mask, answer = self.model.mask, packed.answer
        starts = [i for i, token in enumerate(answer) if token == mask and (i == 0 or answer[i - 1] != mask)]
        texts = self._fillings(packed, pieces, starts)
        return packed.row.draft.filled(texts), tuple(pieces), mask not in tokens

    def _fillings(self, packed: PackedRow, pieces: list, starts: list[int]) -> list[str]:
        """The text of each gap of the draft; neighbouring gaps are one run of open positions."""
        texts: list[str] = []
        runs = iter(starts)
        at, previous = 0, False
        for part in packed.row.draft.parts:
            if not isinstance(part, Gap):
                previous = False
                continue
            at = at if previous else next(runs)
            text = _join(pieces[at : at + part.tokens])
            texts.append(text.removeprefix(self.model.description.prefix) if not texts and at == 0 else text)
            at, previous = at + part.tokens, True
        return texts

    def _banned(self, canvas: Canvas, logits: Tensor) -> Tensor:
        """Logits with minus infinity where nothing may be decided: the mask token, the policy's end-of-text,
        extensions' bans."""
        bans = torch.zeros_like(logits, dtype=torch.bool)
        bans[:, self.model.mask] = True
        strict = torch.tensor([policy == "ban" for policy in self.policy], device=logits.device)[canvas.row]
        bans[:, list(self.model.ends)] |= strict[canvas.at[0]][:, None]
        for name in self._order["ban"]:
            more = self._hook(name, "ban", canvas)
            if more is not None:
                _check_shape(name, "bans", more, bans.shape)
                bans = bans | more
        if bool(bans.all(1).any()):
            raise HookError(
                " and ".join(self._order["ban"]), ValueError("every token is forbidden at some position.")
            )
        return logits.masked_fill(bans, -torch.inf)

    def _changes(self, canvas: Canvas, choice: Choice) -> dict[int, tuple[Change, ...]]:
        rows, columns = canvas.at
        took = choice.commit
        where = torch.stack([canvas.row[rows], columns - canvas.answer[rows], choice.token])[:, took].tolist()
        sure = choice.probability[took].tolist()
        changes: dict[int, list[Change]] = {row: [] for row in self.live}
        for row, column, token, confidence in zip(*where, sure, strict=True):
            step = self.live[row].step + 1
            changes[row].append(Change(step, column, token, self.model.words[token], round(confidence, 4)))
        for row, live in self.live.items():
            live.step += 1
            live.trace += changes[row]
        return {row: tuple(decisions) for row, decisions in changes.items()}

    def _started(self, live: LiveRow) -> Started:
        answer = live.packed.answer
        pieces = self.model.tokenizer.pieces(
            [None if token == self.model.mask else token for token in answer]
        )
        given = (Change(0, i, answer[i], piece, None) for i, piece in enumerate(pieces) if piece is not None)
        return Started(live.cell, len(answer), live.packed.options.steps, tuple(given))

    def _hook(self, name: str, hook: str, canvas: Canvas, *more: object) -> object:
        extension, link = self.links[name]
        try:
            return getattr(extension, hook)(canvas, link, *more)
        except HookError:
            raise
        except Exception as error:
            raise HookError(name, error) from error


def _guarded(extension: Extension, link: Link) -> Callable[[Canvas], Tensor]:
    def denoise(canvas: Canvas) -> Tensor:
        try:
            logits = extension.denoise(canvas, link)
            _check_shape(extension.name, "logits", logits, (canvas.at[0].numel(), link.vocabulary))
            return logits
        except (HookError, torch.OutOfMemoryError):
            raise
        except Exception as error:
            raise HookError(extension.name, error) from error

    return denoise


def _join(pieces: Sequence[str | None]) -> str:
    """The text of pieces, each run of open positions shown as one ellipsis."""
    return "".join(
        OPEN if is_open else "".join(run) for is_open, run in groupby(pieces, key=lambda piece: piece is None)
    )


def _check_shape(name: str, what: str, value: Tensor, shape: Sequence[int]) -> None:
    """HookError if an extension gave something of another shape."""
    if tuple(value.shape) != tuple(shape):
        raise HookError(name, ValueError(f"gave {what} of shape {tuple(value.shape)}, not {tuple(shape)}."))
