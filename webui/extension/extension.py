"""The contract of an extension: every hook, when it is called, its arguments and what it returns. A hook
exists only if something uses it.

One object of the class is made for each batch; class methods are pure functions of their arguments. No hook
may change its arguments: requests, rows and canvases are frozen, and their methods return new ones.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic.fields import FieldInfo

from webui.core.events import Event
from webui.core.options import Options as BaseOptions
from webui.core.request import Cell, Request
from webui.core.result import Result
from webui.extension.row import Row
from webui.extension.typed import Completion, Typed, Underline

if TYPE_CHECKING:
    from torch import Tensor

    from webui.canvas import Canvas, Choice
    from webui.extension.link import Link, Network

Choices = Callable[[FieldInfo], "list[str] | None"]


def _any(info: FieldInfo) -> list[str] | None:
    """The values that a field of the request offers right now, such as checkpoints; None if it is free."""
    return None


@dataclass(frozen=True)
class Command:
    """A subcommand of `python app.py`. `run` gets the App and the parsed flags and returns the exit status;
    ValueError is shown as one sentence, status 2."""

    help: str
    run: Callable[[Any, Namespace], int]  # Any: App is of a higher layer
    arguments: Callable[[ArgumentParser], None] = lambda parser: None


@dataclass(frozen=True)
class Tab:
    """A view of an extension on the page. `element` is a custom element that a script of its `assets`
    defines, as "my-history"; `label` stands in the navigation, translated as `extension.<name>.tab`."""

    element: str
    label: str


@dataclass(frozen=True)
class Cost:
    """What an extension makes a text cost.

    passes  how often it is written, each time with model calls of its own: a factor
    rows    how many rows of a batch each of its model calls has, at least 1 and on average over its calls.
            What extensions add to the one row of the text is summed
    """

    passes: float = 1.0
    rows: float = 1.0


class Extension:
    """Subclass this in `extensions/<name>/__init__.py`. The folder's name is the extension's name
    everywhere."""

    name: ClassVar[str] = ""  # set by the registry
    title: ClassVar[str] = ""  # heading of its accordion; default: the name in words
    about: ClassVar[str] = ""  # one sentence under the heading; default: first line of the class's docstring
    order: ClassVar[int | Mapping[str, int]] = (
        0  # one number, or one per hook; lower runs first (denoise: nearest the model)
    )

    before: ClassVar[Sequence[str] | Mapping[str, Sequence[str]]] = ()
    after: ClassVar[Sequence[str] | Mapping[str, Sequence[str]]] = ()
    # names of extensions that act after this one, or before it: in every hook, or by hook. They decide before
    # `order`; names that are not installed say nothing

    replaces: ClassVar[Mapping[str, Mapping[str, str]]] = MappingProxyType({})
    # former names of this extension, each with the options that were renamed (old to new), for saved files,
    # presets and API bodies: {"negative_prompt": {"text": "negative_prompt"}}

    explanations: ClassVar[Mapping[str, str]] = MappingProxyType({})
    # what each construct that `marks` names does, one sentence in English with {placeholders}; translated as
    # `mark.<name>.<construct>` in the extension's languages/
    tags: ClassVar[tuple[str, ...]] = ()  # the kinds of tags, <kind:name>, that it takes out of prompts
    folder: ClassVar[Path] = Path()  # its own folder; set by the registry
    models: ClassVar[Path] = Path("models")  # the models folder of the program; set by the registry
    choices: ClassVar[Choices] = staticmethod(_any)  # set by the registry
    operator: ClassVar[Any] = None  # where `settings` come from; set by the registry

    class Options(BaseOptions):
        """The extension's controls, API fields, metadata, flags and axes. Declare fields with
        `webui.field`."""

    class Settings(BaseOptions):
        """What the operator sets once for this extension, and no text is saved with: `cls.settings()`. Those
        with `field(..., secret=True)` are never shown."""

    # -- hooks on the class: pure functions ------------------------------------------------------------------

    @classmethod
    def expand(cls, request: Request) -> Sequence[Cell] | None:
        """Turns a request into cells (`cls.cell(...)`), or returns None to leave it as it is. Called first,
        for one extension after the other, on the cells of the one before.

        The cells' requests must have this extension's own options cleared and may not vary fields that are
        not axes. Used by: prompt_matrix, wildcards, xyz_grid.
        """
        return None

    @classmethod
    def run(
        cls, cells: Sequence[Cell], generate: Callable[[Sequence[Cell]], Iterator[Event]]
    ) -> Iterator[Event]:
        """Around all cells of a job: a generator of events. It calls `generate(cells)` any number of times,
        with the cells it was given or with other requests under their ids, and yields the events of these
        calls or its own.

        It must yield one Finished or Failed for each cell; events of the cell after that are ignored. Only
        this result is saved, so its request must be one that makes the text again:
        `result.model_copy(update={"request": ...})`. `Loop(k, of)` before each pass keeps the progress from
        running backwards. Not called if all its options have their default values. Used by: loopback.
        """
        yield from generate(cells)

    @classmethod
    def cost(cls, request: Request) -> Cost:
        """By how much this extension makes a text of the request, whose presets are resolved, cost more, for
        what is said before it runs. A pure function of the request as it was typed that is called for each
        cell. Used by: emphasis, guidance, loopback, prompt_and, styles."""
        return Cost()

    @classmethod
    def samplers(cls) -> Mapping[str, Any]:
        """`webui.Sampler`s by name, for the request's field `sampler`. Parameters that are not fields of the
        request are options of this extension, read by `Sampler.options`. Used by: remasker (tests)."""
        return {}

    @classmethod
    def prompt(cls, row: Row) -> Row:
        """Takes this extension's syntax out of the prompts, rewrites or adds prompts, sets the draft. Called
        for each row by itself, also to find out whether a long request fits.

        ValueError fails the row with its message. Used by: guidance, infill.
        """
        return row

    @classmethod
    def neutral(cls, row: Row) -> bool:
        """Whether the extension does nothing for this row, as it is after `prompt`. If this is true for all
        rows of a batch, the extension takes no part in it and costs nothing.

        Default: whether its options have their default values; False for an extension without options. Used
        by: guidance.
        """
        return bool(cls.Options.model_fields) and cls.options(row).defaults()

    @classmethod
    def apart(cls, row: Row) -> Hashable:
        """What a row must have in common with every other row of its batch, for a patch that cannot differ
        between rows, such as weights that are merged. Rows with another value are made in another batch, so
        what is None for most keeps these together. Called for the row as it is after `prompt`. Used by:
        checkpoint_merger, lora.
        """
        return None

    @classmethod
    def marks(cls, typed: Typed) -> Iterable[Underline]:
        """What of this extension's syntax acts in a text that is being typed, what is taken as text though it
        looks like it, and what a request would be refused for. Called after every few keystrokes, with
        anything people type: it must be linear in the text, and never raises for what is typed.

        Each Underline names one of `explanations`. Used by: infill, prompt_matrix.
        """
        return ()

    @classmethod
    def complete(cls, typed: Typed, cursor: int) -> Iterable[Completion]:
        """What may stand at character `cursor` of a text that is being typed, the likeliest first. Used by:
        infill."""
        return ()

    @classmethod
    def metrics(cls, result: Result) -> Mapping[str, int | float | bool]:
        """Numbers about a finished text, by names that are columns of tables. Called when a table is made;
        takes no part in making the text. Used by: text_metrics."""
        return {}

    @classmethod
    def assets(cls) -> Sequence[str]:
        """Scripts (.js, modules that may `import {...} from "webui"`) and style sheets (.css) of its folder
        `static/` that the page loads, as paths in it. What they import beside them is served too. Used by:
        greeting (tests)."""
        return ()

    @classmethod
    def tab(cls) -> Tab | None:
        """A view of its own on the page, beside those of the program; its address is the extension's name.
        None: it has no view. Used by: training, checkpoint_merger."""
        return None

    @classmethod
    def routes(cls) -> Mapping[str, Callable[[Any, Mapping[str, Any]], Mapping[str, Any]]]:
        """Calls of the HTTP API, `POST /api/v1/extensions/<extension>/<route>`, by name. Each gets the App
        and the JSON object that was sent, which is not checked, and returns one. ValueError refuses the call
        with its sentence. Called in a thread, several at the same time. Used by: styles."""
        return {}

    @classmethod
    def commands(cls) -> Mapping[str, Command]:
        """Subcommands of the program, by name. Used by: training."""
        return {}

    # -- hooks on the object made for one batch --------------------------------------------------------------

    def __init__(self, rows: Sequence[Row | None]):
        """`rows[i]` is the row with number i in `canvas.row`; None where the extension is neutral."""
        self.rows = rows

    def patch(self, network: Network) -> AbstractContextManager[None]:
        """A context manager around the batch, which changes the model when it is entered and undoes this
        when it is left, on cancel and on errors too. For an effect that differs between rows, register
        forward hooks and multiply by `self.rows_column("weight", network.running)`, (B,); rows where the
        extension is neutral must not change. Used by: low_rank (tests)."""
        return nullcontext()

    def canvas(self, canvas: Canvas, model: Link) -> Canvas:
        """Called once, before the first model call: the place to build templates of other prompts and tables
        of token ids. Returns the canvas, usually unchanged. Used by: guidance."""
        return canvas

    def denoise(self, canvas: Canvas, model: Link) -> Tensor:
        """Around every model call: returns logits (N, V) of the active positions, all finite. Calls
        `model(canvas, ...)` once or more. Used by: guidance, logit_bias."""
        return model(canvas)

    def ban(self, canvas: Canvas, model: Link) -> Tensor | None:
        """Tokens that must not be committed: bool (N, V), or None. Applied by the engine after the whole
        chain, because minus infinity inside guidance would become NaN. At least one token must stay allowed
        at every position. Used by: logit_bias, infill, constraints."""
        return None

    def pick(self, canvas: Canvas, model: Link, logits: Tensor, choice: Choice) -> Choice:
        """Between the sampler and the commit. What it returns is what happens: it may withdraw commits that
        do not go together (False in `commit`), add commits of positions that the sampler would have left
        (True), choose other tokens (`token`), and remask committed positions (`remask`, (B, L) bool). A row
        that had a commit keeps one, or what was withdrawn is banned from then on: every call makes progress.
        Committing all of a row's active positions ends its block, and in the last block the row.

        Checked: shapes and types; that each committed token exists and is not banned; that confidences are
        numbers; that what is remasked was committed and not given. A wrong choice fails its rows, by the
        extension's name. Used by: logit_bias (raised phrases), constraints.

        All is on the model's device, where reading a value makes everybody wait; `review` is for that.
        logits (N, V): what the sampler drew from, minus infinity where a token is banned.
        """
        return choice

    def review(self, canvas: Canvas, model: Link, choice: Choice) -> Iterable[int]:
        """After `pick`, when the step's choice has been read: canvas and choice are on the host, so that
        looking at them, or at the text, costs the device nothing. Returns which of the N positions are not
        committed after all. A row that had a commit keeps one, or what was withdrawn is banned from then on.
        Used by: logit_bias (forbidden phrases)."""
        return ()

    def finish(self, row: Row, result: Result) -> Mapping[str, int | float | str | bool] | None:
        """Called when a row has ended, before its result is saved. Returns numbers and words, which are saved
        with the result, in `result.extras` under this extension's name. An error loses these, not the text.
        Used by: constraints."""
        return None

    # -- tools -----------------------------------------------------------------------------------------------

    @classmethod
    def options(cls, row: Row | Request) -> Any:
        """This extension's options of a row or a request."""
        return getattr(row.request if isinstance(row, Row) else row, cls.name)

    @classmethod
    def settings(cls) -> Any:
        """What the operator has set for this extension, as it is now: an object of its class `Settings`."""
        return cls.Settings() if cls.operator is None else cls.operator.of(cls.name)

    @classmethod
    def cell(cls, index: int | str, request: Request, **changes: Any) -> Cell:
        """Cell `index`: the request with these fields changed and this extension's own options cleared."""
        return Cell(str(index), request.replace(**{cls.name: cls.Options(), **changes}))

    def rows_column(self, name: str, canvas: Canvas, default: float = 0.0) -> Tensor:
        """Option `name` of every row of the canvas: float (B,); `default` where the extension is neutral or
        the option is None."""
        import torch

        device = canvas.tokens.device
        columns = self.__dict__.setdefault("_columns", {})  # made once: a step sends nothing to the device
        if (key := (name, default, device)) not in columns:
            given = [None if row is None else getattr(self.options(row), name) for row in self.rows]
            values = [default if value is None else float(value) for value in given]
            columns[key] = torch.tensor(values, device=device)
        return columns[key][canvas.row]

    def column(self, name: str, canvas: Canvas, default: float = 0.0) -> Tensor:
        """Option `name` for every active position: float (N, 1), ready to multiply logits with."""
        return self.rows_column(name, canvas, default)[canvas.at[0]][:, None]

    @classmethod
    def has(cls, hook: str) -> bool:
        """Whether the class defines this hook itself."""
        return getattr(cls, hook, None) is not None and _function(cls, hook) is not _function(Extension, hook)

    @classmethod
    def order_of(cls, hook: str) -> int:
        """This extension's place in a hook's chain; lower runs first."""
        return cls.order if isinstance(cls.order, int) else cls.order.get(hook, 0)

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        unknown = [
            name
            for name, value in vars(cls).items()
            if _is_method(value) and not name.startswith("_") and name not in PUBLIC
        ]
        if unknown:
            raise TypeError(
                f"{cls.__name__}.{unknown[0]} is not a hook. Hooks: {', '.join(HOOKS)}. Own methods start "
                "with '_'."
            )


HOOKS = (
    "expand",
    "run",
    "cost",
    "samplers",
    "prompt",
    "neutral",
    "apart",
    "marks",
    "complete",
    "metrics",
    "assets",
    "tab",
    "routes",
    "commands",
    "patch",
    "canvas",
    "denoise",
    "ban",
    "pick",
    "review",
    "finish",
)
PUBLIC = frozenset(HOOKS)


def _function(cls: type, name: str) -> Any:
    value = getattr(cls, name)
    return getattr(value, "__func__", value)


def _is_method(value: Any) -> bool:
    return callable(getattr(value, "__func__", value)) and not isinstance(value, type)
