"""Prompts and drafts: pieces of text, and gaps the model fills."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Piece:
    """Literal text that reaches the model byte for byte. `span` is where it stood in what the user typed, if
    it did."""

    text: str
    span: tuple[int, int] | None = None


@dataclass(frozen=True)
class Gap:
    """A run of `tokens` positions that start as mask tokens and are denoised.

    `lead` is given text (a blank) that tokenizers write at the start of a word: it belongs to the given text,
    and the filling's first token may bring it along.
    """

    tokens: int
    lead: str = ""

    def __post_init__(self):
        if self.tokens < 1:
            raise ValueError("A gap needs at least one token.")


@dataclass(frozen=True)
class Prompt:
    """A text that conditions the model: pieces in order. `text` is what the tokenizer sees."""

    pieces: tuple[Piece, ...] = ()

    @classmethod
    def of(cls, text: str) -> Prompt:
        """The prompt that is one literal piece."""
        return cls((Piece(text, (0, len(text))),) if text else ())

    @property
    def text(self) -> str:
        return "".join(piece.text for piece in self.pieces)


@dataclass(frozen=True)
class Draft:
    """An answer that is partly given: text that stays byte for byte, and gaps. What infill and re-noising
    start from."""

    parts: tuple[Piece | Gap, ...]

    @property
    def gaps(self) -> tuple[Gap, ...]:
        return tuple(part for part in self.parts if isinstance(part, Gap))

    def filled(self, fillings: Sequence[str]) -> str:
        """The whole text, the k-th gap replaced by `fillings[k]`."""
        fills = iter(fillings)
        return "".join(
            part.lead + next(fills).removeprefix(part.lead) if isinstance(part, Gap) else part.text
            for part in self.parts
        )
