"""What emphasis does and costs: `python -m benchmarks.emphasis [--parts inclusion cost] [--methods attention ...] [--model M] [--texts 64] [--steps 40]`.

Measured on the text of the answers alone, with 95 % Wilson intervals; the seeds are the same at every point.

inclusion  how many texts hold a weighted word, at each weight, for each method, in prompts of two and of four
           keywords; and with the word absent. The claims: the rate does not fall as the weight rises (beyond what
           its interval allows), and with attention it is at weight 0 no higher than with the word absent.
cost       CPU time with each method, at weight 1 and at 1.5, and without the extension, as a factor of the prompt without
           weights; interleaved, medians. The claim: at weight 1 and without the extension the texts are the same.

Exit status 1 if a claim does not hold.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.guidance import Bench, rate
from extensions.training.evaluation.statistics import wilson
from extensions.training.evaluation.texts import includes
from webui.application import App
from webui.settings import ROOT, Settings

PLAIN = "no weight"
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
    """Factors of CPU time, each round's against that round's prompt without weights: what else the machine does then
    slows both down."""
    common = {"count": 4, "seed": 1, "steps": 24, "length": 96, "model": bench.args.model}
    common["guidance"] = {"scale": 1.0}
    with tempfile.TemporaryDirectory() as folder:
        for path in (ROOT / "extensions").iterdir():
            if (path / "__init__.py").is_file() and path.name != "emphasis":
                (Path(folder) / path.name).symlink_to(path)
        bare = App(Settings(keep_history=False, built_in=Path(folder)))
        plain = (bench.app, "dragon, cake", {})
        variants: dict[str, tuple[App, str, dict[str, Any]]] = {
            PLAIN: plain,
            "the same again": plain,
            "without the extension": (bare, "dragon, cake", {}),
            **{
                f"{method}, weight {weight:g}": (
                    bench.app,
                    f"(dragon:{weight:g}), cake",
                    {"emphasis": {"method": method}},
                )
                for method in METHODS
                for weight in (1, 1.5)
            },
        }
        spent: dict[str, list[float]] = {name: [] for name in variants}
        texts: dict[str, list[str]] = {}
        for _ in range(rounds + 1):  # the first loads and compiles
            for name, (app, prompt, options) in variants.items():
                began = time.process_time()
                job = app.queue.submit(app.Request(prompt=prompt, **common, **options))
                job.wait()
                if job.result is None:
                    raise SystemExit(job.error)
                spent[name].append(time.process_time() - began)
                texts[name] = [part.text for part in job.result.parts]
        bare.close()
    print(
        f"\nCPU time, 4 texts of 96 tokens in 24 steps, guidance 1; factor: median of {rounds} rounds, quartiles"
    )
    for name, times in spent.items():
        factors = [time / unit for time, unit in zip(times[1:], spent[PLAIN][1:], strict=True)]
        low, middle, high = statistics.quantiles(factors, n=4)
        print(f"{name:24} {statistics.median(times[1:]):6.3f} s  x {middle:.3f} ({low:.3f} to {high:.3f})")
    for name in ("without the extension", *(f"{method}, weight 1" for method in METHODS)):
        bench.claim(f"{name}: the same texts", texts[name] == texts[PLAIN])


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
