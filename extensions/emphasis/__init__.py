"""Emphasis: (word:1.5) makes words of a prompt count more, or less."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from webui import Cost, Extension, Options, Piece, Prompt, Request, Result, Row, Typed, Underline, field

from .syntax import LONGEST, MOST, NUMBER, SYNTAX, Group, groups_of, literals, weighed
from .vocabulary import spellings, words_of

if TYPE_CHECKING:
    from torch import Tensor

    from webui import Canvas, Count, Link

BASE = "negative"  # the prompt that guidance holds others against
NOTES = 3  # about what is text, of one prompt
Term = tuple[str, float]  # the name of a prompt without a span, and what its difference is multiplied by


@dataclass(frozen=True)
class Own:
    """What emphasis has to do for a row at each model call.

    contrasts  for each named prompt the prompts without one of its weights each, and weight - 1
    words      for each named prompt the weighted words and their weights
    """

    contrasts: Mapping[str, tuple[Term, ...]]
    words: Mapping[str, tuple[tuple[str, float], ...]]


class Emphasis(Extension):
    """`(word:1.5)` weighs a word of a prompt; in the syntax mode full `(word)` is 1.1 and `[word]` 1 / 1.1.

    Three methods. attention: log(w) is added to the attention scores of the words' tokens as keys, in every
    layer and head; with w = 2 it is as if they stood there twice, with 0 as if they did not. contrast:
    logits + (w - 1) * (logits - logits without the words), all in one forward pass. vocabulary:
    strength * log(w) is added to the logits of the words themselves wherever the text is still masked.

    Works on every named prompt of a row. Attention needs no work of its own at a model call: pieces of a
    prompt have weights.
    """

    title = "Emphasis"
    about = "(word:1.5) counts more, (word:0.5) less, (word:0) not at all."
    order = MappingProxyType({"prompt": 60, "denoise": 3})
    explanations = MappingProxyType(
        {
            "group": "Counts {weight} times.",
            "nearly": "Column {column}: {text} is no number, so it is text and the group counts {weight} "
            "times.",
            "base": "Column {column}: on the words themselves a weight in the negative prompt has no effect.",
            "negative": "Column {column}: a weight below 0 works with the method contrast only.",
            "outside": "Column {column}: {text} is text: in the prompt syntax safe a weight is a number from "
            "0 to 10, as in (word:1.2).",
            "unclosed": "Column {column}: this {text} is never closed, so it is text.",
            "large": f"Column {{column}}: a weight is not above {MOST:g}.",
        }
    )

    class Options(Options):
        method: Literal["attention", "contrast", "vocabulary"] = field(
            "attention",
            label="Emphasis acts on",
            help="attention: words of the prompt are attended to w times as much. contrast: what they change "
            "is made larger, with a second row in each forward pass. vocabulary: the words themselves are "
            "likelier.",
        )
        strength: float = field(
            4.0,
            ge=0,
            le=20,
            step=0.5,
            label="Strength",
            help="Of the method vocabulary: this times log(weight) is added to the logits of the words.",
        )

    @classmethod
    def prompt(cls, row: Row) -> Row:
        method = cls.options(row).method
        contrasts: dict[str, tuple[Term, ...]] = {}
        words: dict[str, tuple[tuple[str, float], ...]] = {}
        for name, prompt in tuple(row.prompts.items()):
            scan = prompt.scan(SYNTAX, row.request.syntax)
            for warning in scan.warnings if row.request.syntax == "full" else ():
                row = row if warning.endswith("never closed.") else row.note(warning)
            typed = row.request.prompt if name == "main" else ""
            for one in islice(literals(prompt, scan, row.request.syntax, typed), NOTES):
                row = row.note(cls.explanations[one.construct].format(column=one.span[0] + 1, text=one.text))
            if not scan.acts:
                row = row.with_prompt(name, Prompt(scan.literal))
                continue
            read = weighed(scan.parts)
            for group in groups_of(scan.parts):
                if group.weight < 0 and method != "contrast":
                    raise ValueError(cls._explained("negative", group.span[0] + 1 if group.span else 1))
                if group.nearly and group.span:
                    values = {"text": group.nearly, "weight": f"{group.weight:.4g}"}
                    row = row.note(cls.explanations["nearly"].format(column=group.span[0] + 1, **values))
            weights = _weights(read)
            removed = method == "contrast" and weights == [0.0]  # the prompt without the words, and no other
            if method == "attention" or removed or not weights:
                row = row.with_prompt(name, read)
                continue
            row = row.with_prompt(name, _weightless(read))
            if method == "vocabulary" and name.startswith(BASE):
                column = next((g.span[0] + 1 for g in groups_of(scan.parts) if g.span), 1)
                row = row.note(cls.explanations["base"].format(column=column))
                continue
            if method == "vocabulary":
                words[name] = tuple(words_of(read))
                continue
            contrasts[name] = tuple((f"{name}/without/{k}", weight - 1) for k, weight in enumerate(weights))
            for (without, _), weight in zip(contrasts[name], weights, strict=True):
                row = row.with_prompt(without, _without(read, weight))
        return row.with_own(cls.name, Own(contrasts, words)) if contrasts or words else row

    @classmethod
    def cost(cls, request: Request) -> Cost:
        """contrast has a row for each weight of the prompt."""
        if cls.options(request).method != "contrast":
            return Cost()
        scan = Prompt.of(request.prompt).scan(SYNTAX, request.syntax)
        try:
            weights = _weights(weighed(scan.parts)) if scan.acts else []
        except ValueError:  # the text will be refused
            return Cost()
        return Cost() if weights == [0.0] else Cost(rows=1 + len(weights))

    @classmethod
    def neutral(cls, row: Row) -> bool:
        return cls.name not in row.own

    @classmethod
    def assets(cls) -> Sequence[str]:
        return ("weight.js",)

    @classmethod
    def marks(cls, typed: Typed) -> Iterator[Underline]:
        method = cls.options(typed.request).method
        contrast, without_effect = method == "contrast", method == "vocabulary" and not typed.main
        scan = typed.scan(SYNTAX)
        for group in groups_of(scan.parts):
            if group.span is None:
                continue
            values = {"column": group.span[0] + 1, "weight": f"{group.weight:.4g}", "text": group.nearly}
            if not math.isfinite(group.weight) or abs(group.weight) > MOST:
                yield Underline(*group.span, "large", "refused", values)
            elif group.weight < 0 and not contrast:
                yield Underline(*group.span, "negative", "refused", values)
            elif without_effect:
                yield Underline(*group.span, "base", "literal", values)
            else:
                construct = "nearly" if group.nearly else "group"
                yield Underline(*group.span, construct, values=values, without=_bare(typed.text, group))
        for one in literals(Prompt.of(typed.text), scan, typed.mode, typed.text):
            values = {"column": one.span[0] + 1, "text": one.text}
            yield Underline(*one.span, one.construct, "literal", values)

    def canvas(self, canvas: Canvas, model: Link) -> Canvas:
        own = [row.own[self.name] if row else None for row in self.rows]
        names = {term for one in own if one for terms in one.contrasts.values() for term, _ in terms}
        self._templates = {name: model.template(name) for name in sorted(names)}
        self._spell(own, model)
        return canvas

    def denoise(self, canvas: Canvas, model: Link) -> Tensor:
        return self._raised(canvas, self._contrasted(canvas, model))

    def ban(self, canvas: Canvas, model: Link) -> Tensor | None:
        """The words of weight 0, with the method vocabulary."""
        if self._banned is None:
            return None
        return self._banned[self._numbers(canvas)[canvas.at[0]]]

    def finish(self, row: Row, result: Result) -> Mapping[str, str] | None:
        own = row.own[self.name]
        words = {word for pairs in own.words.values() for word, _ in pairs}
        left = sorted(word for word in words if word in self._unspelt)
        return {"several_tokens": ", ".join(left)} if left else None

    # -- contrast --------------------------------------------------------------------------------------------

    def _contrasted(self, canvas: Canvas, model: Link) -> Tensor:
        """The model's logits, moved along what each weighted span changes."""
        import torch

        counts = canvas.counts
        groups: dict[str, dict[int, float]] = defaultdict(dict)  # prompt without a span: rows and factors
        for index, count in enumerate(counts):
            for name, factor in self._terms(count):
                groups[name][index] = factor
        if not groups:
            return model(canvas)
        branches = [
            canvas.take(list(g)).with_prompt(self._templates[name], name) for name, g in groups.items()
        ]
        logits, *without = model(canvas, *branches)
        parts = list(logits.split([count.active for count in counts]))
        moved = list(parts)
        for group, found in zip(groups.values(), without, strict=True):
            pieces = found.split([counts[index].active for index in group])
            for (index, factor), piece in zip(group.items(), pieces, strict=True):
                moved[index] = moved[index] + factor * (parts[index] - piece)
        return torch.cat(moved)

    def _terms(self, count: Count) -> Sequence[Term]:
        row = self.rows[count.row]
        return row.own[self.name].contrasts.get(count.prompt, ()) if row else ()

    # -- vocabulary ------------------------------------------------------------------------------------------

    def _spell(self, own: Sequence[Own | None], model: Link) -> None:
        """Makes the tables of what is added to the logits of each row's words, and of what is banned: one
        line for each prompt with weighted words, line 0 for all others."""
        import torch

        self._lines: dict[tuple[int, str], int] = {}
        self._index: dict[tuple[int, ...], Tensor] = {}
        self._unspelt: set[str] = set()
        self._bias: Tensor | None = None
        self._banned: Tensor | None = None
        pairs = [
            (row, name, words) for row, one in enumerate(own) if one for name, words in one.words.items()
        ]
        if not pairs:
            return
        found = spellings({word for _, _, words in pairs for word, _ in words}, model.words())
        bias = torch.zeros((len(pairs) + 1, model.vocabulary))
        banned = torch.zeros(bias.shape, dtype=torch.bool)
        for line, (row, name, words) in enumerate(pairs, 1):
            self._lines[row, name] = line
            strength = self.options(self.rows[row]).strength  # pyright: ignore[reportArgumentType]
            for word, weight in words:
                tokens = found[word]
                if not tokens:
                    self._unspelt.add(word)
                elif weight:
                    bias[line, tokens] += strength * math.log(weight)
                else:
                    banned[line, tokens] = True
        self._bias = bias.to(model.device)
        self._banned = banned.to(model.device) if bool(banned.any()) else None

    def _raised(self, canvas: Canvas, logits: Tensor) -> Tensor:
        """Adds to every branch of a row what its words get, so that guidance leaves that as it is."""
        if self._bias is None:
            return logits
        return logits + self._bias[self._numbers(canvas)[canvas.at[0]]].to(logits.dtype)

    def _numbers(self, canvas: Canvas) -> Tensor:
        """(B,) the line of each row of the canvas in the tables; a base has that of the row's main prompt."""
        import torch

        lines = tuple(self._line(count) for count in canvas.counts)
        if lines not in self._index:  # once for each set of rows: a step sends nothing to the device
            self._index[lines] = torch.tensor(lines, dtype=torch.long, device=canvas.tokens.device)
        return self._index[lines]

    def _line(self, count: Count) -> int:
        own = self._lines.get((count.row, count.prompt))
        if own is not None and not count.prompt.startswith(BASE):
            return own
        return self._lines.get((count.row, "main"), 0)

    @classmethod
    def _explained(cls, construct: str, column: int) -> str:
        sentence = cls.explanations[construct].format(column=column)
        return sentence[:1].lower() + sentence[1:]


def _bare(text: str, group: Group) -> str:
    """What is in the brackets of a group, without its weight."""
    start, end = group.span or (0, 0)
    inner = text[start + 1 : end - 1]
    number = None if text[start] == "[" else NUMBER.search(inner, max(0, len(inner) - LONGEST))
    return inner[: number.start()] if number else inner


def _weights(prompt: Prompt) -> list[float]:
    """The different weights of a prompt's text but 1."""
    return sorted({piece.weight for piece in prompt.pieces if piece.text} - {1.0})


def _weightless(prompt: Prompt) -> Prompt:
    return Prompt(tuple(replace(piece, weight=1.0) for piece in prompt.pieces))


def _without(prompt: Prompt, weight: float) -> Prompt:
    """The prompt whose pieces of this weight are not attended to; all positions stay as they are."""

    def keep(piece: Piece) -> Piece:
        return replace(piece, weight=0.0 if piece.weight == weight else 1.0)

    return Prompt(tuple(keep(piece) for piece in prompt.pieces))
