"""Draws: a token for each active position, from its logits after temperature, top-k, top-p and min-p."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from webui.canvas import Canvas, SamplerState, noise

LIKELIEST = 64  # tokens that get Gumbel noise of their own; the rest are drawn as one
TOGETHER = 64  # positions whose whole vocabulary is looked at together: they fit into a cache
HIGH = 3.0  # Gumbel noise that one token in twenty exceeds
GROUPS = (
    256  # into which a vocabulary is dealt to find its likeliest tokens; 4 for each that is wanted, at least
)
NUCLEUS = 128  # tokens among which top-p looks first
SAMPLE = 4096  # tokens from which it estimates where to cut otherwise
DEVIATIONS = 1.5  # of the estimate within which the place is looked for


def draw(canvas: Canvas, logits: Tensor) -> Tensor:
    """A token for each of N positions: the likeliest at temperature 0, otherwise a draw after temperature,
    top-k, top-p, min-p.

    Gumbel-max over the 64 likeliest tokens and the rest as one; if the rest wins, Gumbel-max inside it.
    Exactly the softmax's distribution, with noise for 65 numbers instead of the vocabulary, and few flips
    under rounding.
    """
    state, (rows, columns) = canvas.state, canvas.at
    if "temperature" not in state.draws:
        return greedy(logits)
    temperature = state.temperature[rows].to(logits.dtype)[:, None]
    warmth = temperature.clamp(min=1e-6)
    if state.draws & {"top_k", "top_p", "min_p"}:
        logits, unfiltered = _filtered(state, rows, logits / warmth), logits
        warmth = torch.ones_like(warmth)
    else:
        unfiltered = logits
    streams = torch.arange(3, device=rows.device)[:, None]  # DRAW, REST, INSIDE: all their keys at once
    keys = noise.counter(_seeds(canvas), streams, columns - canvas.answer[rows], canvas.step[rows])
    token = (_on_host if rows.device.type == "cpu" else _on_device)(logits, warmth, keys)
    return torch.where(temperature[:, 0] > 0, token, greedy(unfiltered)) if "greedy" in state.draws else token


def _on_device(logits: Tensor, warmth: Tensor, keys: Tensor) -> Tensor:
    """(N,): a token for each position, of softmax(logits (N, V) / warmth (N, 1)), from its keys (3, N). Asks
    the device for nothing."""
    values, tokens = likeliest(logits)
    values, there = values / warmth, values > -torch.inf
    best, where = (values + noise.gumbel(keys[noise.DRAW][:, None], tokens)).max(1)
    token = tokens.gather(1, where[:, None])[:, 0]
    luck = noise.gumbel(keys[noise.REST])
    possible = _reach(values.masked_fill(~there, torch.inf).amin(1), logits.shape[1]) + luck > best
    possible &= there.sum(1) >= LIKELIEST  # fewer: the rest has nothing
    rest = (logits / warmth).scatter_(1, tokens, -torch.inf)
    wins = possible & (rest.logsumexp(1) + luck > best)
    inside = (rest + noise.gumbel(keys[noise.INSIDE][:, None], _every(logits))).argmax(1)
    return torch.where(wins, inside, token)


def _on_host(logits: Tensor, warmth: Tensor, keys: Tensor) -> Tensor:
    """The same on a CPU: in NumPy, whose calls take a fraction of torch's for so few numbers, and of the rest
    only what can win. Logarithms and exponentials are torch's, which rounds them in its own way."""
    values, tokens = likeliest(logits)
    places, heat = tokens.numpy(), warmth.numpy()
    each, scaled = np.arange(len(places)), values.numpy() / heat
    there = scaled > -np.inf
    sums = scaled + noise.gumbel(keys[noise.DRAW][:, None], tokens).numpy()
    where = sums.argmax(1)
    best, chosen = sums[each, where], places[each, where]
    luck = noise.gumbel(keys[noise.REST]).numpy()
    possible = _reach(np.where(there, scaled, np.inf).min(1), logits.shape[1]) + luck > best
    possible &= there.sum(1) >= LIKELIEST  # fewer: the rest has nothing
    for part in _parts(possible):
        rest = logits.numpy()[part] / heat[part]
        rest[np.arange(len(part))[:, None], places[part]] = -np.inf
        wins = torch.from_numpy(rest).logsumexp(1).numpy() + luck[part] > best[part]
        for inner in _parts(wins):
            chosen[part[inner]] = _inside(rest[inner], keys[noise.INSIDE][part[inner]])
    return torch.from_numpy(chosen)


def _reach(least: Any, vocabulary: int) -> Any:
    """What the rest weighs at most, as a logit: as if every token of it were as likely as the least likely of
    the others, and what rounding may add."""
    return least + (math.log(vocabulary) + 1e-3)


def _seeds(canvas: Canvas) -> Tensor:
    """(N,): the seed that each position draws from: its row's, or for a share of the positions the row's
    variation seed. A higher share has the positions of a lower one among its own."""
    state, (rows, columns) = canvas.state, canvas.at
    seed = canvas.seed[rows]
    if "variation" not in state.draws:
        return seed
    key = noise.counter(seed, noise.VARIATION, columns - canvas.answer[rows], torch.zeros_like(rows))
    varied = noise.uniform(key) < state.variation_strength[rows]
    return torch.where(varied, state.variation_seed[rows], seed)


def greedy(logits: Tensor) -> Tensor:
    """(N,): the likeliest token of each position; ties go to the lowest token."""
    if logits.device.type == "cpu":  # NumPy's search is ten times as fast as torch's
        return torch.from_numpy(logits.numpy().argmax(1))
    return logits.argmax(1)


def likeliest(logits: Tensor, number: int = LIKELIEST) -> tuple[Tensor, Tensor]:
    """The `number` highest logits of each position and their tokens, (N, C) each, in any order; minus
    infinity fills up what is not there. On a CPU equals of the last one are among them, and of equal ones the
    lower token comes first."""
    if logits.shape[1] <= number:
        return logits, _every(logits).expand_as(logits)
    if logits.device.type != "cpu":
        return logits.topk(number, dim=1)
    # A fifth of the time of torch's topk: 64 of the groups have a token that is at least as likely as the
    # 64th likeliest of their champions, so nothing below that can be among the 64 likeliest.
    every = logits.numpy()
    groups = max(GROUPS, 4 * number)
    width = every.shape[1] // groups
    if width > 1:
        champions = logits[:, : width * groups].unflatten(1, (width, groups)).amax(1).numpy()
    else:
        champions = every
    last = champions.shape[1] - number
    bound = np.partition(champions, last, axis=1)[:, last, None]
    bound = np.maximum(bound, np.finfo(every.dtype).min)  # minus infinity is not there
    row, token = np.divmod(np.flatnonzero(every >= bound), every.shape[1])
    counts = np.bincount(row, minlength=len(every))
    first = np.cumsum(counts) - counts
    most = max(int(counts.max(initial=0)), 1)
    place = np.arange(len(row)) - first[row]
    values = np.full((len(every), most), -np.inf, every.dtype)
    values[row, place] = every[row, token]
    tokens = np.zeros((len(every), most), np.int64)
    if len(token):
        tokens += token[np.minimum(first, len(token) - 1)][:, None]  # what fills up names one that is there
    tokens[row, place] = token
    if most > number:
        last = most - number
        values[values < np.partition(values, last, axis=1)[:, last, None]] = -np.inf
        tokens = np.where(values > -np.inf, tokens, tokens[np.arange(len(every)), values.argmax(1)][:, None])
    return torch.from_numpy(values), torch.from_numpy(tokens)


def _inside(logits: Any, key: Tensor) -> Any:
    """(K,): for each of K positions the token with the highest sum of logit (K, V), an array, and Gumbel
    noise.

    Without most logarithms: among the tokens whose noise is above `HIGH`, one usually beats all that the
    others can reach.
    """
    bits = noise.bits(key[:, None], torch.arange(logits.shape[1])[None])
    row, token = np.divmod(np.flatnonzero(bits.numpy() >= noise.bits_of_gumbel(HIGH)), logits.shape[1])
    sums = np.full(logits.shape, -np.inf, logits.dtype)
    sums[row, token] = (
        logits[row, token] + noise.gumbel_of(torch.from_numpy(bits.numpy()[row, token])).numpy()
    )
    best = sums.argmax(1)
    reach = logits.max(1)  # and what rounding may add
    reach = reach + HIGH + 1e-3 + 1e-5 * np.abs(reach)
    for part in _parts(reach >= sums[np.arange(len(best)), best]):
        noisy = torch.from_numpy(logits[part]) + noise.gumbel_of(bits[part])
        best[part] = noisy.numpy().argmax(1)
    return best


def _every(logits: Tensor) -> Tensor:
    """(1, V): all tokens."""
    return torch.arange(logits.shape[1], device=logits.device)[None]


def _parts(wanted: Any) -> Iterator[Any]:
    """Indices of the positions that are wanted, an array of bools, some at a time."""
    found = np.flatnonzero(wanted)
    if len(found) == 1:  # one row would be summed up in as many pieces as there are threads
        found = found.repeat(2)
    for first in range(0, len(found), TOGETHER):
        yield found[first : first + TOGETHER]


def processed(canvas: Canvas, logits: Tensor, which: Tensor | None = None) -> Tensor:
    """What tokens are drawn from: logits (N, V) after temperature (at 0 as they are), top-k, top-p and
    min-p. which: (N,) the active positions that these logits are of; by default all."""
    rows = canvas.at[0] if which is None else canvas.at[0][which]
    warmth = canvas.state.temperature[rows].to(logits.dtype)[:, None]
    return _filtered(canvas.state, rows, logits / torch.where(warmth > 0, warmth, 1.0))


def _filtered(state: SamplerState, rows: Tensor, logits: Tensor) -> Tensor:
    """Logits of positions of these rows with what top-k, top-p and min-p drop at minus infinity; the
    likeliest token always stays."""
    if "top_k" in state.draws:
        k = state.top_k[rows]
        most = min(state.largest_k, logits.shape[1])
        highest = likeliest(logits, most)[0].sort(dim=1, descending=True).values
        missing = max(0, most - highest.shape[1])  # where fewer tokens are left
        highest = torch.nn.functional.pad(highest, (0, missing), value=-torch.inf)
        least = highest.gather(1, k.clamp(1, most)[:, None] - 1)
        logits = torch.where((logits < least) & (k > 0)[:, None], -torch.inf, logits)
    if "top_p" in state.draws:
        logits = _nucleus(logits, state.top_p[rows])
    if "min_p" in state.draws:
        floor = logits.amax(1, keepdim=True) + torch.log(state.min_p[rows].clamp(min=1e-30))[:, None]
        logits = torch.where((logits < floor) & (state.min_p[rows] > 0)[:, None], -torch.inf, logits)
    return logits


def _nucleus(logits: Tensor, share: Tensor) -> Tensor:
    """Logits (N, V) with all but the likeliest tokens whose probabilities sum to `share` (N,) at minus
    infinity; of equal tokens the lower ones stay. A share of 1 drops nothing.

    On a CPU only positions whose `NUCLEUS` likeliest tokens do not suffice are looked at as a whole.
    """
    if logits.device.type != "cpu":
        ordered, index = logits.sort(dim=1, descending=True, stable=True)
        drop = _beyond(ordered.softmax(1), share)
        return logits.masked_fill(torch.zeros_like(drop).scatter(1, index, drop), -torch.inf)
    values, tokens = likeliest(logits, NUCLEUS)
    ordered, place = values.sort(dim=1, descending=True, stable=True)
    whole = logits.softmax(1)
    shares = whole.gather(1, tokens.gather(1, place)).masked_fill(ordered == -torch.inf, 0.0)
    drop = _beyond(shares, share)
    every, found = logits.numpy(), drop.any(1)
    cuts = [_Cut.of(*pair) for pair in zip(ordered.numpy(), drop.numpy(), strict=True)]
    more = (values > -torch.inf).sum(1) >= NUCLEUS  # otherwise there is nothing else to drop
    for row in (~found & (share < 1) & more).nonzero()[:, 0].tolist():
        near = _near_the_cut(every[row], whole[row].numpy(), float(share[row]), shares[row].numpy())
        if near is None:
            descending = np.sort(every[row])[::-1].copy()  # a tenth of torch's time
            probabilities = torch.from_numpy(descending).softmax(0)[None]
            near = descending, _beyond(probabilities, share[row, None])[0].numpy()
        cuts[row] = _Cut.of(*near)
    least = np.array([cut.least for cut in cuts], every.dtype)[:, None]
    kept = np.where(every < least, -np.inf, every)
    for row, cut in enumerate(cuts):
        if cut.stay is not None:
            kept[row, np.flatnonzero(every[row] == cut.least)[cut.stay :]] = -np.inf
    return torch.from_numpy(kept)


class _Cut(NamedTuple):
    """What stays of the tokens of one position."""

    least: float  # the least logit that does
    stay: int | None  # of those that have it, the lower so many; None: all

    @classmethod
    def of(cls, ordered: Any, drop: Any) -> _Cut:
        """From logits (C,) in descending order, all that are equal to the last that stays among them, and
        which of them are dropped (C,): from one of them on all, or none."""
        first = int(drop.argmax())
        if not drop[first]:
            return cls(-math.inf, None)
        least = ordered[first - 1]
        equal = ordered == least
        stay = int(equal[:first].sum())
        return cls(float(least), None if stay == int(equal.sum()) else stay)


def _beyond(shares: Tensor, share: Tensor) -> Tensor:
    """(N, C) bool: which of these probabilities, in descending order, come after `share` (N,) is reached."""
    return (shares.cumsum(1) - shares >= share[:, None]) & (share < 1)[:, None]


def _near_the_cut(logits: Any, shares: Any, share: float, likely: Any) -> tuple[Any, Any] | None:
    """The logits of one position around the place where its probabilities, `shares` (V,), sum to `share`, in
    descending order, and which of them are dropped, (C,) each. `likely`: the highest probabilities, in
    descending order, whose sum is less.

    The place is estimated from some of the tokens, so that few of them are sorted; None where there are
    only few, or the estimate was wrong.
    """
    step = len(shares) // SAMPLE
    some = np.sort(shares[:: max(step, 1)])[::-1]
    likely = likely[likely > 0]
    some = some[some < likely[-1]]
    if step < 2 or not some.sum() > 0:
        return None
    known, total = float(likely.sum()), float(some.sum())
    sums = known + (1 - known) / total * some.cumsum()
    margin = DEVIATIONS * (1 - known) / total * math.sqrt(float(some @ some))
    first, last = np.searchsorted(sums, (share - margin, share + margin))
    highest = some[first - 1] if first else likely[-1]
    lowest = some[last] if last < len(some) else 0.0
    inside = np.flatnonzero((shares <= highest) & (shares >= lowest))
    if not len(inside):
        return None
    ordered = np.sort(logits[inside])[::-1]
    mine = shares[inside].max() * np.exp(ordered - ordered[0])
    before = float((shares * (shares > highest)).sum()) + mine.cumsum(dtype=np.float64) - mine
    drop = before >= share
    return (ordered, drop) if drop[-1] and not drop[0] else None
