"""The template language of the plots: `(a|b|c)` and slots in braces, compiled to Python format strings."""

import itertools
import re
from dataclasses import dataclass

MOST_FORMS = 600

# The bits of a mask say which drawn words a text shows.
FRIEND, ELDER, THING, TOOL, FOOD, PLACE, TRAIT, COLOUR, WEATHER, TIME, HERO = (1 << bit for bit in range(11))
ROLES = {
    "friend": FRIEND,
    "elder": ELDER,
    "thing": THING,
    "tool": TOOL,
    "food": FOOD,
    "place": PLACE,
    "hero": HERO,
}
ROLE_NAMES = {bit: name for name, bit in ROLES.items()}
INTRODUCED = HERO | FRIEND | THING | TOOL | FOOD

SLOTS = {
    "hero": HERO,
    "he": HERO,
    "him": HERO,
    "his": HERO,
    "himself": HERO,
    "trait": HERO | TRAIT,
    "friend": FRIEND,
    "friend.he": FRIEND,
    "friend.him": FRIEND,
    "friend.his": FRIEND,
    "friend.himself": FRIEND,
    "elder": ELDER,
    "elder.he": ELDER,
    "elder.him": ELDER,
    "elder.his": ELDER,
    "elder.himself": ELDER,
    "the thing": THING,
    "thing": THING,
    "colour": THING | COLOUR,
    "the tool": TOOL,
    "tool": TOOL,
    "the food": FOOD,
    "food": FOOD,
    "in place": PLACE,
    "to place": PLACE,
    "the place": PLACE,
    "time": TIME,
    "weather": WEATHER,
}
INTRODUCTIONS = {"a hero": HERO, "a friend": FRIEND, "a thing": THING, "a tool": TOOL, "a food": FOOD}

SLOT = re.compile(r"\{([^{}]*)\}")
_CHOICE = re.compile(r"\(([^()]*)\)")


class TemplateError(ValueError):
    """A wording that cannot be compiled; the message is one sentence."""


@dataclass(frozen=True)
class Form:
    """One wording with its choices made. `text` is a format string for `values_of`; `slots` keeps their
    order."""

    text: str
    plain: str
    mask: int
    slots: tuple[str, ...]

    @property
    def introduces(self) -> int:
        """The mask of the roles that this form introduces."""
        return sum(INTRODUCTIONS[slot] for slot in dict.fromkeys(self.slots) if slot in INTRODUCTIONS)


def compile_wording(wording: str) -> tuple[Form, ...]:
    """All forms of a wording, each equally likely (choices are uniform and independent). Raises
    TemplateError."""
    parts = _CHOICE.split(wording)
    if any(mark in part for part in parts[::2] for mark in "()"):
        raise TemplateError("parentheses are nested or do not pair")
    if any("|" in part for part in parts[::2]):
        raise TemplateError("a | stands outside of parentheses")
    if any("|" not in part for part in parts[1::2]):
        raise TemplateError("parentheses hold no | to choose from")
    options = [part.split("|") if index % 2 else [part] for index, part in enumerate(parts)]
    count = 1
    for option in options:
        count *= len(option)
    if count > MOST_FORMS:
        raise TemplateError(f"its choices make {count} texts, more than {MOST_FORMS}")
    return tuple(_form("".join(chosen)) for chosen in itertools.product(*options))


def _form(plain: str) -> Form:
    mask, slots = 0, []
    for raw in SLOT.findall(plain):
        slot = raw[:1].lower() + raw[1:]
        if slot in INTRODUCTIONS:
            mask |= INTRODUCTIONS[slot]
        elif slot in SLOTS:
            mask |= SLOTS[slot]
        else:
            raise TemplateError(f"unknown slot {{{raw}}}")
        slots.append(slot)
    if any(mark in SLOT.sub("", plain) for mark in "{}"):
        raise TemplateError("braces do not pair")
    text = SLOT.sub(lambda match: "{" + key_of(match.group(1)) + "}", plain)
    return Form(text, plain, mask, tuple(slots))


def key_of(slot: str) -> str:
    """The format key of a slot: `Friend.he` is `Friend_he`, `a hero` is `a_hero`."""
    return slot.replace(".", "_").replace(" ", "_")
