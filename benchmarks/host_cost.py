"""What a denoising step costs beside the model: `python -m benchmarks.host_cost [--rows 1 8 64] [--rounds 3]`.

CPU time of the thread that runs the engine, on one thread, in fp32, on random weights in the shape of the
first default checkpoint (2.9 M parameters: width 192, 5 layers, 3 heads, hidden size 480, vocabulary 4096, tied).
Model time is what the body and the head of the transformers module take; all else in a step is host time:
preparing the canvas, extensions, sampling, events. Steps in which a text is finished are left out, as are the
first two of each run. `--model FOLDER` measures a checkpoint instead; `--digest` prints a hash of the texts.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported

import torch

from tests.tiny_checkpoints import llada
from webui.checkpoints.loading import Checkpoints
from webui.core.events import Finished, Progress
from webui.core.request import Cell
from webui.denoising.engine import Engine
from webui.extension.registry import Registry
from webui.settings import ROOT, Settings

SHAPE = {
    "d_model": 192,
    "n_layers": 5,
    "n_heads": 3,
    "n_kv_heads": 3,
    "mlp_hidden_size": 480,
    "embedding_size": 4096,
    "vocab_size": 4096,
    "weight_tying": True,
}
PROMPT = "dragon, cake, castle"
VARIANTS: dict[str, dict[str, Any]] = {
    "temperature 0": {"temperature": 0.0},
    "temperature .5": {"temperature": 0.5},
    "top-p, guidance, words": {
        "temperature": 0.5,
        "top_p": 0.9,
        "guidance": {"scale": 2.0, "negative_prompt": "sad"},
        "logit_bias": {"more": "golden ring", "never": "dragon"},
    },
}


class Clock:
    """Adds up the thread's CPU time inside some modules."""

    def __init__(self, *modules: torch.nn.Module):
        self.seconds = 0.0
        self._began = 0.0
        for module in modules:
            module.register_forward_pre_hook(self._start)
            module.register_forward_hook(self._stop)

    def _start(self, *_: Any) -> None:
        self._began = time.thread_time()

    def _stop(self, *_: Any) -> None:
        self.seconds += time.thread_time() - self._began


def measure(engine: Engine, clock: Clock, rows: int, **fields: Any) -> tuple[float, float, list[str]]:
    """Milliseconds of host and of model time per step, and the texts."""
    request = engine.registry.Request.read({"prompt": PROMPT, "template": "raw", "length": 100, **fields})[0]
    cells = [Cell(str(i), request.replace(seed=i)) for i in range(rows)]
    host, model, texts, step = 0.0, 0.0, [], 0
    counted, clean = 0, False
    mark = (time.thread_time(), clock.seconds)
    for event in engine.generate(cells, "job", lambda: False):
        if isinstance(event, Finished):
            texts.append(event.result.text)
            clean = False
        if isinstance(event, Progress):
            now = (time.thread_time(), clock.seconds)
            if clean and step > 2:
                inside = now[1] - mark[1]
                host, model, counted = host + now[0] - mark[0] - inside, model + inside, counted + 1
            step, clean, mark = step + 1, True, now
    return 1000 * host / counted, 1000 * model / counted, texts


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", type=Path, help="a checkpoint's folder instead of random weights")
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS)[:2], choices=list(VARIANTS))
    parser.add_argument("--digest", action="store_true", help="print a hash of the texts")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        path = options.model or llada(Path(folder) / "checkpoints" / "random", **SHAPE)
        settings = Settings(models=path.parents[1], model=path.name, device="cpu", dtype="float32")
        engine = Engine(Checkpoints(settings), Registry(ROOT / "extensions"), lambda result: None, 64)
        loaded = engine.checkpoints.load(None)
        clock = Clock(loaded.body, loaded.head)
        print(f"{path.name}, one thread, CPU time of the thread, median of {options.rounds}; ms per step")
        for name in options.variants:
            for rows in options.rows:
                rounds = [measure(engine, clock, rows, **VARIANTS[name]) for _ in range(options.rounds)]
                host = statistics.median(one[0] for one in rounds)
                model = statistics.median(one[1] for one in rounds)
                line = f"{name}, {rows:2} rows: host {host:7.2f}, model {model:7.2f}, host/model {host / model:.1%}"
                digest = hashlib.sha256("\n".join(sorted(rounds[0][2])).encode()).hexdigest()[:12]
                print(line + (f", texts {digest}" if options.digest else ""), flush=True)


if __name__ == "__main__":
    main()
