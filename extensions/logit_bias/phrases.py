"""Phrases in all their spellings: as biases on token sequences, and as a promise that a text does not contain
them."""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from webui import Canvas, Choice, Link

NUMBER = re.compile(r"^(.*\S)\s*:\s*([+-]?(?:\d+\.?\d*|\.\d+))\s*$", re.DOTALL)
# tokens on each side of a decision, besides one for each byte of it, that a forbidden phrase may reach over
AROUND = 24
MANY = 256  # places of phrases that are compared at once
MOST = 50.0  # strength of one phrase; a logit that large decides alone
WITHOUT_BLANKS = ((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF))  # Thai and Lao, Burmese, Khmer


def parse(text: str, strength: float) -> dict[str, float]:
    """`dragon, "salt, pepper", golden ring:5` -> strength of each phrase. Quotes as in CSV. ValueError for an
    unreadable list."""
    try:
        lines = list(csv.reader(text.splitlines(), skipinitialspace=True, strict=True))
    except csv.Error as error:
        raise ValueError(f"the list of words cannot be read ({error}); separate words by commas.") from error
    found: dict[str, float] = {}
    for item in (item.strip() for line in lines for item in line):
        match = NUMBER.match(item)
        phrase, value = (match[1], float(match[2])) if match else (item, strength)
        if abs(value) > MOST:
            raise ValueError(f"the strength of {phrase!r} is {match[2][:20]}; at most {MOST:g} is possible.")
        if phrase:
            found[phrase] = value
    return found


def spellings(phrase: str) -> list[str]:
    """The ways a phrase may stand in a text: as typed, lower, capitalised, all capitals; each also with a
    blank before."""
    forms = dict.fromkeys(
        (phrase, phrase.lower(), phrase[:1].upper() + phrase[1:], phrase.title(), phrase.upper())
    )
    return [blank + form for form in forms for blank in (" ", "")]


class Bias:
    """What is added to the logits: (N, V), sparse in V. A phrase of n tokens gains in proportion to what of
    it stands already."""

    def __init__(self, options: Sequence[Any], model: Link):
        import torch

        self._table = torch.zeros(len(options), model.vocabulary, device=model.device)
        long: dict[tuple[int, ...], list[float]] = {}
        for row, wanted in enumerate(options):
            for tokens, value in self._sequences(wanted, model).items():
                if len(tokens) == 1:
                    self._table[row, tokens[0]] += value
                else:
                    long.setdefault(tokens, [0.0] * len(options))[row] += value
        places = [(phrase, offset) for phrase in long for offset in range(len(phrase))]
        self._places = _Places(places, torch.device(model.device)) if places else None
        self._values = torch.tensor([long[phrase] for phrase, _ in places], device=model.device).reshape(
            len(places), -1
        )

    @staticmethod
    def _sequences(wanted: Any, model: Link) -> dict[tuple[int, ...], float]:
        found: dict[tuple[int, ...], float] = {}
        signs = ((wanted.more, 1), (wanted.less, -1)) if wanted is not None else ()
        for text, sign in signs:
            for phrase, value in parse(text, wanted.strength).items():
                for tokens in {tuple(model.encode(form)): None for form in spellings(phrase)}:
                    found[tokens] = found.get(tokens, 0.0) + sign * value
        return found

    def __call__(self, canvas: Canvas) -> Tensor:
        row = canvas.row[canvas.at[0]]
        bias = self._table[row]
        if self._places is not None:
            tokens, gains = self._places.gains(canvas, self._values.T[row])
            bias[:, tokens] += gains
        return bias


class _Places:
    """Every token of every long phrase as a place that a decision may take: P of them, all looked at
    together."""

    def __init__(self, places: Sequence[tuple[tuple[int, ...], int]], device: torch.device):
        import torch

        self._width = width = max(len(phrase) for phrase, _ in places)
        phrases = [[*phrase, *[-1] * (width - len(phrase))] for phrase, _ in places]
        self._phrase = torch.tensor(phrases, device=device)  # (P, W), -1 after its end
        offset = torch.tensor([offset for _, offset in places], device=device)[:, None]
        inside = torch.arange(width, device=device) - offset
        self._near = (
            inside + width - 1
        )  # (P, W): where in a window of 2W - 1 around the decision each token stands
        self._other = (self._phrase >= 0) & (inside != 0)  # (P, W): the phrase's other tokens
        own = self._phrase.gather(1, offset)[:, 0]
        self._tokens, number = own.unique(return_inverse=True)
        self._sum = torch.nn.functional.one_hot(number, len(self._tokens)).float()  # (P, U)

    def gains(self, canvas: Canvas, values: Tensor) -> tuple[Tensor, Tensor]:
        """The U tokens that gain, and by how much (N, U): `values` (N, P) times the share of the phrase that
        would stand; nothing where something contradicts."""
        import torch

        rows, columns = canvas.at
        reach = torch.arange(1 - self._width, self._width, device=rows.device)
        window = columns[:, None] + reach
        inside = (window >= canvas.answer[rows][:, None]) & (window < canvas.tokens.shape[1])
        there = canvas.tokens[rows[:, None], window.clamp(0, canvas.tokens.shape[1] - 1)].masked_fill(
            ~inside, -2
        )
        shares = []
        for phrase, near, other in zip(
            *(part.split(MANY) for part in (self._phrase, self._near, self._other)), strict=True
        ):
            seen = there[:, near]  # (N, P, W)
            equal = (seen == phrase) & other
            possible = (equal | (seen == canvas.mask) | ~other).all(2)
            shares.append(torch.where(possible, (equal.sum(2) + 1) / (other.sum(1) + 1), 0.0))
        return self._tokens, (values * torch.cat(shares, 1)) @ self._sum


class Never:
    """Keeps forbidden phrases out. Their common spellings are banned as tokens; every decision is then
    checked in the text itself, so that no other way of cutting the phrase into tokens gets through; what is
    withdrawn is banned at its place."""

    def __init__(self, options: Sequence[Any], model: Link):
        import torch

        self._model = model
        self._table = torch.zeros(len(options), model.vocabulary, dtype=torch.bool, device=model.device)
        self._patterns: dict[int, re.Pattern] = {}
        self._reach: dict[int, int] = {}  # per row: tokens on each side of a decision that are looked at
        self._denied: dict[int, set[tuple[int, int]]] = {}  # per row: (answer position, token)
        for row, wanted in enumerate(options):
            forbidden = parse(wanted.never, 0) if wanted is not None else {}
            if forbidden:
                self._patterns[row] = _pattern(forbidden)
                self._reach[row] = AROUND + max(len(phrase.encode()) for phrase in forbidden)
                single = [
                    tokens[0]
                    for p in forbidden
                    for form in spellings(p)
                    if len(tokens := model.encode(form)) == 1
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
        """Takes the decisions of each row in order of confidence and withdraws each that would complete a
        forbidden phrase."""
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
        """Whether a forbidden phrase stands in the decided run around `column` and holds it; what is open
        ends a word.

        One that stands elsewhere is given text, and no reason to withdraw anything.
        """
        left = right = column
        reach = self._reach[row]
        while left > max(start, column - reach) and text[left - 1] != self._model.mask:
            left -= 1
        while right + 1 < min(len(text), column + reach) and text[right + 1] != self._model.mask:
            right += 1
        whole = self._patterns[row].finditer(self._model.decode(text[left : right + 1]))
        begin = len(
            self._model.decode(text[left:column]).rstrip("\ufffd")
        )  # a character may end in this token
        end = len(self._model.decode(text[left : column + 1]))
        return any(match.start() < end and match.end() > begin for match in whole)


def _pattern(phrases: Iterable[str]) -> re.Pattern:
    """Whole words where a script has blanks between them, any capitalisation, any blanks between the words of
    a phrase."""
    forms = dict.fromkeys(
        form for phrase in phrases for form in (phrase, phrase.lower(), phrase.upper())
    )  # ss of STRASSE
    bodies = []
    for words in (form.split() for form in forms):
        before, after = (
            r"(?<!\w)" if _spaced(words[0][0]) else "",
            r"(?!\w)" if _spaced(words[-1][-1]) else "",
        )
        bodies.append(before + r"\s+".join(map(re.escape, words)) + after)
    return re.compile("|".join(bodies), re.IGNORECASE)


def _spaced(character: str) -> bool:
    """Whether the character is a letter or digit of a script that writes blanks between words."""
    if unicodedata.east_asian_width(character) in "WF" or not re.match(r"\w", character):
        return False
    return not any(first <= ord(character) <= last for first, last in WITHOUT_BLANKS)
