"""Wrong samplers. Each has the signature of the reference it was made from and one mistake someone could
make.

A test of ours asserts: our sampler == the reference, and our sampler != every mutant (on the cases as a
whole). A test that a mutant passes tests too little.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from unittest.mock import patch

import torch
from torch import Tensor

from tests.reference import (
    fast_dllm,
    fast_dllm_caches,
    guidance,
    llada,
    llada21,
    path_planning,
    remdm,
    remdm_llada,
    sedd,
    wino,
)


@dataclass(frozen=True)
class Mutant:
    """The reference in `module` with the functions in `parts` replaced, or its `logits_fn` wrapped by
    `model`."""

    name: str
    mistake: str
    module: object
    parts: dict[str, Callable] | None = None
    model: Callable | None = None
    options: dict | None = None

    def sample(self, logits_fn, canvas: Tensor, answer: int, **options) -> Tensor:
        model = self.model(logits_fn) if self.model else logits_fn
        with patch.multiple(self.module, **self.parts) if self.parts else nullcontext():
            return self.module.sample(model, canvas, answer, **{**options, **(self.options or {})})


def shifted(logits_fn):
    def shifted_logits(tokens: Tensor) -> Tensor:
        logits = logits_fn(tokens)
        return torch.cat([logits[:, :1], logits[:, :-1]], dim=1)

    return shifted_logits


def remainder_last(count: int, steps: int) -> list[int]:
    return [count // steps + (steps - step <= count % steps) for step in range(steps)]


def one_too_many(count: int, steps: int) -> list[int]:
    left, counts = count, []
    for n in [count // steps + (step < count % steps) for step in range(steps)]:
        counts.append(min(n + 1, left))
        left -= counts[-1]
    return counts


def last_among_equals(confidence: Tensor, count: int, ties: str) -> Tensor:
    return confidence.shape[0] - 1 - torch.argsort(confidence.flip(0), descending=True, stable=True)[:count]


def least_confident(confidence: Tensor, count: int, ties: str) -> Tensor:
    wanted = torch.where(confidence == -torch.inf, torch.inf, confidence)
    return torch.argsort(wanted, stable=True)[:count]


def known_too(tokens: Tensor, block_end: int, mask_id: int) -> Tensor:
    return (torch.arange(tokens.shape[1]) < block_end).expand(tokens.shape)


def block_ignored(tokens: Tensor, block_end: int, mask_id: int) -> Tensor:
    return tokens == mask_id


def scale_not_weight(logits: Tensor, base: Tensor, cfg_scale: float) -> Tensor:
    return base + cfg_scale * (logits - base)


def guided_away(logits: Tensor, base: Tensor, cfg_scale: float) -> Tensor:
    return logits + (cfg_scale + 1) * (base - logits)


def temperature_twice(logits: Tensor, temperature: float, step: int, uniform) -> Tensor:
    exponential = -torch.log(uniform("token", step, logits.shape))
    return logits.double().exp() / exponential ** (temperature**2)


def margin(logits: Tensor, proposal: Tensor) -> Tensor:
    top = torch.topk(torch.softmax(logits, dim=-1), 2, dim=-1).values
    return top[..., 0] - top[..., 1]


def first_too(tokens: Tensor, chosen: Tensor, proposal: Tensor) -> Tensor:
    return torch.where(chosen | (torch.arange(tokens.shape[1]) == 0), proposal, tokens)


def below(confidence: Tensor, threshold: float) -> Tensor:
    return confidence < threshold


def threshold_off(confidence: Tensor, threshold: float) -> Tensor:
    return confidence >= threshold - 0.1


def best_alone(confidence: Tensor, threshold: float) -> Tensor:
    return torch.zeros_like(confidence, dtype=torch.bool)


LLADA = (
    Mutant("shifted", "logits taken one position to the left, as Dream does", llada, model=shifted),
    Mutant("remainder_last", "the last steps, not the first, get one more", llada, {"even": remainder_last}),
    Mutant("one_too_many", "each step commits one more than dealt", llada, {"even": one_too_many}),
    Mutant(
        "ties_last", "among equal confidences the rightmost comes first", llada, {"best": last_among_equals}
    ),
    Mutant("least_confident", "the least confident are committed first", llada, {"best": least_confident}),
    Mutant(
        "known_touched", "given and committed tokens may be written again", llada, {"candidates": known_too}
    ),
    Mutant(
        "block_ignored",
        "any mask may be committed, not only the block's",
        llada,
        {"candidates": block_ignored},
    ),
    Mutant(
        "scale_not_weight", "guidance with s = w in place of s = w + 1", llada, {"guided": scale_not_weight}
    ),
    Mutant("guided_away", "guidance with the two canvases swapped", llada, {"guided": guided_away}),
    Mutant(
        "wrong_temperature",
        "noise to the power of the squared temperature",
        llada,
        {"noisy": temperature_twice},
    ),
    Mutant("margin", "confidence is the gap of the two likeliest tokens", llada, {"probability": margin}),
    Mutant(
        "eos_not_last",
        "confidence_eos_eot_inf has no effect",
        llada,
        options={"confidence_eos_eot_inf": False},
    ),
    Mutant("eos_allowed", "logits_eos_inf has no effect", llada, options={"logits_eos_inf": False}),
)

FAST_DLLM = (
    Mutant("shifted", "logits taken one position to the left, as Dream does", fast_dllm, model=shifted),
    Mutant("below", "the threshold compares the other way", fast_dllm, {"passes": below}),
    Mutant("threshold_off", "the threshold is 0.1 too low", fast_dllm, {"passes": threshold_off}),
    Mutant("best_alone", "only the best is committed, one a pass", fast_dllm, {"passes": best_alone}),
    Mutant(
        "ties_last",
        "among equal confidences the rightmost comes first",
        fast_dllm,
        {"best": last_among_equals},
    ),
    Mutant("least_confident", "the fallback is the least confident", fast_dllm, {"best": least_confident}),
    Mutant("known_touched", "the given first token is written along", fast_dllm, {"committed": first_too}),
    Mutant(
        "block_ignored",
        "any mask may be committed, not only the block's",
        fast_dllm,
        {"candidates": block_ignored},
    ),
)


def new_ones_go_too(tokens, given, proposal, go, come, mask_id):
    """What comes in a step may go in the same step."""
    after = torch.where(come & (tokens == mask_id), proposal, tokens)
    return torch.where(go & ~given & (after != mask_id), mask_id, after)


REMDM = (
    Mutant("never", "nothing is masked again", remdm, {"largest": lambda before, after: 0.0}),
    Mutant("unscaled", "eta is not scaled", remdm, {"rescale": lambda eta, before, after: eta}),
    Mutant(
        "uncapped",
        "sigma is not capped",
        remdm,
        {"cap": lambda eta, before, after: remdm.largest(before, after)},
    ),
    Mutant(
        "plain_chance",
        "as many come as without remasking",
        remdm,
        {"chance": lambda sigma, before, after: (after - before) / (1 - before)},
    ),
    Mutant(
        "given_go",
        "given tokens are masked again",
        remdm,
        {"may_go": lambda tokens, given, mask: tokens != mask},
    ),
    Mutant("new_ones_go", "what comes may go in the same step", remdm, {"step": new_ones_go_too}),
    Mutant(
        "doubts_the_likely",
        "the likeliest go first",
        remdm,
        {"conf": lambda psi, free, before, after: CONF(-psi, free, before, after)},
    ),
    Mutant(
        "forgets",
        "all committed positions are as likely to go",
        remdm,
        {"remembered": lambda psi, *_: psi},
    ),
    Mutant(
        "no_loop",
        "the loop masks nothing again",
        remdm,
        {"loop_shares": lambda *of: (*LOOP(*of)[:2], False)},
    ),
    Mutant(
        "loops_on",
        "the loop does not end",
        remdm,
        {"loop_shares": lambda step, steps, on, off, alpha: LOOP(step, steps, on, 0.0, alpha)},
    ),
)
CONF, LOOP = remdm.conf, remdm.loop_shares
SCORES, PASSES = path_planning.scores, remdm_llada.passes
PATH_PLANNING = (
    Mutant(
        "eta_everywhere",
        "eta multiplies masked positions too",
        path_planning,
        {"scores": lambda drawn, standing, committed, eta, judge: eta * drawn},
    ),
    Mutant(
        "never_again",
        "committed positions stay",
        path_planning,
        {
            "scores": lambda drawn, standing, committed, eta, judge: torch.where(
                committed, 0.0, SCORES(drawn, standing, committed, eta, judge)
            )
        },
    ),
    Mutant(
        "other_judge",
        "the token drawn is judged for the one that stands, and the other way",
        path_planning,
        {"scores": lambda drawn, standing, *more: SCORES(standing, drawn, *more)},
    ),
    Mutant(
        "rounded_up",
        "one more is masked",
        path_planning,
        {"to_mask": lambda total, step, steps: -(-total * (steps - step) // steps)},
    ),
    Mutant(
        "overwrites",
        "committed positions that are kept get the token drawn too",
        path_planning,
        {"written": lambda masked, low: ~low},
    ),
    Mutant("shifted", "logits taken one position to the left", path_planning, model=shifted),
)
REMDM_LLADA = (
    Mutant(
        "one_less", "the loop is one pass shorter", remdm_llada, {"passes": lambda n, m, a: one_less(n, m, a)}
    ),
    Mutant(
        "likeliest_go",
        "the likeliest tokens are masked again",
        remdm_llada,
        {"doubted": lambda standing, committed, count: remdm_llada.best(standing, committed, count)},
    ),
    Mutant(
        "none_go",
        "nothing is masked again",
        remdm_llada,
        {"doubted": lambda standing, committed, count: torch.zeros_like(committed)},
    ),
    Mutant("late", "the loop comes at the end", remdm_llada, {"passes": lambda n, m, a: PASSES(n, m, 1.0)}),
)


def one_less(steps: int, loops: int, alpha_on: float) -> list[tuple[int, bool]]:
    made = PASSES(steps, loops, alpha_on)
    return made[: len(made) - 2] + made[-1:]


WINO = (
    Mutant("no_verify", "nothing is masked again", wino, {"verifies": lambda number: False}),
    Mutant("always_verifies", "also where one is committed", wino, {"verifies": lambda number: True}),
    Mutant(
        "as_many",
        "as many are masked again as were committed",
        wino,
        {"doubted": lambda confidence, t, last: DOUBTED(confidence, t, last + 1)},
    ),
    Mutant("no_limit", "any number is committed", wino, {"limit": lambda masked: masked}),
    Mutant(
        "above",
        "what the model is sure of is masked again",
        wino,
        {
            "doubted": lambda confidence, t, last: DOUBTED(
                torch.where(confidence < 2, 1 - confidence, confidence), t, last
            )
        },
    ),
    Mutant("shifted", "logits taken one position to the left", wino, model=shifted),
)
DOUBTED = wino.doubted
STAGGERED, TIMES, SIGMA = sedd.staggered, sedd.times, sedd.sigma
SEDD = (
    Mutant(
        "no_stagger",
        "the mask's entry is not taken back",
        sedd,
        {"staggered": lambda score, d: score * math.exp(d)},
    ),
    Mutant(
        "made_to_sum_to_one",
        "ratios are divided by their sum",
        sedd,
        {
            "staggered": lambda score, d: STAGGERED(
                torch.cat([score[..., :-1] / score[..., :-1].sum(-1, keepdim=True), score[..., -1:]], -1), d
            )
        },
    ),
    Mutant("backwards", "times run the other way", sedd, {"times": lambda moves: TIMES(moves)[::-1]}),
    Mutant("to_zero", "noise of another rate", sedd, {"sigma": lambda t: SIGMA(t**2)}),
    Mutant(
        "one_step_too_many",
        "one predictor step is left out",
        sedd,
        {"times": lambda moves: TIMES(moves)[:-1]},
    ),
    Mutant(
        "stays",
        "a masked position stays with the probability of a given one",
        sedd,
        {"transition": lambda tokens, rows, d: math.exp(-d) + torch.zeros(*tokens.shape, rows).double()},
    ),
)


def margin_of(logits: Tensor) -> Tensor:
    top = torch.softmax(logits, -1).topk(2, -1).values
    return top[..., 0] - top[..., 1]


def highest(values: Tensor, among: Tensor, count: int) -> Tensor:
    return torch.argsort(torch.where(among, values, -torch.inf), descending=True, stable=True)[:count]


def anywhere(values: Tensor, among: Tensor, count: int) -> Tensor:
    return torch.argsort(values, stable=True)[:count]


def unnormalised(base, parts, weights, scale):
    """Without the base: the weighted sum of the parts' logits."""
    return scale * sum(weight * logits for logits, weight in zip(parts, weights, strict=True))


def average(base, parts, weights, scale):
    """Weights that are made to sum to one."""
    return base + scale * sum(w * (p - base) for p, w in zip(parts, weights, strict=True)) / sum(weights)


def scale_on_the_first_only(base, parts, weights, scale):
    scales = [scale, *[1.0] * (len(parts) - 1)]
    return base + sum(s * w * (p - base) for s, p, w in zip(scales, parts, weights, strict=True))


def not_centred(result: Tensor, logits: Tensor, share: float) -> Tensor:
    return share * result * guidance.spread(logits) / guidance.spread(result) + (1 - share) * result


def over_all_positions(logits: Tensor) -> Tensor:
    return (logits - logits.mean()).square().mean().sqrt().expand(*logits.shape[:-1], 1)


# Each replaces one function of `guidance`.
GUIDANCE = {
    "the most confident are masked": {"lowest": highest},
    "given tokens are masked too": {"lowest": anywhere},
    "none where the share is below one": {"how_many": lambda n, rho: int(n * rho)},
    "one too many": {"how_many": lambda n, rho: min(n, max(1, int(n * rho)) + 1)},
    "confidence is the margin": {"confidence": margin_of},
    "without the base": {"composed": unnormalised},
    "weights sum to one": {"composed": average},
    "the scale on the first part only": {"composed": scale_on_the_first_only},
    "rescale that is not centred": {"rescaled": not_centred},
    "spread over all positions": {"spread": over_all_positions},
}


def all_or_none(confidence: Tensor, masked: Tensor, threshold: float) -> Tensor:
    """Nothing is committed but what is likely enough, until one is."""
    chosen = masked & (confidence >= threshold)
    return chosen if chosen.any() else masked


LLADA21 = (
    Mutant(
        "never_edits",
        "committed tokens stay",
        llada21,
        {"replaced": lambda c, changed, own, t: own & (c > 2)},
    ),
    Mutant(
        "always_edits",
        "every other token replaces",
        llada21,
        {"replaced": lambda c, changed, own, t: own & changed},
    ),
    Mutant(
        "all_or_none", "where nothing is likely enough, all are committed", llada21, {"accepted": all_or_none}
    ),
    Mutant("shifted", "logits taken one position to the left", llada21, model=shifted),
)


def one_too_few_kept(cache, kept, start, end, length):
    """The prefix cache ends a column before the block."""
    first, last, found = fast_dllm_caches_again(cache, kept, start, end, length)
    return (first, last, fast_dllm_caches.cut(kept, start - 1)) if cache == "prefix" else (first, last, found)


def suffix_unseen(cache, kept, start, end, length):
    """The dual cache ends with the block."""
    first, last, found = fast_dllm_caches_again(cache, kept, start, end, length)
    return (first, last, fast_dllm_caches.cut(kept, end)) if cache == "dual" else (first, last, found)


def suffix_not_computed(cache, kept, start, end, length):
    """The prefix cache is the dual one."""
    return fast_dllm_caches_again("dual" if cache == "prefix" else cache, kept, start, end, length)


def never_cached(cache, kept, start, end, length):
    return fast_dllm_caches_again("none", kept, start, end, length)


def appended(old: Tensor, new: Tensor, at: int) -> Tensor:
    """New keys stand behind all old ones and replace none."""
    return torch.cat([old, new], dim=2)


def not_placed(old: Tensor, new: Tensor, at: int) -> Tensor:
    """Where there is an old key, it stays."""
    return torch.cat([old, new[:, :, old.shape[2] - at :]], dim=2)


def from_column_zero(config: dict, at: int, length: int) -> tuple[Tensor, Tensor]:
    return fast_dllm_caches_turns(config, 0, length)


def without_the_best(confidence, masked, count, threshold, ties):
    """Nothing is committed that does not reach the threshold, until all are."""
    if threshold is None:
        return fast_dllm_caches_chosen(confidence, masked, count, threshold, ties)
    found = masked & (confidence >= threshold)
    return found if bool(found.any()) else masked


fast_dllm_caches_again, fast_dllm_caches_turns = fast_dllm_caches.again, fast_dllm_caches.turns
fast_dllm_caches_chosen = fast_dllm_caches.chosen
FAST_DLLM_CACHES = (
    Mutant("one_too_few_kept", "one column too few is kept", fast_dllm_caches, {"again": one_too_few_kept}),
    Mutant("suffix_unseen", "dual does not see the suffix", fast_dllm_caches, {"again": suffix_unseen}),
    Mutant("suffix_kept", "prefix keeps the suffix too", fast_dllm_caches, {"again": suffix_not_computed}),
    Mutant("never_cached", "nothing is kept", fast_dllm_caches, {"again": never_cached}),
    Mutant("appended", "keys of a block are not replaced", fast_dllm_caches, {"placed": appended}),
    Mutant("not_placed", "keys of a block stay the first pass's", fast_dllm_caches, {"placed": not_placed}),
    Mutant(
        "from_column_zero", "a part has positions of its own", fast_dllm_caches, {"turns": from_column_zero}
    ),
    Mutant(
        "least_confident", "the least confident are committed", fast_dllm_caches, {"best": least_confident}
    ),
    Mutant(
        "without_the_best", "the best need not be committed", fast_dllm_caches, {"chosen": without_the_best}
    ),
)
