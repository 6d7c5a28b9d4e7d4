"""Logit bias: words and phrases that should come up more, less, or never."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from webui import Extension, Options, Refusal, Row, field

from . import phrases
from .bias import Bias, strengths
from .never import Never

if TYPE_CHECKING:
    from torch import Tensor

    from webui import Canvas, Choice, Link


class LogitBias(Extension):
    """Words and phrases to raise, lower or forbid, in all their spellings."""

    title = "Words"
    about = "Raise, lower or forbid words and phrases, in all their spellings: dragon, golden ring:5"
    order = 20

    class Options(Options):
        more: str = field(
            "",
            label="More of",
            help="Words or phrases to raise, separated by commas; word:5 has its own strength, "
            "/drag.*/ is all words that match.",
        )
        less: str = field(
            "",
            label="Less of",
            help="Words or phrases to lower; word:5 sets its own strength.",
        )
        never: str = field(
            "",
            label="Never",
            help="Words or phrases that must not appear, in any capitalisation; a number is text, "
            "/drag.*/ is all words that match.",
        )
        strength: float = field(
            3.0,
            ge=0,
            le=50,
            step=0.5,
            label="Strength",
            help="Added to or taken from the logits; 3 makes a word about 20 times as likely. Fades with "
            "each time it appears.",
        )

    @classmethod
    def prompt(cls, row: Row) -> Row:
        options = cls.options(row)
        for label, name in (("More of", "more"), ("Less of", "less")):
            with _named(label):
                phrases.weighted(getattr(options, name), options.strength)
        with _named("Never"):
            forbidden = phrases.plain(options.never)
        raised = phrases.weighted(options.more, options.strength)
        both = [phrase for phrase in raised if phrases.hits(forbidden, phrase)]
        if both:
            row = row.note(f"{both[0]!r} is not raised, because Never forbids it.")
        return row

    @classmethod
    def neutral(cls, row: Row) -> bool:
        options = cls.options(row)
        return not (options.more or options.less or options.never)

    def canvas(self, canvas: Canvas, model: Link) -> Canvas:
        wanted = [None if row is None else self.options(row) for row in self.rows]
        words = model.words()
        biased = [options and strengths(options, words) for options in wanted]
        self._bias = Bias(biased, model) if any(biased) else None
        self._never = Never([phrases.plain(options.never) if options else () for options in wanted], model)
        return canvas

    def denoise(self, canvas: Canvas, model: Link) -> Tensor:
        logits = model(canvas)
        return logits if self._bias is None else self._bias(canvas, logits)

    def ban(self, canvas: Canvas, model: Link) -> Tensor | None:
        bans = self._never.table(canvas)
        seals = self._bias.seals(canvas) if self._bias is not None else None
        return bans if seals is None else seals if bans is None else bans | seals

    def pick(self, canvas: Canvas, model: Link, logits: Tensor, choice: Choice) -> Choice:
        if self._bias is None or not self._bias.raises:
            return choice
        return self._bias.place(canvas, logits, choice)

    def review(self, canvas: Canvas, model: Link, choice: Choice) -> list[int]:
        withdrawn, fallen = self._never.check(canvas, choice)
        if fallen and self._bias is not None:
            self._bias.refuse(canvas.row[fallen])
        return withdrawn


@contextmanager
def _named(label: str) -> Iterator[None]:
    """Says which list cannot be read."""
    try:
        yield
    except ValueError as error:
        raise Refusal(f"{label}: {error}") from error
