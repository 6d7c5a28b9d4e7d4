"""The model as one extension sees it: what lies below it in the chain."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, overload

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from webui.canvas import Canvas, Count, Template

Kept = TypeVar("Kept")


class Link(Protocol):
    """The model with the extensions that lie below this one, and the rows of the batch in tokens.

    mask        the mask token
    ends        tokens that end a text
    vocabulary  V, the width of logits; may be larger than the number of tokens
    device      where canvases and logits live
    prefix      what the checkpoint writes before an answer (often a blank); it is no part of the text
    """

    mask: int
    ends: tuple[int, ...]
    vocabulary: int
    device: torch.device
    prefix: str

    @overload
    def __call__(self, canvas: Canvas, /) -> Tensor: ...

    @overload
    def __call__(self, first: Canvas, second: Canvas, /, *more: Canvas) -> tuple[Tensor, ...]: ...

    def __call__(self, *canvases: Canvas) -> Tensor | tuple[Tensor, ...]:
        """Logits (N, V) of the active positions of each canvas, all of them in one forward pass. One canvas
        gives one tensor, several give a tuple."""
        ...

    def template(self, name: str) -> Template:
        """The rows' prompts of this name. A row without one gets the empty branch: its own prompt with the
        content masked and the frame kept."""
        ...

    def encode(self, text: str) -> list[int]:
        """User text in tokens; nothing in it is special."""
        ...

    def encode_all(self, texts: Sequence[str]) -> list[list[int]]:
        """Many user texts in tokens, in one call of the tokenizer, which for thousands is far quicker."""
        ...

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens, special ones left out."""
        ...

    def words(self) -> tuple[str, ...]:
        """The text of every token by itself, special tokens empty: what spelling tables are built from."""
        ...

    def token_bytes(self) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
        """The bytes that every token adds to a text: at its start, and behind other tokens. Empty for special
        tokens and for those whose bytes are not known."""
        ...

    def answer(self, row: int) -> tuple[int, ...]:
        """The tokens that the answer of row number `row` starts from; `mask` where a position is masked."""
        ...

    def spans(self, row: int) -> tuple[tuple[int, int], ...]:
        """Where each gap of the row's draft lies in its answer, as (start, end) positions, in the draft's
        order; one span over the whole answer for a row without a draft."""
        ...

    def on_host(self, canvas: Canvas) -> Canvas:
        """The canvas on the host. The one that `ban` and `pick` get is there already: the device is not
        asked."""
        ...

    def cancelled(self) -> bool:
        """Whether the job was cancelled meanwhile. A hook that computes for long asks now and then, and
        raises a ValueError if it was; what it says then is not shown."""
        ...

    def report(self, stage: str, done: float, most: float) -> None:
        """Shows how far a hook that computes for long has come: `done` of at most `most`. The page says it
        in the words `extension.<name>.preparing.<stage>` of the extension, with {done} and {most}."""
        ...


class Network(Protocol):
    """The model as `patch` sees it.

    module   the transformers model in use: its submodules may be hooked, its weights changed, for the batch
    running  the canvas of the forward pass under way, None between passes. Its rows are those of the hidden
             states (B, L, D) that a forward hook sees: rows of the batch and their branches, or some of them.
             With a cache these are of some of its columns
    places   None in the body. The head gets hidden states (R, D), of the active positions and some of
             padding: there the row of `running` that each is of, (R,)
    """

    module: Any
    running: Canvas | None

    @property
    def places(self) -> Tensor | None: ...

    def varies(self, by: Callable[[Count], Hashable]) -> AbstractContextManager[None]:
        """To be entered by a patch whose effect on a row changes while the row is denoised: `by` gives what
        it depends on. What a cache keeps of a row is used only as long as this stays the same."""
        ...

    def exchanged(self, weights: Mapping[Tensor, Tensor]) -> AbstractContextManager[None]:
        """Inside, these weights of `module` have these values; behind it they have their own again, the same
        memory, bit for bit. It may be nested."""
        ...

    def kept(self, owner: str, key: Hashable, make: Callable[[], Kept]) -> Kept:
        """What `make` returned for this key, made anew if the key or what is `exchanged` now is another. One
        value is kept for each owner, until the checkpoint is unloaded or memory runs out."""
        ...

    @property
    def description(self) -> Any:
        """What checkpoint it is: `name`, `family`, `fingerprint`, `device`, `dtype`."""
        ...

    def native(self, name: str) -> str:
        """The name that a module has in `module`, of its name in the published files; with underscores for
        dots where that has none. Names that are native already stay."""
        ...
