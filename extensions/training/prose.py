"""Real text: reading the corpus's files, cutting them into sentences, and guessing what is true of a passage.

The guesses are heuristic: keywords are rarer words that stand where nouns stand, the mood is that of the last
two sentences, dialogue is a quotation mark. The fables bring their own fields in the prompts they were
written from.
"""

from __future__ import annotations

import html
import json
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from random import Random

from .conditions import Facts
from .grammar import HAPPY_WORDS, SAD_WORDS

FILES = {"tinystories": "tinystories-train.jsonl", "fables": "fables.jsonl", "storybooks": "storybooks.jsonl"}
HELD_OUT = "tinystories-heldout.jsonl"
PLAIN = str.maketrans(
    {
        "\u2018": "'",
        "\u2019": "'",
        "\u201c": '"',
        "\u201d": '"',
        "\u2013": "-",
        "\u2014": "-",
        "\u2026": "...",
        "\u00a0": " ",
        "\r": "\n",
        "\t": " ",
        "\u200b": "",
    }
)
SENTENCE = re.compile(r'\s*\S.*?(?:[.!?]+["\')]*(?=\s)|$)', re.DOTALL)
WORD = re.compile(r"[A-Za-z]+(?:'[a-z]+)?")
BEFORE_NOUNS = frozenset("a an the his her their my your our its some this that".split())
PLACES = frozenset(
    "forest park garden village meadow field valley barn jungle cave yard beach farm castle zoo market pond "
    "lake river "
    "playground school harbor hill mountain island bridge house home woods sea ocean city town store shop "
    "kitchen "
    "street desert palace library tree".split()
)
KINDS = frozenset(
    "fox rabbit cat dog mouse frog duck bird pig owl squirrel turtle monkey hedgehog penguin goat puppy "
    "kitten robot "
    "dragon bear lion elephant horse giant knight unicorn princess fairy witch prince wizard pirate bunny "
    "tiger hen cow "
    "sheep ant bee fish crocodile boy girl king queen farmer man woman snake wolf deer spider butterfly bug "
    "worm".split()
)
FIELD = re.compile(r"- (Main Character|Setting|Challenge|Outcome|Teaching): (.+)")


@dataclass(frozen=True)
class Document:
    """A text as sentences, each with the white space before it; `joined` of a run of them is a piece of the
    text."""

    sentences: tuple[str, ...]
    extra: tuple[tuple[str, str], ...] = ()
    hero: str | None = None
    place: str | None = None


def plain(text: str) -> str:
    """ASCII punctuation, single blanks, paragraphs set off by one empty line."""
    text = re.sub(r" *\n\s*", "\n\n", re.sub(r" +", " ", text.translate(PLAIN)).strip())
    return text


def joined(sentences: tuple[str, ...]) -> str:
    """The text of a run of sentences, without white space around it."""
    return "".join(sentences).strip()


def document(text: str, prompt: str = "") -> Document:
    """One text of the corpus, with the fields of its prompt where it has some."""
    sentences = tuple(SENTENCE.findall(plain(text)))
    found = {name: value.strip().rstrip(".") for name, value in FIELD.findall(html.unescape(prompt))}
    hero = re.sub(r"^(a|an|the) ", "", found.pop("Main Character", "")) or None
    place = re.sub(r"^(a|an|the) | where our story unfolds$", "", found.pop("Setting", "")) or None
    return Document(sentences, tuple(found.items()), hero, place)


def read(path: Path) -> list[Document]:
    """The documents of a .jsonl file of the corpus. ValueError names a line that is not as expected."""
    documents = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            entry = json.loads(line)
            documents.append(document(entry["text"], entry.get("prompt", "")))
        except (ValueError, KeyError) as error:
            raise ValueError(f"{path}, line {number}: expected an object with a text ({error}).") from error
    return [found for found in documents if found.sentences]


class Nouns:
    """Which words of a corpus stand where nouns stand, and how rare they are."""

    def __init__(self, documents: list[Document]):
        total, after, spread = Counter(), Counter(), Counter()
        for found in documents:
            words = WORD.findall("".join(found.sentences))
            spread.update({word for word in words if word.islower()})
            for one, two in zip(["", *words], words, strict=False):
                if two.islower():
                    total[two] += 1
                    after[two] += one.lower() in BEFORE_NOUNS
        most = 0.25 * max(1, len(documents))
        self.rarity = {
            word: 1.0 / spread[word] ** 0.5
            for word in total
            if len(word) > 2 and 3 <= spread[word] <= most and after[word] >= 0.45 * total[word]
        }

    def of(self, text: str, random: Random, most: int = 5) -> tuple[str, ...]:
        """Up to `most` different nouns of a text; rarer and repeated ones are likelier."""
        counts = Counter(word for word in WORD.findall(text) if word in self.rarity)
        ranked = sorted(
            counts,
            key=lambda word: random.random() ** (1.0 / (self.rarity[word] * counts[word] ** 0.5)),
            reverse=True,
        )
        return tuple(ranked[:most])


def facts(found: Document, start: int, stop: int, nouns: Nouns, random: Random, before: int = 0) -> Facts:
    """What can be said of sentences start..stop of a document; `before` sentences in front of them become the
    `More:` part."""
    text = joined(found.sentences[start:stop])
    words = [word for word in WORD.findall(text) if word.islower()]
    ended = stop == len(found.sentences)
    kind = next((word for word in words if word in KINDS), None)
    return Facts(
        words=nouns.of(text, random),
        hero=found.hero or kind,
        kind=kind,
        end=mood(found.sentences[-2:]) if ended else "open",
        place=found.place
        if start == 0 and found.place
        else next((word for word in words if word in PLACES), None),
        talk='"' in text,
        before=joined(found.sentences[start - before : start]) or None if before else None,
        extra=found.extra if start == 0 else (),
    )


def mood(sentences: tuple[str, ...]) -> str | None:
    """happy or sad, by the words of some sentences; None if they do not tell."""
    words = [word.lower() for word in WORD.findall("".join(sentences))]
    score = sum(word in HAPPY_WORDS for word in words) - sum(word in SAD_WORDS for word in words)
    return "happy" if score > 0 else "sad" if score < 0 else None
