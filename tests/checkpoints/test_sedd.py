"""SEDD: what its logits are, at the noise level of each row, and texts of its sampler, are those of a plain forward
pass and sampler that know nothing of the program."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from tests.adapter_files import for_tiny_checkpoints
from tests.contract.program import texts, write
from tests.reference import sedd as sampler
from tests.reference.sedd_model import sedd_scores
from tests.tiny_checkpoints import ROWS, write_json
from tests.tiny_mixtures import sedd
from webui import App, Canvas
from webui.canvas import noise
from webui.checkpoints.loading import Checkpoints
from webui.settings import Settings

MASK = ROWS - 1
DICE = torch.Generator().manual_seed(1)
TOKENS = torch.randint(0, 250, (3, 40), generator=DICE)
HIDDEN = torch.rand(3, 40, generator=DICE) < torch.tensor([[0.2], [0.6], [1.0]])


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    sedd(folder / "checkpoints" / "SEDD")
    for_tiny_checkpoints(folder)
    return folder


@pytest.fixture(scope="module")
def app(models, tmp_path_factory):
    settings = {"model": "SEDD", "device": "cpu", "dtype": "float64", "threads": 1}
    app = App(Settings(models=models, data=tmp_path_factory.mktemp("data"), **settings))
    yield app
    app.close()


def logs(folder: Path, tokens: list[int], time: float, dtype: torch.dtype) -> torch.Tensor:
    """Logs of the probabilities (L, V) that the published ratios stand for."""
    level = sampler.sigma(time)
    return sedd_scores(folder, torch.tensor([tokens]), level, dtype)[0] + math.log(math.expm1(level))


@pytest.mark.parametrize("dtype, tolerance", [("float32", 3e-5), ("float64", 5e-6)])
def test_logits_are_those_of_the_plain_forward_in_a_batch_as_alone(models, dtype, tolerance):
    """Rows of different prompts, lengths and noise levels, two of them padded."""
    model = Checkpoints(Settings(models=models, model="SEDD", device="cpu", dtype=dtype)).load("SEDD")
    assert model.mask == MASK and model.description.ratios
    prompts = [TOKENS[0, :16].tolist(), TOKENS[1, :5].tolist(), []]
    parts = [slice(16, 40), slice(5, 21), slice(0, 40)]
    answers = [torch.where(HIDDEN[i], MASK, TOKENS[i])[part].tolist() for i, part in enumerate(parts)]
    canvas = Canvas.build(prompts, answers, [0] * 3, MASK)
    canvas = canvas.activate(canvas.masked)
    logits = model(canvas)
    for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        at = [len(prompt) + i for i, token in enumerate(answer) if token == MASK]
        time = len(at) / len(answer)
        found = logits[canvas.at[0] == row][:, :MASK]
        for moved, near in ((0.0, True), (-0.1, False)):  # at another noise level they are others
            right = logs(
                models / "checkpoints" / "SEDD", prompt + answer, time + moved, getattr(torch, dtype)
            )
            assert right[at, :MASK].std() > 0.3
            assert (float((found - right[at, :MASK]).abs().max()) < tolerance) == near
    total = logits[:, :MASK].logsumexp(1).exp()
    assert total.min() > 1.5, "a sampler that takes them for 1 would be seen"


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_the_program_writes_the_references_text(app, models, temperature):
    """The preset's sampler, with the same draws; a prompt is given text before it."""
    fields = {"length": 20, "steps": 12, "temperature": temperature, "seed": 5, "template": "raw"}
    result = write(app, prompt="the cat", **fields)
    assert result.request.sampler == "sedd"
    folder = models / "checkpoints" / "SEDD"
    prompt = app.checkpoints.load("SEDD").tokenizer.prompt("the cat", template="raw").tokens
    column = torch.arange(len(prompt) + 20) - len(prompt)

    def draw(weights: torch.Tensor, step: int) -> torch.Tensor:
        kept = weights.clamp(min=0)
        kept = kept / kept.sum(-1, keepdim=True)
        luck = noise.uniform(noise.counter(torch.tensor(5), noise.COMMIT, column, torch.tensor(step)))
        token = torch.zeros_like(column)
        for at, line in enumerate(kept[0, :, :-1].log()):
            token[at] = drawn(line.clone(), int(column[at]), step) if temperature else line.argmax()
        return torch.where(luck.double() < 1 - kept[..., -1], token, MASK)

    made = sampler.sample(
        lambda tokens, level: sedd_scores(folder, tokens, level, torch.float64).exp(),
        torch.tensor([[*prompt, *[MASK] * 20]]),
        len(prompt),
        steps=12,
        draw=draw,
        predictor="analytic",
    )
    assert list(result.tokens) == made[0, len(prompt) :].tolist()


def drawn(logs: torch.Tensor, position: int, step: int) -> int:
    """Gumbel-max over the 64 likeliest tokens and the rest as one, as docs/architecture.md has it."""
    at = torch.tensor([position]), torch.tensor([step])
    keys = [
        noise.counter(torch.tensor([5]), stream, *at) for stream in (noise.DRAW, noise.REST, noise.INSIDE)
    ]
    values, tokens = logs.topk(64)
    best, which = (values + noise.gumbel(keys[0], tokens)).max(0)
    rest = logs.clone()
    rest[tokens] = -torch.inf
    if rest.logsumexp(0) + noise.gumbel(keys[1]) > best:
        return int((rest + noise.gumbel(keys[2], torch.arange(len(rest)))).argmax())
    return int(tokens[which])


def test_extensions_act_and_a_row_is_the_same_in_a_batch(app):
    fields = {"prompt": "a cat <lora:tiny:0.5>", "length": 12, "temperature": 0.9, "seed": 3}
    plain = texts(write(app, **fields))
    for more in (
        {"guidance": {"negative_prompt": "a much longer story about rain", "scale": 6.0}},
        {"sampler": "low_confidence"},
    ):
        assert texts(write(app, **fields, **more)) != plain
    assert texts(write(app, **{**fields, "prompt": "a cat"})) != plain
    assert texts(write(app, **fields, count=2))[0] == plain[0]


def test_what_is_not_computed_is_refused(models, tmp_path):
    folder = sedd(tmp_path / "checkpoints" / "tiny")
    config = json.loads((folder / "config.json").read_text("utf-8"))
    changes = (
        ("graph", "type", "uniform", "graph.type = 'uniform'"),
        ("noise", "type", "geometric", "noise.type = 'geometric'"),
        ("model", "scale_by_sigma", False, "model.scale_by_sigma = 'False'"),
        ("model", "n_heads", 5, "equal, even width"),
        ("model", "hidden_size", None, "hidden_dim = None"),
    )
    for part, key, value, sentence in changes:
        write_json(folder / "config.json", {**config, part: {**config[part], key: value}})
        error = Checkpoints(Settings(models=tmp_path, model="tiny", device="cpu")).list()[0].error
        assert error is not None and sentence in error, error
    entry = Checkpoints(Settings(models=models, model="SEDD", device="cpu")).list()[0]
    assert set(entry.capabilities.refused) >= {"cache=prefix", "cache=dual"}
