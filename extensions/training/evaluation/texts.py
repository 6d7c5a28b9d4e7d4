"""What is measured on the text of an answer alone. Pure functions, no torch."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from .. import prose
from ..grammar import words_of

QUOTES = frozenset('"\u201c\u201d')


def includes(text: str, word: str) -> bool:
    """Whether `word` stands in the text as a whole word, in any capitalisation; `dragon's` holds dragon,
    `dragons` does not."""
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE) is not None


def ending(text: str) -> str | None:
    """happy or sad, by the mood words of the grammar's lists in the last sentence, or in the one before if
    that has none (or as many of both). None if neither tells."""
    sentences = prose.document(text).sentences
    return next((mood for one in reversed(sentences[-2:]) if (mood := prose.mood((one,)))), None)


def dialogue(text: str) -> bool:
    """Whether somebody speaks: the text holds a quotation mark."""
    return any(mark in text for mark in QUOTES)


def unknown(text: str, lexicon: frozenset[str]) -> list[str]:
    """The words of a text that are not in a lexicon; a possessive counts as its noun."""
    return [word for word in words_of(text) if word not in lexicon and word.removesuffix("'s") not in lexicon]


def corpus_words(folder: Path) -> frozenset[str]:
    """Every word of the corpus's training files that are in the folder. ValueError if there is none."""
    there = [folder / name for name in prose.FILES.values() if (folder / name).is_file()]
    if not there:
        raise ValueError(f"{folder} has none of {', '.join(prose.FILES.values())}.")
    return frozenset(
        word for path in there for found in prose.read(path) for word in words_of("".join(found.sentences))
    )


def repeated(text: str, n: int = 4) -> tuple[int, int]:
    """How many runs of n words stood before in the same text, and how many runs it has."""
    words = words_of(text)
    runs = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    return len(runs) - len(set(runs)), len(runs)


def distinct(texts: Iterable[str]) -> int:
    """How many different texts there are, white space around them aside."""
    return len({text.strip() for text in texts})
