"""Eight rows in one batch against eight runs of count 1, same texts: `python -m benchmarks.batching [--model
M] [--rounds 5]`.

Both variants run in the same process, warm and interleaved; medians and their ratio are printed, and whether
the texts are equal. "Bare" is the model's forward pass alone at the same shapes, so that what the program
adds can be seen.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

from webui.application import App
from webui.core.prompt import Prompt
from webui.core.request import Cell
from webui.core.result import Result
from webui.denoising.batch import Batch
from webui.denoising.packing import resolve, tokenize
from webui.denoising.samplers import activate
from webui.extension.row import Row
from webui.settings import Settings

PROMPT = "dragon, cake, castle, happy ending, dialogue"


def run(app: App, **changes: object) -> tuple[float, Result]:
    """Seconds of one job through the queue, and its result."""
    began = time.perf_counter()
    job = app.queue.submit(app.Request(prompt=PROMPT, **changes))
    job.wait()
    if job.result is None:
        raise SystemExit(job.error)
    return time.perf_counter() - began, job.result


def bare(app: App, model: str | None, rows: int, length: int) -> float:
    """Seconds of one forward pass of so many rows with all positions of the canvas open."""
    loaded = app.checkpoints.load(model)
    packed = []
    for seed in range(rows):
        request, preset = resolve(app.Request(prompt=PROMPT, seed=seed, length=length), {})
        row = Row(Cell(str(seed), request), request, {"main": Prompt.of(PROMPT)})
        packed.append(tokenize(row, preset, loaded.tokenizer, loaded.mask, loaded.description.max_length))
    canvas = activate(Batch(loaded, packed, ()).canvas)
    times = []
    for _ in range(30):
        began = time.perf_counter()
        loaded(canvas)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model")
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--length", type=int, default=96)
    parser.add_argument("--temperature", type=float, default=0.7)
    parser.add_argument("--scale", type=float, default=1.0, help="guidance scale")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    app = App(Settings.read(keep_history=False))
    same = {
        "model": args.model,
        "length": args.length,
        "temperature": args.temperature,
        "end_of_text": "keep",
    }
    same |= {"guidance": {"scale": args.scale}} if "guidance" in app.Request.model_fields else {}
    run(app, seed=0, **same)
    single, batched, equal = [], [], True
    for _ in range(args.rounds):
        alone = [run(app, seed=seed, **same) for seed in range(args.rows)]
        seconds, whole = run(app, seed=0, count=args.rows, **same)
        single.append(sum(seconds for seconds, _ in alone))
        batched.append(seconds)
        equal &= [result.text for _, result in alone] == [part.text for part in whole.parts]
    one, many = statistics.median(single), statistics.median(batched)
    parts = whole.parts
    forwards, tokens = parts[0].statistics.forwards, sum(part.statistics.tokens for part in parts)
    made = parts[0].provenance
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {made.dtype} on {made.device}")
    share = tokens / forwards / args.rows
    print(
        f"{args.rows} rows x {args.length} tokens, {forwards} forwards a row, {share:.2f} tokens per forward"
    )
    for name, seconds, rows, calls in (
        ("one at a time", one, 1, forwards * args.rows),
        ("one batch", many, args.rows, forwards),
    ):
        alone, each = 1000 * bare(app, args.model, rows, args.length), 1000 * seconds / calls
        rate = tokens / seconds
        print(
            f"{name:>14}: {seconds:.2f} s, {rate:.0f} tokens/s, {each:.2f} ms per forward of {rows} rows "
            f"(bare {alone:.2f} ms)"
        )
    print(f"ratio {one / many:.2f}, same texts: {'yes' if equal else 'NO'}")
    app.close()


if __name__ == "__main__":
    main()
