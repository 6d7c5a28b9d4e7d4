"""The setting `quantize`: what is refused and why; int8 where torchao is installed."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
import torch

from tests.tiny_checkpoints import llada
from webui import Canvas
from webui.checkpoints import quantize
from webui.checkpoints.loading import Checkpoints
from webui.checkpoints.weights import faulty_weight
from webui.settings import Settings


def checkpoints(folder, kind: str) -> Checkpoints:
    llada(folder / "checkpoints" / "tiny")
    return Checkpoints(Settings(models=folder, model="tiny", device="cpu", dtype="float32", quantize=kind))


@pytest.mark.parametrize(
    "kind, library, sentence",
    [
        ("int8", None, r"quantize = int8 needs the library torchao, .* \(pip install torchao\)"),
        ("nf4", None, "quantize = nf4 needs the library bitsandbytes, which is not there"),
        ("fp8", ModuleType("torchao"), "needs an NVIDIA GPU of compute capability 8.9 or newer"),
    ],
)
def test_what_cannot_be_had_here_is_refused_with_the_reason(tmp_path, monkeypatch, kind, library, sentence):
    monkeypatch.setitem(sys.modules, quantize.LIBRARIES[kind], library)
    there = checkpoints(tmp_path, kind)
    with pytest.raises(ValueError, match=sentence):
        there.load("tiny")
    assert there.loaded is None


def test_int8_computes_nearly_the_same_in_less_memory(tmp_path):
    pytest.importorskip("torchao")
    exact = checkpoints(tmp_path, "none").load("tiny")
    there = checkpoints(tmp_path, "int8")
    model = there.load("tiny")
    canvas = Canvas.build([[5, 6]] * 2, [[model.mask] * 8, list(range(9, 17))], [0] * 2, model.mask)
    canvas = canvas.activate(~canvas.padding)
    before, after = exact.logits(canvas), model.logits(canvas)
    assert 0 < (after - before).norm() / before.norm() < 0.05
    assert model.description.dtype == "float32, int8" and faulty_weight(model.module) is None
    quantized = [one for one in model.body.modules() if isinstance(one, torch.nn.Linear)]
    for one in quantized:
        parts = [*quantize.stored(one.weight)]
        assert parts[0].dtype == torch.int8 and parts[0].numel() == one.weight.numel()
    assert len([*quantize.stored(model.head.weight)]) == 1
    with pytest.raises(ValueError, match="Weights in fewer bits cannot be exchanged"):
        with model.exchanged({quantized[0].weight: torch.zeros(1)}):
            pass
