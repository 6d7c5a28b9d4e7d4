"""What a constraint promises, by trying everything: every completion of a small canvas, every assignment."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence

MASKED = -1
Texts = Sequence[str]


def completions(words: Texts, end: int | None, canvas: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Every way to fill the masked positions. Behind an end-of-text token masked positions get only that."""
    tokens = [number for number, word in enumerate(words) if word] + ([] if end is None else [end])
    choices = [tokens if token == MASKED else [token] for token in canvas]
    for filled in itertools.product(*choices):
        ended = filled.index(end) if end in filled else len(filled)
        behind = zip(filled[ended:], canvas[ended:], strict=True)
        if all(old != MASKED or new == end for new, old in behind):
            yield filled


def matches(words: Texts, end: int | None, filled: Sequence[int], pattern: str) -> bool:
    """Whether the text before the first end-of-text token matches as a whole."""
    ended = filled.index(end) if end in filled else len(filled)
    return re.fullmatch(pattern, "".join(words[token] for token in filled[:ended])) is not None


def satisfiable(words: Texts, end: int | None, canvas: Sequence[int], pattern: str) -> bool:
    """Whether some completion matches."""
    return any(matches(words, end, filled, pattern) for filled in completions(words, end, canvas))


def allowed(words: Texts, end: int | None, canvas: Sequence[int], at: int, pattern: str) -> set[int]:
    """The tokens that masked position `at` has in completions that match."""
    every = completions(words, end, canvas)
    return {filled[at] for filled in every if matches(words, end, filled, pattern)}


def restricted(
    probabilities: Sequence[Sequence[float]], fits: Callable[[tuple[int, ...]], bool]
) -> dict[tuple[int, ...], float]:
    """The product of the positions' distributions, restricted to the assignments that fit, renormalised."""
    found = {}
    for assignment in itertools.product(*(range(len(line)) for line in probabilities)):
        share = 1.0
        for line, token in zip(probabilities, assignment, strict=True):
            share *= line[token]
        if share > 0 and fits(assignment):
            found[assignment] = share
    total = sum(found.values())
    return {assignment: share / total for assignment, share in found.items()}
