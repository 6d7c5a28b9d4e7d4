"""Our engine against plain torch versions of LLaDA's generate and Fast-dLLM's (tests/reference), on the same files:
`python -m benchmarks.published [--prompts 64 512] [--cases none prefix dual] [--length 128] [--rounds 3]`.

A random LLaDA of 8 layers, width 512, vocabulary 32k, in fp32, on one thread; both sides in turn in one run; CPU
time of the thread, so that other programs count little. Ours is the whole path of a request: tokenized, denoised,
decoded. Beside each: the time inside its model calls, and how long the bare transformers model takes for as many
positions as a whole pass has. Tokens must be equal, except above temperature 0, where both draw from the same
distribution with noise of their own.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported

import torch
import transformers

from benchmarks.host_cost import Clock
from tests.reference import fast_dllm_caches, llada
from tests.reference.llada_model import read
from tests.tiny_checkpoints import llada as write_llada
from webui.checkpoints.loading import Checkpoints
from webui.core.events import Finished
from webui.core.request import Cell
from webui.denoising.engine import Engine
from webui.extension.registry import Registry
from webui.settings import ROOT, Settings

SHAPE: dict[str, Any] = {
    "d_model": 512,
    "n_layers": 8,
    "n_heads": 8,
    "n_kv_heads": 8,
    "mlp_hidden_size": 1536,
    "embedding_size": 32000,
    "vocab_size": 32000,
    "max_sequence_length": 2048,
}
CASES: dict[str, dict[str, Any]] = {  # fields of our request
    "llada": {},
    "llada, temperature 1": {"temperature": 1.0},
    "none": {},
    "prefix": {"cache": "prefix"},
    "dual": {"cache": "dual"},
    "none, threshold": {"sampler": "threshold"},
    "prefix, threshold": {"sampler": "threshold", "cache": "prefix"},
    "dual, threshold": {"sampler": "threshold", "cache": "dual"},
}


class Timed:
    """A function, and the thread's CPU time inside it."""

    def __init__(self, function: Callable[..., Any]):
        self.function, self.seconds, self.calls = function, 0.0, 0

    def __call__(self, *arguments: Any) -> Any:
        began = time.thread_time()
        result = self.function(*arguments)
        self.seconds += time.thread_time() - began
        self.calls += 1
        return result


class Both:
    """The two sides over one checkpoint folder."""

    def __init__(self, folder: Path, length: int, block: int, threshold: float):
        write_llada(folder / "checkpoints" / "random", **SHAPE)
        settings = Settings(models=folder, model="random", device="cpu", dtype="float32")
        checkpoints = Checkpoints(settings)
        self.registry = Registry(ROOT / "extensions")
        self.engine = Engine(checkpoints, self.registry, lambda result: None)
        self.model = checkpoints.load(None)
        self.clock = Clock(self.model.body, self.model.head)
        self.plain = fast_dllm_caches.Llada(*read(folder / "checkpoints" / "random"))
        self.length, self.block, self.threshold = length, block, threshold

    def prompt(self, tokens: int) -> tuple[str, list[int]]:
        """A text of so many tokens."""
        generator = torch.Generator().manual_seed(tokens)
        letters = torch.randint(0, 26, (tokens,), generator=generator).tolist()
        text = "".join(chr(ord("A") + letter) for letter in letters)  # each is a token: no merge has capitals
        found = list(self.model.tokenizer.prompt(text, "", "raw").tokens)
        assert len(found) == tokens
        return text, found

    def ours(self, text: str, fields: dict[str, Any]) -> tuple[list[int], float, float, int]:
        """Tokens, seconds, seconds in the model, forward passes."""
        request = self.registry.Request(
            prompt=text,
            template="raw",
            length=self.length,
            block_length=self.block,
            steps=self.length,
            threshold=self.threshold,
            end_of_text="keep",
            seed=1,
            **{"temperature": 0.0, **fields},
        )
        inside, began = self.clock.seconds, time.thread_time()
        (result,) = [
            event.result
            for event in self.engine.generate([Cell("0", request)], "job", lambda: False)
            if isinstance(event, Finished)
        ]
        seconds = time.thread_time() - began
        return list(result.tokens), seconds, self.clock.seconds - inside, result.statistics.forwards  # type: ignore[arg-type]

    def theirs(self, prompt: list[int], case: str) -> tuple[list[int], float, float, int]:
        """The same of the published method."""
        mask = self.model.mask
        canvas = torch.tensor([prompt + [mask] * self.length])
        options: dict[str, Any] = {"block_length": self.block, "mask_id": mask, "banned": (mask,)}
        if case.startswith("llada"):
            call = Timed(lambda tokens: self.plain(tokens)[0])
            options |= {"steps": self.length, "temperature": float("temperature" in case)}
            sample: Any = llada.sample
        else:
            call = Timed(self.plain)
            options |= {"cache": case.split(",")[0]}
            options |= {"threshold": self.threshold} if "threshold" in case else {"steps": self.length}
            sample = fast_dllm_caches.sample
        began = time.thread_time()
        tokens = sample(call, canvas, len(prompt), **options)[0, len(prompt) :].tolist()
        return tokens, time.thread_time() - began, call.seconds, call.calls

    def bare(self, positions: int) -> tuple[float, float]:
        """Milliseconds of a whole pass: of the transformers model without a head, and of the plain one with it."""
        tokens = torch.randint(0, 256, (1, positions))
        times: tuple[list[float], list[float]] = [], []
        with torch.no_grad():
            for _ in range(5):
                began = time.thread_time()
                self.model.head(self.model.body(input_ids=tokens, use_cache=False).last_hidden_state)
                middle = time.thread_time()
                self.plain(tokens)
                times[0].append(middle - began)
                times[1].append(time.thread_time() - middle)
        return 1000 * statistics.median(times[0]), 1000 * statistics.median(times[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--prompts", type=int, nargs="+", default=[64, 512])
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--block", type=int, default=32)
    parser.add_argument("--threshold", type=float, default=0.01, help="random weights are never confident")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(
        f"{platform.processor() or platform.machine()}, torch {torch.__version__}, transformers "
        f"{transformers.__version__}, one thread, CPU time, medians of {options.rounds}"
    )
    with tempfile.TemporaryDirectory() as folder:
        both = Both(Path(folder), options.length, options.block, options.threshold)
        both.ours(both.prompt(16)[0], {})  # warm
        for size in options.prompts:
            text, tokens = both.prompt(size)
            native, plain = both.bare(size + options.length)
            print(
                f"prompt {size}: a bare pass with all logits: transformers {native:.1f} ms, plain {plain:.1f} ms"
            )
            for case in options.cases:
                mine, their = [], []
                for _ in range(options.rounds):
                    their.append(both.theirs(tokens, case))
                    mine.append(both.ours(text, CASES[case]))
                report(case, mine, their)


def report(case: str, mine: list, their: list) -> None:
    """One line: milliseconds per forward pass of both sides, their ratio, and the share of the model in each."""
    ours, theirs = (statistics.median(1000 * s / n for _, s, _, n in runs) for runs in (mine, their))
    ratio = statistics.median(t[1] / m[1] for t, m in zip(their, mine, strict=True))
    inside, their_inside = (statistics.median(s / w for _, w, s, _ in runs) for runs in (mine, their))
    same = "not compared" if "temperature" in case else "equal" if mine[0][0] == their[0][0] else "DIFFERENT"
    print(
        f"  {case:21} published {theirs:8.2f} ms ({their_inside:.0%} model, {their[0][3]} passes)  "
        f"ours {ours:8.2f} ms ({inside:.0%} model, {mine[0][3]} passes)  ratio {ratio:5.2f}  tokens {same}",
        flush=True,
    )


if __name__ == "__main__":
    main()
