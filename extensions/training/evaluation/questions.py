"""What a checkpoint is asked: held-out stories of the grammar as prompts, as texts with a gap, as passages to
score. No torch."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path

from .. import prose
from ..conditions import of_story
from ..grammar import Grammar
from ..grammar.story import Attributes, Story

FIRST = 1 << 61  # seeds from here on: training uses small ones, and skips every held-out story besides
KEYWORDS = 2
GAP = range(4, 25)  # tokens of a sentence that is cut out
LEAST = 16  # tokens in which a text can be scored

FROZEN = Path(__file__).with_name("held_out.jsonl")
PEOPLE = (
    ("Write a story about a girl who loses her umbrella in the rain", ("girl", "umbrella")),
    ("a lonely lighthouse keeper and a talking cat", ("cat",)),
    ("Tell me a story about a dragon who is afraid of the dark", ("dragon",)),
    ("a little robot that wants to learn to swim", ("robot",)),
    ("Can you write a story about two friends who find a treasure map on the beach?", ("map", "beach")),
    ("My daughter wants a story about a unicorn and a rainbow cake", ("unicorn", "cake")),
    ("a pirate who cannot swim", ("pirate",)),
    ("Write a bedtime story about a sleepy bear", ("bear",)),
    ("A boy finds a magic hat", ("boy", "hat")),
    ("Story about a fox and a rabbit who become friends", ("fox", "rabbit")),
    ("write about a princess that hates pizza", ("princess", "pizza")),
    ("a mouse who wants to fly to the moon", ("mouse",)),
    ("Please tell a sad story about a dog who waits for his friend", ("dog",)),
    ("a witch bakes cookies for her cat", ("witch",)),
    ("I want a story about an owl that is scared at night", ("owl",)),
    ("The day the penguin lost his ball", ("penguin", "ball")),
    ("a knight and a dragon sharing soup", ("knight", "dragon", "soup")),
    ("Tell a funny story about a monkey with a drum", ("monkey", "drum")),
    ("a squirrel who shares an apple with an elephant", ("squirrel", "apple", "elephant")),
    ("Grandma gives a boy an old clock", ("boy", "clock")),
)

Encode = Callable[[str], Sequence[int]]


def held_out(grammar: Grammar, number: int) -> list[Story]:
    """The first `number` held-out stories that have two keywords: neither word pair nor place were seen
    together in training."""
    stories = (grammar.story(seed) for seed in count(FIRST))
    return list(
        islice((one for one in stories if one.held_out and len(one.attributes.words) >= KEYWORDS), number)
    )


@dataclass(frozen=True)
class Frozen:
    """A held-out story of the grammar as it was in November 2026, told once and kept: its bound can be
    compared over all later grammars."""

    text: str
    nats: float
    condition_nats: float


def frozen(number: int) -> list[Frozen]:
    """The first `number` stories of held_out.jsonl."""
    rows = map(json.loads, FROZEN.read_text(encoding="utf-8").splitlines()[:number])
    return [Frozen(row["text"], row["nats"], row["condition_nats"]) for row in rows]


def keywords(grammar: Grammar, many: int, number: int) -> list[Story]:
    """The first held-out stories that have at least `many` keywords."""
    stories = (grammar.story(seed) for seed in count(FIRST))
    return list(
        islice((one for one in stories if one.held_out and len(one.attributes.words) >= many), number)
    )


def subject(a: Attributes) -> list[str]:
    """The two keywords of the held-out pair, and the place if there is one."""
    return [*a.words[:KEYWORDS], *([a.place] if a.place else [])]


def tags(a: Attributes) -> str:
    """`dragon, cake, castle, happy ending, dialogue`."""
    return ", ".join([*subject(a), f"{a.end} ending", "dialogue" if a.talk else "no dialogue"])


def fields(a: Attributes) -> str:
    """Everything the conditions of training can tell: `Words: dragon, cake / Hero: brave dragon / Place:
    castle / ...`."""
    facts = of_story(a)
    known = {
        "Words": ", ".join(facts.words),
        "Hero": facts.hero,
        "Friend": facts.friend,
        "Place": facts.place,
        "End": facts.end,
        "Talk": "yes" if facts.talk else "no",
    }
    return " / ".join(f"{name}: {value}" for name, value in known.items() if value)


@dataclass(frozen=True)
class Gapped:
    """A story without one of its sentences, which had `tokens` tokens. `before` ends with a blank, `after`
    begins with white space."""

    before: str
    tokens: int
    after: str

    @property
    def prompt(self) -> str:
        return f"{self.before}[[...{self.tokens}]]{self.after}"

    def kept(self, text: str) -> bool:
        """Whether what was given stands in the text byte for byte."""
        return (
            text.startswith(self.before)
            and text.endswith(self.after)
            and len(text) >= len(self.before) + len(self.after)
        )


def gapped(text: str, encode: Encode, room: int) -> Gapped | None:
    """The story without the sentence nearest its middle; None if none has a fit length or the story needs
    over `room` tokens."""
    sentences = prose.document(text).sentences
    inner = sorted(range(1, len(sentences) - 1), key=lambda i: abs(i - (len(sentences) - 1) / 2))
    for i in inner:
        tokens = len(encode(sentences[i]))
        if sentences[i].startswith(" ") and tokens in GAP and len(encode(text)) + 2 <= room:
            return Gapped("".join(sentences[:i]) + " ", tokens, "".join(sentences[i + 1 :]))
    return None


def opening(text: str, most: float) -> str:
    """The first sentences of a text, `most` bytes of UTF-8 at the most."""
    taken, size = [], 0
    for sentence in prose.document(text).sentences:
        size += len(sentence.encode())
        if size > most:
            break
        taken.append(sentence)
    return "".join(taken)


@dataclass(frozen=True)
class Passage:
    """Part of a text to score: the tokens of `answer` at the positions `scored`, given `prompt` and the rest
    of the answer."""

    prompt: tuple[int, ...]
    answer: tuple[int, ...]
    scored: range
    bytes: int = 0


def passages(
    text: str, encode: Encode, frame: Sequence[int], end: int | None, prefix: str, max_length: int
) -> list[Passage]:
    """A whole text as passages that fit the model's `max_length`, each byte scored once.

    The text is cut between sentences (a sentence that alone is too long, between tokens). The first passage
    takes as many sentences as fit; each later one is preceded, within the answer, by as many of the sentences
    before it as fit half of the room: given, not scored. So the sum is a bound on -log p of the whole text,
    written passage by passage. The end-of-text token is scored behind the last passage; it has no bytes, nor
    has the prefix that the checkpoint writes before an answer.
    """
    sentences = list(prose.document(text).sentences)
    room = max_length - len(frame) - 1
    if room < LEAST:
        raise ValueError(
            f"beside its frame the checkpoint has room for {room} tokens; {LEAST} are needed to score a text"
        )
    pieces = [(part, len(words.encode())) for words in sentences for part in [tuple(encode(words))]]
    if pieces:
        pieces[0] = (tuple(encode(prefix + sentences[0])), pieces[0][1])
    pieces = [half for piece in pieces for half in _chopped(*piece, room // 2)]
    made, at = [], 0
    while at < len(pieces):
        before: list[int] = []
        for tokens, _ in reversed(pieces[:at]):
            if len(before) + len(tokens) > room // 2:
                break
            before = [*tokens, *before]
        stop, answer = at, list(before)
        while stop < len(pieces) and len(answer) + len(pieces[stop][0]) <= room:
            answer += pieces[stop][0]
            stop += 1
        if stop == len(pieces) and end is not None:
            answer.append(end)
        size = sum(size for _, size in pieces[at:stop])
        made.append(Passage(tuple(frame), tuple(answer), range(len(before), len(answer)), size))
        at = stop
    return made


def _chopped(tokens: tuple[int, ...], size: int, most: int) -> list[tuple[tuple[int, ...], int]]:
    """A sentence's tokens in parts of at most `most`; its bytes are counted with the first."""
    parts = [tokens[i : i + most] for i in range(0, len(tokens), most)]
    return [(part, 0 if i else size) for i, part in enumerate(parts)]


class Lengths:
    """A code for the length of the grammar's stories in tokens, from stories that are not held out."""

    def __init__(self, grammar: Grammar, encode: Encode, stories: int = 1500, reach: int = 3):
        told = (grammar.story(seed) for seed in range(stories))
        self._counts = Counter(len(encode(" " + one.text)) for one in told if not one.held_out)
        self._reach, self._most = reach, 2 * max(self._counts)

    def nats(self, length: int) -> float:
        """-log of the share of such lengths, smoothed over the neighbours, with 1 % for lengths that never
        were seen."""
        near = range(length - self._reach, length + self._reach + 1)
        share = sum(self._counts[one] for one in near) / (len(near) * self._counts.total())
        return -math.log(0.99 * share + 0.01 / self._most)
