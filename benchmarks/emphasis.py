"""What emphasis does and costs: `python -m benchmarks.emphasis [--parts inclusion cost] [--methods attention ...] [--model M] [--texts 64] [--steps 40]`.

Measured on the text of the answers alone, with 95 % Wilson intervals; the seeds are the same at every point.

inclusion  how many texts hold a weighted word, at each weight, for each method, in prompts of two and of four
           keywords; and with the word absent. The claims: the rate does not fall as the weight rises (beyond what
           its interval allows), and with attention it is at weight 0 no higher than with the word absent.
cost       CPU time with each method, at weight 1 and at 1.5, and without the extension, as a factor of the prompt without
           weights, which is also measured against itself: a step of each in turn, median of many pairs. The claims: at
           weight 1 and without the extension the texts are the same; all but contrast at 1.5 cost under 3 %.

Exit status 1 if a claim does not hold.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.guidance import Bench, rate
from extensions.training.evaluation.statistics import wilson
from extensions.training.evaluation.texts import includes
from webui.application import App
from webui.checkpoints.loading import Checkpoints
from webui.core.events import Failed, Finished, Progress
from webui.core.request import Cell
from webui.denoising.engine import Engine
from webui.extension.registry import Registry
from webui.settings import ROOT, Settings

METHODS = ("attention", "contrast", "vocabulary")
WEIGHTS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)
PROMPTS = ("dragon, *cake", "dragon, castle, *cake, happy ending")
PARTS = ("inclusion", "cost")
TEXTS = 4  # of a run whose time is measured
SIZE = {"steps": 8, "length": 64}
MOST = 1.03  # times the prompt without weights


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


class Side:
    """An engine with a model of its own, whose runs are timed step by step."""

    def __init__(self, folder: Path, model: str | None):
        settings = Settings(model=model, device="cpu") if model else Settings(device="cpu")
        self._registry = Registry(folder)
        self._engine = Engine(Checkpoints(settings), self._registry, lambda result: None)

    def steps(self, prompt: str, method: str) -> Iterator[float | list[str]]:
        """Seconds of CPU of each step, what is done before the first one with it; then the texts."""
        fields: dict[str, Any] = {"prompt": prompt, "guidance": {"scale": 1.0}, **SIZE}
        fields |= {"emphasis": {"method": method}} if method else {}
        request = self._registry.Request.read(fields)[0]
        cells = [Cell(str(i), request.replace(seed=i)) for i in range(TEXTS)]
        texts: dict[str, str] = {}
        began = time.thread_time()
        for event in self._engine.generate(cells, "job", lambda: False):
            if isinstance(event, Failed):
                raise SystemExit(event.sentence)
            if isinstance(event, Finished):
                texts[event.cell or ""] = event.result.text
            if isinstance(event, Progress):
                yield time.thread_time() - began
                began = time.thread_time()  # what the other side does is none of this one's
        yield [texts[cell.id] for cell in cells]


def factor(one: Iterator[float | list[str]], other: Iterator[float | list[str]]) -> tuple[float, bool]:
    """The CPU time of `other` as a factor of that of `one`, a step of each in turn; whether the texts are equal."""
    spent = [0.0, 0.0]
    for steps in zip(one, other, strict=True):
        if not isinstance(steps[0], float) or not isinstance(steps[1], float):
            return spent[1] / spent[0], steps[0] == steps[1]
        spent = [spent[0] + steps[0], spent[1] + steps[1]]
    raise AssertionError("a run ends with its texts")


def cost(bench: Bench, pairs: int) -> None:
    """Factors of CPU time to the prompt without weights. Both runs of a pair go on together, a step of each in turn,
    so that what else the machine does slows both down; and each of two models has either role in half of the pairs,
    because where a model lies in memory makes it faster or slower."""
    plain = ("dragon, cake", "attention", True)
    variants = {"the same again": plain, "without the extension": ("dragon, cake", "", False)}
    variants |= {
        f"{method}, weight {weight:g}": (f"(dragon:{weight:g}), cake", method, True)
        for method in bench.args.methods
        for weight in (1, 1.5)
    }
    found: dict[str, list[float]] = {name: [] for name in variants}
    same = dict.fromkeys(variants, True)
    with tempfile.TemporaryDirectory() as folder:
        for path in (ROOT / "extensions").iterdir():
            if (path / "__init__.py").is_file() and path.name != "emphasis":
                (Path(folder) / path.name).symlink_to(path)
        whole = [Side(ROOT / "extensions", bench.args.model) for _ in range(2)]
        bare = [Side(Path(folder), bench.args.model) for _ in range(2)]
        for number in range(-1, pairs):  # the first one loads and warms up
            for name, (prompt, method, with_it) in variants.items():
                one = whole[number % 2].steps(*plain[:2])
                other = (whole if with_it else bare)[1 - number % 2].steps(prompt, method)
                by, equal = factor(one, other)
                found[name] += [by] if number >= 0 else []
                same[name] &= equal
    print(
        f"\nCPU time, {TEXTS} texts of {SIZE['length']} tokens in {SIZE['steps']} steps, guidance 1; factor to the prompt"
    )
    print(f"without weights: median of {pairs} pairs and its 95 % interval")
    middles = {}
    for name, factors in found.items():
        middles[name], low, high = median(factors)
        print(
            f"{name:24} x {middles[name]:.3f} ({low:.3f} to {high:.3f})   texts {'the same' if same[name] else 'others'}"
        )
    for name in middles:
        if name == "without the extension" or name.endswith("weight 1"):
            bench.claim(f"{name}: the same texts", same[name])
        if not name.startswith("contrast, weight 1.5"):
            bench.claim(f"{name}: under 3 %", middles[name] < MOST)


def median(values: Sequence[float]) -> tuple[float, float, float]:
    """The median and its 95 % interval, by the order of the values: as many of them are below it as a fair coin shows
    heads."""
    ordered, n = sorted(values), len(values)
    below, chance = 0, 0.5**n
    while chance + math.comb(n, below + 1) * 0.5**n <= 0.025:
        below += 1
        chance += math.comb(n, below) * 0.5**n
    return statistics.median(ordered), ordered[below], ordered[n - 1 - below]


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
    parser.add_argument("--pairs", type=int, default=30, help="of runs, for the cost")
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
        cost(bench, args.pairs)
    app.close()
    sys.exit(0 if bench.held else 1)


if __name__ == "__main__":
    main()
