"""Finite automata over small alphabets, in plain Python: determinised, and with as few states as possible."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


class TooLarge(Exception):
    """An automaton has more states than were allowed: `states`."""

    def __init__(self, states: int):
        super().__init__(f"more than {states} states")
        self.states = states


@dataclass(frozen=True, eq=False)
class Machine:
    """A deterministic automaton whose states all lie on a way from the start, state 0, to a final one. One
    that accepts nothing has one state, which is not final.

    rows   for each state: the state after each symbol that leads on
    final  for each state: whether a text may end there
    """

    rows: tuple[dict[int, int], ...]
    final: tuple[bool, ...]

    @property
    def empty(self) -> bool:
        """Whether it accepts nothing."""
        return not any(self.final)

    @classmethod
    def of(cls, word: Iterable[int]) -> Machine:
        """One that accepts this word."""
        rows: list[dict[int, int]] = [{symbol: i + 1} for i, symbol in enumerate(word)]
        return cls((*rows, {}), (*(False for _ in rows), True))

    def without_longer(self) -> Machine:
        """One that accepts the words of which no shorter beginning is accepted: what a lazy pattern finds."""
        rows = [{} if final else row for row, final in zip(self.rows, self.final, strict=True)]
        return trimmed(rows, self.final)


@dataclass
class Net:
    """A nondeterministic automaton that is being built.

    edges   for each state: the states after each symbol
    silent  for each state: those that are reached without a symbol
    """

    edges: list[dict[int, list[int]]] = field(default_factory=list)
    silent: list[list[int]] = field(default_factory=list)

    def add(self) -> int:
        """A new state."""
        self.edges.append({})
        self.silent.append([])
        return len(self.edges) - 1

    def embed(self, machine: Machine, begin: int, end: int) -> None:
        """From `begin` the words of a machine lead to `end`."""
        if machine.empty:
            return
        base = len(self.edges)
        for row in machine.rows:
            self.edges.append({symbol: [base + target] for symbol, target in row.items()})
            self.silent.append([])
        for state, final in enumerate(machine.final):
            if final:
                self.silent[base + state].append(end)
        self.silent[begin].append(base)

    def machine(self, begin: int, end: int, most: int) -> Machine:
        """The smallest deterministic automaton of the words from `begin` to `end`. TooLarge if there are more
        than `most` states on the way to it."""
        closures: dict[int, frozenset[int]] = {}

        def closure(state: int) -> frozenset[int]:
            if state not in closures:
                seen, front = {state}, [state]
                while front:
                    for target in self.silent[front.pop()]:
                        if target not in seen:
                            seen.add(target)
                            front.append(target)
                closures[state] = frozenset(one for one in seen if self.edges[one] or one == end)
            return closures[state]

        start = closure(begin)
        number, order = {start: 0}, [start]
        rows: list[dict[int, int]] = []
        for states in order:
            moved: dict[int, set[int]] = {}
            for state in states:
                for symbol, targets in self.edges[state].items():
                    moved.setdefault(symbol, set()).update(targets)
            row = {}
            for symbol, targets in moved.items():
                key = frozenset().union(*map(closure, targets))
                if key not in number:
                    number[key] = len(order)
                    order.append(key)
                    if len(order) > most:
                        raise TooLarge(len(order))
                row[symbol] = number[key]
            rows.append(row)
        return smallest(trimmed(rows, [end in states for states in order]))


def trimmed(rows: list[dict[int, int]], final: Iterable[bool]) -> Machine:
    """Without the states that do not lie on a way from the first to a final one."""
    final = list(final)
    before: list[list[int]] = [[] for _ in rows]
    for state, row in enumerate(rows):
        for target in row.values():
            before[target].append(state)
    good = {state for state, ends in enumerate(final) if ends}
    front = list(good)
    while front:
        for state in before[front.pop()]:
            if state not in good:
                good.add(state)
                front.append(state)
    if 0 not in good:
        return Machine(({},), (False,))
    number, order = {0: 0}, [0]
    made: list[dict[int, int]] = []
    for state in order:
        row = {}
        for symbol, target in rows[state].items():
            if target in good:
                if target not in number:
                    number[target] = len(order)
                    order.append(target)
                row[symbol] = number[target]
        made.append(row)
    return Machine(tuple(made), tuple(final[state] for state in order))


def smallest(machine: Machine) -> Machine:
    """The same language in as few states as possible, by Hopcroft's algorithm for automata in which some
    transitions are missing (Valmari and Lehtinen, 2008: every block of the first partition splits)."""
    count = len(machine.rows)
    into: dict[int, dict[int, list[int]]] = {}  # symbol, target: sources
    for state, row in enumerate(machine.rows):
        for symbol, target in row.items():
            into.setdefault(symbol, {}).setdefault(target, []).append(state)
    blocks = [
        block
        for wanted in (True, False)
        if (block := {state for state in range(count) if machine.final[state] is wanted})
    ]
    of = [0] * count
    for number, block in enumerate(blocks):
        for state in block:
            of[state] = number
    waiting = {(number, symbol) for number in range(len(blocks)) for symbol in into}
    while waiting:
        number, symbol = waiting.pop()
        sources = into[symbol]
        touched: dict[int, set[int]] = {}
        for target in blocks[number]:
            for state in sources.get(target, ()):
                touched.setdefault(of[state], set()).add(state)
        for old, inside in touched.items():
            block = blocks[old]
            if len(inside) == len(block):
                continue
            block -= inside
            new = len(blocks)
            blocks.append(inside)
            for state in inside:
                of[state] = new
            smaller = new if len(inside) <= len(block) else old
            for each in into:
                waiting.add((new if (old, each) in waiting else smaller, each))
    rows: list[dict[int, int]] = [{} for _ in blocks]
    final = [False] * len(blocks)
    order = [of[0], *(number for number in range(len(blocks)) if number != of[0])]
    place = {number: i for i, number in enumerate(order)}
    for number, block in enumerate(blocks):
        example = next(iter(block))
        rows[place[number]] = {symbol: place[of[to]] for symbol, to in machine.rows[example].items()}
        final[place[number]] = machine.final[example]
    return Machine(tuple(rows), tuple(final))
