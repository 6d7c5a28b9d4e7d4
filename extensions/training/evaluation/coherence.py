"""Whether a story hangs together, as far as its words tell. Pure functions over the grammar, no torch.

`Reader.faults` lists what is wrong: a name, a kind or an object that is used before it is introduced or
introduced twice, an object whose colour changes, a pronoun that fits nobody, a clause said twice.
`Reader.accepts` returns whether the grammar can produce a sentence, whatever the words in its slots.
The grammar's own stories have next to no fault (a test counts), so what is found in a model's is the model's.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from .. import prose
from ..grammar import Grammar, words_of
from ..grammar.templates import SLOT

STORIES = 20_000  # told once to learn which sentences the grammar can say
CLAUSE = 4  # words from which on a clause that comes twice is a fault
_WORD = re.compile(r"[A-Za-z]+|[^\sA-Za-z]")
_CLAUSES = re.compile(r'[.!?,;"]+')
_ARTICLES = frozenset(("a", "an", "some"))
_HE = frozenset(("he", "him", "his", "himself"))
_SHE = frozenset(("she", "her", "hers", "herself"))


@dataclass(frozen=True)
class Mention:
    """A noun of the lexicon or a name in a text: `new` behind a, an or some; `the` behind the; the adjectives
    (colours) in front of it; `called` behind named or called."""

    noun: str
    new: bool
    the: bool
    adjectives: tuple[str, ...]
    called: bool


class Reader:
    """Reads stories by the lexicon of a grammar."""

    def __init__(self, grammar: Grammar):
        self.grammar = grammar
        lexicon = grammar.vocabulary
        self.names = frozenset(name for some in lexicon.names.values() for name in some)
        self.genders = {name: "she" for kind in ("girl", "she") for name in lexicon.names[kind]}
        self.genders |= {name: "he" for kind in ("boy", "he") for name in lexicon.names[kind]}
        self.kinds = {**lexicon.kinds, "girl": "she", "boy": "he"}
        self.elders = {elder.lower(): gender for elder, gender in lexicon.elders.items()}
        self.objects = frozenset((*lexicon.things, *lexicon.tools, *lexicon.foods))
        self.colours = frozenset(lexicon.lists["colours"])
        lists = lexicon.lists
        self.adjectives = frozenset(
            word
            for key in (
                "traits", "friend_traits", "colours", "thing_adjectives", "tool_adjectives",
                "food_adjectives", "mass_adjectives",
            )
            for word in lists[key]
        ) | {"little"}  # fmt: skip
        self.places = frozenset(lexicon.places)

    @cached_property
    def free(self) -> frozenset[str]:
        """Nouns that a plot speaks of by itself, so that they need no introduction."""
        return frozenset(
            word
            for plot in self.grammar.plots
            for beat in plot.beats
            for form in beat.forms
            for word in words_of(SLOT.sub(" ", form.plain))
        )

    def mentions(self, text: str) -> Iterator[Mention]:
        """The names, kinds and objects of a text, in order."""
        words = re.findall(r"[A-Za-z]+|[.!?,\"]", text)
        for at, word in enumerate(words):
            low = word.lower()
            if word in self.names:
                called = at > 1 and words[at - 1] in ("named", "called") and words[at - 2] in self.kinds
                yield Mention(word, False, False, (), called)  # not `called Tim and ran off`
            elif low in self.kinds or low in self.objects:
                first = at
                while first and words[first - 1].lower() in self.adjectives:
                    first -= 1
                before = words[first - 1].lower() if first else ""
                if before == "the" and f"the {' '.join(words[first : at + 1]).lower()}" in self.elders:
                    continue  # the wise owl, the old wizard
                adjectives = tuple(one.lower() for one in words[first:at])
                yield Mention(low, before in _ARTICLES, before == "the", adjectives, False)

    def faults(self, text: str) -> list[str]:
        """What is wrong with a story, one phrase each."""
        return [*self._used(text), *self._pronouns(text), *repeated_clauses(text)]

    def _used(self, text: str) -> Iterator[str]:
        known: dict[str, tuple[str, ...]] = {}
        for one in self.mentions(text):
            name = one.noun in self.names
            if name and not one.called and one.noun not in known:
                yield f"{one.noun} is not introduced"
            elif name and one.called and one.noun in known:
                yield f"{one.noun} is introduced twice"
            elif one.noun in self.kinds and one.new and one.noun in known and one.noun not in self.free:
                yield f"a second {one.noun}"
            elif one.the and one.noun not in known and one.noun not in self.free:
                yield f"the {one.noun} is not introduced"
            elif one.the and one.noun in known:
                colours, other = self._colours(one.adjectives), self._colours(known[one.noun])
                if colours and colours != other:
                    yield f"the {one.noun} is {' '.join(colours)} now"
            known.setdefault(one.noun, one.adjectives)

    def _colours(self, adjectives: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(word for word in adjectives if word in self.colours)

    def _pronouns(self, text: str) -> Iterator[str]:
        """he or she where nobody in the story can be meant."""
        found, names = set(), set()
        for one in self.mentions(text):
            if one.noun in self.names:
                names.add(self.genders.get(one.noun, "any"))
            elif one.noun in self.kinds:
                found.add(self.kinds[one.noun])
        low = text.lower()
        found |= {gender for elder, gender in self.elders.items() if re.search(rf"\b{elder}\b", low)}
        words = set(words_of(text))
        for pronoun, forms in (("he", _HE), ("she", _SHE)):
            if words & forms and found | names and not (found & {pronoun, "any"} or names & {pronoun, "any"}):
                yield f"{pronoun} is nobody"

    # -- sentences -------------------------------------------------------------------------------------------

    def form(self, sentence: str) -> str:
        """A sentence with its slots' words replaced by what they are: `W lost O in P .`"""
        out: list[str] = []
        words = _WORD.findall(sentence)
        for word in words:
            low = word.lower()
            if word in self.names:
                if out[-1:] and out[-1] in ("named", "called"):
                    out.pop()
                else:
                    out.append("W")
            elif low in self.kinds or low in self._heads:
                self._noun(out, "W")
            elif low in self.objects:
                self._noun(out, "O")
            elif low in self.places:
                self._noun(out, "P")
            elif low in _HE | _SHE | {"its", "itself"}:
                out.append(
                    {"he": "h", "she": "h", "himself": "self", "herself": "self", "itself": "self"}.get(
                        low, "m"
                    )
                )
            elif low == "it":
                out.append("h")
            elif low in self._weathers:
                out.append("w")
            else:
                out.append(low)
        return " ".join(out)

    @cached_property
    def _heads(self) -> frozenset[str]:
        return frozenset(elder.rsplit(" ", 1)[-1] for elder in self.elders)

    @cached_property
    def _weathers(self) -> frozenset[str]:
        return frozenset(self.grammar.vocabulary.lists["weathers"])

    def _noun(self, out: list[str], kind: str) -> None:
        """Append a noun phrase: its adjectives go, a, an, some and the stay as `a` and `the`."""
        while out and (out[-1] in self.adjectives or out[-1] in ("wise", "old", "w")):
            out.pop()
        article = out.pop() if out and out[-1] in ("a", "an", "some", "the") else ""
        if kind == "W" and article == "the":
            article = ""  # the fox, Tim and Grandma are the same
        out.append(f"{'a' if article in _ARTICLES else article}{kind}")

    @cached_property
    def forms(self) -> frozenset[str]:
        """The forms of all sentences that the grammar says."""
        stories = (self.grammar.story(seed).text for seed in range(STORIES))
        return frozenset(self.form(one) for text in stories for one in prose.document(text).sentences)

    def accepts(self, sentence: str) -> bool:
        """Whether the grammar can say this sentence, whatever the words in its slots."""
        return self.form(sentence) in self.forms


def repeated_clauses(text: str) -> list[str]:
    """Clauses of at least `CLAUSE` words that a text has more than once."""
    clauses = Counter(
        " ".join(words) for part in _CLAUSES.split(text) if len(words := words_of(part)) >= CLAUSE
    )
    return [f"twice: {clause}" for clause, times in clauses.items() if times > 1]


def shared(one: str, other: str, n: int = 4) -> tuple[int, int]:
    """How many of the different runs of n words of one text stand in the other too, and how many it has."""
    words = [words_of(text) for text in (one, other)]
    first, second = ({tuple(some[i : i + n]) for i in range(len(some) - n + 1)} for some in words)
    return len(first & second), len(first)
