"""Counter-based noise: the same everywhere, uniform, and independent in all that it is asked with."""

from __future__ import annotations

import pytest
import torch

from webui.canvas.noise import DRAW, INSIDE, ORDER, REST, bits, counter, gumbel, mix, uniform

LOW = 2**32 - 1
STREAMS = (DRAW, REST, INSIDE, ORDER)


def plain(seed: int, stream: int, position: int, step: int, token: int) -> float:
    """The same number in Python's unbounded integers: lowbias32 over seed, stream, position, step, token."""

    def mix(x: int) -> int:
        x = ((x ^ (x >> 16)) * 0x7FEB352D) & LOW
        x = ((x ^ (x >> 15)) * 0x846CA68B) & LOW
        return x ^ (x >> 16)

    key = mix((seed & LOW) ^ (0x9E3779B9 + stream))
    key = mix(key ^ (seed >> 32))
    key = mix((key + position) & LOW)
    key = mix((key + step * 0x85EBCA6B) & LOW)
    return ((mix((key + token * 0xC2B2AE35) & LOW) >> 9) + 0.5) / 2**23


def draws(seed=0, stream=DRAW, position=0, step=0, token=0) -> torch.Tensor:
    """Uniform numbers; any argument may be a tensor, they broadcast."""
    wide = [torch.as_tensor(x) for x in (seed, position, step)]
    token = token if isinstance(token, int) else torch.as_tensor(token)
    return uniform(counter(wide[0], stream, wide[1], wide[2]), token)


def chi_square(counts: torch.Tensor, expected: torch.Tensor) -> float:
    """How many standard deviations chi square lies above its mean."""
    degrees = counts.numel() - 1
    return ((((counts - expected) ** 2 / expected).sum() - degrees) / (2 * degrees) ** 0.5).item()


def correlation(a: torch.Tensor, b: torch.Tensor) -> float:
    return torch.corrcoef(torch.stack([a.flatten(), b.flatten()]).double())[0, 1].abs().item()


def test_it_is_the_published_hash_to_the_bit_also_for_large_seeds():
    torch.manual_seed(0)
    seeds = [0, 1, 2**31, 2**32 - 1, 2**32, 2**32 + 1, 2**40 + 12345, 2**53 - 1]
    for seed in seeds:
        for stream in STREAMS:
            position, step, token = (int(torch.randint(0, high, ())) for high in (32768, 4096, 200_000))
            expected = plain(seed, stream, position, step, token)
            assert draws(seed, stream, position, step, token).item() == expected
            assert draws(seed, stream, position, step, torch.tensor([token])).item() == expected


def test_seeds_that_share_their_low_half_draw_differently():
    position = torch.arange(1000)
    low, high = draws(5, position=position), draws(5 + 2**32, position=position)
    assert (low != high).all() and correlation(low, high) < 0.15


def test_a_draw_does_not_depend_on_what_is_drawn_beside_it():
    """Rows in another order, alone, in wider tensors: every number stays."""
    seed = torch.tensor([3, 2**33, 3, 17])[:, None, None]
    position, token = torch.arange(7)[None, :, None], torch.arange(11)[None, None, :]
    step = torch.tensor([0, 5, 9, 5])[:, None, None]
    together = uniform(counter(seed, DRAW, position, step), token)
    assert together.shape == (4, 7, 11)
    for i in (3, 0, 2):
        alone = uniform(counter(seed[i], DRAW, position[0], step[i]), token[0])
        assert torch.equal(alone, together[i])
    some = torch.tensor([10, 2, 5])
    picked = uniform(counter(seed[1, 0], DRAW, torch.tensor(4), step[1, 0]), some)
    assert torch.equal(picked, together[1, 4, some])


@pytest.mark.parametrize("axis", ["seed", "position", "step", "token"])
def test_a_million_draws_are_uniform_along_every_axis(axis):
    value = draws(**{axis: torch.arange(1_000_000)})
    assert 0 < value.min() and value.max() < 1
    counts = torch.histc(value.double(), 256, 0, 1)
    assert chi_square(counts, torch.full_like(counts, 1e6 / 256)) < 5
    assert correlation(value[:-1], value[1:]) < 0.005, "neighbours"


def test_streams_steps_positions_and_tokens_are_independent():
    position, token = torch.arange(500)[:, None], torch.arange(200)[None]
    base = draws(9, DRAW, position, 3, token)
    others = {
        "seed": draws(10, DRAW, position, 3, token),
        "step": draws(9, DRAW, position, 4, token),
        "next position": draws(9, DRAW, position + 1, 3, token),
        "next token": draws(9, DRAW, position, 3, token + 1),
        **{f"stream {stream}": draws(9, stream, position, 3, token) for stream in STREAMS if stream != DRAW},
    }
    for name, other in others.items():
        assert correlation(base, other) < 5 / base.numel() ** 0.5, name
        joint = torch.histogramdd(
            torch.stack([base.flatten(), other.flatten()], 1).double(), [16, 16], [0, 1, 0, 1]
        )
        counts = joint.hist.flatten()
        assert chi_square(counts, torch.full_like(counts, base.numel() / 256)) < 5, name


def key_of(value: int) -> torch.Tensor:
    """The key that the last mixing turns into this 32-bit value: its inverse."""
    x = value ^ (value >> 16)
    x = x * pow(0x846CA68B, -1, 2**32) & LOW
    x ^= (x >> 15) ^ (x >> 30)
    x = x * pow(0x7FEB352D, -1, 2**32) & LOW
    return torch.tensor(x ^ (x >> 16))


def test_the_ends_are_never_drawn_and_gumbel_noise_is_finite():
    lowest, highest = uniform(key_of(0)), uniform(key_of(LOW))
    assert 0 < lowest.item() < 1e-6 and 1 - 1e-6 < highest.item() < 1
    assert gumbel(key_of(0)).isfinite() and gumbel(key_of(LOW)).isfinite()
    noise = gumbel(counter(torch.arange(1_000_000), DRAW, torch.tensor(0), torch.tensor(0)))
    assert noise.mean().item() == pytest.approx(0.5772, abs=0.01) and noise.var().item() == pytest.approx(
        1.645, abs=0.02
    )


def test_the_argmax_of_logits_plus_gumbel_draws_from_the_softmax():
    logits = torch.tensor([2.0, 1.0, 0.5, 0.0, -1.0, -3.0])
    many = 300_000
    key = counter(torch.tensor(4), DRAW, torch.arange(many)[:, None], torch.tensor(2))
    drawn = (logits + gumbel(key, torch.arange(6)[None])).argmax(1)
    assert chi_square(torch.bincount(drawn, minlength=6).double(), logits.softmax(0).double() * many) < 5


def test_other_devices_draw_what_the_cpu_draws():
    """There the hash is computed in torch's 64-bit integers, on a CPU in NumPy's 32-bit words."""
    generator = torch.Generator().manual_seed(0)
    seed = torch.randint(0, 2**53, (1000,), generator=generator)
    position, step = (torch.randint(0, 2**15, (1000,), generator=generator) for _ in range(2))
    token = torch.randint(0, 2**18, (1, 50), generator=generator)
    for stream in STREAMS:
        key = mix((seed & LOW) ^ (0x9E3779B9 + stream))
        key = mix(key ^ ((seed >> 32) & LOW))
        key = mix((key + position) & LOW)
        key = mix((key + step * 0x85EBCA6B) & LOW)
        assert torch.equal(counter(seed, stream, position, step), key)
        expected = mix((key[:, None] + token * 0xC2B2AE35) & LOW) >> 9
        assert torch.equal(bits(key[:, None], token).long(), expected)
