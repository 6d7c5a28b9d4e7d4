"""Axes: which fields a grid may vary, what the values of one are, and what a value changes in a request."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import permutations
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from webui import Request, axis_fields, nearest

from .values import Item, items, numbers

TEXT, ORDER = (
    ".text",
    ".order",
)  # after the path of a text: another way to vary it than to replace words in it
ALL, PRESET = "*", "preset"  # values that stand for others, unless they are quoted
MOST_WORDS = 6  # whose orders make an axis: 720
SHOWN = 60  # characters of a value in a label or a sentence
MOST_NAMED = 3  # fields in the sentence about a name that is none
LIKE = 0.7  # how much two names agree, as difflib counts it
SHORTEST = 3  # letters that a name which holds them is like
Choices = Callable[[FieldInfo], list[str] | None]


@dataclass(frozen=True)
class Replaced:
    """A word of a text and what stands in its place."""

    old: str
    new: str


@dataclass(frozen=True)
class Value:
    """One value of an axis.

    value  as JSON has it
    set    the value for the field, or words to replace in its text
    """

    value: Any
    label: str
    set: Any


@dataclass(frozen=True)
class Axis:
    """A field and its values. `name` is the field as the user names it, `path` where it is in a request."""

    name: str
    path: tuple[str, ...]
    values: tuple[Value, ...]


def names(model: type[Request]) -> list[str]:
    """What a grid over this request model can vary."""
    found: list[str] = []
    for name, info in axis_fields(model).items():
        found += [name, name + TEXT, name + ORDER] if _is_text(info, None) else [name]
    return found


def said(name: str, model: type[Request]) -> str:
    """A field of an axis as sentences name it: as the page does, with its path: "Guidance scale
    (guidance.scale)"; with its extension's title where another field has the same label."""
    labels = {path: info.title or path for path, info in axis_fields(model).items()}
    path = name.removesuffix(TEXT).removesuffix(ORDER)
    found = labels.get(path, path)
    if list(labels.values()).count(found) > 1 and "." in path:
        found = f"{model.model_fields[path.partition('.')[0]].title}: {found}"
    way = ", the whole text" if name.endswith(TEXT) else ", word order" if name.endswith(ORDER) else ""
    return f"{found}{way} ({name})"


def _nearest(name: str, model: type[Request]) -> str:
    """The end of the sentence about a name that is no field: those that have a path, a last part of it, or a
    label like it."""
    wanted, called = name.casefold().strip(), {}
    for path, info in axis_fields(model).items():
        for alias in {path, path.rpartition(".")[2], (info.title or path).casefold()}:
            called.setdefault(alias, []).append(path)
    if exact := called.get(wanted):
        return f"It is written {' or '.join(exact)}."
    close = [alias for alias in called if wanted in alias and len(wanted) >= SHORTEST]
    close += get_close_matches(wanted[:SHOWN], called, MOST_NAMED, LIKE)
    paths = list(dict.fromkeys(path for alias in close for path in called[alias]))[:MOST_NAMED]
    if not paths:
        return "None has a name like it."
    return f"The nearest: {', '.join(said(path, model) for path in paths)}."


def axis(letter: str, name: str, typed: str, request: Request, choices: Choices) -> Axis:
    """The axis over a field, with the values as typed. ValueError names the axis, the field and the value."""
    fields = axis_fields(type(request))
    path = name.removesuffix(TEXT).removesuffix(ORDER)
    if path not in fields:
        raise ValueError(
            f"{letter}: {_short(name)!r} is no field that a grid can vary. {_nearest(name, type(request))}"
        )
    info = fields[path]
    if path != name and not _is_text(info, choices):
        raise ValueError(f"{letter}: {said(path, type(request))} is no text; write {path} as the field.")
    try:
        read = items(typed) if typed.strip() else []
        if not read:
            raise ValueError("give at least one value.")
        if name.endswith(ORDER):
            values = list(_orders(_get(request, path), [item.text for item in read]))
        elif name == path and _is_text(info, choices):
            values = list(_replacements(name, _get(request, path), [item.text for item in read]))
        else:
            values = list(_set(name, path, read, info, request, choices))
    except ValueError as error:
        raise ValueError(f"{letter}, {said(name, type(request))}: {error}") from error
    return Axis(name, tuple(path.split(".")), tuple(values))


def check(axes: Sequence[tuple[str, Axis]], model: type[Request]) -> None:
    """ValueError if two axes vary the same field, unless both replace words in it."""
    first: dict[tuple[str, ...], tuple[str, Axis]] = {}
    for letter, one in axes:
        other, before = first.setdefault(one.path, (letter, one))
        if before is not one and not (before.name == one.name and _replaces(before) and _replaces(one)):
            raise ValueError(
                f"{other} and {letter} both vary {said('.'.join(one.path), model)}; give it one axis."
            )


def changes(request: Request, axes: Sequence[Axis], chosen: Sequence[Value]) -> dict[str, Any]:
    """What these values, one of each axis, change in a request: fields and extensions' options, by the
    request's fields."""
    words: dict[tuple[str, ...], list[Replaced]] = {}
    inner: dict[str, dict[str, Any]] = {}
    outer: dict[str, Any] = {}
    for one, value in zip(axes, chosen, strict=True):
        if isinstance(value.set, Replaced):
            words.setdefault(one.path, []).append(value.set)
            continue
        _put(one.path, value.set, outer, inner)
    for path, pairs in words.items():
        _put(path, _replace(_get(request, ".".join(path)), pairs), outer, inner)
    return {**outer, **{name: getattr(request, name).replace(**own) for name, own in inner.items()}}


def refused(
    request: Request, lettered: Sequence[tuple[str, Axis]], chosen: Sequence[Value], error: ValueError
) -> str:
    """The sentence about values that the fields read one by one but refuse in this cell, as a text that is
    too long once its words are replaced: with the axes of the field that refuses, or else with all."""
    field, _, reason = str(error).partition(": ")
    pairs = list(zip(lettered, chosen, strict=True))
    own = [pair for pair in pairs if pair[0][1].path[-1] == field]
    where = " and ".join(
        f"{letter}, {said(one.name, type(request))}, with {_short(str(value.value))!r}"
        for (letter, one), value in own or pairs
    )
    return f"{where}: {reason[:1].lower()}{reason[1:]}" if own else f"{where}: {error}"


def _put(path: tuple[str, ...], value: Any, outer: dict[str, Any], inner: dict[str, dict[str, Any]]) -> None:
    if len(path) == 1:
        outer[path[0]] = value
    else:
        inner.setdefault(path[0], {})[path[1]] = value


def _get(request: Request, path: str) -> Any:
    value: Any = request
    for name in path.split("."):
        value = getattr(value, name)
    return value


def _replaces(one: Axis) -> bool:
    return isinstance(one.values[0].set, Replaced)


def _replace(text: str, pairs: Sequence[Replaced]) -> str:
    """All words replaced at the same time, so that what one puts there is not replaced by another; of words
    that begin alike the longest."""
    new = {pair.old: pair.new for pair in pairs}
    either = "|".join(re.escape(old) for old in sorted(new, key=len, reverse=True))
    return re.sub(either, lambda match: new[match[0]], text)


def _replacements(name: str, text: str, words: Sequence[str]) -> Iterator[Value]:
    """The first value is replaced by each of them."""
    old = words[0]
    if not old or old not in text:
        raise ValueError(
            f"the first value, {_short(old)!r}, does not occur in the text; it is what the others replace. "
            f"To set the whole text, write {name}{TEXT} as the field."
        )
    return (Value(word, _short(word), Replaced(old, word)) for word in words)


def _orders(text: str, words: Sequence[str]) -> Iterator[Value]:
    """The words of the text in every order, each order as the words have their places in it."""
    if len(words) > MOST_WORDS:
        raise ValueError(f"{len(words)} words have too many orders; at most {MOST_WORDS} are possible.")
    places: list[tuple[int, str]] = []
    for word in words:
        place = text.find(word)
        if place < 0 or not word:
            raise ValueError(f"{_short(word)!r} does not occur in the text.")
        places.append((place, word))
    places.sort()
    if any(start + len(word) > after for (start, word), (after, _) in zip(places, places[1:], strict=False)):
        raise ValueError("two of the words overlap in the text.")
    for order in permutations(words):
        made, at = "", 0
        for (start, old), word in zip(places, order, strict=True):
            made, at = made + text[at:start] + word, start + len(old)
        label = ", ".join(order)
        yield Value(label, _short(label), made + text[at:])


def _set(
    name: str, path: str, read: Sequence[Item], info: FieldInfo, request: Request, choices: Choices
) -> Iterator[Value]:
    """The values as the field itself reads them."""
    kinds, offered = _leaves(info.annotation), _offered(info, choices)
    drawn = random.Random(request.seed)  # the same grid has the same seeds
    for item in read:
        several: Sequence[Any] = [item.text]
        if _is_list(info):
            several = [tuple(one.text for one in items(item.text)) if item.text.strip() else ()]
        elif not item.quoted:
            if item.text == ALL and offered is not None:
                several = offered
            elif item.text == PRESET and type(None) in kinds:
                several = [None]
            elif kinds & {int, float}:
                found = numbers(item.text, whole=float not in kinds)
                several = [item.text] if found is None else found
        for raw in several:
            if offered is not None and isinstance(raw, str) and str in kinds and raw not in offered:
                raise ValueError(f"there is no {_short(raw)!r}. {nearest(raw, offered)}")
            value = _read(path, raw, request)
            if path == "seed" and value == -1:
                value = drawn.randrange(2**32)
            plain = list(value) if isinstance(value, tuple) else value
            yield Value(plain, _label(name, value), value)


def _read(path: str, raw: Any, request: Request) -> Any:
    """The value as the field has it. ValueError names the value."""
    outer, _, inner = path.partition(".")
    try:
        if not inner:
            return getattr(request.replace(**{outer: raw}), outer)
        return getattr(getattr(request, outer).replace(**{inner: raw}), inner)
    except ValueError as error:
        reason = str(error).partition(": ")[2] or str(error)
        raise ValueError(f"{_short(str(raw))!r} is refused: {reason[:1].lower()}{reason[1:]}") from None


def _label(name: str, value: Any) -> str:
    shown = PRESET if value is None else value if isinstance(value, str) else json.dumps(value)
    shown = ", ".join(value) or "-" if isinstance(value, tuple) else shown
    shown = f"{value:g}" if isinstance(value, float) else shown
    return _short(shown) if name.endswith(TEXT) else f"{name.rpartition('.')[2]} {_short(shown)}"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SHOWN else line[: SHOWN - 1] + "…"


def _offered(info: FieldInfo, choices: Choices) -> list[Any] | None:
    """All values of a field that has a list of them."""
    if (offered := choices(info)) is not None:
        return offered
    literals = [
        value for kind in _parts(info.annotation) if get_origin(kind) is Literal for value in get_args(kind)
    ]
    if literals:
        return literals
    return [False, True] if bool in _leaves(info.annotation) else None


def _is_list(info: FieldInfo) -> bool:
    """Whether the field holds several texts; then an item that is quoted may be several, as `"a, b"`."""
    return info.annotation == tuple[str, ...]


def _is_text(info: FieldInfo, choices: Choices | None) -> bool:
    """Whether words can be replaced in the field: a text without a list of values."""
    return info.annotation is str and (choices is None or choices(info) is None)


def _parts(kind: Any) -> list[Any]:
    origin = get_origin(kind)
    if origin is Annotated:
        return _parts(get_args(kind)[0])
    if origin in (Union, UnionType):
        return [part for one in get_args(kind) for part in _parts(one)]
    return [kind]


def _leaves(kind: Any) -> set[Any]:
    """The types that a field allows."""
    return set(_parts(kind))


def labels(axes: Sequence[Axis], chosen: Sequence[Value]) -> tuple[tuple[str, Any, str], ...]:
    """The axes of a cell."""
    return tuple((one.name, value.value, value.label) for one, value in zip(axes, chosen, strict=True))
