"""How time and memory grow, what filters cost, and an autoregressive twin:
`python -m benchmarks.scaling [--parts scaling filters twin] [--rounds 3] [--csv FILE]`.

scaling  a random LLaDA in the shape of the default checkpoint (width 192, 5 layers), one of length, rows, block, prompt
         and vocabulary changed at a time: milliseconds of a step, and the memory that a run takes beyond the weights
filters  a draw for 32 positions at temperature 1: alone, with top-k 50, with top-p 0.9, at vocabularies of 32k and
         126k, beside the model call of a LLaDA of 8 layers and width 512 with that vocabulary
twin     a causal Llama of the default shape with its cache against ours without one, for as many tokens

CPU time of the thread on one thread in fp32, medians; variants take turns. Memory is the peak of the process (Linux).
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported

import torch

from benchmarks.host_cost import SHAPE as SMALL
from benchmarks.published import SHAPE as WIDE
from tests.tiny_checkpoints import llada
from webui.canvas import Canvas
from webui.checkpoints.loading import Checkpoints
from webui.core.events import Finished
from webui.core.request import Cell
from webui.denoising import samplers
from webui.denoising.engine import Engine
from webui.denoising.samplers import SamplerOptions
from webui.extension.registry import Registry
from webui.settings import ROOT, Settings

USUAL = {"length": 96, "rows": 1, "block": 32, "prompt": 64, "vocabulary": 4096}
VALUES: dict[str, Sequence[int]] = {
    "length": (32, 96, 256, 512),
    "rows": (1, 4, 16),
    "block": (8, 32, 96),
    "prompt": (16, 64, 256, 512),
    "vocabulary": (4096, 32000, 126464),
}
STEPS = 8


def engine(folder: Path, name: str, shape: dict[str, Any], **changes: Any) -> Engine:
    """An engine over random weights of this shape."""
    llada(folder / "checkpoints" / name, **{**shape, **changes})
    settings = Settings(models=folder, model=name, device="cpu", dtype="float32")
    return Engine(Checkpoints(settings), Registry(ROOT / "extensions"), lambda result: None, 64)


def write(made: Engine, prompt: int, rows: int = 1, **fields: Any) -> tuple[float, int]:
    """CPU seconds of a request of so many texts, and its steps. Each capital letter is a token."""
    request = made.registry.Request(
        prompt="A" * prompt, template="raw", end_of_text="keep", seed=1, **{"temperature": 0.0, **fields}
    )
    cells = [Cell(str(i), request.replace(seed=i)) for i in range(rows)]
    began = time.thread_time()
    ends = [e for e in made.generate(cells, "job", lambda: False) if isinstance(e, Finished)]
    statistic = ends[0].result.statistics
    assert statistic is not None and len(ends) == rows
    return time.thread_time() - began, statistic.forwards


def memory(work: Callable[[], Any]) -> float:
    """MiB that `work` takes at its peak beyond what the process had; 0 where the system does not say."""
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    except OSError:
        work()
        return 0.0
    before = _status("VmRSS")
    work()
    return max(0.0, (_status("VmHWM") - before) / 1024)


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


def scaling(folder: Path, rounds: int) -> list[tuple[Any, ...]]:
    made: dict[int, Engine] = {}
    for size in VALUES["vocabulary"]:
        made[size] = engine(
            folder, f"v{size}", SMALL, embedding_size=size, vocab_size=size, max_sequence_length=2048
        )
    found: list[tuple[Any, ...]] = []
    for axis, values in VALUES.items():
        lines: dict[int, list[float]] = {value: [] for value in values}
        peaks: dict[int, float] = {}
        for turn in range(rounds + 1):
            for value in values:
                at = {**USUAL, axis: value}
                use = made[at["vocabulary"]]
                use.checkpoints.load(None)
                options = {
                    "length": at["length"],
                    "block_length": min(at["block"], at["length"]),
                    "steps": max(STEPS, -(-at["length"] // at["block"])),
                }

                def run(use: Engine = use, at: dict[str, int] = at, options: dict = options) -> None:
                    seconds, steps = write(use, at["prompt"], at["rows"], **options)
                    lines[value].append(1000 * seconds / steps)  # noqa: B023

                if turn:
                    run()
                else:
                    peaks[value] = memory(run)
        for value in values:
            found.append((axis, value, statistics.median(lines[value][1:]), peaks[value]))
            print(f"{axis:10} {value:7}: {found[-1][2]:8.1f} ms a step, {peaks[value]:7.1f} MiB", flush=True)
    return found


DRAWS: dict[str, dict[str, Any]] = {
    "greedy": {"temperature": 0.0},
    "temperature 1": {"temperature": 1.0},
    "top-k 50": {"temperature": 1.0, "top_k": 50},
    "top-p 0.9": {"temperature": 1.0, "top_p": 0.9},
}


def filters(folder: Path, rounds: int) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    each: dict[tuple[str, int], float] = {}
    for size in (32000, 126464):
        model = engine(folder, f"w{size}", WIDE, embedding_size=size, vocab_size=size).checkpoints.load(None)
        canvas = Canvas.build([[1] * 64], [[model.mask] * 128], [1], model.mask)
        times: dict[str, list[float]] = {name: [] for name in ("model", *DRAWS)}
        ready = {
            name: samplers.activate(
                samplers.prepare(
                    canvas, [SamplerOptions("low_confidence", "even", "probability", 128, 32, **fields)]
                )
            )
            for name, fields in DRAWS.items()
        }
        for _ in range(rounds + 1):
            began = time.thread_time()
            logits = 4 * model(ready["greedy"])  # as peaked as a trained model's
            times["model"].append(time.thread_time() - began)
            for name, one in ready.items():
                began = time.thread_time()
                samplers.choose(one, logits)
                times[name].append(time.thread_time() - began)
        ms = {name: 1000 * statistics.median(values[1:]) for name, values in times.items()}
        for name in DRAWS:
            each[name, size] = ms[name] / size
            step = ms["model"] + ms["temperature 1" if ms[name] > ms["temperature 1"] else name]
            more = max(0.0, ms[name] - ms["temperature 1"]) / step
            found.append((name, size, ms[name], ms["model"], more))
            print(
                f"{name:14} vocabulary {size:7}: {ms[name]:7.1f} ms beside a model call of {ms['model']:7.1f} ms; "
                f"the filter adds {more:.1%} of a step",
                flush=True,
            )
    for name in DRAWS:
        print(
            f"{name:14} cost of a vocabulary entry, 126k over 32k: {each[name, 126464] / each[name, 32000]:.2f}"
        )
    return found


def twin(folder: Path, rounds: int) -> list[tuple[Any, ...]]:
    from transformers import LlamaConfig, LlamaForCausalLM

    made = engine(folder, "small", SMALL, max_sequence_length=2048)
    made.checkpoints.load(None)
    causal: Any = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=SMALL["embedding_size"],
            hidden_size=SMALL["d_model"],
            intermediate_size=SMALL["mlp_hidden_size"],
            num_hidden_layers=SMALL["n_layers"],
            num_attention_heads=SMALL["n_heads"],
            tie_word_embeddings=True,
            eos_token_id=None,
            bos_token_id=None,
            pad_token_id=0,
        )
    ).eval()
    length, prompt, found = USUAL["length"], 16, []
    for rows in (1, 8):
        times: dict[str, list[float]] = {"twin": [], "24 steps": [], f"{length} steps": []}
        for _ in range(rounds + 1):
            began = time.thread_time()
            with torch.no_grad():
                causal.generate(
                    torch.full((rows, prompt), 5),
                    max_new_tokens=length,
                    min_new_tokens=length,
                    do_sample=False,
                )
            times["twin"].append(time.thread_time() - began)
            for steps in (24, length):
                seconds, _ = write(made, prompt, rows, length=length, block_length=32, steps=steps)
                times[f"{steps} steps"].append(seconds)
        base = statistics.median(times["twin"][1:])
        for name, values in times.items():
            seconds = statistics.median(values[1:])
            found.append((name, rows, seconds, seconds / base))
            print(f"{name:9} {rows:2} rows: {seconds:6.2f} s, {seconds / base:.2f} of the twin", flush=True)
    return found


PARTS = {
    "scaling": (scaling, ("axis", "value", "ms", "MiB")),
    "filters": (filters, ("draw", "vocabulary", "ms", "model ms", "share")),
    "twin": (twin, ("what", "rows", "seconds", "of the twin")),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=list(PARTS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--csv", type=Path, help="every line as a row of this file, to be plotted")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[tuple[Any, ...]] = []
    print(f"torch {torch.__version__}, one thread, CPU time, medians of {options.rounds}")
    with tempfile.TemporaryDirectory() as folder:
        for name in options.parts:
            run, head = PARTS[name]
            rows += [(name, *head), *((name, *line) for line in run(Path(folder), options.rounds))]
    if options.csv:
        with options.csv.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)


if __name__ == "__main__":
    main()
