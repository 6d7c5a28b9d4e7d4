"""What emphasis does and costs: `python -m benchmarks.emphasis [--parts inclusion cost] [--methods attention ...] [--model M] [--texts 64] [--steps 40]`.

Measured on the text of the answers alone, with 95 % Wilson intervals; the seeds are the same at every point.

inclusion  how many texts hold a weighted word, at each weight, for each method, in prompts of two and of four
           keywords; and with the word absent. The claims: the rate does not fall as the weight rises (beyond what
           its interval allows), and with attention it is at weight 0 no higher than with the word absent.
cost       CPU time with each method as a factor of the prompt without weights; interleaved, medians.

Exit status 1 if a claim does not hold.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence

import torch

from benchmarks.guidance import Bench, rate
from extensions.training.evaluation.statistics import wilson
from extensions.training.evaluation.texts import includes
from webui.application import App
from webui.settings import Settings

METHODS = ("attention", "contrast", "vocabulary")
WEIGHTS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)
PROMPTS = ("dragon, *cake", "dragon, castle, *cake, happy ending")
PARTS = ("inclusion", "cost")


def inclusion(bench: Bench, prompts: Sequence[str], weights: Sequence[float], scale: float) -> None:
    """The rate of the word behind the star, at each weight and with the word absent."""
    guidance = {"scale": scale}

    def held(text: str, word: str, method: str) -> int:
        texts = bench.write(text, guidance=guidance, emphasis={"method": method})
        return sum(includes(answer, word) for answer in texts)

    for prompt in prompts:
        before, _, rest = prompt.partition("*")
        word, comma, after = rest.partition(",")
        count = bench.args.texts
        absent = held(before.rstrip(", ") + comma + after, word, "attention")
        print(f"\n{prompt!r}, guidance {scale:g}; with the word absent {rate(absent, count)}")
        print(f"{'weight':12}" + "".join(f"{weight:<23g}" for weight in weights))
        for method in bench.args.methods:
            hits: list[int] = []
            print(f"{method:12}", end="", flush=True)
            for weight in weights:
                hits.append(held(f"{before}({word}:{weight:g}){comma}{after}", word, method))
                print(f"{rate(hits[-1], count):23}", end="", flush=True)
            print()
            bounds = [wilson(hit, count) for hit in hits]
            rises = all(high >= max(low for low, _ in bounds[: k + 1]) for k, (_, high) in enumerate(bounds))
            bench.claim(f"{method}: the rate of {word!r} does not fall as its weight rises", rises)
            if method == "attention" and weights[0] == 0:
                bench.claim(
                    f"attention at 0: no more {word!r} than with the word absent",
                    bounds[0][0] <= wilson(absent, count)[1],
                )


def cost(bench: Bench, rounds: int) -> None:
    """Factors of CPU time."""
    variants = {"no weight": ("dragon, cake", "attention")} | {
        method: ("(dragon:1.5), cake", method) for method in METHODS
    }
    times: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(rounds + 1):
        for name, (prompt, method) in variants.items():
            began = time.process_time()
            request = bench.app.Request(
                prompt=prompt,
                count=4,
                seed=1,
                steps=24,
                length=96,
                model=bench.args.model,
                guidance={"scale": 1.0},
                emphasis={"method": method},
            )
            job = bench.app.queue.submit(request)
            job.wait()
            if job.result is None:
                raise SystemExit(job.error)
            times[name].append(time.process_time() - began)
    unit = statistics.median(times["no weight"][1:])
    print(f"\nCPU time, 4 texts of 96 tokens in 24 steps, guidance 1, median of {rounds}")
    for name, spent in times.items():
        middle = statistics.median(spent[1:])
        print(f"{name:12} {middle:6.3f} s  x {middle / unit:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--model")
    parser.add_argument("--texts", type=int, default=64)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--weights", type=float, nargs="+", default=list(WEIGHTS))
    parser.add_argument("--scale", type=float, default=1.0, help="guidance scale")
    parser.add_argument("--prompts", nargs="+", default=list(PROMPTS), help="a star before the weighted word")
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    torch.set_num_threads(1)
    app = App(Settings(keep_history=False))
    bench = Bench(app, args)
    print(
        f"{args.texts} texts a point, {args.steps} steps, checkpoint {app.checkpoints.entry(args.model).name}"
    )
    if "inclusion" in args.parts:
        inclusion(bench, args.prompts, args.weights, args.scale)
    if "cost" in args.parts:
        cost(bench, args.rounds)
    app.close()
    sys.exit(0 if bench.held else 1)


if __name__ == "__main__":
    main()
