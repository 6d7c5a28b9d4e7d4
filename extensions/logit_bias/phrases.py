"""Phrases in all their spellings: as biases on token sequences, and as a promise that a text does not contain them."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from webui import Canvas, Choice, Link

NUMBER = re.compile(r"^(.*\S)\s*:\s*([+-]?(?:\d+\.?\d*|\.\d+))\s*$", re.DOTALL)
AROUND = 24  # tokens on each side of a decision that a forbidden phrase may reach over


def parse(text: str, strength: float) -> dict[str, float]:
    """`dragon, "salt, pepper", golden ring:5` -> strength of each phrase. Quotes as in CSV. ValueError for an unreadable list."""
    try:
        lines = list(csv.reader(text.splitlines(), skipinitialspace=True, strict=True))
    except csv.Error as error:
        raise ValueError(f"the list of words cannot be read ({error}); separate words by commas.") from error
    found: dict[str, float] = {}
    for item in (item.strip() for line in lines for item in line):
        match = NUMBER.match(item)
        phrase, value = (match[1], float(match[2])) if match else (item, strength)
        if phrase:
            found[phrase] = value
    return found


def spellings(phrase: str) -> list[str]:
    """The ways a phrase may stand in a text: as typed, lower, capitalised, all capitals; each also with a blank before."""
    forms = dict.fromkeys((phrase, phrase.lower(), phrase[:1].upper() + phrase[1:], phrase.title(), phrase.upper()))
    return [blank + form for form in forms for blank in (" ", "")]


class Bias:
    """What is added to the logits: (N, V), sparse in V. A phrase of n tokens gains in proportion to what of it stands already."""

    def __init__(self, options: Sequence[Any], model: Link):
        import torch

        self._table = torch.zeros(len(options), model.vocabulary, device=model.device)
        long: dict[tuple[int, ...], Tensor] = {}
        for row, wanted in enumerate(options):
            for tokens, value in self._sequences(wanted, model).items():
                if len(tokens) == 1:
                    self._table[row, tokens[0]] += value
                else:
                    long.setdefault(tokens, torch.zeros(len(options), device=model.device))[row] += value
        self._long = long

    @staticmethod
    def _sequences(wanted: Any, model: Link) -> dict[tuple[int, ...], float]:
        if wanted is None:
            return {}
        signed = parse(wanted.more, wanted.strength)
        for phrase, value in parse(wanted.less, wanted.strength).items():
            signed[phrase] = signed.get(phrase, 0.0) - value
        return {tuple(model.encode(form)): value for phrase, value in signed.items() for form in spellings(phrase)}

    def __call__(self, canvas: Canvas) -> Tensor:
        rows, columns = canvas.at
        bias = self._table[canvas.row[rows]]
        for tokens, values in self._long.items():
            for offset, token in enumerate(tokens):
                bias[:, token] += values[canvas.row[rows]] * _fit(canvas, rows, columns, tokens, offset)
        return bias


def _fit(canvas: Canvas, rows: Tensor, columns: Tensor, tokens: tuple[int, ...], offset: int) -> Tensor:
    """(N,): share of the phrase that would stand if its `offset`-th token were put here; 0 where something contradicts."""
    import torch

    length, matched, possible = canvas.tokens.shape[1], 1, torch.ones_like(rows, dtype=torch.bool)
    for i, token in enumerate(tokens):
        if i == offset:
            continue
        column = columns + i - offset
        inside = (column >= canvas.answer[rows]) & (column < length)
        there = canvas.tokens[rows, column.clamp(0, length - 1)]
        equal = inside & (there == token)
        possible &= equal | (inside & (there == canvas.mask))
        matched = matched + equal.long()
    return torch.where(possible, matched / len(tokens), 0.0)


class Never:
    """Keeps forbidden phrases out. Their common spellings are banned as tokens; every decision is then checked in the text
    itself, so that no other way of cutting the phrase into tokens gets through; what is withdrawn is banned at its place."""

    def __init__(self, options: Sequence[Any], model: Link):
        import torch

        self._model = model
        self._table = torch.zeros(len(options), model.vocabulary, dtype=torch.bool, device=model.device)
        self._patterns: dict[int, re.Pattern] = {}
        self._denied: dict[int, set[tuple[int, int]]] = {}  # per row: (answer position, token)
        for row, wanted in enumerate(options):
            forbidden = parse(wanted.never, 0) if wanted is not None else {}
            if forbidden:
                self._patterns[row] = _pattern(forbidden)
                single = [
                    tokens[0] for p in forbidden for form in spellings(p) if len(tokens := model.encode(form)) == 1
                ]
                self._table[row, single] = True

    def table(self, canvas: Canvas) -> Tensor | None:
        """bool (N, V): the tokens that may not be decided."""
        if not self._patterns:
            return None
        rows, columns = canvas.at
        bans = self._table[canvas.row[rows]]
        if self._denied:
            places = zip(canvas.row[rows].tolist(), (columns - canvas.answer[rows]).tolist(), strict=True)
            for n, (row, position) in enumerate(places):
                denied = [token for place, token in self._denied.get(row, ()) if place == position]
                bans[n, denied] = True
        return bans

    def check(self, canvas: Canvas, choice: Choice) -> Choice:
        """Takes the decisions of each row in order of confidence and withdraws each that would complete a forbidden phrase."""
        if not self._patterns:
            return choice
        rows, columns = canvas.at
        keep = choice.commit.clone()
        for index, row in enumerate(canvas.row.tolist()):
            if row not in self._patterns:
                continue
            mine = ((rows == index) & choice.commit).nonzero()[:, 0]
            text = canvas.tokens[index].tolist()
            for n in mine[choice.confidence[mine].argsort(descending=True, stable=True)].tolist():
                column, token = int(columns[n]), int(choice.token[n])
                text[column] = token
                if self._stands(row, text, column, int(canvas.answer[index])):
                    text[column] = canvas.mask
                    keep[n] = False
                    self._denied.setdefault(row, set()).add((column - int(canvas.answer[index]), token))
        return replace(choice, commit=keep)

    def _stands(self, row: int, text: list[int], column: int, start: int) -> bool:
        """Whether a forbidden phrase stands in the decided run around `column`; what is open ends a word."""
        left = right = column
        while left > max(start, column - AROUND) and text[left - 1] != self._model.mask:
            left -= 1
        while right + 1 < min(len(text), column + AROUND) and text[right + 1] != self._model.mask:
            right += 1
        return self._patterns[row].search(self._model.decode(text[left : right + 1])) is not None


def _pattern(phrases: Iterable[str]) -> re.Pattern:
    """Whole words, any capitalisation, any blanks between the words of a phrase."""
    bodies = (r"\s+".join(re.escape(word) for word in phrase.split()) for phrase in phrases)
    return re.compile("|".join(rf"(?<!\w){body}(?!\w)" for body in bodies), re.IGNORECASE)
