"""The rules of the plot format that can be checked; every fault is one sentence that names its place."""

import itertools
import re
from collections.abc import Iterator

from .plots import Beat, Plot
from .templates import (
    ELDER,
    FOOD,
    FRIEND,
    INTRODUCED,
    INTRODUCTIONS,
    PLACE,
    ROLE_NAMES,
    SLOT,
    SLOTS,
    THING,
    TOOL,
    Form,
)
from .words import HAPPY_WORDS, SAD_WORDS, words_of

FEWEST_WORDINGS = 5
BEATS = range(6, 9)  # beats spoken in one story
COMBINATIONS = tuple(itertools.product((True, False), repeat=2))  # (happy, talk)

# The slots by which a sentence belongs to its story and to no other; pronouns, time and weather do not tell.
_TELLING = frozenset(
    (
        "hero", "friend", "elder", "the thing", "thing", "the tool", "tool", "the food", "food", "in place",
        "to place", "the place", *INTRODUCTIONS,
    )
)  # fmt: skip

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_ARTICLE_BEFORE_SLOT = re.compile(
    r"\b(an?|the) \{((a|the|in|to) |hero|friend\}|elder\}|thing|tool|food)"
    r"|(\b(my|your|their|our)|\{([a-z]+\.)?his\}) \{((a|the|in|to) |hero|friend\}|elder\})",
    re.I,
)
_LOWER_START = re.compile(r"(?:^|[.!?] )\"?(?:[a-z]|\{[a-z])")
_LOWER_QUOTE = re.compile(r"[^\"]*\"(?:[a-z]|\{[a-z])")  # of the first quotation; a later one may go on
_CAPITAL_WITHIN = re.compile(r"[a-z,}] \{[A-Z]")
_SPACING = re.compile(r"  |^ | $| [.,!?]|[.,!?][A-Za-z]|,,")


def faults_of(plot: Plot) -> list[str]:
    """Every fault of a plot."""
    where = f"{plot.file}, plot '{plot.name}'"
    faults = [] if _NAME.fullmatch(plot.name) else [f"{where}: the name must be kebab-case."]
    for beat in plot.beats:
        faults += _faults_of_beat(beat, f"{where}, beat {beat.number}")
    faults += [f"{where}: {fault}" for fault in _faults_of_roles(plot)]
    for happy, talk in COMBINATIONS:
        faults += [f"{where}{fault}" for fault in _faults_of_script(plot, happy, talk)]
    return list(dict.fromkeys(faults))


def repeated_wordings(plots: list[Plot]) -> list[str]:
    """Names that two plots share, and texts that two wordings share."""
    faults, names, seen = [], {}, {}
    for plot in plots:
        if plot.name in names:
            faults.append(f"{plot.file}, plot '{plot.name}': {names[plot.name]} has a plot of the same name.")
        names.setdefault(plot.name, plot.file)
        for beat in plot.beats:
            for number, forms in enumerate(beat.wordings, start=1):
                here = f"{plot.file}, plot '{plot.name}', beat {beat.number}, wording {number}"
                for form in forms:
                    other = seen.setdefault(form.plain, here)
                    if other != here:
                        faults.append(f"{here}: the same text stands in {other}.")
                        break
    return faults


def _faults_of_beat(beat: Beat, where: str) -> list[str]:
    faults = []
    if len(beat.wordings) < FEWEST_WORDINGS:
        faults.append(f"{where}: {len(beat.wordings)} wordings, at least {FEWEST_WORDINGS} are needed.")
    for number, forms in enumerate(beat.wordings, start=1):
        for form in forms:
            fault = next(_faults_of_form(form, "talk" in beat.when), None)
            if fault:
                faults.append(f"{where}, wording {number}: {fault}.")
                break
        if beat.number > 1 and not all(set(form.slots) & _TELLING for form in forms):
            faults.append(
                f"{where}, wording {number}: it fits any story; name the hero, the friend, the elder, an "
                "object, the food or the place."
            )
    if len({form.introduces for form in beat.forms}) > 1:
        faults.append(f"{where}: its wordings introduce different roles.")
    return faults


def _faults_of_form(form: Form, talk: bool) -> Iterator[str]:
    """What is wrong with the text of one form, whatever the story around it."""
    plain = form.plain
    quotes = plain.count('"')
    if not plain.isascii():
        yield "it holds a character that is not ASCII"
    if any(mark in plain for mark in ";:\n\t\\"):
        yield "it holds a colon, semicolon, backslash, tab or line break"
    if quotes and not talk:
        yield "it holds a quote mark outside of a talk beat"
    if talk and (not quotes or quotes % 2):
        yield "a talk beat needs quote marks in pairs"
    if _SPACING.search(SLOT.sub("x", plain)):
        yield f"blanks or marks are misplaced in {plain!r}"
    if _LOWER_START.search(plain) or _LOWER_QUOTE.match(plain):
        yield f"a sentence starts without a capital letter in {plain!r}"
    if _CAPITAL_WITHIN.search(plain):
        yield f"a slot inside of a sentence has a capital letter in {plain!r}"
    if not re.search(r"[.!?]\"?$", plain):
        yield "it does not end with a full stop, ! or ?"
    for match in _ARTICLE_BEFORE_SLOT.finditer(plain):
        yield f"{match.group(0)!r}: articles come from the slot"
    twice = [slot for slot in INTRODUCTIONS if form.slots.count(slot) > 1]
    if twice:
        yield f"{{{twice[0]}}} stands in it twice"


def _faults_of_roles(plot: Plot) -> list[str]:
    mask = 0
    for form in itertools.chain.from_iterable(beat.forms for beat in plot.beats):
        mask |= form.mask
    count = sum(bool(mask & role) for role in (FRIEND, ELDER, THING, TOOL, FOOD, PLACE))
    faults = []
    if count < 3:
        faults.append("it uses fewer than three of friend, elder, thing, tool, food and place.")
    first = plot.beats[0]
    if first.when or any("a hero" not in form.slots for form in first.forms):
        faults.append("every wording of the first beat, which has no condition, must hold {a hero}.")
    return faults


def _faults_of_script(plot: Plot, happy: bool, talk: bool) -> Iterator[str]:
    """What is wrong with one of the four combinations. Each fault starts with `, beat ...` or `: `."""
    story = f"the {'happy' if happy else 'sad'} story {'with' if talk else 'without'} dialogue"
    script = plot.script(happy, talk)
    sure = [beat for beat in script if "long" not in beat.when]
    if len(sure) not in BEATS or len(script) not in BEATS:
        counts = f"{len(sure)} to {len(script)}" if len(sure) < len(script) else str(len(script))
        yield f": {story} has {counts} beats, not {BEATS.start} to {BEATS.stop - 1}."
    if sum(beat.para for beat in sure) != 1 or any(beat.para and "long" in beat.when for beat in script):
        yield f": {story} needs exactly one beat with para, and not a long one."
    if script and script[0].para:
        yield ": the first beat cannot start the second paragraph."
    if talk and not any("talk" in beat.when for beat in sure):
        yield f": {story} has no talk beat that is always told."
    yield from _faults_of_order(script, story)
    yield from _faults_of_mood(script, happy, story)


def _faults_of_order(script: tuple[Beat, ...], story: str) -> Iterator[str]:
    """Roles are introduced once and before they are mentioned; place and elder do not depend on the
    wording."""
    sure, maybe, named = 0, 0, 0
    for beat in script:
        for number, forms in enumerate(beat.wordings, start=1):
            fault = next((fault for form in forms if (fault := _order_fault(form, sure, maybe))), None)
            if fault:
                yield f", beat {beat.number}, wording {number}: {fault} in {story}."
        open_roles = {form.mask & (ELDER | PLACE) & ~named for form in beat.forms}
        if len(open_roles) > 1:
            yield (
                f", beat {beat.number}: only some wordings use the elder or the place, "
                "so the attributes differ."
            )
        introduced = beat.forms[0].introduces if beat.forms else 0
        maybe |= introduced
        if "long" not in beat.when:
            sure |= introduced
            named |= max(open_roles, default=0)


def _order_fault(form: Form, sure: int, maybe: int) -> str:
    known = sure
    for slot in form.slots:
        if slot in INTRODUCTIONS:
            if maybe & INTRODUCTIONS[slot]:
                return f"{{{slot}}} introduces again"
            known |= INTRODUCTIONS[slot]
        else:
            missing = SLOTS[slot] & INTRODUCED & ~known
            if missing:
                role = ROLE_NAMES.get(missing, "a role")
                return f"{{{slot}}} comes before the {role} is introduced"
    return ""


def _faults_of_mood(script: tuple[Beat, ...], happy: bool, story: str) -> Iterator[str]:
    last = script[-1]
    if "long" in last.when:
        yield f", beat {last.number}: the last beat of {story} cannot be optional."
    wanted, banned = (HAPPY_WORDS, SAD_WORDS) if happy else (SAD_WORDS, HAPPY_WORDS)
    mood = "happy" if happy else "sad"
    turn = next((index for index, beat in enumerate(script) if "sad" in beat.when), len(script) - 1)
    for beat in script[-1:] if happy else script[turn:]:
        for number, forms in enumerate(beat.wordings, start=1):
            where = f", beat {beat.number}, wording {number}"
            words = [set(words_of(SLOT.sub(" ", form.plain))) for form in forms]
            wrong = sorted({word for some in words for word in some & banned})
            if wrong:
                yield f"{where}: '{wrong[0]}' cannot stand in {story} there."
            if beat is last and not all(some & wanted for some in words):
                yield f"{where}: the end of {story} needs one of its {mood} words in every text."
