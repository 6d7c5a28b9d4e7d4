"""What a plot is about, in the words of somebody who asks for it: `a girl who loses her umbrella`."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from .cast import Cast
from .plots import Plot
from .words import PRONOUNS, mend_articles

SLOTS = frozenset("hero he him his friend friend_kind elder thing tool food place".split())
_SLOT = re.compile(r"\{([^{}]*)\}")
_FAMILY = frozenset(("grandma", "grandpa", "mom", "dad"))


def read_gists(path: Path, plots: Sequence[Plot]) -> tuple[Mapping[str, tuple[str, ...]], list[str]]:
    """The gists by the plots' names, and what is wrong with the file, one sentence each. None without it."""
    if not path.is_file():
        return {}, []
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))["gists"]
    except (tomllib.TOMLDecodeError, KeyError) as error:
        return {}, [f"{path.name}: it must hold a table [gists] ({error})."]
    names, faults = {plot.name for plot in plots}, []
    for name, some in data.items():
        if name not in names:
            faults.append(f"{path.name}: there is no plot '{name}'.")
        unknown = sorted({slot for text in some for slot in _SLOT.findall(text)} - SLOTS)
        if unknown:
            faults.append(f"{path.name}, '{name}': unknown slot {{{unknown[0]}}}.")
    return {name: tuple(some) for name, some in data.items()}, faults


def filled(gists: Sequence[str], cast: Cast) -> tuple[str, ...]:
    """Those of the gists whose slots the story has, with its words in them."""
    he, him, his, _ = PRONOUNS[cast.gender]
    elder = cast.elder and (f"{his} {cast.elder}" if cast.elder in _FAMILY else f"the {cast.elder}")
    words = {
        "hero": f"a {cast.trait} {cast.kind}" if cast.trait else f"a {cast.kind}",
        "he": he,
        "him": him,
        "his": his,
        "friend": cast.friend and f"a {cast.friend}",
        "friend_kind": cast.friend,
        "elder": elder,
        "thing": cast.thing,
        "tool": cast.tool,
        "food": cast.food,
        "place": cast.place,
    }
    known = {slot: word for slot, word in words.items() if word}
    return tuple(
        mend_articles(text.format_map(known)) for text in gists if known.keys() >= set(_SLOT.findall(text))
    )
