"""What design.md promises under "Randomness": a row's text is its own, whatever runs beside it.

On one device and build: in fp64 always, in fp32 with aligned shapes (a canvas in multiples of 16 columns, a
multiple of 8 rows in the output head), which the program sees to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

from tests.tiny_checkpoints import llada
from webui.canvas import Canvas
from webui.checkpoints.loading import Checkpoints
from webui.core.events import Finished
from webui.core.request import Cell
from webui.core.result import Result
from webui.denoising.engine import Engine
from webui.extension.registry import Registry
from webui.service.queue import Job
from webui.settings import ROOT, Settings

REGISTRY = Registry(ROOT / "extensions")
Text = tuple[str, list[tuple[int, int, int]]]  # a text, and in which step which position became which token


@pytest.fixture(scope="module", params=["float64", "float32"])
def engine(request, tmp_path_factory):
    """An engine over a random checkpoint wide enough for the matrix kernels of real ones. Nothing is
    saved."""
    root = tmp_path_factory.mktemp("models")
    llada(root / "checkpoints" / "tiny", d_model=128, mlp_hidden_size=256)
    checkpoints = Checkpoints(Settings(models=root, model="tiny", device="cpu", dtype=request.param))
    return Engine(checkpoints, REGISTRY, save=lambda result: None)


def requests() -> list:
    """Eight rows that share nothing: prompts, lengths, blocks, samplers, temperatures, seeds; every other one
    is guided."""
    samplers = ["low_confidence", "random", "threshold"]
    return [
        REGISTRY.Request(
            prompt="the ship and the storm " * (i % 5),
            template=("raw", "chat")[i % 2],
            sampler=samplers[i % 3],
            schedule=("even", "cosine")[i // 4],
            length=9 + 4 * i,
            block_length=(9 + 4 * i, 8)[i % 2],
            steps=5 + i,
            threshold=0.1,
            temperature=(0.0, 0.8, 0.8, 0.0)[i % 4],
            top_p=(1.0, 0.9)[i % 2],
            top_k=(0, 0, 20)[i % 3],
            seed=2**40 * (i % 2) + i,
            end_of_text=("keep", "stop", "late", "ban")[i % 4],
            guidance={"scale": (1.0, 2.5)[i % 2], "negative_prompt": ("", "", "a long grey day " * 9)[i % 3]},
        )
        for i in range(8)
    ]


def texts(engine: Engine, wanted: Sequence, batch_rows: int = 16) -> list[Text]:
    """What becomes of these requests when they are run together."""
    engine.batch_rows = batch_rows
    cells = [Cell(str(i), request) for i, request in enumerate(wanted)]
    events = engine.generate(cells, "job", lambda: False)
    results = {int(event.cell): event.result for event in events if isinstance(event, Finished)}
    return [outcome(results[i]) for i in range(len(cells))]


def outcome(result: Result) -> Text:
    return result.text, [decision[:3] for decision in result.trace]


@pytest.mark.parametrize("threads", [1, 2])
def test_logits_are_equal_to_the_bit_alone_and_in_a_batch(engine, threads, request):
    """What the rest stands on; any number of wanted positions, and all prompts and lengths."""
    torch.set_num_threads(threads)
    request.addfinalizer(lambda: torch.set_num_threads(1))
    model = engine.checkpoints.load(None)
    generator = torch.Generator().manual_seed(0)
    prompts = [torch.randint(0, 256, (n,), generator=generator).tolist() for n in (0, 1, 15, 16, 40, 3)]
    answers = [[model.mask] * n for n in (1, 9, 17, 33, 5, 47)]
    canvas = Canvas.build(prompts, answers, [0] * 6, model.mask)
    canvas = replace(canvas, active=canvas.masked)
    together = model(canvas).split(canvas.active.sum(1).tolist())
    for prompt, answer, logits in zip(prompts, answers, together, strict=True):
        alone = Canvas.build([prompt], [answer], [0], model.mask)
        assert torch.equal(model(replace(alone, active=alone.masked)), logits)
        for many in (1, 3, 9):
            some = alone.masked & (alone.column < many)
            assert torch.equal(model(replace(alone, active=some)), logits[:many])


def test_a_rows_text_is_the_same_in_every_batch(engine):
    rows = requests()
    alone = texts(engine, rows, batch_rows=1)
    assert len({text for text, _ in alone}) == len(rows)
    assert texts(engine, rows) == alone
    assert texts(engine, rows, batch_rows=3) == alone
    order = [5, 2, 7, 0, 3, 6, 1, 4]
    assert texts(engine, [rows[i] for i in order]) == [alone[i] for i in order]
    assert texts(engine, [rows[1]] * 5 + rows[3:5])[:5] == [alone[1]] * 5


def test_the_same_request_twice_gives_the_same_text_and_another_seed_another(engine):
    row = requests()[1]
    assert texts(engine, [row]) == texts(engine, [row])
    others = [row.replace(seed=row.seed + k) for k in (1, 2, 2**32)]
    assert len({text for text, _ in texts(engine, [row, *others])}) == 4
    cold = row.replace(temperature=0.0, sampler="low_confidence")
    assert texts(engine, [cold]) == texts(engine, [cold.replace(seed=7)]), "nothing is drawn at temperature 0"


def test_text_k_of_a_count_is_the_one_of_seed_plus_k(engine):
    row = requests()[2]
    job = Job(row.replace(count=4), REGISTRY.expand(row.replace(count=4)))
    *_, last = engine.run(job)
    singles = texts(engine, [row.replace(seed=row.seed + k) for k in range(4)], batch_rows=1)
    assert [outcome(part) for part in last.result.parts] == singles
    assert [part.request.seed for part in last.result.parts] == [row.seed + k for k in range(4)]


def test_guidance_of_others_does_not_reach_a_row(engine):
    """An unguided row beside a guided one, which makes the forward pass twice as high and the prompts
    longer."""
    plain, guided = requests()[0], requests()[5]
    assert texts(engine, [plain, guided, plain])[::2] == texts(engine, [plain]) * 2
    off = guided.replace(guidance={"scale": 1.0})
    assert texts(engine, [guided]) != texts(engine, [off])
