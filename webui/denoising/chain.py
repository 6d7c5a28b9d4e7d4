"""The chain of extensions around the model in one batch: links, hook calls, bans, and checks of results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from webui.canvas import Canvas, Choice, Template
from webui.checkpoints.model import Model
from webui.denoising.packing import PackedRow, encode
from webui.extension.errors import HookError
from webui.extension.extension import Extension
from webui.extension.row import Row

if TYPE_CHECKING:
    from webui.extension.link import Link

HOOKS = ("canvas", "denoise", "ban", "pick")  # those that are called on the object made for one batch


class ChainLink:
    """A `Link`: the model as one extension of a batch sees it."""

    def __init__(self, model: Model, rows: Sequence[PackedRow], below: Callable[[Canvas], Tensor]):
        self._model, self._rows, self._below = model, rows, below
        self.mask: int = model.mask
        self.ends: tuple[int, ...] = model.ends
        self.vocabulary: int = model.vocabulary
        self.device: torch.device = model.device

    def __call__(self, *canvases: Canvas) -> Any:
        if len(canvases) == 1:
            return self._below(canvases[0])
        logits = self._below(canvases[0].cat(*canvases[1:]))
        return logits.split([canvas.at[0].numel() for canvas in canvases])

    def template(self, name: str) -> Template:
        tokens = [encode(packed.row, name, self._model.tokenizer, self.mask).tokens for packed in self._rows]
        return Template.of(tokens, self.device)

    def encode(self, text: str) -> list[int]:
        return self._model.tokenizer.encode(text)

    def decode(self, tokens: Sequence[int]) -> str:
        return self._model.tokenizer.decode(tokens)

    def words(self) -> tuple[str, ...]:
        return self._model.words

    def answer(self, row: int) -> tuple[int, ...]:
        return self._rows[row].answer

    def spans(self, row: int) -> tuple[tuple[int, int], ...]:
        return self._rows[row].spans


class Chain:
    """The extensions that have something to do in a batch, each made once, and the links between them."""

    def __init__(self, model: Model, rows: Sequence[PackedRow], extensions: Iterable[type[Extension]]):
        self.model, self.rows = model, rows
        self._extensions = tuple(extensions)
        self._working: dict[str, list[Row | None]] = {}  # per extension, the rows it has something to do for
        self._links: dict[str, tuple[Extension, Link]] = {}
        self._below: Callable[[Canvas], Tensor] = model
        self._order: dict[str, list[str]] = {hook: [] for hook in HOOKS}

    def build(self) -> None:
        """Makes one object of each extension that has something to do here, and the links. HookError."""
        hooked = [kind for kind in self._extensions if any(kind.has(hook) for hook in HOOKS)]
        for kind in sorted(hooked, key=lambda kind: (kind.order_of("denoise"), kind.name)):
            on = [None if kind.neutral(packed.row) else packed.row for packed in self.rows]
            if any(row is not None for row in on):
                self._add(kind, on, ChainLink(self.model, self.rows, self._below))
        self._order = {hook: self._chain(hook) for hook in HOOKS}

    def _add(self, kind: type[Extension], on: list[Row | None], link: Link) -> None:
        self._working[kind.name] = on
        try:
            extension = kind(on)
        except Exception as error:
            raise HookError(kind.name, error) from error
        self._links[kind.name] = (extension, link)
        if kind.has("denoise"):
            self._below = _guarded(extension, link)

    def _chain(self, hook: str) -> list[str]:
        having = [name for name, (extension, _) in self._links.items() if type(extension).has(hook)]
        return sorted(having, key=lambda name: (type(self._links[name][0]).order_of(hook), name))

    def canvas(self, canvas: Canvas) -> Canvas:
        """The canvas as the extensions want it, before the first model call. HookError."""
        for name in self._order["canvas"]:
            canvas = self._call(name, "canvas", canvas)
        return canvas

    def logits(self, canvas: Canvas) -> Tensor:
        """(N, V): one model call through all links, finite. HookError."""
        logits = self._below(canvas)
        if not bool(torch.isfinite(logits).all()):
            raise HookError(self.last("denoise"), ValueError("gave logits that are not finite numbers."))
        return logits

    def bans(self, canvas: Canvas, bans: Tensor) -> Tensor:
        """bool (N, V): `bans` and those of the extensions. HookError if nothing is left at a position."""
        for name in self._order["ban"]:
            more = self._call(name, "ban", canvas)
            if more is not None:
                _check_shape(name, "bans", more, bans.shape)
                bans = bans | more
        if bool(bans.all(1).any()):
            raise HookError(
                " and ".join(self._order["ban"]), ValueError("every token is forbidden at some position.")
            )
        return bans

    def pick(self, canvas: Canvas, choice: Choice) -> Choice:
        """The sampler's choice after every `pick`. HookError."""
        shape = choice.token.shape
        for name in self._order["pick"]:
            choice = self._call(name, "pick", canvas, choice)
            _check_shape(name, "a choice of tokens", choice.token, shape)
            _check_shape(name, "a choice of commits", choice.commit, shape)
        return choice

    def last(self, hook: str, row: int | None = None) -> str:
        """Name of the outermost extension with this hook (that works for this row), or of the checkpoint if
        there is none."""
        names = [name for name in self._order[hook] if row is None or self._working[name][row] is not None]
        return names[-1] if names else self.model.description.name

    def works_for(self, extension: str, row: int) -> bool:
        """Whether the extension has something to do for this row; true for what is no extension."""
        working = self._working.get(extension)
        return working is None or working[row] is not None

    def _call(self, name: str, hook: str, canvas: Canvas, *more: object) -> Any:
        extension, link = self._links[name]
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


def _check_shape(name: str, what: str, value: Tensor, shape: Sequence[int]) -> None:
    """HookError if an extension gave something of another shape."""
    if tuple(value.shape) != tuple(shape):
        raise HookError(name, ValueError(f"gave {what} of shape {tuple(value.shape)}, not {tuple(shape)}."))
