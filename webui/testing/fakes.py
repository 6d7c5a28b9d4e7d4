"""Rows, canvases and a model that are made by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from webui.core.prompt import Prompt
from webui.core.request import Cell
from webui.extension.extension import Extension
from webui.extension.registry import composed
from webui.extension.row import Row

if TYPE_CHECKING:
    from torch import Tensor

    from webui.canvas import Canvas, Template

LENGTH = 8  # tokens of a row's answer


def row(kind: type[Extension] | None = None, **fields: Any) -> Row:
    """A row as `prompt` gets it: of a request with these fields, those of the extension `kind` included.
    Length 8 and seed 1 unless they say otherwise; each word is a token of its own."""
    kinds = {} if kind is None else {kind.name: kind}
    request = composed(kinds)(**{"length": LENGTH, "seed": 1, **fields})
    main = {"main": Prompt.of(request.prompt)}
    return Row(Cell("0", request), request, main, encode=lambda text: list(range(len(text.split()))))


def canvas(*answers: Sequence[str | None], link: FakeLink, prompts: Sequence[str] = ()) -> Canvas:
    """A canvas with a row for each answer, a sequence of words of `link`; None is masked, and all masked
    positions are active. `prompts`: the text before each answer."""
    from webui.canvas import Canvas

    texts = [*prompts, *[""] * (len(answers) - len(prompts))]
    tokens = [[link.mask if word is None else link.token(word) for word in answer] for answer in answers]
    made = Canvas.build(
        [link.encode(text) for text in texts], tokens, [1] * len(answers), link.mask, link.ends
    )
    return made.activate(made.masked)


class FakeLink:
    """A `Link` without a checkpoint. Its tokens are the words given, then the end of a text, then the mask;
    blanks stand between words.

    logits  canvas -> (N, V); by default pseudo-random numbers that depend on each position's column alone
    calls   the canvases it was called with, in order
    """

    prefix = ""

    def __init__(self, words: Sequence[str], logits: Callable[[Canvas], Tensor] | None = None):
        import torch

        self._words = (*words, "", "")
        self._logits = logits
        self.calls: list[Canvas] = []
        self.vocabulary = len(self._words)
        self.ends: tuple[int, ...] = (self.vocabulary - 2,)
        self.mask = self.vocabulary - 1
        self.device = torch.device("cpu")
        self.prompts: Mapping[
            str, Sequence[str]
        ] = {}  # texts of the rows by the prompt's name, for `template`

    def token(self, word: str) -> int:
        """The token of a word. ValueError if there is none."""
        if word not in self._words[:-2]:
            raise ValueError(f"The fake link has no word {word!r}.")
        return self._words.index(word)

    def __call__(self, *canvases: Canvas) -> Any:
        self.calls += canvases
        made = [self._of(canvas) for canvas in canvases]
        return tuple(made) if len(made) > 1 else made[0]

    def template(self, name: str) -> Template:
        from webui.canvas import Template

        return Template.of([self.encode(text) for text in self.prompts[name]], self.device, name)

    def encode(self, text: str) -> list[int]:
        return [self.token(word) for word in text.split()]

    def encode_all(self, texts: Sequence[str]) -> list[list[int]]:
        return [self.encode(text) for text in texts]

    def decode(self, tokens: Sequence[int]) -> str:
        return " ".join(word for word in (self._words[token] for token in tokens) if word)

    def words(self) -> tuple[str, ...]:
        return self._words

    def token_bytes(self) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
        first = tuple(word.encode() for word in self._words)
        return first, tuple(b" " + word if word else b"" for word in first)

    def answer(self, row: int) -> tuple[int, ...]:
        """Of the first canvas that it was called with; LENGTH masked positions before that."""
        if not self.calls:
            return (self.mask,) * LENGTH
        canvas = self.calls[0]
        return tuple(canvas.tokens[row, int(canvas.answer[row]) :].tolist())

    def spans(self, row: int) -> tuple[tuple[int, int], ...]:
        return ((0, len(self.answer(row))),)

    def on_host(self, canvas: Canvas) -> Canvas:
        return canvas.to("cpu")

    def cancelled(self) -> bool:
        return False

    def report(self, stage: str, done: float, most: float) -> None:
        pass

    def _of(self, canvas: Canvas) -> Tensor:
        import torch

        if self._logits is not None:
            return self._logits(canvas)
        columns = canvas.at[1][:, None].double()
        return torch.sin(columns * 12.9898 + torch.arange(self.vocabulary) * 78.233).float()
