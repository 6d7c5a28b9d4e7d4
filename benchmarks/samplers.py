"""Quality against forwards of the samplers, on the default checkpoint: `python -m benchmarks.samplers [--samples 16] [--only
wino,p2] [--model M] [--json]`.

Each line is a setting over the checkpoint's preset, on the same prompts and seeds: what `app.py evaluate --try` measures, with the
denoising steps that a story took. A point is on the front if no other has as many sayable sentences in fewer forwards. The knee is the
point of the front that lies furthest above the line between the front's ends.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from extensions.training.evaluation.bench import Bench
from extensions.training.evaluation.presets import table, tried
from webui.application import App
from webui.settings import Settings

Point = Mapping[str, Any]
SETTINGS: tuple[dict[str, Any], ...] = (
    {},
    *({"steps": steps} for steps in (16, 32, 64)),
    *({"sampler": "threshold", "threshold": value} for value in (0.5, 0.7, 0.9)),
    *({"sampler": "factor", "parallel": {"factor": value}} for value in (0.5, 1.0, 2.0)),
    *({"sampler": "entropy_bound", "parallel": {"gamma": value}} for value in (0.1, 0.5, 1.5)),
    *({"sampler": "hierarchical", "parallel": {"threshold": value}} for value in (0.7, 0.9)),
    {"sampler": "prophet"},
    *({"sampler": "klass", "klass": {"threshold": value}} for value in (0.6, 0.9)),
    {"sampler": "klass", "klass": {"threshold": 0.6, "kl_threshold": 0.1, "history": 1}},
    *({"sampler": "wino", "wino": {"threshold": value}} for value in (0.5, 0.6, 0.8)),
    *({"sampler": "p2", "p2": {"judge": "unseen"}, "steps": steps} for steps in (32, 64, 104, 132)),
)


def front(points: Sequence[Point]) -> list[Point]:
    """Those that no other beats in sayable sentences with at most as many forwards, the quickest first."""
    best: list[Point] = []
    for point in sorted(points, key=lambda one: (one["forwards"], -one["accepted"])):
        if not best or point["accepted"] > best[-1]["accepted"]:
            best.append(point)
    return best


def knee(points: Sequence[Point]) -> Point:
    """Of a front: the point furthest above the line between its ends, both axes scaled to 1."""
    first, last = points[0], points[-1]
    wide = max(last["forwards"] - first["forwards"], 1e-9)
    high = max(last["accepted"] - first["accepted"], 1e-9)
    return max(
        points,
        key=lambda one: (
            (one["accepted"] - first["accepted"]) / high - (one["forwards"] - first["forwards"]) / wide
        ),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Quality against forwards of the samplers.")
    parser.add_argument("--samples", type=int, default=16, help="held-out prompts")
    parser.add_argument("--only", default="", help="samplers, separated by commas")
    parser.add_argument("--model", help="the checkpoint's name")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    only = [name for name in args.only.split(",") if name]
    settings = [one for one in SETTINGS if not only or one.get("sampler", "preset") in only]
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(App(Settings(data=Path(folder))), args.model, args.samples, 0, None)
        try:
            found = tried(bench, settings)
        finally:
            bench.close()
    best = front(found)
    if args.json:
        print(json.dumps({"points": found, "front": best, "knee": knee(best)}, indent=1))
        return
    print(table(found))
    print("front:", "; ".join(f"{one['settings']} ({one['forwards']:.0f})" for one in best))
    print("knee:", knee(best)["settings"])


if __name__ == "__main__":
    main()
