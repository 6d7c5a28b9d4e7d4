"""One transfer from the device to the host in a step, none the other way: on a device that counts them.

Whoever reads a value on the way, or sends one, makes the device wait. Each mutant below does it once in a step,
each in another manner, and must be seen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.denoising.transfers import DEVICE, Transfers, on_device
from tests.tiny_checkpoints import EOT, llada
from tests.tiny_decoders import dreamon
from tests.tiny_mixtures import sedd
from webui.checkpoints.loading import Checkpoints
from webui.core.prompt import Prompt
from webui.core.request import Cell
from webui.denoising import packing, samplers
from webui.denoising.batch import Batch
from webui.extension.registry import Registry
from webui.extension.row import Row
from webui.settings import ROOT, Settings

REGISTRY = Registry(ROOT / "extensions")
ROWS: dict[str, list[dict[str, Any]]] = {
    "greedy": [{"temperature": 0.0}, {"temperature": 0.0, "length": 9, "block_length": 3}],
    "drawn": [{"temperature": 0.5}, {"temperature": 2.0, "schedule": "cosine"}],
    "of every kind": [
        {"temperature": 0.0, "sampler": "threshold", "threshold": 0.02, "end_of_text": "stop"},
        {"temperature": 0.7, "sampler": "random", "end_of_text": "ban"},
        {"temperature": 0.7, "confidence": "margin", "end_of_text": "late", "block_length": 4},
        {"temperature": 0.7, "confidence": "entropy", "top_k": 20, "min_p": 0.01},
    ],
    "with top-p, guidance and words": [
        {
            "temperature": 0.5,
            "top_p": 0.9,
            "guidance": {"scale": 2.0, "negative_prompt": "sad"},
            "logit_bias": {"more": "a golden ring", "less": "sea", "never": "dragon, the end"},
        },
        {"temperature": 0.5, "guidance": {"scale": 3.0, "start": 0.2, "end": 0.7}},
        {"temperature": 0.5, "logit_bias": {"more": "the"}},
        {"temperature": 0.0},
    ],
    "with schedules": [
        {"prompt": "[a:b:0.5] ship", "temperature": 0.5},
        {
            "prompt": "[a|b] [:sea:0.2]",
            "syntax": "full",
            "guidance": {"scale": 2.0, "negative_prompt": "[a|b]"},
        },
        {"temperature": 0.5},
    ],
    "with AND and adaptive guidance": [
        {
            "prompt": "a cat AND the [sea:moon:0.4] :0.5",
            "prompt_and": {"enabled": True},
            "guidance": {"scale": 2.0, "negative_prompt": "rain AND snow", "rescale": 0.5},
        },
        {
            "prompt": "a :0.3 AND b :0.7 AND c :-1",
            "prompt_and": {"enabled": True},
            "guidance": {"scale": 1.5, "adaptive": 0.4},
            "length": 9,
        },
        {"guidance": {"scale": 3.0, "negative_prompt": "sad", "adaptive": 0.3, "start": 0.3}},
    ],
    "with emphasis": [
        {"prompt": "the (ship:2)", "guidance": {"scale": 2.0, "negative_prompt": "(sad:0.5) rain"}},
        {"prompt": "the (ship:0) (sea:2)", "emphasis": {"method": "contrast"}, "temperature": 0.5},
        {"prompt": "the (the:2) (ship:0)", "emphasis": {"method": "vocabulary"}},
        {"temperature": 0.5},
    ],
    "infill": [{"prompt": "Once ____ there [[...5]] and so.", "temperature": 0.5}],
}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory) -> Checkpoints:
    root = tmp_path_factory.mktemp("models")
    llada(root / "checkpoints" / "tiny")
    return Checkpoints(Settings(models=root, model="tiny", device="cpu", dtype="float64"))


@pytest.fixture
def loaded(checkpoints):
    """The model anew: its weights are moved."""
    checkpoints.unload()
    return checkpoints.load(None)


def pack(model: Any, rows: list[dict[str, Any]]) -> list[packing.PackedRow]:
    """Requests on their way into a batch."""
    packed = []
    for i, fields in enumerate(rows):
        common = {"prompt": "the ship", "template": "raw", "length": 12, "seed": i, "end_of_text": "keep"}
        common["steps"] = 6
        request, preset = packing.resolve(REGISTRY.Request(**{**common, **fields}), {})
        row = REGISTRY.prepare(Row(Cell(str(i), request), request, {"main": Prompt.of(request.prompt)}))
        facts = {"ratios": model.description.ratios, "expand": model.description.expand}
        packed.append(packing.tokenize(row, preset, model.tokenizer, model.mask, 256, **facts))
    return packed


def run(batch: Batch, each: Callable[[], None] = lambda: None) -> dict[int, list[int]]:
    """The answers in tokens, after all steps."""
    answers: dict[int, list[int]] = {}
    batch.start()
    while batch.live:
        each()
        assert not batch.step().failed
        ended = batch.ended()
        answers |= {row: batch.tokens(row) for row in ended}
        batch.leave(ended)
    each()
    return answers


def counted(model: Any, rows: list[dict[str, Any]]) -> tuple[dict[int, list[int]], list[tuple[int, int]]]:
    """The answers of a batch on the device, and the transfers of each step in both directions."""
    steps: list[tuple[int, int]] = []
    with torch.no_grad(), Transfers() as transfers:
        on_device(model.module)
        model.device = DEVICE
        batch = Batch(model, pack(model, rows), REGISTRY.extensions.values())

        def each() -> None:
            steps.append((transfers.to_host.total(), transfers.to_device.total()))
            transfers.clear()

        answers = run(batch, each)
    return answers, steps[1:]


@pytest.mark.parametrize("kind", ROWS)
def test_a_step_reads_once_and_sends_nothing(loaded, kind):
    """And on the device the texts are those of the CPU. What looks at the text, as forbidden phrases do, sees
    what was read."""
    expected = run(Batch(loaded, pack(loaded, ROWS[kind]), REGISTRY.extensions.values()))
    answers, steps = counted(loaded, ROWS[kind])
    first, *later = steps  # in the first, options of the rows may be sent that stay there
    assert later == [(1, 0)] * len(later) and len(later) > 2 and first[0] == 1
    assert answers == expected


def test_gaps_that_grow_and_noise_levels_ask_the_device_nothing(tmp_path):
    """DreamOn's gaps, which double and delete positions, and SEDD's times, beside rows of other samplers."""
    folder = tmp_path / "checkpoints"
    dreamon(folder / "DreamOn")
    sedd(folder / "SEDD")
    there = Checkpoints(Settings(models=tmp_path, model="DreamOn", device="cpu", dtype="float64"))
    grows = {"sampler": "dreamon", "dreamon": {"begin": 3, "most": 9}, "temperature": 1.0, "steps": 18}
    kinds = {
        "DreamOn": [
            grows,
            {"temperature": 0.5},
            {**grows, "prompt": "a[[...2]]sea", "guidance": {"scale": 1.5}},
        ],
        "SEDD": [{"sampler": "sedd", "temperature": 1.0, "steps": 8}, {"temperature": 0.5}],
    }
    for name, rows in kinds.items():
        model = there.load(name)
        expected = run(Batch(model, pack(model, rows), REGISTRY.extensions.values()))
        if name == "DreamOn":
            lengths = {sum(token != EOT for token in answer) for answer in expected.values()}
            assert len(lengths) > 1 and max(lengths) > 3
        answers, steps = counted(model, rows)
        assert steps[1:] == [(1, 0)] * len(steps[1:]) and answers == expected, name


def test_alternatives_are_one_reading_more(loaded):
    """Which positions to look at is sent, and a few numbers of each are read."""
    rows = [{"temperature": 0.5, "alternatives": 5}, {"temperature": 0.5}]
    expected = run(Batch(loaded, pack(loaded, rows), REGISTRY.extensions.values()))
    answers, steps = counted(loaded, rows)
    assert set(steps[1:]) == {(2, 1)} and answers == expected


def test_constraints_are_kept_on_a_device(loaded):
    """A rule is checked on the host: rows of a batch on the device are those of the CPU, with more readings."""
    rule = {"constraints": {"regex": "[a-z ]*"}, "temperature": 0.9, "end_of_text": "stop", "steps": 3}
    rows = [rule, {"temperature": 0.5}, {**rule, "top_k": 5}]
    expected = run(Batch(loaded, pack(loaded, rows), REGISTRY.extensions.values()))
    answers, steps = counted(loaded, rows)
    assert answers == expected and all(reads > 1 for reads, _ in steps)


def _index_by_list(canvas: Any) -> Any:
    return canvas.tokens[:, [0, 1]]


MUTANTS: dict[str, Callable[[Any], Any]] = {
    "tolist": lambda canvas: canvas.row.tolist(),
    "numpy": lambda canvas: canvas.row.numpy(),
    "cpu": lambda canvas: canvas.row.cpu().numpy(),
    "item": lambda canvas: canvas.row[0].item(),
    "int": lambda canvas: int(canvas.step[0]),
    "float": lambda canvas: float(canvas.t[0]),
    "bool": lambda canvas: bool(canvas.masked.any()),
    "if": lambda canvas: 1 if canvas.masked.any() else 0,
    "for": lambda canvas: list(range(canvas.step[0])),
    "nonzero": lambda canvas: canvas.active.nonzero(),
    "where": lambda canvas: torch.where(canvas.active),
    "index by bools": lambda canvas: canvas.tokens[canvas.active],
    "fill by bools": lambda canvas: canvas.tokens.clone().masked_select(canvas.active),
    "unique": lambda canvas: canvas.tokens.unique(),
    "equal": lambda canvas: torch.equal(canvas.tokens, canvas.tokens),
    "tensor of a list": lambda canvas: torch.tensor([1, 2], device=canvas.tokens.device),
    "moved": lambda canvas: torch.arange(3).to(canvas.tokens.device),
    "index by a list": _index_by_list,
    "beside a host tensor": lambda canvas: canvas.tokens + torch.ones(canvas.tokens.shape[1]),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_each_way_of_reading_or_sending_is_seen(loaded, mutant, monkeypatch):
    choose = samplers.choose

    def mutated(canvas: Any, *more: Any) -> Any:
        MUTANTS[mutant](canvas)
        return choose(canvas, *more)

    monkeypatch.setattr(samplers, "choose", mutated)
    if mutant == "numpy":  # what a GPU's tensors refuse
        with pytest.raises(TypeError, match="numpy"):
            counted(loaded, [{"temperature": 0.0, "steps": 2}])
        return
    _, steps = counted(loaded, [{"temperature": 0.0, "steps": 2}])
    assert all(sum(step) > 1 for step in steps), steps
