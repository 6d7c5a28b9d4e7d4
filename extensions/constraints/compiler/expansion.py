"""Context-free grammars as automata, recursion expanded to a bounded depth.

In each part of a grammar whose nonterminals derive each other some are counted, as few as every nesting goes
through. `L(d, X)` is what X derives where counted ones lie within each other at most d times. It is regular,
and built from the smallest automata of `L(d, Y)` and, where Y is counted, `L(d - 1, Y)`. Much recursion costs
no depth, because it repeats instead of nesting:

- left recursion, `A: A x | b`, is `b x*`; `A: A o A | b` is `b (o b)*`;
- what stands last in a rule is gone to and not come back from: `A: x A | b`, also through other rules.

What is left is nesting proper: `A: "(" A ")"`. A grammar without it is expanded exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from . import patterns
from .grammars import Grammar, Symbol, Terminal
from .machine import Machine, Net, TooLarge, smallest, trimmed

MAX_DEPTH = 32
TOGETHER = 50_000  # states of all its automata, beyond which a grammar is not expanded deeper unasked
WIDE = 16  # times as many states may an automaton have before it is made deterministic


@dataclass(frozen=True)
class Level:
    """An automaton over bytes: rows, final states, and how deep it nests; -1: the language itself."""

    depth: int
    rows: Sequence[dict[int, int]]
    final: Sequence[bool]


@dataclass(frozen=True)
class Body:
    """What a nonterminal derives: one of `heads`, then any number of `tails`."""

    heads: Sequence[Sequence[Symbol]]
    tails: Sequence[Sequence[Symbol]] = ()

    def symbols(self) -> Iterator[Symbol]:
        for alternative in (*self.heads, *self.tails):
            yield from alternative


def levels(grammar: Grammar, states: int, depth: int, enough: int) -> list[Level]:
    """The automata of a grammar at growing depths, until one has more than `enough` states. depth: only that
    one, unless it is 0. ValueError, TooLarge: more than `states` states."""
    expansion = Expansion(grammar, states)
    if depth:
        for at in range(depth + 1):
            machine = expansion.whole(at)
        if machine.empty:
            raise ValueError(f"it has no text that nests {depth} deep or less")
        return [expansion.level(machine, depth if expansion.nests else -1)]
    found: list[Level] = []
    for at in range(MAX_DEPTH + len(expansion.bodies) + 1):
        try:
            machine = expansion.whole(at)
        except TooLarge:
            if not found:
                raise
            break
        if found and len(machine.rows) > enough:
            break
        if not machine.empty:
            found.append(expansion.level(machine, at if expansion.nests else -1))
        if not expansion.nests or found and (at >= MAX_DEPTH or expansion.states > TOGETHER):
            break
    if not found:
        raise ValueError("its rules derive no finite text")
    return found


class Expansion:
    """The automata of a grammar's nonterminals.

    nests   whether some rule has been found to lie within itself
    states  of all automata so far
    bodies  the nonterminals that the start needs
    """

    def __init__(self, grammar: Grammar, states: int):
        self.nests, self.states = False, 0
        self._most = states
        self.bodies = _bodies(grammar)
        self._part, self._counted = _recursive(self.bodies)
        terminals = {
            one: None for body in self.bodies.values() for one in body.symbols() if isinstance(one, Terminal)
        }
        tables = {one: _table(one) for one in (*terminals, *grammar.ignored)}
        self._symbols = _symbols(tables.values())
        machines = {one: self._machine(one, table) for one, table in tables.items()}
        self._between = self._repeated([machines[one] for one in grammar.ignored])
        self._terminals = {one: self._behind(machines[one]) for one in terminals}
        self._start, self._known = grammar.start, {}

    def level(self, machine: Machine, depth: int) -> Level:
        """An automaton over bytes."""
        bytes_of: dict[int, list[int]] = {}
        for byte, symbol in self._symbols.items():
            bytes_of.setdefault(symbol, []).append(byte)
        rows = [
            {byte: target for symbol, target in row.items() for byte in bytes_of[symbol]}
            for row in machine.rows
        ]
        return Level(depth, rows, machine.final)

    def whole(self, depth: int) -> Machine:
        """L(depth, start), with what may be ignored behind it."""
        machine = self.nested(self._start, depth)
        if self._between is None:
            return machine
        net = Net()
        begin, middle, end = net.add(), net.add(), net.add()
        net.embed(machine, begin, middle)
        net.embed(self._between, middle, end)
        return net.machine(begin, end, self._most)

    def nested(self, root: str, depth: int) -> Machine:
        """L(depth, root)."""
        if depth < 0:
            self.nests = True
            return Machine(({},), (False,))
        if (root, depth) in self._known:
            return self._known[root, depth]
        net = Net()
        begin, end = net.add(), net.add()
        entries: dict[str, int] = {}
        waiting: list[str] = []

        def entry(name: str) -> int:
            """Where the body of a nonterminal begins whose end is the end of the whole."""
            if name not in entries:
                entries[name] = net.add()
                waiting.append(name)
            return entries[name]

        net.silent[begin].append(entry(root))
        while waiting:
            name = waiting.pop()
            body = self.bodies[name]
            last = net.add() if body.tails else end
            for alternative in body.heads:
                self._sequence(
                    net, alternative, entries[name], last, root, depth, entry if last == end else None
                )
            if body.tails:
                net.silent[last].append(end)
            for alternative in body.tails:
                self._sequence(net, alternative, last, last, root, depth, None)
        found = self._known[root, depth] = net.machine(begin, end, self._most)
        self.states += len(found.rows)
        return found

    def _sequence(self, net, alternative, begin: int, end: int, root: str, depth: int, entry) -> None:
        """The symbols of an alternative from one state to another. entry: see `nested`, if what stands last
        ends the whole."""
        at, part = begin, self._part[root]
        if len(net.edges) > WIDE * self._most:
            raise TooLarge(len(net.edges))
        for i, symbol in enumerate(alternative):
            last = i + 1 == len(alternative)
            if isinstance(symbol, Terminal):
                following = end if last else net.add()
                net.embed(self._terminals[symbol], at, following)
            elif (
                last
                and entry is not None
                and self._part[symbol] == part
                and (root in self._counted or symbol not in self._counted)
            ):
                net.silent[at].append(entry(symbol))
                return
            else:
                following = end if last else net.add()
                deeper = self._part[symbol] == part and symbol in self._counted
                net.embed(self.nested(symbol, depth - deeper), at, following)
            at = following
        if not alternative:
            net.silent[begin].append(end)

    def _machine(self, terminal: Terminal, table: patterns.Table) -> Machine:
        """A terminal over our symbols."""
        rows = [{self._symbols[byte]: target for byte, target in row.items()} for row in table[0]]
        machine = smallest(trimmed(rows, table[1]))
        if machine.empty:
            raise ValueError(f"the terminal {terminal.text[:40]} has no match")
        return machine.without_longer() if terminal.lazy else machine

    def _repeated(self, ignored: Sequence[Machine]) -> Machine | None:
        """Any number of what is ignored."""
        if not ignored:
            return None
        net = Net()
        begin = net.add()
        for machine in ignored:
            net.embed(machine, begin, begin)
        return net.machine(begin, begin, self._most)

    def _behind(self, machine: Machine) -> Machine:
        """A terminal behind what is ignored."""
        if self._between is None:
            return machine
        net = Net()
        begin, middle, end = net.add(), net.add(), net.add()
        net.embed(self._between, begin, middle)
        net.embed(machine, middle, end)
        return net.machine(begin, end, self._most)


def _bodies(grammar: Grammar) -> dict[str, Body]:
    """The nonterminals that the start needs, direct left recursion made a repetition."""
    bodies: dict[str, Body] = {}
    waiting = [grammar.start]
    while waiting:
        name = waiting.pop()
        if name in bodies:
            continue
        alternatives = [list(one) for one in grammar.rules[name] if list(one) != [name]]
        heads = [one for one in alternatives if one[:1] != [name]]
        tails = [one[1:] for one in alternatives if one[:1] == [name]]
        if tails:
            # L = N T*: what begins and ends with the rule itself is the same with N at its end.
            first = f"{name} first"
            bodies[first] = Body([_ending(one, name, first) for one in heads])
            bodies[name] = Body([[first]], [_ending(one, name, first) for one in tails])
        else:
            bodies[name] = Body(heads)
        waiting += [symbol for one in alternatives for symbol in one if isinstance(symbol, str)]
    return bodies


def _ending(symbols: list[Symbol], name: str, other: str) -> list[Symbol]:
    """With `other` for `name` at the end."""
    return [*symbols[:-1], other] if symbols[-1:] == [name] else symbols


def _recursive(bodies: Mapping[str, Body]) -> tuple[dict[str, int], set[str]]:
    """The number of the part of the grammar that each nonterminal belongs to, whose members derive each
    other; and the nonterminals that are counted: every nesting goes through one of them."""
    edges = {name: [one for one in body.symbols() if isinstance(one, str)] for name, body in bodies.items()}
    inner = {name: set(_not_last(body)) for name, body in bodies.items()}
    counted: set[str] = set()
    parts = _parts(edges)
    of = {name: number for number, part in enumerate(parts) for name in part}
    for part in parts:
        rest = list(reversed(part))  # those that are reached first are likely to be the ones to count

        def nesting(names: list[str]) -> list[list[str]]:
            """What of these still nests when only they are looked at."""
            there = set(names)
            inside = {name: [one for one in edges[name] if one in there] for name in names}
            return [one for one in _parts(inside) if any(inner[name] & set(one) for name in one)]

        while nest := nesting(rest):
            members = {name for one in nest for name in one}
            degree = {name: sum(one in members for one in edges[name]) for name in members}
            for name in members:
                for one in edges[name]:
                    if one in members:
                        degree[one] += len(part)  # what many refer to
            candidates = [name for name in rest if name in members]
            alone = None
            if len(candidates) <= 64:
                alone = next(
                    (name for name in candidates if not nesting([x for x in rest if x != name])), None
                )
            chosen = alone or max(candidates, key=degree.__getitem__)
            counted.add(chosen)
            rest.remove(chosen)
    return of, counted


def _not_last(body: Body) -> Iterator[str]:
    """The nonterminals behind which something follows."""
    for alternative in body.heads:
        for symbol in alternative if body.tails else alternative[:-1]:
            if isinstance(symbol, str):
                yield symbol
    for alternative in body.tails:
        for symbol in alternative:
            if isinstance(symbol, str):
                yield symbol


def _parts(edges: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """The strongly connected parts of a graph (Tarjan, 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    done: set[str] = set()
    stack: list[str] = []
    parts: list[list[str]] = []
    for root in edges:
        work: list[tuple[str, Iterator[str]]] = []
        target: str | None = None if root in index else root
        while target is not None or work:
            if target is not None:
                index[target] = low[target] = len(index)
                stack.append(target)
                work.append((target, iter(edges[target])))
            name, following = work[-1]
            target = None
            for one in following:
                if one not in index:
                    target = one
                    break
                if one not in done:
                    low[name] = min(low[name], index[one])
            if target is not None:
                continue
            work.pop()
            if work:
                low[work[-1][0]] = min(low[work[-1][0]], low[name])
            if low[name] == index[name]:
                cut = stack.index(name)
                parts.append(stack[cut:])
                done.update(stack[cut:])
                del stack[cut:]
    return parts


def _table(terminal: Terminal) -> patterns.Table:
    """A terminal's automaton over bytes."""
    if terminal.regex:
        try:
            return patterns.table(terminal.text)
        except ValueError as error:
            raise ValueError(
                f"the terminal /{terminal.text[:40]}/ is no regular expression of automata"
            ) from error
    try:
        text = terminal.text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("a terminal holds half a surrogate pair") from error
    return [*({byte: i + 1} for i, byte in enumerate(text)), {}], [*(False for _ in text), True]


def _symbols(tables) -> dict[int, int]:
    """Bytes that no terminal tells apart as one symbol."""
    columns: list[list[tuple[int, int, int]]] = [[] for _ in range(256)]
    for number, (rows, _) in enumerate(tables):
        for state, row in enumerate(rows):
            for byte, target in row.items():
                columns[byte].append((number, state, target))
    known: dict[tuple, int] = {}
    return {
        byte: known.setdefault(tuple(column), len(known)) for byte, column in enumerate(columns) if column
    }
