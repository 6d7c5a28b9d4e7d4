"""DiffuGPT, dLLM-Var, WeDLM, Nemotron-Labs-Diffusion, BD3-LM: logits are those of a plain forward pass that knows
nothing of the program, in a batch as alone; mistakes would be seen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.reference import more_models as plain
from tests.reference.decoder_model import decoder_logits
from tests.reference.llada_model import reference_logits
from tests.tiny_checkpoints import MASK, ROWS
from tests.tiny_more import MORE, bd3lm
from webui import Canvas
from webui.checkpoints.loading import Checkpoints
from webui.settings import Settings

RANDOM = torch.randint(0, 250, (3, 40), generator=torch.Generator().manual_seed(1))
HIDDEN = torch.rand(3, 40, generator=torch.Generator().manual_seed(2)) < 0.4
TOKENS = torch.where(HIDDEN, MASK, RANDOM)
BLOCK = 8


def wedlm(folder: Path, tokens: Tensor, prompt: int) -> Tensor:
    return decoder_logits(folder, tokens, dtype=torch.float64, sees=plain.physical_order(tokens, MASK))


def nemotron(folder: Path, tokens: Tensor, prompt: int) -> Tensor:
    """Every block by itself, as its sampler sees it: causal but for that block; the blocks before the first masked
    position, and the prompt, are causal."""
    found = plain.nemotron_logits(folder, tokens, plain.causal_but(tokens, 0, 1))
    for row in range(len(tokens)):
        masked = (tokens[row, prompt:] == MASK).nonzero()
        if not len(masked):
            continue
        first = int(masked[0]) // BLOCK * BLOCK + prompt
        for start in range(first, tokens.shape[1], BLOCK):
            sees = plain.causal_but(tokens, start, BLOCK)
            for before in range(first, start, BLOCK):  # later blocks see what was written into it
                sees = sees | plain.causal_but(tokens, before, BLOCK)
            part = plain.nemotron_logits(folder, tokens[row : row + 1], sees)
            found[row, start : start + BLOCK] = part[0, start : start + BLOCK]
    return found


FORWARDS: dict[str, Callable[[Path, Tensor, int], Tensor]] = {
    "DiffuGPT": lambda folder, tokens, prompt: plain.diffugpt_logits(folder, tokens),
    "dLLM-Var": lambda folder, tokens, prompt: block_llada(folder, tokens),
    "WeDLM": wedlm,
    "WeDLM (Qwen2)": wedlm,
    "Nemotron-Labs-Diffusion": nemotron,
    "BD3-LM": lambda folder, tokens, prompt: plain.bd3lm_logits(folder, tokens),
}


def block_llada(folder: Path, tokens: Tensor) -> Tensor:
    return reference_logits(folder, tokens, dtype=torch.float64, sees=plain.blocks(tokens, BLOCK))


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for name, made in MORE.items():
        made(folder / "checkpoints" / name)
    bd3lm(folder / "checkpoints" / "BD3-LM modulated", adaln=True)
    return folder


@pytest.fixture(scope="module")
def checkpoints(models) -> Checkpoints:
    return Checkpoints(Settings(models=models, model="DiffuGPT", device="cpu", dtype="float64"))


def test_each_is_recognized(checkpoints):
    entries = {entry.name: entry for entry in checkpoints.list()}
    assert all(entry.error is None for entry in entries.values())
    assert {name: entries[name].family for name in MORE} == {name: name for name in MORE}
    assert entries["BD3-LM modulated"].family == "BD3-LM"


@pytest.mark.parametrize("name", FORWARDS)
def test_logits_are_those_of_the_plain_forward_in_a_batch_as_alone(checkpoints, models, name):
    """Rows of different prompts and lengths, one of them padded: each equals the plain forward of itself. In dLLM-Var
    and BD3-LM blocks begin with the row."""
    model, folder = checkpoints.load(name), models / "checkpoints" / name
    prompts = [RANDOM[0, :16].tolist(), RANDOM[1, :5].tolist(), []]
    answers = [TOKENS[0, 16:].tolist(), TOKENS[1, 5:21].tolist(), TOKENS[2].tolist()]
    canvas = Canvas.build(prompts, answers, [0] * 3, MASK)
    canvas = canvas.activate(~canvas.padding)
    logits = model(canvas)
    for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        expected = FORWARDS[name](folder, torch.tensor([prompt + answer]), len(prompt))[0]
        assert expected.std() > 0.3
        assert (logits[canvas.at[0] == row] - expected).abs().max() < 5e-6


def test_mistakes_would_be_seen(checkpoints, models):
    folder = models / "checkpoints"

    def off(name: str, mistaken: Tensor) -> float:
        canvas = Canvas.build([[]] * 3, TOKENS.tolist(), [0] * 3, MASK)
        logits = checkpoints.load(name)(canvas.activate(~canvas.padding))
        return float((logits.unflatten(0, (3, 40)) - mistaken).abs().max())

    causal = torch.ones(1, 40, 40, dtype=torch.bool).tril()
    assert off("DiffuGPT", plain.diffugpt_logits(folder / "DiffuGPT", TOKENS, shift=False)) > 0.1
    assert off("WeDLM", decoder_logits(folder / "WeDLM", TOKENS, dtype=torch.float64, sees=causal)) > 0.1
    assert off("BD3-LM", plain.bd3lm_logits(folder / "BD3-LM", TOKENS, length=4)) > 0.1
    whole = folder / "Nemotron-Labs-Diffusion"
    right = nemotron(whole, TOKENS, 0)
    assert off(whole.name, right) < 5e-6
    assert (
        plain.nemotron_logits(whole, TOKENS, causal, scaled=False)
        - plain.nemotron_logits(whole, TOKENS, causal)
    ).abs().max() > 1e-3
    assert off(whole.name, plain.nemotron_logits(whole, TOKENS, causal)) > 0.1
    modulated = checkpoints.load("BD3-LM modulated")
    assert modulated.module.blocks[0].adaLN_modulation is not None and ROWS == modulated.vocabulary
