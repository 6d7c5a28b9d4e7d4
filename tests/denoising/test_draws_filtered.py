"""top-k and top-p without sorting the vocabulary drop what sorting it drops, of equal tokens too."""

from __future__ import annotations

import pytest
import torch

from tests.denoising.test_samplers import spread
from webui.canvas import noise
from webui.denoising.samplers import draw

SHARES = (0.05, 0.3, 0.5, 0.9, 0.95, 0.999, 1.0, 0.99999, 0.7)
KINDS = {
    "plain": lambda logits: logits * 3,
    "nearly even": lambda logits: logits * 0.01,  # the likeliest hundred do not suffice
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
@pytest.mark.parametrize(
    ("vocabulary", "sample"), [(50, 64), (700, 64), (1500, 300), (1500, 20), (1500, 4096)]
)
def test_top_p_drops_what_sorting_drops(kind, vocabulary, sample, monkeypatch):
    """Also where the place of the cut is estimated, well or badly."""
    monkeypatch.setattr(draw, "SAMPLE", sample)
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
    assert draw._nucleus(logits[:0], shares[:0]).shape == (0, vocabulary)  # a step that commits nothing


@pytest.mark.parametrize("k", [1, 7, 64, 300])
@pytest.mark.parametrize("kind", KINDS)
def test_top_k_keeps_the_k_likeliest_and_their_equals(kind, k):
    logits = KINDS[kind](torch.randn(6, 3000, generator=torch.Generator().manual_seed(k)))
    logits[:, 3] = 4.0
    canvas = spread(logits, temperature=1.0, top_k=k)
    left = draw.processed(canvas, logits)
    least = logits.topk(k, dim=1).values[:, -1:]
    assert torch.equal(left, logits.masked_fill(logits < least, -torch.inf))


@pytest.mark.parametrize("warm", [0.02, 0.5, 3.0])
@pytest.mark.parametrize("kind", KINDS)
def test_what_a_cpu_skips_changes_no_draw(kind, warm):
    """The rest is looked at only where it can win: with all of it looked at the tokens are the same."""
    logits = KINDS[kind](torch.randn(300, 900, generator=torch.Generator().manual_seed(7)))
    logits[:, 3] = 4.0
    warmth, positions = torch.full((300, 1), warm), torch.arange(300)
    keys = noise.counter(torch.tensor(5), torch.arange(3)[:, None], positions, torch.tensor(2))
    drawn = draw._on_host(logits, warmth, keys)
    assert torch.equal(drawn, draw._on_device(logits, warmth, keys))
    likely = draw.likeliest(logits)[1]
    assert warm < 3 or kind != "nearly even" or not (drawn[:, None] == likely).any(1).all(), "the rest won"
