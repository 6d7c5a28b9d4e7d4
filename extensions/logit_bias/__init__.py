"""Logit bias: words and phrases that should come up more, less, or never."""

from __future__ import annotations

from typing import TYPE_CHECKING

from webui import Extension, Options, Row, field

from . import phrases

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
            help="Words or phrases to raise, separated by commas; word:5 sets its own strength.",
        )
        less: str = field(
            "", label="Less of", help="Words or phrases to lower; word:5 sets its own strength."
        )
        never: str = field(
            "", label="Never", help="Words or phrases that must not appear, in any capitalisation."
        )
        strength: float = field(
            3.0,
            ge=0,
            le=50,
            step=0.5,
            label="Strength",
            help="Added to or taken from the logits; 3 makes a word about 20 times as likely.",
        )

    @classmethod
    def prompt(cls, row: Row) -> Row:
        options = cls.options(row)
        phrases.parse(options.more, options.strength)  # refuses what cannot be read before anything is loaded
        phrases.parse(options.less, options.strength)
        phrases.parse(options.never, 0)
        return row

    def canvas(self, canvas: Canvas, model: Link) -> Canvas:
        wanted = [None if row is None else self.options(row) for row in self.rows]
        self._bias = phrases.Bias(wanted, model)
        self._never = phrases.Never(wanted, model)
        return canvas

    def denoise(self, canvas: Canvas, model: Link) -> Tensor:
        return model(canvas) + self._bias(canvas)

    def ban(self, canvas: Canvas, model: Link) -> Tensor | None:
        return self._never.table(canvas)

    def pick(self, canvas: Canvas, model: Link, logits: Tensor, choice: Choice) -> Choice:
        return self._never.check(canvas, choice)
