"""One joint choice of the tokens that a step commits together. NumPy alone.

The sampler draws each position by itself. Where its draws leave the rule satisfiable they stand; otherwise
the tokens are drawn anew from the product of the positions' distributions, restricted to the assignments
that leave the rule satisfiable. Both together are draws from exactly that restricted distribution: it is
rejection sampling whose second part is exact. At temperature 0 the likeliest of these assignments is taken.

The restricted distribution is a Markov chain from left to right over sets of states: the automaton is
deterministic, but masked positions between the chosen ones may take any token, so that the text may be in
any of a set of states. The sets that occur are few; if they are more than `MAX_SETS`, positions are committed
one after the other by confidence, each from what the ones before leave, and withdrawn if that is nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

import numpy as np
from numpy.typing import NDArray

from . import reach
from .reach import Answers
from .tokens import Bools, Ints

MAX_SETS = 256
Floats = NDArray[np.float64]


class TooMany(Exception):
    """More sets of states than `MAX_SETS`."""


@dataclass(frozen=True)
class Layer:
    """The sets of states before one of the positions to choose.

    classes  per set, the classes that go on and the number of the next layer's set each leads to
    """

    classes: list[tuple[Ints, Ints]]


@dataclass(frozen=True)
class Chain:
    """The distribution of the tokens at some positions together, as a Markov chain from left to right.

    layers   the sets of states before each position
    weights  (places, K) log-probabilities of the classes; greedy: of each one's likeliest token
    worth    per layer and one behind the last, for each set: the log of the sum (greedy: the maximum) over
             all assignments of the positions from there on that leave the rule satisfiable
    scores   (places, V) log-probabilities of the tokens
    members  the tokens of each class
    greedy   the likeliest assignment instead of draws
    """

    layers: Sequence[Layer]
    weights: Floats
    worth: Sequence[Floats]
    scores: Floats
    members: Sequence[Ints]
    greedy: bool

    def draws(self, luck: Floats) -> Ints:
        """(n, places) tokens. luck: (n, places, 2) numbers from 0 to 1, for the class and for the token."""
        count = len(luck)
        tokens, at = np.zeros((count, len(self.layers)), dtype=np.int64), np.zeros(count, dtype=np.int64)
        for i, layer in enumerate(self.layers):
            following = np.zeros(count, dtype=np.int64)
            for number in np.unique(at):
                kinds, target = layer.classes[number]
                here = np.flatnonzero(at == number)
                values = self.weights[i][kinds] + self.worth[i + 1][target]
                which = _drawn(values, self.greedy, luck[here, i, 0])
                following[here] = target[which]
                for one in np.unique(which):
                    inside, mine = self.members[kinds[one]], here[which == one]
                    tokens[mine, i] = inside[_drawn(self.scores[i][inside], self.greedy, luck[mine, i, 1])]
            at = following
        return tokens


def chain(answer: Answers, places: Sequence[int], scores: Floats, greedy: bool = False) -> Chain | None:
    """The joint distribution of the tokens at `places` (ascending, masked in the one `answer`); None if no
    assignment leaves the rule satisfiable. TooMany.

    scores: (places, V) log-probabilities of the tokens, -inf where one is impossible
    """
    automaton = answer.automaton
    count = len(automaton.maps)
    members = [np.flatnonzero(automaton.class_of == kind) for kind in range(count)]
    weights = np.array([_by_class(line, automaton.class_of, count, greedy) for line in scores])
    layers = _layers(answer, places, weights)
    if layers is None:
        return None
    # From the right: what each set is worth, over all assignments of the positions behind it.
    worth = [np.zeros(1)]
    together = np.max if greedy else np.logaddexp.reduce
    for layer, line in zip(reversed(layers), weights[::-1], strict=True):
        worth.append(
            np.array(
                [
                    together(line[kinds] + worth[-1][target]) if len(kinds) else -np.inf
                    for kinds, target in layer.classes
                ]
            )
        )
    worth.reverse()
    return Chain(layers, weights, worth, scores, members, greedy) if worth[0][0] > -np.inf else None


def chosen(
    answer: Answers, places: Sequence[int], scores: Floats, greedy: bool, random: Random
) -> list[int] | None:
    """A token for each of `places`, jointly; see `chain`. TooMany."""
    found = chain(answer, places, scores, greedy)
    if found is None:
        return None
    luck = np.array([[random.random(), random.random()] for _ in places])
    return found.draws(luck[None])[0].tolist()


def one_by_one(
    answer: Answers,
    places: Sequence[int],
    drawn: Sequence[int],
    scores: Floats,
    order: Sequence[int],
    greedy: bool,
    random: Random,
) -> list[int | None]:
    """The same, one position after the other in `order`: what was drawn where it still fits, else another
    token, None where there is none."""
    tokens: list[int | None] = [None] * len(places)
    automaton = answer.automaton
    for i in order:
        at = places[i]
        before, after = reach.forward(answer)[:, at], reach.backward(answer)[:, at + 1]
        fits = reach.allowed(automaton, before, after, answer.restrictions[:, at])[0][automaton.class_of]
        line = np.where(fits, scores[i], -np.inf)
        if fits[drawn[i]]:
            tokens[i] = drawn[i]
        elif line.max() > -np.inf:
            tokens[i] = int(_drawn(line, greedy, np.array([random.random()]))[0])
        if tokens[i] is not None:
            classes = answer.classes.copy()
            classes[0, at] = automaton.class_of[tokens[i]]
            answer = replace(answer, classes=classes)
    return tokens


def _layers(answer: Answers, places: Sequence[int], weights: Floats) -> list[Layer] | None:
    """The sets of states that can occur before each place, and what each class makes of them; the last layer
    leads to one set that stands for every satisfiable one. None if there is no way through. TooMany."""
    automaton, behind = answer.automaton, reach.backward(answer)[0]
    start = np.zeros((1, len(automaton.accept)), dtype=bool)
    start[0, 0] = True
    sets = _advanced(answer, start, 0, places[0]) & behind[places[0]]
    layers = []
    for i, place in enumerate(places):
        following = places[i + 1] if i + 1 < len(places) else None
        possible = np.flatnonzero(weights[i] > -np.inf)
        moved, origin, kinds = [], [], []
        for number, states in enumerate(sets):
            images = _images(automaton.maps[possible][:, np.flatnonzero(states)], len(automaton.accept))
            images &= behind[place + 1]
            alive = images.any(1)
            moved.append(images[alive])
            kinds.append(possible[alive])
            origin.append(np.full(int(alive.sum()), number))
        every = np.concatenate(moved)
        if not len(every):
            return None
        unique, number = _unique(every)
        if following is None:
            number, unique = np.zeros(len(every), dtype=np.int64), unique[:1]
        else:
            unique = _advanced(answer, unique, place + 1, following) & behind[following]
            unique, renumber = _unique(unique)
            number = renumber[number]
        if len(unique) > MAX_SETS:
            raise TooMany
        of, kind = np.concatenate(origin), np.concatenate(kinds)
        layers.append(Layer([(kind[of == k], number[of == k]) for k in range(len(sets))]))
        sets = unique
    return layers


def _advanced(answer: Answers, sets: Bools, begin: int, end: int) -> Bools:
    """The sets (n, S + 2) of states after the positions from `begin` to `end`."""
    if not len(sets):
        return sets
    many = answer.take(np.zeros(len(sets), dtype=np.int64))
    for at in range(begin, end):
        sets = reach.ahead(many, at, sets)
    return sets


def _images(targets: Ints, width: int) -> Bools:
    """(n, width) bool: the set of each line's states, without the last, dead one."""
    found = np.zeros((len(targets), width), dtype=bool)
    found[np.arange(len(targets))[:, None], targets] = True
    found[:, -1] = False
    return found


def _unique(sets: Bools) -> tuple[Bools, Ints]:
    """The different sets, and which of them each is."""
    if not len(sets):
        return sets, np.zeros(0, dtype=np.int64)
    _, example, of = np.unique(np.packbits(sets, axis=1), axis=0, return_index=True, return_inverse=True)
    return sets[example], of.reshape(-1)


def _by_class(scores: Floats, class_of: Ints, count: int, greedy: bool) -> Floats:
    """(K,): log of the probability of each class; greedy: of its likeliest token."""
    best = np.full(count, -np.inf)
    np.maximum.at(best, class_of, scores)
    if greedy:
        return best
    highest = scores.max()
    with np.errstate(divide="ignore"):
        return np.log(np.bincount(class_of, np.exp(scores - highest), count)) + highest


def _drawn(scores: Floats, greedy: bool, luck: Floats) -> Ints:
    """The likeliest of some log-probabilities, or for each number of `luck` one drawn by them."""
    if greedy:
        return np.full(len(luck), scores.argmax())
    sums = np.exp(scores - scores.max()).cumsum()
    return np.minimum(np.searchsorted(sums, luck * sums[-1], side="right"), len(sums) - 1)
