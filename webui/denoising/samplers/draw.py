"""Draws: a token for each active position, from its logits after temperature, top-k, top-p and min-p."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from webui.canvas import Canvas, SamplerState
from webui.denoising import noise

LIKELIEST = 64  # tokens that get Gumbel noise of their own; the rest are drawn as one
TOGETHER = 64  # positions whose whole vocabulary is looked at together: they fit into a cache
HIGH = 3.0  # Gumbel noise that one token in twenty exceeds
GROUPS = (
    512  # into which a vocabulary is dealt to find its likeliest tokens; 4 for each that is wanted, at least
)
NUCLEUS = 512  # tokens among which top-p looks before it sorts all


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
    values, tokens = likeliest(logits)
    values = values / warmth
    streams = torch.arange(3, device=rows.device)[:, None]  # DRAW, REST, INSIDE: all their keys at once
    keys = noise.counter(_seeds(canvas), streams, columns - canvas.answer[rows], canvas.step[rows])
    best, where = (values + noise.gumbel(keys[noise.DRAW][:, None], tokens)).max(1)
    token = tokens.gather(1, where[:, None])[:, 0]
    # The rest weighs no more than if every token of it were as likely as the least likely of the others.
    least = torch.where(values > -torch.inf, values, torch.inf).amin(1)
    luck = noise.gumbel(keys[noise.REST])
    possible = least + math.log(logits.shape[1]) + 1e-3 + luck > best
    possible = possible & ((values > -torch.inf).sum(1) >= LIKELIEST)  # fewer: the rest has nothing
    for part in _parts(possible):
        rest = (logits[part] / warmth[part]).scatter_(1, tokens[part], -torch.inf)
        wins = rest.logsumexp(1) + luck[part] > best[part]
        for inner in _parts(wins):
            where = part[inner]
            inside = _inside(rest[inner], keys[noise.INSIDE][where])
            token[where] = torch.where(wins[inner], inside, token[where])
    return torch.where(temperature[:, 0] > 0, token, greedy(unfiltered)) if "greedy" in state.draws else token


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


def _inside(logits: Tensor, key: Tensor) -> Tensor:
    """(K,): for each of K positions the token with the highest sum of logit (K, V) and Gumbel noise.

    On a CPU without most logarithms: among the tokens whose noise is above `HIGH`, one usually beats all that
    the others can reach.
    """
    every = _every(logits)
    if logits.device.type != "cpu":
        return (logits + noise.gumbel(key[:, None], every)).argmax(1)
    bits, plain = noise.bits(key[:, None], every), logits.numpy()
    row, token = np.divmod(np.flatnonzero(bits.numpy() >= noise.bits_of_gumbel(HIGH)), plain.shape[1])
    sums = np.full(plain.shape, -np.inf, plain.dtype)
    sums[row, token] = plain[row, token] + noise.gumbel_of(bits[row, token]).numpy()
    best = sums.argmax(1)
    reach = plain.max(1)  # and what rounding may add
    reach = reach + HIGH + 1e-3 + 1e-5 * np.abs(reach)
    chosen = torch.from_numpy(best)
    for part in _parts(torch.from_numpy(reach >= sums[np.arange(len(best)), best])):
        chosen[part] = (logits[part] + noise.gumbel_of(bits[part])).argmax(1)
    return chosen


def _every(logits: Tensor) -> Tensor:
    """(1, V): all tokens."""
    return torch.arange(logits.shape[1], device=logits.device)[None]


def _parts(wanted: Tensor) -> Iterator[Tensor]:
    """Indices of the positions that are wanted, some at a time. A CPU looks for them; on other devices that
    would be a transfer, so there all positions are looked at."""
    if wanted.device.type != "cpu":
        yield torch.arange(wanted.shape[0], device=wanted.device)
        return
    found = wanted.nonzero()[:, 0]
    if found.shape[0] == 1:  # one row would be summed up in as many pieces as there are threads
        found = found.expand(2)
    if found.shape[0]:
        yield from found.split(TOGETHER)


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

    On a CPU only positions whose `NUCLEUS` likeliest tokens do not suffice are sorted as a whole.
    """
    if logits.device.type != "cpu":
        ordered, index = logits.sort(dim=1, descending=True, stable=True)
        drop = _beyond(ordered.softmax(1), share)
        return logits.masked_fill(torch.zeros_like(drop).scatter(1, index, drop), -torch.inf)
    values, tokens = likeliest(logits, NUCLEUS)
    ordered, place = values.sort(dim=1, descending=True, stable=True)
    shares = logits.softmax(1).gather(1, tokens.gather(1, place)).masked_fill(ordered == -torch.inf, 0.0)
    drop = _beyond(shares, share)
    kept = _cut(logits, ordered, drop)
    more = (values > -torch.inf).sum(1) >= NUCLEUS  # otherwise there is nothing else to drop
    for part in (~drop.any(1) & (share < 1) & more).nonzero()[:, 0].split(TOGETHER):
        ordered = torch.from_numpy(np.sort(logits[part].numpy(), axis=1)).flip(1)  # a tenth of torch's time
        kept[part] = _cut(logits[part], ordered, _beyond(ordered.softmax(1), share[part]))
    return kept


def _beyond(shares: Tensor, share: Tensor) -> Tensor:
    """(N, C) bool: which of these probabilities, in descending order, come after `share` (N,) is reached."""
    return (shares.cumsum(1) - shares >= share[:, None]) & (share < 1)[:, None]


def _cut(logits: Tensor, ordered: Tensor, drop: Tensor) -> Tensor:
    """Logits (N, V) without those that `drop` (N, C) names in their descending order, `ordered` (N, C), and
    without all that are lower; positions where it names none stay."""
    found = drop.any(1)[:, None]
    first = drop.to(torch.uint8).argmax(1)[:, None]
    least = ordered.gather(1, (first - 1).clamp(min=0))
    kept = torch.where((logits < least) & found, -torch.inf, logits)
    equals = (ordered == least).sum(1)
    stay = ((ordered == least) & (torch.arange(ordered.shape[1]) < first)).sum(1)
    for row in ((equals > stay) & found[:, 0]).nonzero()[:, 0].tolist():
        same = (logits[row] == least[row]).nonzero()[:, 0]
        kept[row, same[int(stay[row]) :]] = -torch.inf
    return kept
