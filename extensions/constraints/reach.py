"""What a partly written answer can still become: forward and backward reachability over its positions. NumPy
alone.

A masked position may take any token. For position p of an answer of C positions, `forward[p]` are the states
in which the text may be after the positions before p, and `backward[p + 1]` those from which the positions
behind it can bring it to a match. A token is allowed at p if it leads from one of the first to one of the
second: exactly then some completion of the answer matches.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .tokens import Bools, Ints, TokenAutomaton

FREE = -1  # the class of a masked position
TOGETHER = 1 << 24  # booleans that are looked at together


@dataclass(frozen=True)
class Answers:
    """n answers under one automaton.

    classes       (n, C) the class of each committed token, `FREE` where a position is masked
    lengths       (n,) positions of each answer; the columns behind are not used
    restrictions  (n, C) what else is asked of the tokens: OPENS, CLOSES, LEADS
    """

    automaton: TokenAutomaton
    classes: Ints
    lengths: Ints
    restrictions: Ints

    def take(self, which: Ints) -> Answers:
        """Some of them."""
        return Answers(self.automaton, self.classes[which], self.lengths[which], self.restrictions[which])


def forward(answers: Answers) -> Bools:
    """(n, C + 1, S + 2) bool: the states in which the text may be before each position and at the end."""
    count, width = answers.classes.shape
    found = np.zeros((count, width + 1, answers.automaton.maps.shape[1]), dtype=bool)
    found[:, 0, 0] = True
    for at in range(width):
        found[:, at + 1] = ahead(answers, at, found[:, at])
    return found


def backward(answers: Answers) -> Bools:
    """(n, C + 1, S + 2) bool: the states from which the text can come to a match."""
    count, width = answers.classes.shape
    accept = answers.automaton.accept
    found = np.zeros((count, width + 1, len(accept)), dtype=bool)
    found[:, width] = accept
    for at in reversed(range(width)):
        before = back(answers, at, found[:, at + 1])
        found[:, at] = np.where((at < answers.lengths)[:, None], before, accept)
    return found


def ahead(answers: Answers, at: int, states: Bools) -> Bools:
    """(n, S + 2): where position `at` leads from these states."""
    return _step(answers, at, states, backwards=False)


def back(answers: Answers, at: int, states: Bools) -> Bools:
    """(n, S + 2): from where position `at` leads to one of these states."""
    return _step(answers, at, states, backwards=True)


def _step(answers: Answers, at: int, states: Bools, backwards: bool) -> Bools:
    classes, automaton = answers.classes[:, at], answers.automaton
    found = np.zeros_like(states)
    written = np.flatnonzero(classes >= 0)
    if len(written):
        maps = automaton.maps[classes[written]]
        if backwards:
            found[written] = np.take_along_axis(states[written], maps, 1)
        else:
            row, state = states[written].nonzero()
            found[written[row], maps[row, state]] = True
        found[:, -1] = False
    masked = classes == FREE
    for restriction in np.unique(answers.restrictions[masked, at]).tolist():
        these = np.flatnonzero(masked & (answers.restrictions[:, at] == restriction))
        source, target = automaton.pairs(restriction)
        if backwards:
            source, target = target, source
        else:
            order = np.argsort(target, kind="stable")
            source, target = source[order], target[order]
        if len(source):
            first = np.flatnonzero(np.diff(target, prepend=-1))
            moved = np.logical_or.reduceat(states[these][:, source], first, axis=1)
            found[these[:, None], target[first]] = moved
    return found


def allowed(automaton: TokenAutomaton, before: Bools, after: Bools, restrictions: Ints) -> Bools:
    """(N, K) bool: the classes that each of N positions may take. before, after: (N, S + 2), `forward` at the
    position and `backward` behind it."""
    source, target, classes = automaton.edges
    found = np.zeros((len(before), len(automaton.maps)), dtype=bool)
    if not len(source) or not len(before):
        return found
    both = np.packbits(np.concatenate([before, after], axis=1), axis=1)
    _, example, of = np.unique(both, axis=0, return_index=True, return_inverse=True)
    first = np.flatnonzero(np.diff(classes, prepend=-1))
    different = np.zeros((len(example), len(automaton.maps)), dtype=bool)
    size = max(1, TOGETHER // len(source))
    for begin in range(0, len(example), size):
        part = example[begin : begin + size]
        open_ = before[part][:, source] & after[part][:, target]
        different[begin : begin + size, classes[first]] = np.logical_or.reduceat(open_, first, axis=1)
    found = different[of.reshape(-1)]
    for restriction in np.unique(restrictions).tolist():
        if restriction:
            found[restrictions == restriction] &= automaton.steps(restriction)
    return found


def satisfiable(answers: Answers) -> Bools:
    """(n,) bool: whether some completion of each answer matches."""
    reached = forward(answers)[np.arange(len(answers.lengths)), answers.lengths]
    return np.any(reached & answers.automaton.accept, axis=1)


def lengths(automaton: TokenAutomaton, most: int, first: int = 0, last: int = 0) -> list[int]:
    """The numbers of tokens up to `most` that a match may have, end-of-text tokens not counted. first, last:
    what is asked of its first and last token."""

    def following(states: Bools, restriction: int) -> Bools:
        source, target = automaton.pairs(restriction)
        reached = np.zeros_like(states)
        reached[target[states[source]]] = True
        reached[automaton.done] = False
        return reached

    states = np.zeros(automaton.maps.shape[1], dtype=bool)
    states[0] = True
    final = automaton.accept.copy()
    final[automaton.done] = False
    found = [0] if (states & final).any() and not first | last else []
    for length in range(1, most + 1):
        asked = first if length == 1 else 0
        if (following(states, asked | last) & final).any():
            found.append(length)
        states = following(states, asked)
    return found
