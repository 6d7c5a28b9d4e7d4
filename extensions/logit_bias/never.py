"""Forbidden phrases: a promise that a text does not contain them, however it is cut into tokens."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from . import phrases, regex

if TYPE_CHECKING:
    from torch import Tensor

    from webui import Canvas, Choice, Link

# tokens on each side of a commit, besides one for each byte of it, that a forbidden phrase may reach over
AROUND = 24


class Never:
    """Keeps forbidden phrases out. Spellings of one token are banned; every commit is then checked in the
    text itself; what is withdrawn is banned at its place."""

    def __init__(self, rows: Sequence[tuple[str, ...]], model: Link):
        """`rows`: for each row of the batch the phrases that must not appear."""
        import torch

        self._model = model
        self._table = torch.zeros(len(rows), model.vocabulary, dtype=torch.bool, device=model.device)
        self._patterns: dict[int, re.Pattern[str] | regex.Finder] = {}
        self._reach: dict[int, int] = {}  # per row: tokens on each side of a commit that are looked at
        self._denied: list[tuple[int, int, int]] = []  # row, answer position, token
        self._sent: Tensor | None = None  # the same on the device
        self._width = max(len(model.answer(row)) for row in range(len(rows)))
        single: dict[str, set[int]] = {}
        for row, forbidden in enumerate(rows):
            if not forbidden:
                continue
            self._patterns[row] = phrases.finder(forbidden)
            self._reach[row] = AROUND + max(len(phrase.encode()) for phrase in forbidden)
            out = list(phrases.written_out(forbidden, model.words(), phrases.MAX_FORBIDDEN, needed=False))
            new = [(p, form) for p, word in out if p not in single for form in phrases.spellings(word)]
            single |= {phrase: set() for phrase, _ in new}
            for (phrase, _), tokens in zip(new, model.encode_all([form for _, form in new]), strict=True):
                if len(tokens) == 1:
                    single[phrase].add(tokens[0])
            self._table[row, list(set().union(*(single[phrase] for phrase in forbidden)))] = True

    def table(self, canvas: Canvas) -> Tensor | None:
        """bool (N, V): the tokens that may not be committed."""
        import torch

        if not self._patterns:
            return None
        rows, columns = canvas.at
        bans = self._table[canvas.row[rows]]
        if self._denied:
            n = rows.numel()
            place = bans.new_full((len(self._table), self._width), n, dtype=torch.long)
            place[canvas.row[rows], columns - canvas.answer[rows]] = torch.arange(n, device=rows.device)
            if self._sent is None:
                self._sent = torch.tensor(self._denied, device=rows.device)
            row, position, token = self._sent.T
            bans = torch.nn.functional.pad(
                bans, (0, 0, 0, 1)
            )  # what is not active now is banned in the last line
            bans[place[row, position], token] = True
            bans = bans[:n]
        return bans

    def check(self, canvas: Canvas, choice: Choice) -> tuple[list[int], list[int]]:
        """Takes the commits of each row in order of confidence and gives the indices (of the N) of those that
        would complete a forbidden phrase. Those that are `together` come first. Also the indices of the rows
        where these fell. Canvas and choice are on the host."""
        if not self._patterns:
            return [], []
        row_of, column_of = (part.tolist() for part in canvas.at)
        numbers, starts, tokens = canvas.row.tolist(), canvas.answer.tolist(), canvas.tokens.tolist()
        token_of, commit = choice.token.tolist(), choice.commit.tolist()
        group = [False] * len(commit) if choice.together is None else choice.together.tolist()
        units: dict[int, list[list[int]]] = {index: [] for index in range(len(numbers))}
        for i in choice.confidence.argsort(descending=True, stable=True).tolist():
            if commit[i] and numbers[row_of[i]] in self._patterns:
                mine = units[row_of[i]]
                if not group[i]:
                    mine.append([i])
                elif mine and group[mine[0][0]]:
                    mine[0].append(i)
                else:
                    mine.insert(0, [i])
        withdrawn: list[int] = []
        fallen: list[int] = []
        for index, mine in units.items():
            text = tokens[index]
            for unit in mine:
                for i in unit:
                    text[column_of[i]] = token_of[i]
                if any(self._stands(numbers[index], text, column_of[i], starts[index]) for i in unit):
                    for i in unit:
                        text[column_of[i]] = canvas.mask
                    withdrawn += unit
                    if group[unit[0]]:
                        fallen.append(index)
                    else:
                        i = unit[0]
                        self._denied.append((numbers[index], column_of[i] - starts[index], token_of[i]))
                        self._sent = None
        return withdrawn, fallen

    def _stands(self, row: int, text: list[int], column: int, start: int) -> bool:
        """Whether a forbidden phrase stands in the unmasked run around `column` and holds it; what is masked
        ends a word.

        One that stands elsewhere is given text, and no reason to withdraw anything.
        """
        left = right = column
        reach = self._reach[row]
        while left > max(start, column - reach) and text[left - 1] != self._model.mask:
            left -= 1
        while right + 1 < min(len(text), column + reach) and text[right + 1] != self._model.mask:
            right += 1
        # a character may end in this token
        begin = len(self._model.decode(text[left:column]).rstrip("\ufffd"))
        end = len(self._model.decode(text[left : column + 1]))
        found = self._patterns[row].finditer(self._model.decode(text[left : right + 1]))
        return any(match.start() < end and match.end() > begin for match in found)
