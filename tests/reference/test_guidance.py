"""The reference of guidance: its promises, and that ours equals it where the mutants do not."""

from __future__ import annotations

from unittest.mock import patch

import pytest
import torch

from extensions.guidance import _rescaled, adaptive
from extensions.prompt_and import _total
from tests.reference import guidance
from tests.reference.mutants import GUIDANCE
from tests.reference.toy import MASK, canvas, toy
from webui.canvas import Canvas


def logits(seed: int, rows: int = 4) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(rows, 13, dtype=torch.float64, generator=generator) + 2


def composed_by_us(seed: int) -> torch.Tensor:
    """As the links do it: AND below, guidance above."""
    parts, weights = [logits(seed + i) for i in range(3)], (1.2, -0.5, 0.7)
    base, scale = logits(seed + 9), 1.0 + seed % 3
    terms = {(i, ""): weight for i, weight in enumerate(weights)} | {(9, ""): 1 - sum(weights)}
    below = _total(terms, {**{(i, ""): part for i, part in enumerate(parts)}, (9, ""): base})
    return base + scale * (below - base)


def composed_by_reference(seed: int) -> torch.Tensor:
    parts, weights = [logits(seed + i) for i in range(3)], (1.2, -0.5, 0.7)
    return guidance.composed(logits(seed + 9), parts, weights, 1.0 + seed % 3)


def rescaled_by_us(seed: int) -> torch.Tensor:
    share = torch.tensor([0.0, 0.3, 0.7, 1.0], dtype=torch.float64)[:, None]
    return _rescaled(logits(seed), logits(seed + 1) / 5, share)


def rescaled_by_reference(seed: int) -> torch.Tensor:
    result, own = logits(seed), logits(seed + 1) / 5
    shares = enumerate((0.0, 0.3, 0.7, 1.0))
    return torch.stack([guidance.rescaled(result, own, share)[i] for i, share in shares])


def weakened_by_us(seed: int) -> torch.Tensor:
    tokens, given, answer = answers(seed)
    rows = [row.tolist() for row in tokens]
    whole = Canvas.build(
        [row[:answer] for row in rows],
        [row[answer:] for row in rows],
        [0, 0],
        MASK,
        given=[g[answer:].tolist() for g in given],
    )
    whole = whole.activate(whole.masked)
    share = torch.tensor(0.05 + 0.2 * (seed % 4)).expand(2)
    flat = toy(seed)(tokens)[:, answer:].flatten(0, 1)
    return adaptive.doubted(whole, flat, share).tokens[:, -tokens.shape[1] :]


def weakened_by_reference(seed: int) -> torch.Tensor:
    tokens, given, _ = answers(seed)
    rows = zip(tokens, toy(seed)(tokens), given, strict=True)
    return torch.stack([guidance.weakened(*row, 0.05 + 0.2 * (seed % 4), MASK) for row in rows])


def answers(seed: int) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Canvases with some of the answer committed and some given."""
    tokens, answer = canvas(seed, filled=0.7)
    given = (torch.arange(tokens.shape[1]) < answer) | ((tokens != MASK) & (tokens % 4 == 0))
    return tokens, given, answer


PAIRS = {
    "composed": (composed_by_us, composed_by_reference),
    "rescaled": (rescaled_by_us, rescaled_by_reference),
    "spread": (rescaled_by_us, rescaled_by_reference),
    **dict.fromkeys(("lowest", "how_many", "confidence"), (weakened_by_us, weakened_by_reference)),
}


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("part", ["composed", "rescaled", "lowest"])
def test_ours_is_the_reference(part, seed):
    ours, reference = PAIRS[part]
    assert torch.allclose(ours(seed).double(), reference(seed).double(), atol=1e-12)


@pytest.mark.parametrize("mistake", GUIDANCE)
def test_ours_is_none_of_the_mutants(mistake):
    ours, reference = PAIRS[next(iter(GUIDANCE[mistake]))]
    with patch.multiple(guidance, **GUIDANCE[mistake]):
        wrong = [reference(seed).double() for seed in range(12)]
    assert any(not torch.allclose(ours(seed).double(), wrong[seed], atol=1e-9) for seed in range(12))


def test_one_part_is_plain_guidance_and_scale_one_is_none():
    base, one = logits(1), logits(2)
    assert torch.allclose(guidance.composed(base, [one], [1.0], 2.5), guidance.guided(base, one, 2.5))
    assert torch.allclose(guidance.guided(base, one, 1.0), one)


def test_rescaled_in_full_has_the_spread_of_the_prompted_logits():
    result = guidance.rescaled(logits(1), logits(2), 1.0)
    assert torch.allclose(guidance.spread(result), guidance.spread(logits(2)))
    assert torch.equal(guidance.rescaled(logits(1), logits(2), 0.0), logits(1))


def test_the_share_is_rounded_down_and_is_at_least_one():
    counts = [guidance.how_many(n, rho) for n, rho in ((100, 0.29), (3, 0.1), (5, 1.0), (1, 0.5))]
    assert counts == [29, 1, 5, 1]


def test_logits_that_are_all_equal_stay():
    flat = torch.full((2, 5), 3.0)
    assert torch.equal(_rescaled(flat, logits(1)[:2, :5].float(), torch.ones(2, 1)), flat)
