"""DiffusionGemma: logits are those of a plain encoder and decoder, with and without the guesses of the step
before; texts are those of transformers' own program, token for token."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from torch import Tensor

from tests.reference.gemma_model import Gemma
from tests.tiny_checkpoints import MASK, ROWS, write_json
from tests.tiny_gemma import gemma, gemma_config
from webui import Canvas
from webui.canvas import noise
from webui.checkpoints.loading import Checkpoints
from webui.settings import Settings
from webui.testing.whole import program, write

BLOCK = 8
LAYERS = ["sliding_attention", "sliding_attention", "full_attention", "sliding_attention", "full_attention"]


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    gemma(folder / "checkpoints" / "gemma", layer_types=LAYERS, num_hidden_layers=len(LAYERS))
    return folder


@pytest.fixture(scope="module")
def checkpoints(models) -> Checkpoints:
    return Checkpoints(Settings(models=models, model="gemma", device="cpu", dtype="float64"))


@pytest.fixture(scope="module")
def plain(models) -> Gemma:
    return Gemma(models / "checkpoints" / "gemma")


def tokens(many: int, seed: int) -> list[int]:
    return torch.randint(0, 250, (many,), generator=torch.Generator().manual_seed(seed)).tolist()


def random_tokens(seed: int, columns: Tensor, step: int) -> Tensor:
    """What stands for masked positions at these columns of the answer."""
    key = noise.counter(torch.tensor(seed), noise.CANVAS, columns, torch.tensor(step))
    return (noise.bits(key).long() * ROWS) >> 23


def test_it_is_recognized(checkpoints):
    entry = checkpoints.entry("gemma")
    assert (entry.family, entry.error) == ("DiffusionGemma", None)
    model = checkpoints.load("gemma")
    assert model.mask == MASK and model.description.answer_block == BLOCK and model.vocabulary == ROWS


def test_logits_are_those_of_encoder_and_decoder_in_a_batch_as_alone(checkpoints, plain):
    """Norms and rotary angles are fp32 in transformers. Rows with a prompt longer than the window, with a first block written and part of the second, and with no
    prompt; masked positions are the model's random tokens."""
    model = checkpoints.load("gemma")
    prompts = [tokens(13, 0), tokens(3, 1), []]
    answers = [[MASK] * 8, [*tokens(11, 2), *[MASK] * 5], [*tokens(2, 3), *[MASK] * 6]]
    canvas = Canvas.build(prompts, answers, [5, 6, 7], MASK)
    canvas = canvas.activate(canvas.masked)
    logits = model(canvas)
    for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        done = len(answer) // BLOCK * BLOCK - BLOCK  # tokens of finished blocks
        block = torch.tensor(answer[done:])
        fresh = random_tokens(5 + row, torch.arange(done, len(answer)), 0)
        block, hidden = torch.where(block == MASK, fresh, block), block == MASK
        expected = plain.logits(torch.tensor([*prompt, *answer[:done]], dtype=torch.long), block)[hidden]
        assert expected.std() > 0.3
        assert (logits[canvas.at[0] == row] - expected).abs().max() < 1e-3, row


def test_guesses_of_the_step_before_count(checkpoints, plain):
    model = checkpoints.load("gemma")
    prompt, block = tokens(9, 4), torch.tensor(tokens(8, 5))
    canvas = Canvas.build([prompt], [[MASK] * 8], [0], MASK)
    canvas = canvas.activate(canvas.masked)
    guess = torch.randn(1, 8, ROWS, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    place = torch.full(canvas.tokens.shape, -1)
    place[:, -8:] = torch.arange(8)
    inputs = model.family.inputs

    def given(model, canvas, unseen):
        said = dict(inputs(model, canvas, unseen))
        said["input_ids"] = torch.where(place >= 0, block[place.clamp(min=0)], said["input_ids"])
        return {**said, "guess": (guess, place)}

    with patch.object(model, "family", replace(model.family, inputs=given)):
        ours = model(canvas)
    context = torch.tensor(prompt)
    assert (ours - plain.logits(context, block, guess[0])).abs().max() < 1e-3
    assert (ours - plain.logits(context, block)).abs().max() > 0.1


@pytest.mark.parametrize(("steps", "stable", "confident"), [(1, 1, 0.005), (6, 1, 0.005), (6, 0, 9.0)])
def test_texts_are_those_of_transformers_own_program(tmp_path, models, steps, stable, confident):
    """Two blocks, greedily, with our random tokens in place of theirs. More steps tell nothing: a random model
    makes five times as much of a difference in each, and ours rounds elsewhere."""
    from transformers.models.diffusion_gemma import generation_diffusion_gemma as theirs
    from transformers.models.diffusion_gemma.modeling_diffusion_gemma import DiffusionGemmaForBlockDiffusion

    prompt, seed = "a cat in the rain", 3
    with program(tmp_path, models=models) as app:
        result = write(
            app,
            prompt=prompt,
            template="raw",
            model="gemma",
            length=16,
            block_length=8,
            steps=2 * steps,
            seed=seed,
            temperature=0,
            end_of_text="ban",
            renoise={"stable": stable, "confident": confident, "entropy_bound": 4.0},
        )
        ends = app.checkpoints.load("gemma").ends
        ids = app.checkpoints.tokenizer("gemma").prompt(prompt, "", "raw").tokens
    module = DiffusionGemmaForBlockDiffusion.from_pretrained(
        models / "checkpoints" / "gemma", dtype=torch.float64, experts_implementation="eager"
    )
    made = {"steps": 0, "block": -1}

    def initialize(self, batch_size, device):
        """Theirs are drawn when a block begins, and behind every step."""
        columns = torch.arange(8) + 8 * made["block"]
        return random_tokens(seed, columns, made["steps"])[None]

    accept = theirs.EntropyBoundSampler.accept_canvas
    prepare = DiffusionGemmaForBlockDiffusion._prepare_denoiser_inputs

    def accepted(self, *given, **named):
        made["steps"] += 1
        return accept(self, *given, **named)

    def prepared(self, *given, **named):
        made["block"] += 1
        return prepare(self, *given, **named)

    def banned(input_ids, scores, cur_step=None):
        scores = scores.clone()
        scores[..., [MASK, *ends]] = -torch.inf
        return scores

    with (
        patch.object(theirs.EntropyBoundSampler, "initialize_canvas", initialize),
        patch.object(theirs.EntropyBoundSampler, "accept_canvas", accepted),
        patch.object(DiffusionGemmaForBlockDiffusion, "_prepare_denoiser_inputs", prepared),
        patch.object(torch, "multinomial", lambda probs, num_samples: probs.argmax(-1, keepdim=True)),
    ):
        from transformers import LogitsProcessorList

        output = module.generate(
            torch.tensor([ids]),
            max_new_tokens=16,
            max_denoising_steps=steps,
            sampler_config=theirs.EntropyBoundSamplerConfig(4.0),
            t_max=0.8,
            t_min=0.4,
            stability_threshold=stable,
            confidence_threshold=confident,
            eos_token_id=None,
            pad_token_id=None,
            logits_processor=LogitsProcessorList([banned]),
        )
    committed = {change.column: change.token for change in result.trace if change.token is not None}
    assert [committed[column] for column in range(16)] == output.sequences[0, len(ids) :].tolist()
    assert result.statistics.forwards == made["steps"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"text_config": None}, "config.json has no text_config."),
        ({"use_bidirectional_attention": "all"}, "config.json says use_bidirectional_attention = 'all'"),
        ({"num_experts": None}, "config.json says num_experts = None"),
        ({"sliding_window": 0}, "config.json says sliding_window = 0"),
        ({"canvas_length": -1}, "config.json says canvas_length = -1"),
        ({"top_k_experts": 99}, "config.json says top_k_experts = 99, more than num_experts = 4."),
        ({"head_dim": 7}, "config.json says head_dim = 7; heads must be of even width."),
        ({"global_head_dim": -4}, "config.json says global_head_dim = -4"),
        ({"num_global_key_value_heads": 0}, "config.json says num_global_key_value_heads = 0"),
        ({"num_global_key_value_heads": 3}, "of which num_attention_heads = 4 is no multiple."),
        (
            {"layer_types": ["linear_attention", "full_attention"]},
            "config.json needs layer_types of 2 layers",
        ),
        ({"layer_types": ["full_attention"]}, "config.json needs layer_types of 2 layers"),
        ({"hidden_activation": "__import__"}, "config.json says hidden_activation = '__import__'"),
        ({"rope_parameters": {}}, "config.json needs rope_parameters of full_attention"),
        ({"rope_parameters": {"full_attention": {"rope_type": "zzz"}}}, "whose rope_type is proportional."),
        ({"per_layer_config": "x"}, "config.json has a per_layer_config"),
        ({"per_layer_config": {"abc": {}}}, "config.json has a per_layer_config"),
        ({"per_layer_config": {"0": {"head_dim": 3}}}, "config.json says head_dim = 3"),
        ({"final_logit_softcapping": 0}, "config.json says final_logit_softcapping = 0"),
    ],
)
def test_what_is_not_computed_is_refused(tmp_path, change, sentence):
    folder = gemma(tmp_path / "checkpoints" / "gemma")
    config = gemma_config()
    inner = {key: value for key, value in change.items() if key in config["text_config"] or "per_" in key}
    config["text_config"] |= inner
    write_json(folder / "config.json", {**config, **{k: v for k, v in change.items() if k not in inner}})
    (entry,) = Checkpoints(Settings(models=tmp_path, device="cpu")).list()
    assert sentence in (entry.error or "")
