"""What a start costs beside what its libraries cost alone, in one run.

python benchmarks/start.py [--runs 5] [--models FOLDER]

Each round starts, one after the other: `import gradio`; the server until it prints its address; `import torch;
from transformers import LlamaForCausalLM`; `generate` of 8 tokens. Seconds of CPU time are those of a process and
everything that it started; medians over the rounds. Aims: the address at most 1 s after what `import gradio`
takes, `generate` at most 1.3 times what the imports take.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
APP = [sys.executable, str(ROOT / "app.py")]
CHILD_SUBREAPER = 36  # prctl: orphans of what is started become ours, so that their time is counted


def cpu() -> float:
    """CPU seconds of every process that was started and has ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(command: Sequence[str], until_line: bool = False) -> tuple[float, float]:
    """CPU and wall seconds of a command, or of it until it has printed a line; it is ended then."""
    before, began = cpu(), time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=tempfile.gettempdir())
    assert process.stdout is not None
    if until_line:
        assert process.stdout.readline(), "it printed nothing"
    else:
        process.stdout.read()
    wall = time.monotonic() - began
    if until_line:
        process.kill()
    status = process.wait()
    process.stdout.close()
    assert until_line or status == 0, f"{command} ended with status {status}"
    while True:
        try:
            os.wait()
        except ChildProcessError:
            break
    return cpu() - before, wall


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--models", default=str(ROOT / "models"))
    options = parser.parse_args()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(CHILD_SUBREAPER, 1, 0, 0, 0)
    with tempfile.TemporaryDirectory() as data:
        own = ["--data", data, "--models", options.models]
        imports = "import torch; from transformers import LlamaForCausalLM"
        commands = {
            "import gradio": ([sys.executable, "-c", "import gradio"], False),
            "address": ([*APP, "--port", "0", "--no-preload", *own], True),
            "import torch, LlamaForCausalLM": ([sys.executable, "-c", imports], False),
            "generate --length 8": (
                [*APP, "generate", "dragon", "--length", "8", "--seed", "1", *own],
                False,
            ),
        }
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for round in range(options.runs + 1):
            for name, (command, until_line) in commands.items():
                found = measure(command, until_line)
                if round:  # the first one warms the disk's cache
                    taken[name].append(found)
    print(f"{'':32}{'CPU s':>8}{'wall s':>8}   (medians of {options.runs})")
    median = {}
    for name, found in taken.items():
        median[name] = statistics.median(cpu for cpu, _ in found)
        print(f"{name:32}{median[name]:8.2f}{statistics.median(wall for _, wall in found):8.2f}")
    print(f"address after import gradio: {median['address'] - median['import gradio']:+.2f} CPU s")
    ratio = median["generate --length 8"] / median["import torch, LlamaForCausalLM"]
    print(f"generate of 8 tokens: {ratio:.2f} times the imports")


if __name__ == "__main__":
    main()
