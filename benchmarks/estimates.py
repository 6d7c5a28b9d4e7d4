"""What requests are said to take against what they take: `python -m benchmarks.estimates [--model M] [--threads N]`.

One text is written first, as a user would have before a grid: its model calls are all that is known. Each shape is
estimated from that alone (`first`), and again from everything that was run before it (`then`); then it is run.
The ratios are of the estimate to the seconds that the job took by the clock, from the start of its first text.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any

from webui.application import App
from webui.service.estimate import Pace
from webui.settings import Settings

PROMPT = "dragon, cake, castle"
BASE = {"prompt": PROMPT, "length": 32, "steps": 16}
SHAPES: dict[str, dict[str, Any]] = {
    "one text": {},
    "4 texts": {"count": 4},
    "24 texts, 2 batches": {"count": 24},
    "16 prompts of a matrix": {
        "prompt": "a | dragon | cake | castle | map",
        "prompt_matrix": {"enabled": True},
    },
    "8 texts of 96 tokens in 32 steps": {"count": 8, "length": 96, "steps": 32},
    "16 texts of 12 tokens in 12 steps": {"count": 16, "length": 12, "steps": 12},
    "8 guidance scales": {"xyz_grid": {"x_field": "guidance.scale", "x_values": "1-4.5[8]"}},
    "steps 2, 4, 8, 16, 32": {"xyz_grid": {"x_field": "steps", "x_values": "2, 4, 8, 16, 32"}},
    "4 samplers": {"xyz_grid": {"x_field": "sampler", "x_values": "random, low_confidence, threshold, wino"}},
    "4 texts, 3 loops on the canvas": {"count": 4, "loopback": {"loops": 3}},
    "4 texts, 2 loops in the prompt": {"count": 4, "loopback": {"loops": 2, "into": "prompt"}},
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model")
    parser.add_argument("--threads", type=int, default=0, help="as the setting; 0: measured")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        app = App(Settings.read(data=Path(folder), threads=args.threads))
        for _ in range(2):  # threads are measured, memory is there
            _run(app, app.Request(**{**BASE, "seed": 1, "model": args.model}))
        first = Path(shutil.copy(Path(folder) / "pace.json", Path(folder) / "first.json"))
        ratios = []
        print(f"{'':36} {'took':>7} {'first':>7} {'then':>7}   ratios")
        for name, shape in SHAPES.items():
            request = app.Request(**{**BASE, "seed": 2, "model": args.model, **shape})
            then, app.pace = app.estimate(request).seconds, Pace(first)
            early = app.estimate(request).seconds
            app.pace = Pace(Path(folder) / "pace.json")
            took = _run(app, request)
            assert early is not None and then is not None
            ratios += [early / took, then / took]
            print(
                f"{name:36} {took:6.1f} s {early:6.1f}s {then:6.1f}s   {early / took:.2f} {then / took:.2f}"
            )
        within = sum(0.5 <= ratio <= 2 for ratio in ratios)
        print(
            f"{within} of {len(ratios)} estimates within a factor of 2; {min(ratios):.2f} to {max(ratios):.2f}"
        )
        app.close()


def _run(app: App, request: Any) -> float:
    """The seconds of a job."""
    job = app.queue.submit(request)
    job.wait()
    if job.state != "done":
        raise SystemExit(job.error)
    return job.line()["seconds"]


if __name__ == "__main__":
    main()
