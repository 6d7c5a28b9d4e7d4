"""What guidance, AND and schedules do and cost: `python -m benchmarks.guidance [--parts negative and schedule cost] [--model M] [--texts 64] [--steps 40]`.

Measured on the text of the answers alone, with 95 % Wilson intervals; the seeds are the same at every point.

negative  a word that comes up without being asked for, as a negative prompt, at each guidance scale; and the model's own
          bound on its texts given the prompt, in bits per byte. The claim: the rate falls by half or more where the
          bound rises by at most 10 %.
and       `dragon AND cake` holds both words more often than either prompt alone.
schedule  `[dragon:cake:0.5]` holds both words more often than either prompt alone.
cost      CPU time of a step with each feature as a factor of one without, and of all of them switched off against a
          program without them; interleaved, medians.

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

from extensions.training.evaluation.questions import passages
from extensions.training.evaluation.statistics import wilson
from extensions.training.evaluation.texts import includes
from webui.application import App
from webui.checkpoints.likelihood import bounds
from webui.settings import ROOT, Settings

SCALES = (1.0, 1.5, 2.5, 4.0)
PARTS = ("negative", "and", "schedule", "cost")
OURS = ("guidance", "prompt_and", "prompt_schedule")
MOST = 1.1  # times the bound at guidance 1
DRAWS = 4  # of the bound of each text


class Bench:
    """Texts of one checkpoint, and what is counted in them."""

    def __init__(self, app: App, args: argparse.Namespace):
        self.app, self.args = app, args
        self.held = True
        self._alone: dict[str, list[str]] = {}

    def write(self, prompt: str, **fields: Any) -> list[str]:
        """The answers to a prompt, of consecutive seeds."""
        args = self.args
        common = {"count": args.texts, "seed": args.seed, "steps": args.steps, "model": args.model}
        job = self.app.queue.submit(self.app.Request(prompt=prompt, **{**common, **fields}))
        job.wait()
        if job.result is None:
            raise SystemExit(job.error)
        parts = job.result.parts or (job.result,)
        if failed := [part.error for part in parts if part.error]:
            raise SystemExit(failed[0])
        return [part.text for part in parts]

    def bound(self, prompt: str, texts: Sequence[str]) -> float:
        """Bits per byte of the texts after the prompt, by the model's own bound."""
        model = self.app.checkpoints.load(self.args.model)
        frame = model.tokenizer.prompt(prompt).tokens
        some = [
            passage
            for text in texts
            for passage in passages(
                text,
                model.tokenizer.encode,
                frame,
                model.ends[0],
                model.description.prefix,
                model.description.max_length,
            )
        ]
        nats = sum(bounds(model, some, draws=DRAWS))
        return nats / torch.log(torch.tensor(2.0)).item() / sum(passage.bytes for passage in some)

    def claim(self, sentence: str, holds: bool) -> None:
        self.held &= holds
        print(f"{'holds' if holds else 'DOES NOT HOLD'}: {sentence}", flush=True)

    def negative(self) -> None:
        """The rate of a word that is the negative prompt, and the bound of the texts."""
        for prompt, word in (pair.split("/") for pair in self.args.pairs):
            print(f"\nprompt {prompt!r}, negative prompt {word!r}")
            print("guidance  texts with the word     bits per byte")
            rates, bits = [], []
            for scale in self.args.scales:
                options = {"scale": scale, "negative_prompt": word}
                texts = self.write(prompt, guidance=options)
                hits = sum(includes(text, word) for text in texts)
                rates.append(hits / len(texts))
                bits.append(self.bound(prompt, texts))
                print(f"{scale:8g}  {rate(hits, len(texts))}  {bits[-1]:.3f}", flush=True)
            good = [r for r, b in zip(rates[1:], bits[1:], strict=True) if b <= MOST * bits[0]]
            holds = bool(good) and min(good) <= rates[0] / 2
            self.claim(f"the rate of {word!r} halves while the bound rises by at most 10 %", holds)

    def both(self, name: str, prompt: str, **fields: Any) -> None:
        """How often a prompt's answers hold both words, against each word's prompt alone."""
        one, other = self.args.words
        print(f"\n{name}, guidance {self.args.scale:g}\nprompt                    {one:22}  {other:22}  both")
        shares = []
        for text in (one, other, prompt):
            texts = self._alone.get(text)
            if texts is None:
                texts = self.write(text, guidance={"scale": self.args.scale}, **fields)
            if text in self.args.words:
                self._alone[text] = texts
            first = [includes(answer, one) for answer in texts]
            second = [includes(answer, other) for answer in texts]
            together = sum(a and b for a, b in zip(first, second, strict=True))
            shares.append(together)
            columns = (
                rate(sum(first), len(texts)),
                rate(sum(second), len(texts)),
                rate(together, len(texts)),
            )
            print(f"{text:24}  " + "  ".join(columns), flush=True)
        self.claim(f"{prompt!r} holds both words more often than either alone", shares[2] > max(shares[:2]))

    def cost(self) -> None:
        """Factors of CPU time."""
        with tempfile.TemporaryDirectory() as folder:
            bare = self._without(Path(folder))
            variants: dict[str, tuple[App, dict[str, Any]]] = {
                "without the extensions": (bare, {}),
                "switched off": (self.app, {"guidance": {"scale": 1.0}}),
                "guidance": (self.app, {"guidance": {"scale": 2.5}}),
                "negative prompt": (self.app, {"guidance": {"scale": 2.5, "negative_prompt": "bird"}}),
                "negative prompt for a half": (
                    self.app,
                    {"guidance": {"scale": 2.5, "negative_prompt": "bird", "end": 0.49}},
                ),
                "adaptive guidance": (self.app, {"guidance": {"scale": 2.5, "adaptive": 0.3}}),
                "AND of two": (
                    self.app,
                    {
                        "prompt": "dragon, castle AND dragon, castle",
                        "guidance": {"scale": 1.0},
                        "prompt_and": {"enabled": True},
                    },
                ),
                "schedule": (self.app, {"prompt": "dragon, [castle:cake:0.5]", "guidance": {"scale": 1.0}}),
            }
            times: dict[str, list[float]] = {name: [] for name in variants}
            for _ in range(self.args.rounds + 1):
                for name, (app, fields) in variants.items():
                    began = time.process_time()
                    common = {"prompt": "dragon, castle", "count": 4, "seed": 1, "steps": 24, "length": 96}
                    job = app.queue.submit(app.Request(**{**common, "model": self.args.model, **fields}))
                    job.wait()
                    if job.result is None:
                        raise SystemExit(job.error)
                    times[name].append(time.process_time() - began)
            bare.close()
        unit = statistics.median(times["without the extensions"][1:])
        print(f"\nCPU time, 4 texts of 96 tokens in 24 steps, median of {self.args.rounds}")
        for name, spent in times.items():
            middle = statistics.median(spent[1:])
            print(f"{name:28} {middle:6.3f} s  x {middle / unit:.3f}")

    def _without(self, folder: Path) -> App:
        """The program without these extensions."""
        for path in (ROOT / "extensions").iterdir():
            if (path / "__init__.py").is_file() and path.name not in OURS:
                (folder / path.name).symlink_to(path)
        return App(Settings(keep_history=False, built_in=folder))


def rate(hits: int, n: int) -> str:
    """A rate with its interval."""
    low, high = wilson(hits, n)
    return f"{hits / n:.2f} ({low:.2f} to {high:.2f})   "


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    parser.add_argument("--model")
    parser.add_argument("--texts", type=int, default=64)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scales", type=float, nargs="+", default=list(SCALES))
    parser.add_argument("--scale", type=float, default=2.5, help="guidance scale of AND and of the schedule")
    parser.add_argument("--pairs", nargs="+", default=["dragon, castle/bird"], help="prompt/negative prompt")
    parser.add_argument("--words", nargs=2, default=["dragon", "cake"])
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    torch.set_num_threads(1)
    app = App(Settings(keep_history=False))
    bench = Bench(app, args)
    print(
        f"{args.texts} texts a point, {args.steps} steps, checkpoint {app.checkpoints.entry(args.model).name}"
    )
    one, other = args.words
    if "negative" in args.parts:
        bench.negative()
    if "and" in args.parts:
        bench.both("AND", f"{one} AND {other}", prompt_and={"enabled": True})
    if "schedule" in args.parts:
        bench.both("schedule", f"[{one}:{other}:0.5]")
    if "cost" in args.parts:
        bench.cost()
    app.close()
    sys.exit(0 if bench.held else 1)


if __name__ == "__main__":
    main()
