"""Automata over the tokens of a checkpoint, made from those over bytes. NumPy alone.

Tokens with equal effects in every state are one *class*: a rule rarely tells more than some hundred of them
apart, however large the vocabulary is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from webui import Refusal

from .automaton import DEAD, UNTIL_DONE, ByteAutomaton, Patience

Bools = NDArray[np.bool_]
Ints = NDArray[np.integer]

MAX_STATES = 4096
MAX_CELLS = 1 << 26  # states x tokens of a table: 128 MiB
MAX_EDGES = 1 << 22
# what may be asked of a token in a gap: brings its blank along; ends in no blank; is or brings a blank
OPENS, CLOSES, LEADS = 1, 2, 4


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The bytes of every token, as a trie.

    size     number of tokens
    levels   for each depth: the parents of its nodes, the bytes that lead to them, and the tokens that end
             there with their nodes
    kinds    (size,): OPENS, CLOSES and LEADS of each token
    """

    size: int
    levels: tuple[tuple[Ints, Ints, Ints, Ints], ...]
    kinds: Ints

    @classmethod
    def of(cls, words: Sequence[bytes]) -> Vocabulary:
        """From the bytes of each token; empty ones never match anything."""
        lengths = np.array([len(word) for word in words])
        order = np.argsort(lengths, kind="stable")
        flat = np.frombuffer(b"".join(words), dtype=np.uint8).astype(np.int64)
        starts = np.cumsum(lengths) - lengths
        tokens, nodes, levels = order[lengths[order] > 0], None, []
        depth = 0
        while len(tokens):
            parent = np.zeros(len(tokens), dtype=np.int64) if nodes is None else nodes
            keys, node = np.unique(parent * 256 + flat[starts[tokens] + depth], return_inverse=True)
            depth += 1
            ending = lengths[tokens] == depth
            levels.append((keys // 256, keys % 256, tokens[ending], node[ending]))
            tokens, nodes = tokens[~ending], node[~ending]
        kinds = np.array([_kinds(word) for word in words])
        return cls(len(words), tuple(levels), kinds)

    def after(self, table: NDArray[np.int32], states: Ints) -> NDArray[np.int32]:
        """(states, size): where each token leads from each state by a byte table whose last row is the dead
        state, and leads to itself."""
        dead = len(table) - 1
        found = np.full((len(states), self.size), dead, dtype=np.int32)
        current = states[:, None]
        for parents, byte, tokens, nodes in self.levels:
            current = table[current[:, parents], byte]
            found[:, tokens] = current[:, nodes]
        return found


@dataclass(frozen=True, eq=False)
class TokenAutomaton:
    """A deterministic automaton over the K classes of a vocabulary's tokens.

    Its states are those from which a match can still be reached, then `done`, after an end-of-text token, and
    `dead`. Where a text may not end by such a token, nothing leads to `done`.

    maps      (K, S + 2) int: the state after a token of each class. A committed token leaves `done` as it is:
              what stands behind an end-of-text token is no part of the text
    class_of  (V,) the class of each token. The last two classes are end-of-text tokens, and those that no
              match has
    accept    bool (S + 2,): where a text of full length may be
    kinds     (K,) OPENS, CLOSES and LEADS of the tokens of each class
    """

    maps: Ints
    class_of: Ints
    accept: Bools
    kinds: Ints

    @property
    def done(self) -> int:
        return self.maps.shape[1] - 2

    @cached_property
    def edges(self) -> tuple[Ints, Ints, Ints]:
        """(source, target, class) of what may be written, by class: whatever keeps the rule satisfiable, and
        behind an end-of-text token only another one."""
        classes, source = np.nonzero(self.maps != self.maps.shape[1] - 1)
        target = self.maps[classes, source]
        keep = (source < self.done) | (classes == len(self.maps) - 2)
        return source[keep], target[keep], classes[keep]

    def steps(self, restriction: int) -> Bools:
        """(K,): classes that a gap's restriction allows; all where it would leave none."""
        allowed = np.ones(len(self.maps), dtype=bool)
        for kind in (OPENS, CLOSES, LEADS):
            if restriction & kind and (self.kinds & kind).any():
                allowed &= (self.kinds & kind) > 0
        return allowed

    def pairs(self, restriction: int = 0) -> tuple[Ints, Ints]:
        """(source, target) of the edges, each pair once."""
        if restriction not in self._pairs:
            source, target, classes = self.edges
            keep = self.steps(restriction)[classes]
            width = self.maps.shape[1]
            self._pairs[restriction] = np.divmod(np.unique(source[keep] * width + target[keep]), width)
        return self._pairs[restriction]

    @cached_property
    def _pairs(self) -> dict[int, tuple[Ints, Ints]]:
        return {}


def most_states(size: int) -> int:
    """How many states an automaton over this many tokens may have."""
    return min(MAX_STATES, MAX_CELLS // max(size, 1))


def automaton(
    rule: ByteAutomaton,
    first: Vocabulary,
    later: Vocabulary,
    ends: tuple[int, ...],
    size: int,
    patience: Patience = UNTIL_DONE,
) -> TokenAutomaton:
    """The rule over a vocabulary of `size` tokens. ValueError if it is too large, or nothing can be written.

    first, later  the tokens as they read at the start of a text, and behind others
    ends          end-of-text tokens that may end a text; none: it fills its length
    """
    dead = len(rule.final)
    table = np.concatenate([rule.next, np.full((1, 256), dead, dtype=np.int32)])
    table[table == DEAD] = dead
    # Tokens at the start read differently, so the start is a state of its own: number 0.
    rows, number = [first.after(table, np.array([rule.start]))], np.full(dead + 1, -1)
    found: list[int] = []
    known = looked = 0
    while True:
        new = np.unique(np.concatenate([np.unique(row) for row in rows[looked:]]))
        looked = len(rows)
        new = new[(new != dead) & (number[new] < 0)]
        if not len(new):
            break
        number[new] = 1 + known + np.arange(len(new))
        known += len(new)
        found += new.tolist()
        if (most := most_states(first.size)) < known + 1:
            raise Refusal(
                f"the rule has {known + 1:,} states or more for this checkpoint's {first.size:,} tokens; "
                f"at most {most:,} are possible."
            )
        for part in np.array_split(new, 1 + len(new) // 64):
            patience.ask("tokens", sum(map(len, rows)), most)
            rows.append(later.after(table, part))
    number[dead] = known + 1
    after = np.concatenate([number[row].astype(np.int32) for row in rows])
    final = np.array([rule.final[rule.start], *(rule.final[state] for state in found), False])
    return of_table(after, final, first, ends, size)


def of_table(
    after: NDArray[np.int32], final: Bools, vocabulary: Vocabulary, ends: tuple[int, ...], size: int
) -> TokenAutomaton:
    """From the state after each token, (S, tokens), of which S is the dead one, and which states are final,
    (S + 1,). ValueError."""
    return _classes(*_trimmed(after, final), vocabulary, ends, size)


def _trimmed(after: NDArray[np.int32], final: Bools) -> tuple[NDArray[np.int32], Bools]:
    """Without the states from which no token leads on to a match. after: (S, V), S is the dead state; final:
    (S + 1,). ValueError if that is all of them."""
    states = len(after)
    leads = np.zeros((states, states + 1), dtype=bool)
    for state, row in enumerate(after):
        leads[state, row] = True
    good = final.copy()
    while True:
        more = good.copy()
        more[:states] |= (leads & good).any(1)
        if (more == good).all():
            break
        good = more
    if not good[0]:
        raise Refusal("the tokens of this checkpoint can write nothing that matches the rule.")
    keep = np.flatnonzero(good)
    number = np.full(states + 1, len(keep), dtype=np.int32)
    number[keep] = np.arange(len(keep))
    return number[after[keep]], final[keep]


def _classes(
    after: NDArray[np.int32], final: Bools, vocabulary: Vocabulary, ends: tuple[int, ...], size: int
) -> TokenAutomaton:
    """Tokens of equal columns as one class. after: (S, tokens); S is dead."""
    states = len(final)
    dead, done = states + 1, states
    key = vocabulary.kinds.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    factors = np.random.default_rng(0).integers(1, 2**63, states, dtype=np.uint64) | np.uint64(1)
    for state in range(states):  # a hash of each column
        key += (after[state].astype(np.uint64) + np.uint64(1)) * factors[state]
    _, example, of = np.unique(key, return_index=True, return_inverse=True)
    columns = after[:, example]
    for state in range(states):  # and the proof that no two different ones have the same
        if (columns[state, of] != after[state]).any():
            raise RuntimeError("two columns have one hash")
    kept = len(example)
    maps = np.full((kept + 2, states + 2), dead)
    maps[:kept, :states] = np.where(columns == states, dead, columns).T
    maps[kept, :states] = np.where(final, done, dead)  # the class of end-of-text tokens
    maps[:, done] = done if ends else dead
    maps[kept + 1, :states] = dead
    class_of = np.full(size, kept + 1)
    class_of[: min(size, len(of))] = of[:size]
    for token in ends:
        class_of[token] = kept
    accept = np.concatenate([final, [bool(ends), False]])
    found = TokenAutomaton(
        maps,
        class_of,
        accept,
        np.concatenate([vocabulary.kinds[example], [0, 0]]),
    )
    if len(found.edges[0]) > MAX_EDGES:
        raise Refusal(
            f"the rule has {len(found.edges[0]):,} transitions for this checkpoint; at most {MAX_EDGES:,} "
            "are possible."
        )
    return found


def _kinds(word: bytes) -> int:
    """OPENS, CLOSES and LEADS of a token."""
    leads = word[:1] == b" " and not word[1:2].isspace()
    return OPENS * (leads and len(word) > 1) | CLOSES * (word[-1:] not in (b"", b" ")) | LEADS * leads


@lru_cache(maxsize=8)
def vocabulary(words: tuple[bytes, ...]) -> Vocabulary:
    """The tokens' trie, remembered."""
    return Vocabulary.of(words)


@lru_cache(maxsize=32)
def remembered(
    rule: ByteAutomaton,
    first: Vocabulary,
    later: Vocabulary,
    ends: tuple[int, ...],
    size: int,
    patience: Patience,
) -> TokenAutomaton:
    """`automaton`, remembered by identity of the rule and the vocabularies."""
    return automaton(rule, first, later, ends, size, patience)
