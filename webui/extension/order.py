"""In which order the extensions with a hook act: by what each says about others, by its number, by its
name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from heapq import heapify, heappop, heappush
from typing import Any, TypeVar

from webui.extension.extension import HOOKS, Extension

K = TypeVar("K", bound=type[Extension])


class Circle(ValueError):
    """Extensions that want to be before each other; `names` are theirs."""

    def __init__(self, hook: str, names: Sequence[str]):
        self.names = tuple(names)
        super().__init__(f"{hook}: {' before '.join((*names, names[0]))}; one of them has to give way.")


def ordered(kinds: Iterable[K], hook: str) -> list[K]:
    """The extensions in the order of a hook. What `before` and `after` say holds; where that leaves a
    choice, the lower number of `order` comes first, then the name. Circle if they contradict each other."""
    by_name = {kind.name: kind for kind in kinds}
    later: dict[str, set[str]] = {name: set() for name in by_name}
    for name, kind in by_name.items():
        later[name] |= set(stated(kind, "before", hook)) & by_name.keys()
        for earlier in set(stated(kind, "after", hook)) & by_name.keys():
            later[earlier].add(name)
    waiting = {name: sum(name in names for names in later.values()) for name in by_name}
    free = [(by_name[name].order_of(hook), name) for name, number in waiting.items() if not number]
    heapify(free)
    found: list[K] = []
    while free:
        _, name = heappop(free)
        found.append(by_name[name])
        for other in later[name]:
            waiting[other] -= 1
            if not waiting[other]:
                heappush(free, (by_name[other].order_of(hook), other))
    if len(found) < len(by_name):
        raise Circle(hook, _circle(later, {name for name, number in waiting.items() if number}))
    return found


def stated(kind: type[Extension], side: str, hook: str) -> tuple[str, ...]:
    """The names that an extension says it acts before or after, in this hook."""
    names: Any = getattr(kind, side)
    return tuple(names.get(hook, ()) if isinstance(names, Mapping) else names)


def check_order(kind: type[Extension]) -> None:
    """ValueError unless `before` and `after` are names, or names by hook."""
    for side in ("before", "after"):
        names: Any = getattr(kind, side)
        lists = names.values() if isinstance(names, Mapping) else (names,)
        if isinstance(names, Mapping) and (unknown := [hook for hook in names if hook not in HOOKS]):
            raise ValueError(f"{side}: {unknown[0]!r} is no hook.")
        for one in lists:
            if not isinstance(one, tuple) or not all(isinstance(name, str) for name in one):
                raise ValueError(f"{side}: write a tuple of names, or one for each hook.")
            if kind.name in one:
                raise ValueError(f"{side}: {kind.name} cannot be {side} itself.")


def _circle(later: Mapping[str, set[str]], left: set[str]) -> list[str]:
    """One circle among the names that are left."""
    path: list[str] = []
    name = min(left)
    while name not in path:
        path.append(name)
        earlier = [other for other in sorted(left) if name in later[other]]
        name = earlier[0] if earlier else min(left - set(path))
    return path[path.index(name) :][::-1]
