"""Load time and peak memory of a synthetic sharded checkpoint of 1 B parameters in LLaDA's format.

python -m benchmarks.load [--parameters 1.0] [--dtype bfloat16] [--shards 4] [--folder DIR]

Random weights in bf16 are written into the folder (a temporary one by default, 2 GB of disk). A process of its own
imports the libraries, loads a tiny checkpoint, and then this one. Printed: seconds from the call to the loaded model
with the files in the page cache; the peak of resident memory less what was resident before, as a multiple of the
weights in the type they are loaded in. Aim: at most 1.15. Every page of the weights is read before the peak is taken:
in the type of the files they are mapped, not copied, and come with the first model call. In another type the mapped
pages count as resident too while they are read, though the system may take them back.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOADER = """
import json, resource, sys, threading, time
from pathlib import Path
from webui.checkpoints.loading import Checkpoints
from webui.settings import Settings

def resident():
    lines = Path("/proc/self/status").read_text().splitlines()
    found = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines if line.startswith("Rss")}
    return found["RssAnon"], found["RssAnon"] + found["RssFile"]

models, dtype = sys.argv[1:]
there = Checkpoints(Settings(models=Path(models), model="tiny", device="cpu", dtype=dtype))
there.load("tiny")
there.unload()
before, peak, stop = resident(), [0, 0], threading.Event()

def watch():
    while not stop.wait(0.005):
        peak[:] = [max(pair) for pair in zip(peak, resident())]

threading.Thread(target=watch, daemon=True).start()
began = time.monotonic()
model = there.load("large")
seconds = time.monotonic() - began
for value in model.module.parameters():
    value.view(-1)[::512].float().sum()  # a model call reads every page; mapped ones come only then
stop.set()
size = sum(value.numel() * value.element_size() for value in model.module.parameters())
print(json.dumps({"seconds": seconds, "bytes": size, "own": peak[0] - before[0], "all": peak[1] - before[1]}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parameters", type=float, default=1.0, help="in billions")
    parser.add_argument("--dtype", default="bfloat16", choices=("bfloat16", "float32"))
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        models = options.folder or Path(temporary)
        written(models, options.parameters, options.shards)
        command = [sys.executable, "-c", LOADER, str(models), options.dtype]
        ran = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    found = json.loads(ran.stdout)
    size = found["bytes"]
    print(
        f"{size / 1e9:.2f} GB of weights in {options.dtype}, {options.shards} shards: {found['seconds']:.1f} s, "
        f"{size / 1e9 / found['seconds']:.2f} GB/s"
    )
    print(f"peak of the process's own memory {found['own'] / size:.3f} x the weights (aim: 1.15)")
    print(f"with the mapped pages of files {found['all'] / size:.3f} x")


def written(models: Path, billions: float, shards: int) -> None:
    """A tiny checkpoint and the large one."""
    import torch

    sys.path.insert(0, str(ROOT))
    from tests.tiny_checkpoints import llada

    llada(models / "checkpoints" / "tiny")
    if not (models / "checkpoints" / "large").exists():
        width, layers = 2048, max(1, round((billions * 1e9 - 2 * 32000 * 2048) / 50.3e6))
        sizes = {
            "d_model": width,
            "mlp_hidden_size": 5464,
            "n_heads": 16,
            "n_kv_heads": 16,
            "n_layers": layers,
        }
        rows = {"vocab_size": 32000, "embedding_size": 32000}
        llada(models / "checkpoints" / "large", shards=shards, dtype=torch.bfloat16, **sizes, **rows)


if __name__ == "__main__":
    main()
