"""The stream of training rows: a pure function of (recipe, step), so a resumed run repeats nothing and loses
nothing.

A row is the tokens of `{condition}\\nStory:`, of the text, and of end-of-text up to the batch's length, a
multiple of 8. Rows are drawn for a group of steps at once, sorted by the length they want and cut into
batches of about equal size.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from . import prose
from . import tokenizer as words
from .conditions import FRAME, Facts, condition, of_story
from .grammar import Grammar, words_of
from .recipe import Recipe

FRAME_KIND, CONTENT, TEXT, PADDING, FURTHER = range(5)
OFTEN = 5  # times a word of real text must occur to be called known
SPARE_SEEDS = 8  # seeds kept for each story, so that held-out ones can be skipped


@dataclass(frozen=True)
class Batch:
    """tokens (B, L) int64; kinds (B, L) uint8: frame, content, text with its end-of-text, padding behind it,
    or a token of the text that introduces a further character: its kind or its name."""

    tokens: Tensor
    kinds: Tensor


@dataclass(frozen=True)
class _Row:
    """A row before tokenization. `ends`: the text is meant to fit, with its end; `whole`: it holds its
    document's end, even if more than a row can hold was meant to follow; `draw` decides the padding."""

    content: str
    text: str
    ends: bool
    whole: bool
    draw: float


class Corpus:
    """Rows of the grammar and, given a folder, of real text, in the recipe's mix."""

    def __init__(self, recipe: Recipe, tokenizer, folder: Path | None = None, grammar: Grammar | None = None):
        self.recipe, self.tokenizer = recipe, tokenizer
        self.grammar = grammar or Grammar.load()
        self.end = tokenizer.token_to_id(words.END)
        self.frame = tokenizer.encode(FRAME).ids
        lexicon = self.grammar.vocabulary
        names = (name for some in lexicon.names.values() for name in some)
        self.characters = (_single(tokenizer, (*lexicon.kinds, "girl", "boy")), _single(tokenizer, names))
        self.documents = read_documents(recipe, folder)
        self.nouns = prose.Nouns([one for some in self.documents.values() for one in some])
        self.lengths = {name: [self._lengths(one) for one in some] for name, some in self.documents.items()}
        self.counts = self._counts()
        self._group = lru_cache(maxsize=2)(self._make_group)

    def batch(self, step: int) -> Batch:
        """The batch of a step."""
        group = self.recipe.data.group
        return self._group(step // group)[step % group]

    def _counts(self) -> dict[str, int]:
        """Rows of a group, by source."""
        data = self.recipe.data
        names = ["grammar", *self.documents]
        total = sum(getattr(data, name) for name in names)
        rows = data.group * data.tokens / (0.85 * self.recipe.network.max_length)
        return {name: round(rows * getattr(data, name) / total) for name in names}

    def _make_group(self, number: int) -> list[Batch]:
        rows = [row for name, count in self.counts.items() for row in self._rows(name, number, count)]
        dice = random.Random(f"{self.recipe.seed} order {number}")
        dice.shuffle(rows)
        encoded = self.tokenizer.encode_batch(
            [part for row in rows for part in (row.content, " " + row.text)]
        )
        made = [self._tokens(row, encoded[2 * i].ids, encoded[2 * i + 1].ids) for i, row in enumerate(rows)]
        made.sort(key=lambda entry: entry[0])
        batches = [self._batch(part) for part in _cut(made, self.recipe.data.group)]
        dice.shuffle(batches)
        return batches

    def _rows(self, source: str, number: int, count: int) -> Iterator[_Row]:
        for index in range(number * count, (number + 1) * count):
            dice = random.Random(f"{self.recipe.seed} {source} {index}")
            yield (
                self._story_row(index, dice) if source == "grammar" else self._prose_row(source, index, dice)
            )

    def _story_row(self, index: int, dice: random.Random) -> _Row:
        data = self.recipe.data
        for spare in range(SPARE_SEEDS):
            story = self.grammar.story((self.recipe.seed << 40) + index * SPARE_SEEDS + spare)
            if not story.held_out:
                break
        facts, text = of_story(story.attributes), story.text
        if dice.random() < data.continued:
            sentences = prose.document(text).sentences
            cut = dice.randrange(1, max(2, len(sentences) - 1))
            text, before = prose.joined(sentences[cut:]), prose.joined(sentences[max(0, cut - 2) : cut])
            facts = replace(
                facts,
                before=before,
                words=tuple(word for word in facts.words if word in text),
                talk='"' in text,
                place=facts.place if facts.place and facts.place in text else None,
                gists=(),
            )
        elif dice.random() < data.open:
            text = left_open(text)
            facts = replace(
                facts,
                end="open",
                words=tuple(word for word in facts.words if word in words_of(text)),
                friend=facts.friend if facts.friend in words_of(text) else None,
                place=facts.place if facts.place in words_of(text) else None,
                talk='"' in text,
            )
        return _Row(condition(facts, dice), text, True, True, dice.random())

    def _prose_row(self, source: str, index: int, dice: random.Random) -> _Row:
        some = self.documents[source]
        place = _shuffled(len(some), f"{self.recipe.seed} {source} {index // len(some)}")[index % len(some)]
        found, lengths = some[place], self.lengths[source][place]
        room = self.recipe.network.max_length - len(self.frame) - 1
        start = self._start(lengths, room, dice)
        before = min(start, dice.choice((1, 1, 2))) if start else 0
        stop, used = start, sum(lengths[start - before : start]) + 16
        while stop < len(lengths) and used + lengths[stop] <= room:
            used += lengths[stop]
            stop += 1
        stop = max(stop, start + 1)
        facts: Facts = prose.facts(found, start, stop, self.nouns, dice, before)
        ends, far = stop == len(lengths), stop + 40
        text = prose.joined(found.sentences[start : stop if ends else far])
        return _Row(condition(facts, dice), text, ends, far >= len(lengths), dice.random())

    @staticmethod
    def _start(lengths: tuple[int, ...], room: int, dice: random.Random) -> int:
        """The first sentence of a run: the document's first, one from which it runs to the end, or any."""
        draw = dice.random()
        if draw < 0.4 or sum(lengths) + 24 <= room:
            return 0
        if draw < 0.9:
            budget, start = room * dice.uniform(0.5, 0.75), len(lengths)
            while start > 1 and sum(lengths[start - 1 :]) <= budget:
                start -= 1
            return min(start, len(lengths) - 1)
        return dice.randrange(len(lengths))

    def _lengths(self, found: prose.Document) -> tuple[int, ...]:
        return tuple(len(one.ids) for one in self.tokenizer.encode_batch(list(found.sentences)))

    def _tokens(
        self, row: _Row, content: list[int], text: list[int]
    ) -> tuple[int, float, list[int], int, bool]:
        """(wanted length, draw, tokens, length of the content, whether it ends); too long a condition is left
        out."""
        most = self.recipe.network.max_length
        if len(content) + len(self.frame) + min(len(text), most // 2 if not row.ends else most) + 1 > most:
            content = []
        tokens = [*content, *self.frame, *text]
        if not row.ends and len(tokens) < most:  # it fits after all: what was said of an open end is not true
            content, tokens = [], [*self.frame, *text]
        ends = row.whole and len(tokens) < most
        tokens = [*tokens, self.end] if ends else tokens[:most]
        least = -(-len(tokens) // 8) * 8
        wanted = least
        if ends and row.draw < self.recipe.data.padded:
            share = row.draw / self.recipe.data.padded
            wanted = least + int(share * ((most - least) // 8 + 1)) * 8
        elif not ends:
            wanted = min(len(tokens), most - int(row.draw * 4) * 8) // 8 * 8
        return wanted, row.draw, tokens, len(content), ends

    def _batch(self, rows: list[tuple[int, float, list[int], int, bool]]) -> Batch:
        length = max(row[0] for row in rows)
        tokens = torch.full((len(rows), length), self.end)
        kinds = torch.full((len(rows), length), PADDING, dtype=torch.uint8)
        for i, (_, _, ids, content, _) in enumerate(rows):
            ids = ids[:length]
            tokens[i, : len(ids)] = torch.tensor(ids)
            kinds[i, : len(ids)] = TEXT
            kinds[i, : content + len(self.frame)] = FRAME_KIND
            kinds[i, :content] = CONTENT
            for some in self.characters:
                for at in further(ids, content + len(self.frame), some):
                    kinds[i, at] = FURTHER
        return Batch(tokens, kinds)


def further(ids: Sequence[int], start: int, characters: frozenset[int]) -> list[int]:
    """Where, from `start` on, a kind (or a name) comes for the first time after another one."""
    seen: set[int] = set()
    found = []
    for at in range(start, len(ids)):
        if ids[at] in characters and ids[at] not in seen:
            if seen:
                found.append(at)
            seen.add(ids[at])
    return found


def _single(tokenizer, some: Iterable[str]) -> frozenset[int]:
    """The tokens of those words that are one token behind a blank."""
    found = (tokenizer.encode(" " + word).ids for word in some)
    return frozenset(ids[0] for ids in found if len(ids) == 1)


def left_open(text: str) -> str:
    """A story of the grammar without its last two sentences, the turn and the end: it stops where anything
    may still happen. A quotation is not cut."""
    sentences = list(prose.document(text).sentences)[:-2]
    while prose.joined(tuple(sentences)).count('"') % 2:
        sentences.pop()
    return prose.joined(tuple(sentences))


def read_documents(recipe: Recipe, folder: Path | None) -> dict[str, list[prose.Document]]:
    """The real text that the recipe asks for; nothing without a folder. ValueError if a file is not there."""
    if folder is None:
        return {}
    found = {}
    for name, file in prose.FILES.items():
        if getattr(recipe.data, name) > 0:
            if not (folder / file).is_file():
                raise ValueError(
                    f"{folder} has no {file}; give the corpus's folder, or leave --corpus out to train on "
                    "the grammar."
                )
            found[name] = prose.read(folder / file)
    return found


def lexicon(grammar: Grammar, documents: dict[str, list[prose.Document]]) -> list[str]:
    """The words a run learns well, lower case, in order: the grammar's, those that real text has at least
    `OFTEN` times, and those that conditions are written with. What lexicon.txt of a checkpoint holds."""
    seen = Counter(
        word.lower()
        for some in documents.values()
        for one in some
        for word in words_of("".join(one.sentences))
    )
    dice = random.Random("lexicon")
    asked = {
        word.lower()
        for seed in range(3000)
        for word in words_of(condition(of_story(grammar.story(seed).attributes), dice))
    }
    return sorted(grammar.lexicon() | asked | {word for word, times in seen.items() if times >= OFTEN})


def texts_for_tokenizer(
    recipe: Recipe, grammar: Grammar, documents: dict[str, list[prose.Document]]
) -> Iterator[str]:
    """Stories with conditions, and all real text."""
    nouns = prose.Nouns([one for some in documents.values() for one in some])
    for index in range(recipe.data.stories_for_tokenizer):
        dice = random.Random(f"{recipe.seed} tokenizer {index}")
        story = grammar.story((recipe.seed << 40) + index * SPARE_SEEDS)
        yield condition(of_story(story.attributes), dice) + FRAME + " " + story.text
    for some in documents.values():
        for one in some:
            dice = random.Random(one.sentences[0])
            yield (
                condition(prose.facts(one, 0, len(one.sentences), nouns, dice), dice)
                + FRAME
                + " "
                + prose.joined(one.sentences)
            )


@lru_cache(maxsize=16)
def _shuffled(count: int, seed: str) -> tuple[int, ...]:
    order = list(range(count))
    random.Random(seed).shuffle(order)
    return tuple(order)


def _cut(rows: list, parts: int) -> list[list]:
    """Rows sorted by length, cut into `parts` runs of about equal numbers of tokens, none of them empty."""
    total, cuts, used = sum(row[0] for row in rows), [[] for _ in range(parts)], 0
    for row in rows:
        cuts[min(parts - 1, used * parts // total)].append(row)
        used += row[0]
    if not all(cuts):
        raise ValueError("A batch came out empty: ask for more tokens a batch, or fewer batches a group.")
    return cuts
