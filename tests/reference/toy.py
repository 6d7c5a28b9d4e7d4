"""A model without weights: logits that are a hash of the whole canvas. Any difference in what a sampler shows
the model changes everything after it, so two samplers that agree on the toy agree step for step."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from tests.reference.llada import LogitsFn

VOCAB, MASK, EOS, EOT = 13, 12, 11, 10


def mixed(x: Tensor) -> Tensor:
    """A 32-bit integer hash, elementwise, in int64."""
    for factor in (0x7FEB352D, 0x846CA68B):
        x = ((x ^ (x >> 16)) * factor) & 0xFFFFFFFF
    return x ^ (x >> 16)


def toy(seed: int = 0, *, ties: bool = False) -> LogitsFn:
    """`logits_fn` in fp32 over `VOCAB` ids. `ties` leaves three tokens in two strengths: many equal
    confidences.

    The mask is never likely. Each row depends on its own tokens only; positions differ in how confident
    the toy is.
    """

    def logits_fn(tokens: Tensor) -> Tensor:
        column = torch.arange(tokens.shape[1])
        state = mixed(mixed(tokens + VOCAB * column + seed * 7919 + 1).sum(dim=1) & 0xFFFFFFFF)  # (B,)
        place = mixed(state[:, None] + mixed(column + 1))  # (B, L)
        if ties:
            logits = torch.zeros(*tokens.shape, VOCAB)
            strength = 2.0 + 2 * ((place >> 8) % 2)
            logits.scatter_(-1, (place % 3)[..., None], strength[..., None])
        else:
            draw = mixed(place[..., None] + mixed(torch.arange(VOCAB) + 1)).double() / 2**32
            sharpness = 2 + 4 * (place % 16)
            logits = (draw * sharpness[..., None]).float()
        logits[..., MASK] = -4.0
        return logits

    return logits_fn


def uniform(seed: int = 0):
    """Noise for a reference's `uniform`: equal draws for equal (purpose, step, position), whoever asks."""

    def draw(purpose: str, step: int, shape) -> Tensor:
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step * 2 + (purpose == "order"))
        return torch.rand(tuple(shape), dtype=torch.float64, generator=generator).clamp_min(1e-12)

    return draw


@dataclass(frozen=True)
class Case:
    """One run of a sampler: `sample(case.logits_fn, case.canvas, case.answer, **case.options)`."""

    name: str
    logits_fn: LogitsFn
    canvas: Tensor
    answer: int
    options: dict = field(default_factory=dict)

    @property
    def given(self) -> Tensor:
        return self.canvas != MASK


def canvas(
    seed: int, *, rows: int = 2, prompt: int = 5, length: int = 16, holes: float = 0.0, filled: float = 0.0
):
    """(rows, prompt + length): a prompt, then masks; `holes` of the prompt are masks, `filled` of the rest is
    not."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(0, EOT, (rows, prompt + length), generator=generator)
    chance = torch.rand(tokens.shape, generator=generator)
    share = torch.full((prompt + length,), 1 - filled)
    share[:prompt] = holes
    return tokens.masked_fill(chance < share, MASK), prompt


def llada_cases() -> list[Case]:
    """Twenty cases of `llada.sample`: every option alone and some together."""
    common = {"mask_id": MASK, "banned": (MASK,), "eos_id": EOS, "eot_id": EOT, "block_length": 8, "steps": 6}
    kinds = [
        ("plain", {}, {}),
        ("one block", {"block_length": 16, "steps": 5}, {}),
        ("token by token", {"steps": 16}, {}),
        ("ties", {"ties_in_toy": True}, {}),
        ("guidance", {"cfg_scale": 1.5}, {}),
        ("noise", {"temperature": 0.7}, {}),
        ("random order", {"remasking": "random"}, {}),
        ("infill", {}, {"filled": 0.4}),
        ("holes in the prompt", {}, {"holes": 0.3}),
        ("end of text last", {"confidence_eos_eot_inf": True}, {}),
        ("no end of text", {"logits_eos_inf": True, "steps": 10}, {}),
        ("all", {"cfg_scale": 0.5, "temperature": 0.4, "confidence_eos_eot_inf": True}, {"filled": 0.2}),
    ]
    cases = []
    for i in range(20):
        name, options, shape = kinds[i % len(kinds)]
        tokens, answer = canvas(100 + i, **shape)
        options = {**common, "uniform": uniform(i), **options}
        model = toy(i, ties=options.pop("ties_in_toy", False))
        cases.append(Case(f"{i:02d} {name}", model, tokens, answer, options))
    return cases


def fast_dllm_cases() -> list[Case]:
    """Twenty cases of `fast_dllm.sample`."""
    common = {"mask_id": MASK, "banned": (MASK,), "block_length": 8}
    kinds = [
        ("plain", {}, {}),
        ("lower threshold", {"threshold": 0.6}, {}),
        ("ties", {"ties_in_toy": True, "threshold": 0.95}, {}),
        ("infill", {"block_length": 16}, {"filled": 0.4}),
        ("noise", {"temperature": 0.7}, {}),
        ("holes in the prompt", {}, {"holes": 0.3}),
    ]
    cases = []
    for i in range(20):
        name, options, shape = kinds[i % len(kinds)]
        tokens, answer = canvas(200 + i, **shape)
        options = {**common, "uniform": uniform(i), **options}
        model = toy(50 + i, ties=options.pop("ties_in_toy", False))
        cases.append(Case(f"{i:02d} {name}", model, tokens, answer, options))
    return cases
