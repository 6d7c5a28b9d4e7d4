"""A grid as one job against one job for each cell, same texts: `python -m benchmarks.grid [--model M] [--rounds 3]`.

Eight prompts by eight guidance scales, with the same number of threads, in one process, interleaved. Beside the
ratio of the times stands that of the model calls alone, measured within the same runs: what batching gains at
best. Forwards are calls of the network. Times are of the process's CPU, which other work on the machine changes
little; the wall clock's stand beside them.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import dataclass, field

import torch

from webui.application import App
from webui.checkpoints.model import Model
from webui.core.result import Result
from webui.settings import Settings

PROMPTS = (
    "dragon, cake, castle",
    "robot, flower, beach",
    "pirate, map, island",
    "fox, snow, lamp",
    "boat, storm, whale",
    "king, apple, garden",
    "owl, forest, night",
    "train, mouse, cheese",
)
SCALES = "1-4.5[8]"


@dataclass
class Watch:
    """Counts and times the calls of a model while it is entered."""

    calls: int = 0
    cpu: float = 0.0  # seconds
    _original: object = field(default=None, repr=False)

    def __enter__(self) -> Watch:
        original = self._original = Model.__call__

        def watched(model: Model, *arguments, **keywords):
            began = time.process_time()
            try:
                return original(model, *arguments, **keywords)
            finally:
                self.calls += 1
                self.cpu += time.process_time() - began

        Model.__call__ = watched  # type: ignore[method-assign]
        return self

    def __exit__(self, *_: object) -> None:
        Model.__call__ = self._original  # type: ignore[method-assign, assignment]


def run(app: App, request) -> list[Result]:
    """The results of one job through the queue."""
    job = app.queue.submit(request)
    job.wait()
    if job.result is None:
        raise SystemExit(job.error)
    return list(job.result.parts or (job.result,))


@dataclass(frozen=True)
class Measured:
    """Jobs one after the other: seconds of CPU and of the wall clock, their model calls, and their texts."""

    cpu: float
    wall: float
    watch: Watch
    texts: list[str]


def measured(app: App, requests) -> Measured:
    """Runs these jobs."""
    with Watch() as watch:
        cpu, wall = time.process_time(), time.perf_counter()
        texts = [part.text for request in requests for part in run(app, request)]
        return Measured(time.process_time() - cpu, time.perf_counter() - wall, watch, texts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model")
    parser.add_argument("--length", type=int, default=64)
    parser.add_argument("--steps", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0, help="as the setting; 0: measured")
    args = parser.parse_args()
    app = App(Settings.read(keep_history=False, threads=args.threads))
    prompts = ", ".join(f'"{prompt}"' for prompt in PROMPTS)
    axes = {"x_field": "guidance.scale", "x_values": SCALES, "y_field": "prompt.text", "y_values": prompts}
    grid = app.Request(
        model=args.model,
        length=args.length,
        steps=args.steps,
        seed=1,
        temperature=0.7,
        end_of_text="keep",
        xyz_grid=axes,
    )
    cells = [cell.request for cell in app.expand(grid)]
    for request in (cells[1], grid):  # threads are measured, memory is there
        run(app, request)
    single: list[Measured] = []
    batched: list[Measured] = []
    for _ in range(args.rounds):
        single.append(measured(app, cells))
        batched.append(measured(app, [grid]))
    pairs = zip(single, batched, strict=True)
    equal = sum(a == b for one, many in pairs for a, b in zip(one.texts, many.texts, strict=True))
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, {len(cells)} cells of {args.length} "
        f"tokens in {args.steps} steps, median of {args.rounds}"
    )
    whole, inner, wall = [], [], []
    for name, runs in (("one at a time", single), ("one job", batched)):
        whole.append(statistics.median(run.cpu for run in runs))
        inner.append(statistics.median(run.watch.cpu for run in runs))
        wall.append(statistics.median(run.wall for run in runs))
        print(
            f"{name:>14}: {whole[-1]:.2f} s of CPU ({wall[-1]:.2f} s of the clock), {runs[0].watch.calls} "
            f"forwards, {inner[-1]:.2f} s in the model ({inner[-1] / whole[-1]:.0%})"
        )
    gain, best = whole[0] / whole[1], inner[0] / inner[1]
    print(f"ratio {gain:.2f}; of the model calls alone {best:.2f}; share {gain / best:.2f}")
    print(f"by the clock {wall[0] / wall[1]:.2f}")
    print(f"same texts: {equal} of {len(cells) * args.rounds}")
    app.close()


if __name__ == "__main__":
    main()
