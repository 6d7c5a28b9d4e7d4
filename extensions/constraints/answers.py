"""The stretches of a batch under one rule, together: bans before the draw, and the joint choice behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from random import Random
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from webui import Refusal, processed

from . import joint, reach
from .automaton import Patience, after_optional
from .haiku import Haiku
from .reach import FREE, Answers
from .tokens import Ints, TokenAutomaton, remembered, vocabulary

if TYPE_CHECKING:
    from webui import Canvas, Choice, Link

    from . import Segment

LOOKED_AT = 1024  # tokens until which lengths of matches are looked for


def groups(segments: Sequence[Segment], model: Link) -> list[Group]:
    """The segments of each automaton. ValueError if one cannot be made."""
    found: dict[TokenAutomaton, list[Segment]] = {}
    for segment in segments:
        found.setdefault(_automaton(segment, model), []).append(segment)
    return [Group(automaton, mine) for automaton, mine in found.items()]


def _automaton(segment: Segment, model: Link) -> TokenAutomaton:
    """The same one for segments that differ in their place only. ValueError."""
    first, later = model.token_bytes()
    rule, starts = segment.rule, first if segment.first else later
    ends = tuple(model.ends) if segment.ends else ()
    if isinstance(rule, Haiku):
        return of_words(rule, starts, later, segment.strips, ends, model.vocabulary)
    for prefix in reversed(segment.strips):
        rule = after_optional(rule, prefix)
    patience = Patience(model.cancelled, model.report)
    return remembered(rule, vocabulary(starts), vocabulary(later), ends, model.vocabulary, patience)


@lru_cache(maxsize=8)
def of_words(
    rule: Haiku,
    first: tuple[bytes, ...],
    later: tuple[bytes, ...],
    strips: tuple[str, ...],
    ends: tuple[int, ...],
    size: int,
) -> TokenAutomaton:
    """`Haiku.automaton`, remembered."""
    return rule.automaton(first, later, strips, ends, size)


class Group:
    """The segments of a batch under one automaton."""

    def __init__(self, automaton: TokenAutomaton, segments: Sequence[Segment]):
        self.automaton, self.segments = automaton, segments
        width = max(segment.span[1] - segment.span[0] for segment in segments)
        self._lengths = np.array([segment.span[1] - segment.span[0] for segment in segments])
        self._restrictions = np.zeros((len(segments), width), dtype=np.int64)
        for number, segment in enumerate(segments):
            for place, what in segment.restricted:
                self._restrictions[number, place] |= what
        self._device: tuple[Tensor, torch.device] | None = None

    def refuse_impossible(self, model: Link) -> None:
        """ValueError if what an answer starts from cannot become a match."""
        tokens = [model.answer(segment.row)[slice(*segment.span)] for segment in self.segments]
        answers = self._answers(tokens, np.arange(len(tokens)), model.mask)
        possible = reach.satisfiable(answers)
        for number, segment in enumerate(self.segments):
            if not possible[number]:
                raise Refusal(self._impossible(segment, int(self._lengths[number])))

    def ban(self, canvas: Canvas, model: Link, bans: Tensor) -> None:
        """Bans at the active positions, in `bans` (N, V) on the device, the tokens after which nothing would
        match. canvas: on the host."""
        there, answers, places = self._read(canvas, canvas.tokens, model)
        if not len(there):
            return
        ahead, behind = reach.forward(answers), reach.backward(answers)
        number, column = places
        index = np.flatnonzero(number >= 0)
        number, column = number[index], column[index]
        fits = reach.allowed(
            self.automaton,
            ahead[number, column],
            behind[number, column + 1],
            answers.restrictions[number, column],
        )
        kinds = torch.from_numpy(fits).to(bans.device)
        where = torch.from_numpy(index).to(bans.device)
        bans[where] = ~kinds[:, self._class_of(bans.device)]

    def pick(self, canvas: Canvas, model: Link, logits: Tensor, choice: Choice) -> Choice:
        """The choice with tokens that go together. canvas, choice: on the host."""
        before = canvas.tokens
        if choice.remask is not None:
            before = torch.where(choice.remask & ~canvas.given, canvas.mask, before)
        rows, columns = canvas.at
        free = before.clone()
        free[rows[choice.commit], columns[choice.commit]] = canvas.mask
        there, answers, (number, column) = self._read(canvas, free, model)
        commit = choice.commit.numpy() & (number >= 0)
        if not len(there) or np.bincount(number[commit], minlength=1).max(initial=0) < 2:
            return choice  # one token alone fits: the others are banned
        classes = answers.classes.copy()
        classes[number[commit], column[commit]] = self.automaton.class_of[choice.token.numpy()[commit]]
        fits = reach.satisfiable(replace(answers, classes=classes))
        wrong = np.flatnonzero(~fits).tolist()
        if not wrong:
            return choice
        asked = np.flatnonzero(commit & ~np.append(fits, True)[number])  # what has no answer is -1: the last
        read = logits[torch.from_numpy(asked).to(logits.device)].double().cpu()
        for which in wrong:
            mine = number[asked] == which
            answer, indices = answers.take(np.array([which])), asked[mine]
            plain = read[torch.from_numpy(mine)]
            choice = self._together(canvas, plain, choice, answer, indices, column[indices])
        return choice

    def _together(
        self,
        canvas: Canvas,
        plain: Tensor,
        choice: Choice,
        answer: Answers,
        indices: Ints,
        places: Ints,
    ) -> Choice:
        """The choice with other tokens at these active positions, which lie at `places` of the answer and
        have the logits `plain`."""
        if not bool((plain > -torch.inf).any(1).all()):
            return choice  # other extensions' bans leave nothing: the row fails behind the draw
        row, state = int(canvas.at[0][indices[0]]), canvas.state
        temperature = float(state.temperature[row])
        greedy = temperature <= 0
        warm = plain if greedy else plain / temperature
        filtered = warm if greedy else processed(canvas, plain, torch.from_numpy(indices))
        random = Random(f"{int(canvas.seed[row])} {int(canvas.step[row])} {int(places[0])}")
        drawn = choice.token.numpy()[indices].tolist()
        tokens: Sequence[int | None] | None = None
        try:
            for scores in (filtered, warm):  # what the filters drop comes back where nothing else fits
                line = scores.log_softmax(1).numpy()
                tokens = joint.chosen(answer, places.tolist(), line, greedy, random)
                if tokens is not None or filtered is warm:
                    break
        except joint.TooMany:
            pass
        if tokens is None:
            order = np.argsort(-choice.confidence.numpy()[indices], kind="stable").tolist()
            line = warm.log_softmax(1).numpy()
            tokens = joint.one_by_one(answer, places.tolist(), drawn, line, order, greedy, random)
        token, commit = choice.token.clone(), choice.commit.clone()
        share, confidence = choice.probability.clone(), choice.confidence.clone()
        shares = plain.softmax(1)
        for i, (index, now) in enumerate(zip(indices.tolist(), tokens, strict=True)):
            if now is None:
                commit[index] = False
            elif now != drawn[i]:
                token[index] = now
                share[index] = shares[i, now]
                confidence[index] = shares[i, now]
        return replace(choice, token=token, commit=commit, probability=share, confidence=confidence)

    def _read(
        self, canvas: Canvas, tokens: Tensor, model: Link
    ) -> tuple[list[int], Answers, tuple[Ints, Ints]]:
        """What of the group is in the canvas: the segments' numbers, their answers in this order, and for
        each active position the number of its answer, -1 if it has none, and its place there."""
        at = {int(row): index for index, row in enumerate(canvas.row.tolist())}
        there = [i for i, segment in enumerate(self.segments) if segment.row in at]
        begins, lines, every = canvas.answer.tolist(), [], tokens.numpy()
        number = np.full(every.shape, -1)
        column = np.zeros(every.shape, dtype=np.int64)
        for k, i in enumerate(there):
            segment = self.segments[i]
            index = at[segment.row]
            start, end = (begins[index] + place for place in segment.span)
            lines.append(every[index, start:end])
            number[index, start:end], column[index, start:end] = k, np.arange(end - start)
        rows, columns = (part.numpy() for part in canvas.at)
        answers = self._answers(lines, np.array(there, dtype=np.int64), model.mask)
        return there, answers, (number[rows, columns], column[rows, columns])

    def _answers(self, lines: Sequence[Sequence[int] | Ints], which: Ints, mask: int) -> Answers:
        """These tokens of the segments `which`."""
        classes = np.full((len(lines), self._restrictions.shape[1]), FREE)
        for number, line in enumerate(lines):
            tokens = np.asarray(line)
            classes[number, : len(tokens)] = np.where(tokens == mask, FREE, self.automaton.class_of[tokens])
        return Answers(self.automaton, classes, self._lengths[which], self._restrictions[which])

    def _class_of(self, device: torch.device) -> Tensor:
        if self._device is None or self._device[1] != device:
            self._device = torch.from_numpy(self.automaton.class_of).to(device), device
        return self._device[0]

    def _impossible(self, segment: Segment, length: int) -> str:
        """Why nothing can match."""
        asked = dict(segment.restricted) if segment.name else {}
        first, last = asked.get(0, 0), asked.get(length - 1, 0)
        found = reach.lengths(self.automaton, LOOKED_AT, first, last)
        subject = f"the rule of the gap {segment.name}" if segment.name else "the rule"
        if not found:
            return f"{subject} needs more than {LOOKED_AT} tokens; there are {length}."
        if found[0] > length:
            return f"{subject} needs at least {found[0]} tokens; there are {length}."
        if not segment.ends and length not in found:
            nearest = min(found, key=lambda other: abs(other - length))
            return (
                f"{subject} has no match of exactly {length} tokens, and none of these may stay empty; "
                f"the nearest number is {nearest}."
            )
        return f"nothing that fits the given text around it matches {subject} in {length} tokens."
