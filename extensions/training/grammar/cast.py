"""Draws who and what a story is about, and keeps count of the probability of every choice."""

import math
import random
from dataclasses import dataclass, field

from .templates import COLOUR, ELDER, FOOD, FRIEND, PLACE, THING, TIME, TOOL, TRAIT, WEATHER
from .words import PRONOUNS, Lexicon, capital, mend_articles

_LOGS = [0.0] + [math.log(count) for count in range(1, 1000)]
_CHILD, _CHILD_NAMED, _NAMED, _TRAIT, _LITTLE, _IT = 0.3, 0.9, 0.7, 0.75, 0.25, 0.15


class Dice:
    """Random choices with their cost: `nats` counts all, `told` those that the attributes tell."""

    def __init__(self, seed: int):
        self.random = random.Random(seed).random
        self.nats = 0.0
        self.told = 0.0

    def forget(self) -> None:
        """Set the costs to 0; the random numbers go on."""
        self.nats = self.told = 0.0

    def pick(self, items, told: bool = False):
        """One of the items (a sequence that is not empty), uniformly."""
        count = len(items)
        self.nats += _LOGS[count]
        if told:
            self.told += _LOGS[count]
        return items[int(self.random() * count)]

    def chance(self, probability: float, told: bool = False) -> bool:
        """True with the given probability, in (0, 1)."""
        hit = self.random() < probability
        cost = -math.log(probability if hit else 1.0 - probability)
        self.nats += cost
        if told:
            self.told += cost
        return hit


@dataclass(frozen=True)
class Pools:
    """What a plot draws from: the lexicon without the words that the plot's own text uses."""

    kinds: tuple[str, ...]
    elders: tuple[str, ...]
    things: tuple[str, ...]
    tools: tuple[str, ...]
    foods: tuple[str, ...]
    places: tuple[str, ...]

    @classmethod
    def of(cls, lexicon: Lexicon, used: frozenset[str]) -> "Pools":
        """The pools of a plot whose literal words are `used`."""

        def free(items) -> tuple[str, ...]:
            return tuple(item for item in items if not _forms(bare(item)) & used)

        return cls(
            free(lexicon.kinds),
            free(lexicon.elders),
            free(lexicon.things),
            free(lexicon.tools),
            free(lexicon.foods),
            free(lexicon.places),
        )


def _forms(noun: str) -> set[str]:
    return {noun, noun + "s", noun + "es", noun[:-1] + "ies"}


def bare(noun: str) -> str:
    """`the wise owl` is `owl`, `Grandma` is `grandma`."""
    return noun.rsplit(" ", 1)[-1].lower()


@dataclass
class Cast:
    """The values of the slots (keys as in the format strings) and the facts for the attributes."""

    values: dict[str, str] = field(default_factory=dict)
    kind: str = ""
    gender: str = ""
    name: str | None = None
    trait: str | None = None
    friend: str | None = None
    elder: str | None = None
    thing: str | None = None
    tool: str | None = None
    food: str | None = None
    place: str | None = None

    def put(self, key: str, text: str) -> None:
        """Set a slot and its capital twin."""
        self.values[key] = text
        self.values[capital(key)] = capital(text)


def _pronoun_values(prefix: str, gender: str) -> dict[str, str]:
    keys = [prefix + key for key in ("he", "him", "his", "himself")]
    pairs = list(zip(keys, PRONOUNS[gender], strict=True))
    return dict(pairs) | {capital(key): capital(text) for key, text in pairs}


_PRONOUN_VALUES = {
    (prefix, gender): _pronoun_values(prefix, gender)
    for prefix in ("", "friend_", "elder_")
    for gender in PRONOUNS
}


def draw_cast(dice: Dice, lexicon: Lexicon, pools: Pools, mask: int) -> Cast:
    """Draw the roles whose bits are in `mask` (the hero always) and fill in their slots."""
    cast = Cast()
    _draw_hero(dice, lexicon, pools, mask, cast)
    if mask & FRIEND:
        _draw_friend(dice, lexicon, pools, cast)
    if mask & ELDER:
        taken = (cast.kind, cast.friend)
        elder = dice.pick([elder for elder in pools.elders if bare(elder) not in taken], told=True)
        cast.elder = bare(elder)
        cast.put("elder", elder)
        cast.values.update(_PRONOUN_VALUES["elder_", lexicon.elders[elder]])
    if mask & (THING | TOOL):
        _draw_objects(dice, lexicon, pools, mask, cast)
    if mask & FOOD:
        _draw_food(dice, lexicon, pools, cast)
    if mask & PLACE:
        cast.place = place = dice.pick(pools.places, told=True)
        cast.put("in_place", f"{lexicon.places[place]} the {place}")
        cast.put("to_place", f"to the {place}")
        cast.put("the_place", f"the {place}")
    if mask & (TIME | WEATHER):
        time = dice.pick(lexicon.lists["times"]) if mask & TIME else ""
        weather = dice.pick(lexicon.lists["weathers"]) if mask & WEATHER or "{" in time else ""
        cast.put("weather", weather)
        cast.put("time", time.format(weather=weather))
    return cast


def _draw_hero(dice: Dice, lexicon: Lexicon, pools: Pools, mask: int, cast: Cast) -> None:
    child = dice.chance(_CHILD, told=True)
    kind = dice.pick(("girl", "boy") if child else pools.kinds, told=True)
    named = dice.chance(_CHILD_NAMED if child else _NAMED)
    gender = _gender(dice, lexicon, kind, named)
    cast.kind, cast.gender = kind, gender
    cast.name = dice.pick(_names(lexicon, kind, gender)) if named else None
    adjectives = []
    if mask & TRAIT or dice.chance(_TRAIT):
        cast.trait = dice.pick(lexicon.lists["traits"], told=True)
        adjectives.append(cast.trait)
        cast.put("trait", cast.trait)
    if kind not in lexicon.never_little and dice.chance(_LITTLE):
        adjectives.append("little")
    _put_person(dice, cast, "hero", (adjectives, kind, cast.name))
    cast.values.update(_PRONOUN_VALUES["", gender])


def _draw_friend(dice: Dice, lexicon: Lexicon, pools: Pools, cast: Cast) -> None:
    child = dice.chance(_CHILD, told=True)
    kinds = [kind for kind in (("girl", "boy") if child else pools.kinds) if kind != cast.kind]
    kind = dice.pick(kinds, told=True)
    named = dice.chance(_CHILD_NAMED if child else _NAMED)
    gender = _gender(dice, lexicon, kind, named, cast.gender)
    name = None
    if named:
        name = dice.pick([name for name in _names(lexicon, kind, gender) if name != cast.name])
    adjectives = [dice.pick(lexicon.lists["friend_traits"])] if dice.chance(0.6) else []
    _put_person(dice, cast, "friend", (adjectives, kind, name))
    cast.friend = kind
    cast.values.update(_PRONOUN_VALUES["friend_", gender])


def _gender(dice: Dice, lexicon: Lexicon, kind: str, named: bool, other: str = "") -> str:
    """he, she or (without a name) it; a friend is mostly the other of he and she, so that pronouns stay
    clear."""
    fixed = {"girl": "she", "boy": "he"}.get(kind) or lexicon.kinds[kind]
    if fixed != "any":
        return fixed
    if not named and other != "it" and dice.chance(_IT):
        return "it"
    likely_she = {"he": 0.85, "she": 0.15}.get(other, 0.5)
    return "she" if dice.chance(likely_she) else "he"


def _names(lexicon: Lexicon, kind: str, gender: str) -> tuple[str, ...]:
    names = lexicon.names
    if kind in ("girl", "boy"):
        return names[kind]
    return names["girl" if gender == "she" else "boy"] + names[gender] + names["any"]


def _put_person(dice: Dice, cast: Cast, role: str, person: tuple[list[str], str, str | None]) -> None:
    adjectives, kind, name = person
    text = " ".join(["a", *adjectives, kind])
    if name:
        text += (" called " if dice.chance(0.25) else " named ") + name
    cast.put(f"a_{role}", mend_articles(text))
    cast.put(role, name or f"the {kind}")


def _draw_objects(dice: Dice, lexicon: Lexicon, pools: Pools, mask: int, cast: Cast) -> None:
    if mask & THING:
        cast.thing = noun = dice.pick(pools.things, told=True)
        adjective, long = "", False
        if mask & COLOUR or dice.chance(0.5):
            adjective = dice.pick(lexicon.lists["colours"])
            long = dice.chance(0.3)
            cast.put("colour", adjective)
        elif dice.chance(0.5):
            adjective = dice.pick(lexicon.lists["thing_adjectives"])
        _put_noun(cast, "thing", noun, (adjective, long))
    if mask & TOOL:
        cast.tool = noun = dice.pick([tool for tool in pools.tools if tool != cast.thing], told=True)
        adjective = dice.pick(lexicon.lists["tool_adjectives"]) if dice.chance(0.5) else ""
        _put_noun(cast, "tool", noun, (adjective, False))


def _put_noun(cast: Cast, role: str, noun: str, looks: tuple[str, bool], article: str = "a") -> None:
    adjective, long = looks
    full = f"{adjective} {noun}" if adjective else noun
    cast.put(f"a_{role}", mend_articles(f"{article} {full}"))
    cast.put(f"the_{role}", f"the {full if long else noun}")
    cast.put(role, noun)


def _draw_food(dice: Dice, lexicon: Lexicon, pools: Pools, cast: Cast) -> None:
    cast.food = noun = dice.pick(pools.foods, told=True)
    count = lexicon.foods[noun] == "count"
    adjective = ""
    if dice.chance(0.4):
        adjective = dice.pick(lexicon.lists["food_adjectives" if count else "mass_adjectives"])
    _put_noun(cast, "food", noun, (adjective, False), "a" if count else "some")
