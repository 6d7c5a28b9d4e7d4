"""The last layer is computed for the columns whose logits are wanted, and gives the same bits."""

from __future__ import annotations

import pytest
import torch

from tests.tiny_checkpoints import llada
from webui.canvas import Canvas
from webui.checkpoints.last_layer import LastLayer
from webui.checkpoints.loading import Checkpoints
from webui.denoising import samplers
from webui.denoising.samplers import SamplerOptions
from webui.settings import Settings


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_last_layer_gives_the_same_bits_where_they_are_wanted(tmp_path, dtype):
    llada(tmp_path / "checkpoints" / "tiny", d_model=128, mlp_hidden_size=320)
    model = Checkpoints(Settings(models=tmp_path, model="tiny", device="cpu", dtype=dtype)).load("tiny")
    generator, seen = torch.Generator().manual_seed(1), []
    model.body.layers[-1].mlp.down_proj.register_forward_hook(lambda part, x, y: seen.append(y.shape[1]))
    for rows in (1, 3, 8):
        prompts = [
            torch.randint(0, 256, (n,), generator=generator).tolist() for n in range(5, 5 + 9 * rows, 9)
        ]
        answers = [[model.mask] * (100 - 7 * row) for row in range(rows)]
        canvas = Canvas.build(prompts, answers, range(rows), model.mask)
        options = [SamplerOptions("low_confidence", "even", "probability", 50, 16)] * rows
        canvas = samplers.activate(samplers.prepare(canvas, options))
        narrow = model(canvas)
        last_layer, model.last_layer = model.last_layer, LastLayer(None)
        assert torch.equal(narrow, model(canvas))
        model.last_layer = last_layer
        few, every = seen[-2:]
        assert few < every == canvas.tokens.shape[1] and few % 16 == 0
        with torch.no_grad(), last_layer.at(torch.tensor([0]), every):  # a window beside what is wanted
            assert not torch.equal(narrow, model.project(canvas, model._forward(canvas)[canvas.at]))
