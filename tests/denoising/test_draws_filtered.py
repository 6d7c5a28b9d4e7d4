"""top-k and top-p without sorting the vocabulary drop what sorting it drops, of equal tokens too."""

from __future__ import annotations

import pytest
import torch

from tests.denoising.test_samplers import spread
from webui.denoising.samplers import draw

SHARES = (0.05, 0.3, 0.5, 0.9, 0.95, 0.999, 1.0, 0.99999, 0.7)
KINDS = {
    "plain": lambda logits: logits * 3,
    "nearly even": lambda logits: logits * 0.01,  # the likeliest few hundred do not suffice
    "equal ones": torch.round,
    "few left": lambda logits: torch.where(logits < 2, -torch.inf, logits),
}


def sorted_out(logits: torch.Tensor, share: float) -> torch.Tensor:
    """What top-p drops of one position, as it is defined."""
    order = sorted(range(len(logits)), key=lambda token: (-float(logits[token]), token))
    shares, drop, total = logits.softmax(0), torch.zeros(len(logits), dtype=torch.bool), 0.0
    for token in order:
        drop[token] = share < 1 and total >= share
        total += float(shares[token])
    return drop


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("vocabulary", [50, 700, 1500])
def test_top_p_drops_what_sorting_drops(kind, vocabulary):
    generator = torch.Generator().manual_seed(vocabulary)
    logits = KINDS[kind](torch.randn(len(SHARES), vocabulary, generator=generator, dtype=torch.float64))
    logits[:, 3] = 4.0  # one is always left
    canvas = spread(logits, temperature=1.0, top_p=0.5)
    shares = torch.tensor(SHARES, dtype=torch.float64)
    left = draw._nucleus(logits, shares)
    for row, share in enumerate(SHARES):
        gone = (left[row] == -torch.inf) & (logits[row] > -torch.inf)
        assert torch.equal(gone, sorted_out(logits[row], share) & (logits[row] > -torch.inf))
    assert torch.isfinite(logits.gather(1, draw.draw(canvas, logits)[:, None])).all()


@pytest.mark.parametrize("k", [1, 7, 64, 300])
@pytest.mark.parametrize("kind", KINDS)
def test_top_k_keeps_the_k_likeliest_and_their_equals(kind, k):
    logits = KINDS[kind](torch.randn(6, 3000, generator=torch.Generator().manual_seed(k)))
    logits[:, 3] = 4.0
    canvas = spread(logits, temperature=1.0, top_k=k)
    left = draw.processed(canvas, logits)
    least = logits.topk(k, dim=1).values[:, -1:]
    assert torch.equal(left, logits.masked_fill(logits < least, -torch.inf))
