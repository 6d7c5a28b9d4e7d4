"""The lexicon of the story grammar and what a word is."""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

HAPPY_WORDS = frozenset("happy glad smiled laughed hugged proud joy cheered safe loved".split())
SAD_WORDS = frozenset("sad cried tears lonely sorry missed sighed alone upset".split())
PRONOUNS = {
    "he": ("he", "him", "his", "himself"),
    "she": ("she", "her", "her", "herself"),
    "it": ("it", "it", "its", "itself"),
}

_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?")
_ARTICLE = re.compile(r"\b([Aa])(?: (?=[aeiou](?!ni[cqft]|se|ne\b))|n (?=[b-df-hj-np-tv-z](?!our|onest)))")


class GrammarError(ValueError):
    """Faults in the files of the grammar; the message holds one line per fault."""


def words_of(text: str) -> list[str]:
    """The lower-case words of a text, in order: letters, with an apostrophe inside (`don't`, `max's`)."""
    return _WORD.findall(text.lower())


def mend_articles(text: str) -> str:
    """`a owl` becomes `an owl` and `an fox` becomes `a fox`."""
    return _ARTICLE.sub(_other_article, text)


def _other_article(match: re.Match) -> str:
    letter = match.group(1)
    return f"{letter} " if match.group(0)[1] == "n" else f"{letter}n "


def capital(text: str) -> str:
    """The text with its first letter in upper case."""
    return text[:1].upper() + text[1:]


@dataclass(frozen=True)
class Lexicon:
    """The word lists. `kinds`, `elders` map to their pronoun (`any`, `he`, `she`), `places` to in, at or
    on."""

    names: dict[str, tuple[str, ...]]
    kinds: dict[str, str]
    never_little: frozenset[str]
    elders: dict[str, str]
    things: tuple[str, ...]
    tools: tuple[str, ...]
    foods: dict[str, str]
    places: dict[str, str]
    lists: dict[str, tuple[str, ...]]

    def words(self) -> set[str]:
        """Every lower-case word in the lists."""
        groups = [
            *self.names.values(),
            self.kinds,
            self.elders,
            self.things,
            self.tools,
            self.foods,
            self.places,
        ]
        groups += [
            *self.lists.values(),
            ["girl", "boy", "little", "named", "called", "some", "a", "an", "the"],
        ]
        groups += [["in", "at", "on", "to"], *PRONOUNS.values()]
        return {
            word for group in groups for text in group for word in words_of(text.replace("{weather}", ""))
        }


_LISTS = (
    "traits",
    "friend_traits",
    "colours",
    "thing_adjectives",
    "tool_adjectives",
    "food_adjectives",
    "mass_adjectives",
    "weathers",
    "times",
)
_TABLES = {
    "names": ("girl", "boy", "she", "he", "any"),
    "kinds": ("any", "she", "he", "never_little"),
    "elders": ("she", "he"),
    "objects": ("things", "tools", "both"),
    "foods": ("count", "mass"),
    "places": ("in", "at", "on"),
}


def load_lexicon(path: Path) -> Lexicon:
    """Read and check `lexicon.toml`. Raises GrammarError with one line per fault, OSError if it is not
    there."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise GrammarError(f"{path.name}: not valid TOML: {error}.") from error
    faults = _faults_of_lists(data, path.name)
    if faults:
        raise GrammarError("\n".join(faults))
    objects = data["objects"]
    lexicon = Lexicon(
        names={kind: tuple(names) for kind, names in data["names"].items()},
        kinds=_turned(data["kinds"], ("any", "she", "he")),
        never_little=frozenset(data["kinds"]["never_little"]),
        elders=_turned(data["elders"], ("she", "he")),
        things=(*objects["things"], *objects["both"]),
        tools=(*objects["tools"], *objects["both"]),
        foods=_turned(data["foods"], ("count", "mass")),
        places=_turned(data["places"], ("in", "at", "on")),
        lists={name: tuple(data[name]) for name in _LISTS},
    )
    moods = lexicon.words() & (HAPPY_WORDS | SAD_WORDS)
    if moods:
        raise GrammarError(
            f"{path.name}: happy or sad words belong to the plots only: {', '.join(sorted(moods))}."
        )
    return lexicon


def _turned(table: dict, keys: tuple[str, ...]) -> dict[str, str]:
    return {word: key for key in keys for word in table[key]}


def _faults_of_lists(data: dict, name: str) -> list[str]:
    """Missing, empty, non-ASCII or repeating lists of the lexicon, one sentence each."""
    wanted = {key: data.get(key) for key in _LISTS}
    for table, keys in _TABLES.items():
        wanted |= {f"{table}.{key}": data.get(table, {}).get(key) for key in keys}
    faults = []
    for key, words in wanted.items():
        if (
            not isinstance(words, list)
            or not words
            or not all(isinstance(word, str) and word for word in words)
        ):
            faults.append(f"{name}: {key} must be a list of words that is not empty.")
        elif not all(word.isascii() for word in words):
            faults.append(f"{name}: {key} holds a word that is not ASCII.")
        elif len(set(words)) < len(words):
            faults.append(f"{name}: {key} names a word twice.")
    return faults
