"""Raised and lowered phrases as a bias on the logits. A raised phrase comes whole or not at all."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from webui import Refusal

from . import phrases

if TYPE_CHECKING:
    from torch import Tensor

    from webui import Canvas, Choice, Link

FADE = 0.25  # of a phrase's strength, what each occurrence that stands leaves
ALONE = 0.5  # of the strength, what is added for the second and the third token of a phrase
ANYWHERE, BLANK, BARE = range(3)  # where a spelling fits: BLANK brings its blank along, BARE follows one


@dataclass(frozen=True)
class Plan:
    """What the last call raised. B rows, the last C columns of the canvas, U spellings.

    gain    (B, C, U) what was added to the logit of the first masked token of spelling u if it starts at
            column c; -inf where it cannot stand
    anchor  (B, C, U) that token's place: column * K + number of the token among the K of all spellings
    raised  (B, C * K) what each place gained
    sealed  bool (B, C) columns right behind a raised phrase that stands: no word may go on there
    """

    gain: Tensor
    anchor: Tensor
    raised: Tensor
    sealed: Tensor


class Bias:
    """The phrases of all rows of a batch, in all spellings, looked at together.

    A raised phrase is treated like one more token of the vocabulary: its log-probability is the mean of those
    of its tokens at the place where it would stand, plus its strength. The model predicts each token without
    knowing the others, which makes words of several tokens look less likely than they are: these get half
    as much again for the second token and for the third. The phrase is offered to the sampler as a
    higher logit of its first masked token (the anchor); `place` commits the others together with it. So the
    bias is never on a token that could stay without the rest. Each occurrence that stands fades the strength.

    A lowered phrase loses at each of its tokens, in proportion to what of it would stand.
    """

    def __init__(self, rows: Sequence[Any], model: Link):
        """`rows`: for each row of the batch its strengths by phrase (see `strengths`), or None. ValueError
        for a raised phrase that the checkpoint has no tokens for."""
        import torch

        device = model.device
        names = list(dict.fromkeys(phrase for row in rows if row for phrase in row))
        values = torch.tensor([[(row or {}).get(name, 0.0) for name in names] for row in rows], device=device)
        self._raise, self._lower = values.clamp(min=0), values.clamp(max=0).neg()
        self.raises, self.lowers = bool((values > 0).any()), bool((values < 0).any())
        self._plan: Plan | None = None
        written = [_spelled(name, model) for name in names]
        for name, forms, strongest in zip(names, written, values.amax(0).tolist(), strict=True):
            if strongest > 0 and not forms:
                raise Refusal(f"the checkpoint has no tokens to write {name!r} with.")
        spelled = [(tokens, p, kind) for p, forms in enumerate(written) for tokens, kind in forms]
        spelled.sort(key=lambda form: -len(form[0]))
        if not spelled:
            self.raises = self.lowers = False
            return
        width = max(len(tokens) for tokens, _, _ in spelled)
        known = {token: k for k, token in enumerate(dict.fromkeys(t for s in spelled for t in s[0]))}
        self._tokens = torch.tensor(list(known), device=device)  # (K,)
        self._number = torch.full((model.vocabulary,), -1, device=device)  # (V,) -> K
        self._number[self._tokens] = torch.arange(len(known), device=device)
        rectangle = [[known[t] for t in tokens] + [0] * (width - len(tokens)) for tokens, _, _ in spelled]
        self._spelling = torch.tensor(rectangle, device=device)  # (U, W) -> K
        # how many spellings have more than j tokens: they are sorted, so that the others cost nothing
        self._longer = [sum(len(tokens) > j for tokens, _, _ in spelled) for j in range(width)]
        self._length = torch.tensor([len(tokens) for tokens, _, _ in spelled], device=device)  # (U,)
        self._phrase = torch.tensor([p for _, p, _ in spelled], device=device)  # (U,) -> P
        self._kind = torch.tensor([kind for _, _, kind in spelled], device=device)
        self._word = torch.tensor([phrases.spaced(names[p][-1]) for _, p, _ in spelled], device=device)
        edges = _edges(model.words())
        more = model.vocabulary - len(model.words())
        self._starts, self._spaces, self._opens = (
            torch.tensor(edge + (False,) * more, device=device) for edge in edges
        )
        self._columns = max(len(model.answer(row)) for row in range(len(rows)))
        self._ends = torch.tensor(model.ends, dtype=torch.long, device=device)
        self._mask = model.mask
        # (rows, C), flush right like the canvas: where no phrase may start
        self._refused = torch.zeros(len(rows), self._columns, dtype=torch.bool, device=device)
        self._seals = any(word and not starts for word, starts in zip(model.words(), edges[0], strict=True))

    def __call__(self, canvas: Canvas, logits: Tensor) -> Tensor:
        """The logits (N, V) with the bias added."""
        import torch

        if not (self.raises or self.lowers):
            return logits
        rows, columns = canvas.at
        tokens = canvas.tokens[:, -self._columns :]
        edge = canvas.tokens.shape[1] - tokens.shape[1]
        local = columns - edge
        height, wide, number = *tokens.shape, len(self._tokens)
        logs = logits[:, self._tokens] - logits.logsumexp(1, keepdim=True)
        cost = torch.full((height, wide, number), -torch.inf, dtype=logs.dtype, device=logs.device)
        cost[rows, local] = logs
        start = canvas.answer - edge
        column = torch.arange(wide, device=tokens.device)
        inside = column >= start[:, None]
        stands = (tokens[:, :, None] == self._tokens) & inside[:, :, None]
        cost = torch.where((tokens == self._mask)[:, :, None], cost, -torch.inf)
        cost = torch.where(stands, 0.0, cost)  # (B, C, K): log-probabilities to pay; -inf is impossible
        width = self._spelling.shape[1]
        cost = torch.nn.functional.pad(cost, (0, 0, 0, width - 1), value=-torch.inf)
        stands = torch.nn.functional.pad(stands, (0, 0, 0, width - 1), value=False)
        total = cost.new_zeros(height, wide, len(self._length))
        missing, first, anchor = torch.zeros_like(total), torch.zeros_like(total), total.long() - 1
        for j, longer in enumerate(self._longer):
            token, some = self._spelling[:longer, j], (..., slice(longer))
            paid, absent = cost[:, j : j + wide, token], ~stands[:, j : j + wide, token]
            new = absent & (anchor[some] < 0)
            total[some] += paid
            missing[some] += absent
            first[some] = torch.where(new, paid, first[some])
            anchor[some] = torch.where(new, (column[:, None] + j) * number + token, anchor[some])
        possible = (total > -torch.inf) & (missing > 0)
        anchor = torch.where(possible, anchor, 0)
        change = torch.zeros(height, wide * number, dtype=logs.dtype, device=logs.device)
        if self.raises:
            fits = self._fits(canvas, tokens, inside, start, column)
            whole = (missing == 0) & fits
            there = whole.sum(1).to(self._raise.dtype)
            count = there.new_zeros(height, self._raise.shape[1]).index_add(1, self._phrase, there)
            strength = (self._raise[canvas.row] * FADE**count)[:, self._phrase][:, None]
            may = possible & fits & (strength > 0) & ~self._refused[canvas.row, self._columns - wide :, None]
            total = torch.where(may, total, -torch.inf)
            group = self._phrase.expand_as(total)
            likeliest = total.new_full((height, wide, self._raise.shape[1]), -torch.inf)
            likeliest = likeliest.scatter_reduce(2, group, total, "amax").gather(2, group)
            may = may & (total == likeliest)  # one spelling of a phrase at each place
            strength = strength.to(logs.dtype) * (1 + ALONE * (missing.clamp(1, 3) - 1))
            gain = torch.where(may, total / missing.clamp(min=1) - first + strength, -torch.inf)
            change = change.scatter_reduce(1, anchor.flatten(1), gain.clamp(min=0).flatten(1), "amax")
            raised = (self._raise[canvas.row][:, self._phrase] > 0) & self._word
            self._plan = Plan(gain, anchor, change, self._behind(whole & raised[:, None], column))
        if self.lowers:
            change = change - self._lowered(canvas, possible, missing, stands, change)
        return logits.index_add(
            1, self._tokens, change.view(height, wide, number)[rows, local].to(logits.dtype)
        )

    def _behind(self, stands: Tensor, column: Tensor) -> Tensor:
        """bool (B, C): the columns right behind the spellings that stand, bool (B, C, U)."""
        height, wide = stands.shape[:2]
        after = (column[:, None] + self._length).clamp(max=wide).flatten().expand(height, -1)
        found = stands.new_zeros(height, wide + 1).scatter_reduce(1, after, stands.flatten(1), "amax")
        return found[:, :wide]

    def _lowered(
        self, canvas: Canvas, possible: Tensor, missing: Tensor, stands: Tensor, like: Tensor
    ) -> Tensor:
        """(B, C * K): what each place loses to lowered phrases that could still stand there."""
        import torch

        wide, number = possible.shape[1], len(self._tokens)
        column = torch.arange(wide, device=like.device)[:, None]
        share = (self._length - missing + 1) / self._length
        amount = torch.where(possible, share * self._lower[canvas.row][:, self._phrase][:, None], 0.0)
        lost = torch.zeros_like(like)
        for j, longer in enumerate(self._longer):
            token, some = self._spelling[:longer, j], (..., slice(longer))
            absent = ~stands[:, j : j + wide, token]
            place = ((column + j).clamp(max=wide - 1) * number + token).expand_as(absent)
            here = torch.where(absent, amount[some], 0.0).to(like.dtype)
            lost = lost.scatter_reduce(1, place.flatten(1), here.flatten(1), "amax")
        return lost

    def _fits(self, canvas: Canvas, tokens: Tensor, inside: Tensor, start: Tensor, column: Tensor) -> Tensor:
        """(B, C, U): whether spelling u may start at column c: it brings a blank where one is needed, no word
        goes on after it, and the text does not end before it does."""
        import torch

        wide = tokens.shape[1]
        standing = (tokens != self._mask) & inside
        first = column == start[:, None]
        before = torch.nn.functional.pad(tokens, (1, -1))
        there = torch.nn.functional.pad(standing, (1, -1), value=False)
        blank = ~(there & self._spaces[before])
        bare = first | (there & self._opens[before])
        fits = torch.where(self._kind == BLANK, blank[:, :, None], bare[:, :, None]) | (
            self._kind == ANYWHERE
        )
        after = (column[:, None] + self._length).clamp(max=wide)  # (C, U)
        goes_on = torch.nn.functional.pad(self._starts[tokens] & standing, (0, 1), value=False)
        fits = fits & ~(goes_on[:, after] & self._word)
        ends = torch.isin(tokens, self._ends) & ~canvas.given[:, -wide:]
        end = torch.where(ends, column, wide).amin(1)
        return fits & (after <= end[:, None, None]) & inside[:, :, None]

    def place(self, canvas: Canvas, logits: Tensor, choice: Choice) -> Choice:
        """The choice with at most one raised phrase in each row, committed whole and together.

        Further ones that were chosen wait: once this one stands, their strength fades. A phrase with a token
        that is banned where it would stand is withdrawn, and not offered there again.
        """
        import torch

        plan = self._plan
        rows, columns = canvas.at
        n, height = rows.numel(), canvas.tokens.shape[0]
        if plan is None or n == 0:
            return choice
        gain, anchors, raised = plan.gain[:height], plan.anchor[:height], plan.raised[:height]
        wide, number = gain.shape[1], len(self._tokens)
        local = columns - (canvas.tokens.shape[1] - wide)
        known = self._number[choice.token]
        place = local * number + known.clamp(min=0)
        wanted = choice.commit & (known >= 0) & (raised[rows, place] > 0)
        order = torch.where(wanted, choice.confidence.double(), -torch.inf)
        best = order.new_full((height,), -torch.inf).scatter_reduce(0, rows, order, "amax")
        leading = torch.where(wanted & (order == best[rows]), torch.arange(n, device=rows.device), n)
        winner = leading.new_full((height,), n).scatter_reduce(0, rows, leading, "amin")  # (B,), n for none
        won = winner < n
        anchor = place[winner.clamp(max=n - 1)]
        found = torch.where(anchors == anchor[:, None, None], gain, -torch.inf).flatten(1).argmax(1)
        start, spelling = found // len(self._length), found % len(self._length)
        steps = torch.arange(self._spelling.shape[1], device=rows.device)
        length = self._length[spelling]
        at = torch.where(won[:, None] & (steps < length[:, None]), start[:, None] + steps, wide)
        grid = rows.new_full((height, wide + 1), -1)
        grid.scatter_(1, at, self._tokens[self._spelling[spelling]])
        token = grid[rows, local]
        own = token >= 0  # standing tokens of the phrase are not among the N
        barred = own & (logits.gather(1, token.clamp(min=0)[:, None])[:, 0] == -torch.inf)
        failed = won.new_zeros(height).scatter_reduce(0, rows, barred, "amax")
        self._refuse(canvas.row, start, failed, wide)
        won, own = won & ~failed, own & ~failed[rows]
        beside = won[rows] & ((local == start[rows] - 1) | (local == (start + length)[rows]))
        self._placed = (canvas.row, start, wide)
        commit = (choice.commit & ~wanted & ~beside) | own
        return replace(choice, token=torch.where(own, token, choice.token), commit=commit, together=own)

    def refuse(self, rows: Tensor) -> None:
        """What was just placed in the rows of these numbers was withdrawn: it is not offered there again."""
        import torch

        row, start, wide = self._placed
        self._refuse(row, start, torch.isin(row, rows.to(row.device)), wide)

    def _refuse(self, row: Tensor, start: Tensor, failed: Tensor, wide: int) -> None:
        import torch

        more = torch.nn.functional.one_hot(torch.where(failed, start, wide), wide + 1)[:, :wide].bool()
        behind = self._refused.shape[1] - wide
        self._refused[row, behind:] = self._refused[row, behind:] | more

    def seals(self, canvas: Canvas) -> Tensor | None:
        """bool (N, V): no word goes on right behind a raised phrase that stands. None if nothing is raised.
        Known from the canvas alone, so that a text that goes on from a trace is the same."""
        if self._plan is None or not self._seals:
            return None
        rows, columns = canvas.at
        sealed = self._plan.sealed
        local = columns - canvas.tokens.shape[1] + sealed.shape[1]
        return sealed[rows, local][:, None] & self._starts


def strengths(wanted: Any, words: Sequence[str]) -> dict[str, float]:
    """Strength of each phrase of one row's options: raised minus lowered, what they cancel left out. Phrases
    that differ in capitals only are one; those that "Never" forbids are not raised. Expressions stand for the
    words of the vocabulary `words` (texts of tokens) that match them. ValueError if these are too many."""
    found: dict[str, float] = {}
    names: dict[str, str] = {}
    for text, sign in ((wanted.more, 1), (wanted.less, -1)):
        given = phrases.weighted(text, wanted.strength)
        for written, phrase in phrases.written_out(given, words, phrases.MAX_PHRASES):
            value = given[written]
            name = names.setdefault(phrase.casefold(), phrase)
            found[name] = found.get(name, 0.0) + sign * value
    forbidden = phrases.plain(wanted.never)
    return {p: v for p, v in found.items() if v < 0 or v > 0 and not phrases.hits(forbidden, p)}


def _spelled(phrase: str, model: Link) -> list[tuple[tuple[int, ...], int]]:
    """The token sequences that write the phrase, each with where it fits. A tokenizer that has no token for a
    character writes it as one without a text: such a sequence is none."""
    found: dict[tuple[int, ...], int] = {}
    words = model.words()
    forms = phrases.spellings(phrase)
    for form, written in zip(forms, model.encode_all(forms), strict=True):
        kind = BLANK if form.startswith(" ") else BARE if phrases.spaced(form[0]) else ANYWHERE
        tokens = tuple(written)
        if tokens and all(words[token] for token in tokens):
            found[tokens] = kind if found.get(tokens, kind) == kind else ANYWHERE
    return list(found.items())


@lru_cache(maxsize=2)
def _edges(words: tuple[str, ...]) -> tuple[tuple[bool, ...], ...]:
    """For every token: whether its text starts with a letter or digit; ends with a blank; ends with what a
    word may follow without one."""
    return (
        tuple(bool(word) and phrases.spaced(word[0]) for word in words),
        tuple(word[-1:].isspace() for word in words),
        tuple(re.search(r"[\s(\[{\"'“‘«„/-]\Z", word) is not None for word in words),
    )
