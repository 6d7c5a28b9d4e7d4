"""Tells stories: the grammar as a pure function from a seed to a text and its exact attributes."""

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .cast import Cast, Dice, Pools, bare, draw_cast
from .gists import filled, read_gists
from .plots import Beat, Plot, read_plots
from .rules import faults_of, repeated_wordings
from .templates import SLOT
from .words import GrammarError, Lexicon, load_lexicon, mend_articles, words_of

HELD_OUT_SHARE = 0.05
FEWEST_WORDS, MOST_WORDS = 35, 95  # stories beyond are drawn again (about one in a hundred)
_LOG_2 = math.log(2)
_POSSESSIVE = re.compile(r"\{([^{}]*)\}'s\b")


@dataclass(frozen=True)
class Attributes:
    """What is true of a story's text.

    `hero` is `brave dragon` or `dragon`, `kind`, `friend` and `elder` are bare nouns in lower case, `name` is
    the hero's; `words` are whole words of the text, most characteristic first; `end` is happy or sad; `talk`
    tells of dialogue; `plot` is the name of the plot, which the text does not show; `gists` say what the
    story is about, as people ask for one.
    """

    hero: str
    kind: str
    name: str | None
    friend: str | None
    elder: str | None
    place: str | None
    words: tuple[str, ...]
    end: str
    talk: bool
    plot: str
    gists: tuple[str, ...] = ()


@dataclass(frozen=True)
class Story:
    """A text, its attributes, and the cost of its choices.

    `nats` is -log of the probability of all choices; `condition_nats` is the part of it that the attributes
    tell (hero, trait, friend, elder, place, things, food, end, talk; neither plot nor names). Stories drawn
    again for their length are not counted, which moves `nats` by less than 0.01. `held_out` stories are not
    for training.
    """

    text: str
    attributes: Attributes
    nats: float
    condition_nats: float
    held_out: bool


@dataclass(frozen=True)
class _Ready:
    """A plot with its pools and its scripts by (happy, talk)."""

    plot: Plot
    pools: Pools
    scripts: dict[tuple[bool, bool], tuple[Beat, ...]]


class Grammar:
    """The lexicon and the plots of a folder, checked and compiled."""

    def __init__(self, lexicon: Lexicon, plots: tuple[Plot, ...], gists: Mapping[str, tuple[str, ...]]):
        self.vocabulary = lexicon
        self.plots = plots
        self.gists = gists
        self._ready = tuple(_made_ready(plot, lexicon) for plot in plots)

    @classmethod
    def load(cls, folder: Path | str | None = None) -> "Grammar":
        """Read `lexicon.toml`, all `plots-*.toml` and, if it is there, `gists.toml` of a folder (default:
        this package's).

        Raises GrammarError with one line per fault, OSError if the lexicon cannot be read.
        """
        folder = Path(folder) if folder else Path(__file__).parent
        lexicon = load_lexicon(folder / "lexicon.toml")
        plots, faults = [], []
        for path in sorted(folder.glob("plots-*.toml")):
            some, wrong = read_plots(path)
            plots += some
            faults += wrong
        for plot in plots:
            faults += faults_of(plot) or _pool_faults(plot, lexicon)
        faults += repeated_wordings(plots)
        gists, wrong = read_gists(folder / "gists.toml", plots)
        faults += wrong
        if not plots and not faults:
            faults.append(f"{folder}: no plots-*.toml with a plot in it.")
        if faults:
            raise GrammarError("\n".join(faults))
        return cls(lexicon, tuple(plots), gists)

    def story(self, seed: int) -> Story:
        """The story of a seed: the same for the same seed and files, on every machine."""
        dice = Dice(seed)
        while True:
            story = self._tell(dice)
            if FEWEST_WORDS <= len(words_of(story.text)) <= MOST_WORDS:
                return story
            dice.forget()

    def _tell(self, dice: Dice) -> Story:
        ready = dice.pick(self._ready)
        happy = dice.chance(0.5, told=True)
        talk = dice.chance(0.5, told=True)
        pieces, mask = _pieces(dice, ready.scripts[happy, talk])
        cast = draw_cast(dice, self.vocabulary, ready.pools, mask)
        text = mend_articles("".join(pieces).format_map(cast.values))
        words = _keywords(cast)
        attributes = Attributes(
            hero=f"{cast.trait} {cast.kind}" if cast.trait else cast.kind,
            kind=cast.kind,
            name=cast.name,
            friend=cast.friend,
            elder=cast.elder,
            place=cast.place,
            words=words,
            end="happy" if happy else "sad",
            talk=talk,
            plot=ready.plot.name,
            gists=filled(self.gists.get(ready.plot.name, ()), cast),
        )
        return Story(text, attributes, dice.nats, dice.told, is_held_out(words, cast.place))

    def lexicon(self) -> frozenset[str]:
        """Every lower-case word that a story can hold, as `words_of` splits them."""
        words = self.vocabulary.words()
        nouns = set(words)
        for plot in self.plots:
            for beat in plot.beats:
                for form in beat.forms:
                    words.update(words_of(SLOT.sub(" ", form.plain)))
                    if _POSSESSIVE.search(form.plain):
                        words.update(f"{noun}'s" for noun in nouns)
        words.discard("s")
        return frozenset(words)


def is_held_out(words: tuple[str, ...], place: str | None) -> bool:
    """Whether the unordered pair of the first two keywords with the place is kept out of training (about 5
    %)."""
    key = "|".join([*sorted(words[:2]), place or ""])
    digest = hashlib.blake2b(key.encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") < HELD_OUT_SHARE * 2**32


def _pieces(dice: Dice, script: tuple[Beat, ...]) -> tuple[list[str], int]:
    """The format strings of the chosen wordings with the blanks between them, and their mask."""
    gap = "\n\n" if dice.chance(0.5) else " "
    pieces, mask = [], 0
    for beat in script:
        if "long" in beat.when and not dice.chance(0.5):
            continue
        form = dice.pick(dice.pick(beat.wordings))
        if pieces:
            pieces.append(gap if beat.para else " ")
        pieces.append(form.text)
        mask |= form.mask
    return pieces, mask


def _keywords(cast: Cast) -> tuple[str, ...]:
    """Kind, thing, tool, food and friend; girl and boy, which tell little, come last."""
    found = [word for word in (cast.kind, cast.thing, cast.tool, cast.food, cast.friend) if word]
    return tuple(sorted(found, key=lambda word: word in ("girl", "boy")))


def _made_ready(plot: Plot, lexicon: Lexicon) -> _Ready:
    scripts = {(happy, talk): plot.script(happy, talk) for happy in (True, False) for talk in (True, False)}
    return _Ready(plot, Pools.of(lexicon, plot.literal_words() | plot.avoid), scripts)


def _pool_faults(plot: Plot, lexicon: Lexicon) -> list[str]:
    """A plot that avoids words nobody knows, or whose own words use up most of the lexicon."""
    pools = Pools.of(lexicon, plot.literal_words() | plot.avoid)
    known = {bare(noun) for pool in vars(Pools.of(lexicon, frozenset())).values() for noun in pool}
    faults = [
        f"{plot.file}, plot '{plot.name}': avoid names '{word}', which is not in the lexicon."
        for word in sorted(plot.avoid - known)
    ]
    return faults + [
        f"{plot.file}, plot '{plot.name}': its own words leave only {len(pool)} {role} to draw from."
        for role, pool in vars(pools).items()
        if len(pool) < 5
    ]
