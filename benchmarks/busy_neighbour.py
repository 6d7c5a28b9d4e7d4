"""What a busy process beside it costs: `python -m benchmarks.busy_neighbour [--rounds 3] [--timeout 300]`.

`generate "dragon, cake" --seed 11` on two cores of the machine, idle and beside one niced process that never
rests; with the numbers of threads that are measured (the default), with one thread, and with two threads that
spin while they wait (what torch does by itself). Medians of wall time; the machine should do nothing else.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VARIANTS = {
    "measured": ((), {}),
    "one thread": (("--threads", "1"), {}),
    "two threads, spinning": (("--threads", "2"), {"OMP_WAIT_POLICY": "active"}),
}


def generate(flags: tuple[str, ...], environment: dict[str, str], timeout: float) -> float:
    """Wall time of one text in a new process; infinite if it takes longer than `timeout`."""
    inherited = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    command = [sys.executable, str(ROOT / "app.py"), "generate", "dragon, cake", "--seed", "11", *flags]
    began = time.perf_counter()
    try:
        subprocess.run(command, env=inherited | environment, check=True, capture_output=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        return float("inf")
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--timeout", type=float, default=300, help="seconds after which a text is given up")
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])  # what is started inherits it
    for name, (flags, environment) in VARIANTS.items():
        times: dict[str, list[float]] = {"idle": [], "busy": []}
        for _ in range(options.rounds):
            times["idle"].append(generate(flags, environment, options.timeout))
            neighbour = subprocess.Popen(["nice", "-n", "10", sys.executable, "-c", "while True: pass"])
            try:
                times["busy"].append(generate(flags, environment, options.timeout))
            finally:
                neighbour.kill()
                neighbour.wait()
        idle, busy = (statistics.median(times[kind]) for kind in ("idle", "busy"))
        print(
            f"{name}: idle {idle:.1f} s, beside a busy process {busy:.1f} s, {busy / idle:.1f} times",
            flush=True,
        )


if __name__ == "__main__":
    main()
