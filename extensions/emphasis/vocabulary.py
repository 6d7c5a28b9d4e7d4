"""Which tokens spell a word."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from webui import Prompt

WORD = re.compile(r"\w+(?:['’-]\w+)*")


def words_of(prompt: Prompt) -> Iterator[tuple[str, float]]:
    """The words of the weighted pieces, in lower case, each with its weight."""
    for piece in prompt.pieces:
        if piece.weight != 1:
            for match in WORD.finditer(piece.text):
                yield match[0].lower(), piece.weight


def spellings(words: Iterable[str], tokens: Sequence[str]) -> Mapping[str, list[int]]:
    """The tokens that are one of the words by themselves, with or without a blank before it, in any case.
    tokens: the text of each token."""
    found: dict[str, list[int]] = defaultdict(list)
    wanted = set(words)
    for number, text in enumerate(tokens):
        word = text.removeprefix(" ").lower()
        if word in wanted:
            found[word].append(number)
    return {word: found[word] for word in wanted}
