"""Pruning by importance against pruning at random, before and after healing:
`python -m benchmarks.pruning --data stories.jsonl [--remove 0.5] [--what width] [--seeds 0 1 2] [--steps 60]`.

Each pruned checkpoint is made by `app.py merge --method prune` and healed by `app.py finetune --kind full`, in a
folder that is removed afterwards, with the same data, steps and rows for all. Printed: the bound on the rows that
finetune holds out, in nats per token, before and after healing, for the choice by importance and for each seed of
the random choice; their mean and standard deviation; and of how many seeds importance is the better one.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.browser import ROOT

HEALED = re.compile(r"held out ([\d.]+) without, ([\d.]+) with it")


def command(models: Path, *arguments: str) -> str:
    """What a command of the program printed. SystemExit with its sentence if it failed."""
    line = [sys.executable, str(ROOT / "app.py"), "--models", str(models), "--threads", "1", *arguments]
    ran = subprocess.run(line, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise SystemExit(f"{' '.join(arguments[:1])}: {ran.stderr.strip() or ran.stdout.strip()}")
    return ran.stdout + ran.stderr


def healed(models: Path, args: argparse.Namespace, choice: str, seed: int) -> tuple[float, float]:
    """The bound of a pruned checkpoint before and after healing."""
    name = f"{choice}-{seed}"
    cut = ("--what", args.what, "--remove", str(args.remove), "--choice", choice, "--seed", str(seed))
    pruned = ("--method", "prune", "--a", args.model, "--data", str(args.data), *cut, "--out", name)
    command(models, "merge", *pruned)
    trained = ("--kind", "full", "--model", name, "--steps", str(args.steps), "--every", str(args.steps))
    said = command(models, "finetune", "--data", str(args.data), *trained, "--out", f"{name}-healed")
    found = HEALED.search(said)
    if found is None:
        raise SystemExit(f"finetune said nothing of a bound: {said.strip()}")
    return float(found[1]), float(found[2])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="storyteller")
    parser.add_argument("--models", type=Path, default=ROOT / "models")
    parser.add_argument("--what", default="width", choices=("width", "layers"))
    parser.add_argument("--remove", type=float, default=0.5)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    args.data = args.data.resolve()
    found: dict[str, tuple[float, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder)
        (models / "checkpoints").mkdir()
        whole = args.models.resolve() / "checkpoints" / args.model
        (models / "checkpoints" / args.model).symlink_to(whole, target_is_directory=True)
        for choice, seed in (("importance", 0), *(("random", seed) for seed in args.seeds)):
            name = choice if choice == "importance" else f"random, seed {seed}"
            found[name] = healed(models, args, choice, seed)
            if not args.json:
                print(
                    f"{name:>15}  {found[name][0]:.4f} before, {found[name][1]:.4f} after healing", flush=True
                )
    best, others = found.pop("importance"), list(found.values())
    summary = {}
    for place, when in enumerate(("before", "after")):
        drawn = [pair[place] for pair in others]
        summary[when] = {
            "importance": best[place],
            "random": drawn,
            "mean": statistics.mean(drawn),
            "deviation": statistics.stdev(drawn) if len(drawn) > 1 else 0.0,
            "better_than": sum(best[place] < bound for bound in drawn),
        }
        if not args.json:
            of = summary[when]
            print(
                f"{when:>15}  importance {best[place]:.4f}; random {of['mean']:.4f} ± {of['deviation']:.4f}; "
                f"importance is better than {of['better_than']} of {len(drawn)}"
            )
    if args.json:
        print(json.dumps({"what": args.what, "remove": args.remove, "steps": args.steps, **summary}))


if __name__ == "__main__":
    main()
