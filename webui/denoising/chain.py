"""The chain of extensions around the model in one batch: links, hook calls, bans, and checks of results."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from webui.canvas import Canvas, Choice, Template
from webui.checkpoints.model import Model
from webui.checkpoints.session import Session
from webui.checkpoints.weights import faulty_weight
from webui.core.errors import Refusal
from webui.core.events import Event, Preparing
from webui.core.result import Result
from webui.denoising.checks import (
    Check,
    check_canvas,
    check_choice,
    check_indices,
    check_tensor,
    choice_checks,
    not_finite,
    versions,
)
from webui.denoising.packing import PackedRow, encode, log_weights
from webui.extension.errors import HookError, is_of_hook
from webui.extension.extension import Extension
from webui.extension.order import ordered
from webui.extension.row import Row, is_whole

if TYPE_CHECKING:
    from webui.extension.link import Link

HOOKS = (
    "patch",
    "canvas",
    "denoise",
    "ban",
    "pick",
    "review",
    "finish",
)  # called on the object made for one batch
MAX_EXTRAS = 100_000  # characters of names and values that `finish` may give for one text
MAX_NUMBER = 2**63
NOT_FINITE = "gave logits that are not finite numbers."


class ChainLink:
    """A `Link`: the model as one extension of a batch sees it."""

    def __init__(
        self,
        name: str,
        model: Model,
        rows: Sequence[PackedRow],
        below: Callable[[Canvas], Tensor],
        chain: Chain,
    ):
        self._name, self._model, self._rows, self._below, self._chain = name, model, rows, below, chain
        self.mask: int = model.mask
        self.ends: tuple[int, ...] = model.ends
        self.vocabulary: int = model.vocabulary
        self.device: torch.device = model.device
        self.prefix: str = model.description.prefix

    def __call__(self, *canvases: Canvas) -> Any:
        if len(canvases) == 1:
            return self._below(canvases[0])
        logits = self._below(canvases[0].cat(*canvases[1:]))
        return logits.split([canvas.at[0].numel() for canvas in canvases])

    def template(self, name: str) -> Template:
        encoded = [encode(packed.row, name, self._model.tokenizer, self.mask) for packed in self._rows]
        weights = [log_weights(p.row, name, one) for p, one in zip(self._rows, encoded, strict=True)]
        return Template.of([one.tokens for one in encoded], self.device, name, weights)

    def encode(self, text: str) -> list[int]:
        return self._model.tokenizer.encode(text)

    def encode_all(self, texts: Sequence[str]) -> list[list[int]]:
        return self._model.tokenizer.encode_all(texts)

    def decode(self, tokens: Sequence[int]) -> str:
        return self._model.tokenizer.decode(tokens)

    def words(self) -> tuple[str, ...]:
        return self._model.words

    def token_bytes(self) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
        return self._model.token_bytes

    def answer(self, row: int) -> tuple[int, ...]:
        return self._rows[row].answer

    def spans(self, row: int) -> tuple[tuple[int, int], ...]:
        return self._rows[row].spans

    def on_host(self, canvas: Canvas) -> Canvas:
        of_step = self._chain.of_step
        return of_step[1] if of_step is not None and canvas is of_step[0] else canvas.to("cpu")

    def cancelled(self) -> bool:
        return self._chain.cancelled()

    def report(self, stage: str, done: float, most: float) -> None:
        self._chain.report(Preparing(self._name, stage, float(done), float(most)))


class PatchError(HookError):
    """The model may still be patched: it must not be used again."""


class _NotFinite(BaseException):
    """The model gave logits that are not finite. Not an Exception, so that no hook can catch it by
    accident."""


class _ModelFailed(BaseException):
    """The model raised an error. Not an Exception, as above."""

    def __init__(self, error: BaseException):
        super().__init__(str(error))
        self.error = error


class Chain:
    """The extensions that have something to do in a batch, each made once, and the links between them.

    What a hook raises becomes a HookError with the extension's name; what it returns is checked. Values are
    checked on the device and read together with the step's changes, so that a step needs one transfer: see
    `Check`.

    of_step  the batch's canvas in the step under way, on the device and on the host
    """

    def __init__(
        self,
        model: Model,
        rows: Sequence[PackedRow],
        extensions: Iterable[type[Extension]],
        session: Session | None = None,
        cancelled: Callable[[], bool] = lambda: False,
        report: Callable[[Event], None] = lambda event: None,
    ):
        self.cancelled, self.report = cancelled, report
        self.of_step: tuple[Canvas, Canvas] | None = None
        self.model, self.rows = model, rows
        self.session = session or Session(model)
        self._extensions = tuple(extensions)
        self._working: dict[str, list[Row | None]] = {}  # per extension, the rows it has something to do for
        self._links: dict[str, tuple[Extension, Link]] = {}
        self._below: Callable[[Canvas], Tensor] = self._evaluate
        self._order: dict[str, list[str]] = {hook: [] for hook in HOOKS}
        self._built = False
        self._tracing = False  # whether each link's logits are checked, to find which one is at fault

    def build(self) -> None:
        """Makes one object of each extension that has something to do here, and the links, once.
        HookError."""
        if self._built:
            return
        hooked = [kind for kind in self._extensions if any(kind.has(hook) for hook in HOOKS)]
        for kind in ordered(hooked, "denoise"):
            on = [None if _guarded(kind.name, kind.neutral, p.row) else p.row for p in self.rows]
            if any(row is not None for row in on):
                self._add(kind, on)
        self._order = {hook: self._chain(hook) for hook in HOOKS}
        self._built = True

    @contextmanager
    def patched(self) -> Iterator[None]:
        """Every `patch` is in effect inside this context and undone after it, whatever happens inside.
        HookError; PatchError if the model may still be patched."""
        names, module = self._order["patch"], self.model.module
        before = _wiring(module) if names else ()
        entered: list[tuple[str, AbstractContextManager]] = []
        try:
            for name in names:
                manager = _guarded(name, self._links[name][0].patch, self.model)
                if not isinstance(manager, AbstractContextManager):
                    error = ValueError(f"gave {type(manager).__name__} instead of a context manager.")
                    raise HookError(name, error)
                _guarded(name, manager.__enter__)
                entered.append((name, manager))
            yield
        finally:
            faults: dict[str, BaseException] = {}
            for name, manager in reversed(entered):
                try:
                    _guarded(name, manager.__exit__, None, None, None)
                except BaseException as error:
                    if not is_of_hook(error):
                        raise
                    faults[name] = error
            if faults or (names and _wiring(module) != before):
                raise PatchError(list(faults) or names, ValueError("left the model changed."))

    def finish(self, row: int, result: Result) -> tuple[dict[str, dict[str, Any]], list[HookError]]:
        """What `finish` hooks return for a result, by extension; and the error of each that failed. A failure
        loses these values, not the text."""
        extras: dict[str, dict[str, Any]] = {}
        failed: list[HookError] = []
        for name in self._order["finish"]:
            if self._working[name][row] is None:
                continue
            try:
                said = _guarded(name, self._links[name][0].finish, self.rows[row].row, result)
                if said is not None and (values := _guarded(name, _checked_extras, said)):
                    extras[name] = values
            except HookError as error:
                failed.append(error)
        return extras, failed

    def canvas(self, canvas: Canvas) -> Canvas:
        """The canvas as the extensions want it, before the first model call. HookError."""
        for name in self._order["canvas"]:
            canvas = check_canvas(name, self._call(name, "canvas", canvas), canvas)
        return canvas

    def logits(
        self, canvas: Canvas, ask: Callable[[Canvas, Callable[[Canvas], Tensor]], Tensor] | None = None
    ) -> tuple[Tensor, Check]:
        """(N, V): one model call through all links, in a tensor that nobody else holds; and whether they are
        finite. HookError. ask: gets the canvas and the call, and may make it with another canvas."""
        try:
            logits = self._below(canvas) if ask is None else ask(canvas, self._below)
        except _ModelFailed as failure:
            raise self._error(self._blame_model(failure.error), failure.error) from failure.error
        wrong = not_finite(logits)
        if self._order["denoise"]:
            logits = logits.clone()
        return logits, Check(wrong, lambda index: self._blame_logits(canvas, index))

    def banned(self, canvas: Canvas, logits: Tensor) -> tuple[Tensor, list[Check]]:
        """`logits` (N, V) with the tokens that extensions ban at minus infinity; and whether that leaves a
        token everywhere, if anything is banned. HookError."""
        each = dict[str, Tensor]()
        for name in self._order["ban"]:
            bans = self._call(name, "ban", canvas)
            if bans is not None:
                each[name] = check_tensor(name, "bans", bans, logits.shape, torch.bool, logits.device)
        if not each:
            return logits, []
        left = logits
        for bans in each.values():
            left = left.masked_fill(bans, -torch.inf)
        wrong = left.amax(1) == -torch.inf
        return left, [Check(wrong, lambda index: _blame_bans(canvas, logits, each, wrong, index))]

    def pick(self, canvas: Canvas, logits: Tensor, choice: Choice) -> tuple[Choice, list[Check]]:
        """The sampler's choice after every `pick`; and whether its values make sense. HookError."""
        shape, device, checks = choice.token.shape, choice.token.device, list[Check]()
        for name in self._order["pick"]:
            before, as_it_was = choice, versions(choice)
            choice = check_choice(
                name, canvas, self._call(name, "pick", canvas, logits, choice), shape, device
            )
            if choice is not before or versions(choice) != as_it_was:
                checks += choice_checks(name, canvas, logits, choice)
        return choice, checks

    def review(self, canvas: Canvas, choice: Choice) -> Choice:
        """The choice, both on the host, without the commits that a `review` withdraws. HookError."""
        for name in self._order["review"]:
            given = self._call(name, "review", canvas, choice)
            found = _guarded(name, list, given) if isinstance(given, Iterable) else given
            if withdrawn := check_indices(name, found, len(choice.token)):
                commit = choice.commit.clone()
                commit[withdrawn] = False
                choice = replace(choice, commit=commit)
        return choice

    def last(self, hook: str, row: int) -> str:
        """Name of the outermost extension with this hook that works for this row, or of the checkpoint if
        there is none."""
        names = [name for name in self._order[hook] if self._working[name][row] is not None]
        return names[-1] if names else self.model.description.name

    def work_for(self, names: Sequence[str], row: int) -> bool:
        """Whether one of these extensions has something to do for this row; true for what is no extension."""
        return any(name not in self._working or self._working[name][row] is not None for name in names)

    def _add(self, kind: type[Extension], on: list[Row | None]) -> None:
        link = ChainLink(kind.name, self.model, self.rows, self._below, self)
        self._working[kind.name] = on
        extension = _guarded(kind.name, kind, on)
        self._links[kind.name] = (extension, link)
        if kind.has("denoise"):
            self._below = lambda canvas: self._denoised(extension, link, canvas)

    def _chain(self, hook: str) -> list[str]:
        having = [type(extension) for extension, _ in self._links.values() if type(extension).has(hook)]
        return [kind.name for kind in ordered(having, hook)]

    def _call(self, name: str, hook: str, canvas: Canvas, *more: object) -> Any:
        extension, link = self._links[name]
        return _unchanging(name, getattr(extension, hook), canvas, link, *more)

    def _evaluate(self, canvas: Canvas) -> Tensor:
        """The model itself, below all links."""
        try:
            logits = self.model(canvas) if self._tracing else self.session(canvas)
        except torch.OutOfMemoryError:
            raise
        except BaseException as error:
            if not is_of_hook(error):
                raise
            raise _ModelFailed(error) from error
        if self._tracing and not bool(torch.isfinite(logits).all()):
            raise _NotFinite
        return logits

    def _denoised(self, extension: Extension, link: Link, canvas: Canvas) -> Tensor:
        """The logits of one link. HookError."""
        name = extension.name
        try:
            logits = _unchanging(name, extension.denoise, canvas, link)
        except _NotFinite:
            if self._computable(canvas):  # so the fault is in a canvas that this link derived
                sentence = "made a canvas whose logits are not finite numbers."
                raise HookError(name, ValueError(sentence)) from None
            raise
        except _ModelFailed as failure:
            if self._computable(canvas):
                raise HookError(name, failure.error) from failure.error
            raise
        check_tensor(
            name, "logits", logits, (canvas.at[0].numel(), link.vocabulary), None, canvas.tokens.device
        )
        if self._tracing and not bool(torch.isfinite(logits).all()):
            raise HookError(name, ValueError(NOT_FINITE))
        return logits

    def _computable(self, canvas: Canvas) -> bool:
        """Whether the model computes this canvas: no error, and finite logits."""
        try:
            return bool(torch.isfinite(self.model(canvas)).all())
        except Exception:
            return False

    def _blame_model(self, error: BaseException) -> list[str]:
        """Who makes the model fail: the extension whose patch raised the error, all patches if that is not
        known, or the checkpoint if there is none."""
        patches, trace = self._order["patch"], error.__traceback__
        inside: list[str] = []
        while trace is not None:
            module = str(trace.tb_frame.f_globals.get("__name__", "")).split(".")
            inside += [name for name in patches if module[:2] == ["extensions", name]]
            trace = trace.tb_next
        return inside[-1:] or patches or [self.model.description.name]

    def _blame_logits(self, canvas: Canvas, index: int) -> HookError:
        """Finds out which link makes a row's logits not finite: repeats the call for this row and checks each
        link's logits."""
        alone = canvas.take(torch.tensor([index], device=canvas.row.device))
        self._tracing = True
        try:
            self._below(alone)
        except HookError as error:
            return error
        except (_NotFinite, _ModelFailed):
            if patches := self._order["patch"]:  # weights and hooks are theirs too
                return self._error([*patches, self.model.description.name], ValueError(NOT_FINITE))
            weight = faulty_weight(self.model.module)
            reason = (
                f"has weights that are not finite numbers, {weight} among them." if weight else NOT_FINITE
            )
            return self._error([self.model.description.name], ValueError(reason))
        finally:
            self._tracing = False
        return self._error([self.last("denoise", int(canvas.row[index]))], ValueError(NOT_FINITE))

    def _error(self, names: Sequence[str], error: BaseException) -> HookError:
        """The error of these, which are extensions, or the checkpoint."""
        if any(name in self._working for name in names):
            return HookError(names, error)
        return HookError(names, error, "invalid")


def _blame_bans(
    canvas: Canvas, logits: Tensor, each: dict[str, Tensor], nothing_left: Tensor, index: int
) -> HookError:
    """The error of a row with a position where bans leave no token: it names one extension if that alone bans
    everything, otherwise all that ban something there: what was asked of them is at fault then."""
    at = int((nothing_left & (canvas.at[0] == index)).nonzero()[0, 0])
    base = logits[at] == -torch.inf  # what was banned before the extensions were asked
    alone = [name for name, bans in each.items() if bool((base | bans[at]).all())]
    some = [name for name, bans in each.items() if bool(bans[at].any())]
    error = ValueError("every token is forbidden at some position.")
    return HookError(alone[:1], error) if alone else HookError(some, error, "invalid")


def _wiring(module: torch.nn.Module) -> tuple:
    """What patches of a model's modules change: which these are, how many hooks each has, and where their
    weights lie."""
    weights = tuple(value.data_ptr() for value in module.parameters())
    return weights, *(
        (
            name,
            id(part),
            len(part._forward_hooks),
            len(part._forward_pre_hooks),
            id(part.__dict__.get("forward")),
        )
        for name, part in module.named_modules()
    )


def _checked_extras(said: object) -> dict[str, Any]:
    """What `finish` gave. ValueError if a result cannot hold it."""
    if not isinstance(said, Mapping):
        raise ValueError(f"gave {type(said).__name__} instead of names and values.")
    extras = dict(said)
    for key, value in extras.items():
        if not is_whole(key):
            raise ValueError("gave a name that is not a text.")
        finite = math.isfinite(value) if isinstance(value, float) else True
        whole = abs(value) < MAX_NUMBER if isinstance(value, int) else is_whole(value)
        if not (isinstance(value, float) or whole) or not finite:
            raise ValueError(f"gave {key[:80]!r} a value that is not a number, text or boolean.")
    size = sum(len(key) + (len(value) if isinstance(value, str) else 8) for key, value in extras.items())
    if size > MAX_EXTRAS:
        raise ValueError(f"gave more than {MAX_EXTRAS} characters.")
    return extras


def _unchanging(name: str, hook: Callable[..., Any], canvas: Canvas, link: Link, *more: Any) -> Any:
    """Calls a hook. HookError as `_guarded`, and if it changed the canvas or the logits in place: the batch
    would go on from nonsense. A choice may be changed: it is checked."""
    fixed = [canvas, *(value for value in more if isinstance(value, Tensor))]
    before = versions(*fixed)
    made = _guarded(name, hook, canvas, link, *more)
    if versions(*fixed) != before:
        raise HookError(name, ValueError("changed the canvas or the logits in place; return new ones."))
    return made


def _guarded(name: str, hook: Callable[..., Any], *arguments: object) -> Any:
    """Calls a hook. HookError for whatever it raises, including SystemExit and a library's panic, which are
    not Exceptions. A Refusal is about the request, all else is the extension's fault."""
    try:
        return hook(*arguments)
    except (HookError, _NotFinite, _ModelFailed, torch.OutOfMemoryError):
        raise
    except Refusal as error:
        raise HookError(name, error, error.code) from error
    except BaseException as error:
        if not is_of_hook(error):
            raise
        raise HookError(name, error) from error
