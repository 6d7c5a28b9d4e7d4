"""What constraints do and cost: `python -m benchmarks.constraints [--model M] [--texts 16] [--length 32] [--steps 12]`.

For each rule, over texts of consecutive seeds: the share that matches without and with it, checked by `re` and `json`;
the processor time per forward pass without and with it, each the median of three runs, and their quotient; and the
processor time that the first run takes more, which is mostly the automaton over tokens. The claim: with the rule all texts match. Exit status 1 if they do not.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
import time

from extensions.constraints.rules import PRESETS
from webui.application import App
from webui.settings import Settings

SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}, "happy": {"type": "boolean"}},
    "required": ["name", "age", "happy"],
}
RULES = {
    "date": {"preset": "date"},
    "number": {"preset": "number"},
    "list": {"preset": "list"},
    "email": {"preset": "email"},
    "json": {"preset": "json"},
    "sentence": {"regex": r"[A-Z][a-z]+( [a-z]+)*[.]"},
    "choices": {"choices": "\n".join(f"The {what} was {how}." for what in SCHEMA for how in ("red", "big"))},
    "schema": {"json_schema": json.dumps(SCHEMA)},
}


def matches(options: dict, text: str) -> bool:
    """Whether a text matches, without the program's automata."""
    if "choices" in options:
        return text in options["choices"].split("\n")
    if "json_schema" in options:
        try:
            read = json.loads(text)
        except ValueError:
            return False
        kinds = {"name": str, "age": int, "happy": bool}
        return isinstance(read, dict) and all(type(read.get(key)) is kind for key, kind in kinds.items())
    return re.fullmatch(options.get("regex") or PRESETS[options["preset"]], text) is not None


def run(app: App, args: argparse.Namespace, options: dict) -> tuple[list[str], float, float]:
    """The texts, the processor time of the whole run, and per forward pass, in seconds."""
    fields = {"prompt": args.prompt, "count": args.texts, "seed": 1, "model": args.model, "temperature": 0.8}
    fields |= {"steps": args.steps, "length": args.length, "constraints": options}
    began = time.process_time()
    job = app.queue.submit(app.Request(**fields))
    job.wait()
    if job.result is None:
        raise SystemExit(job.error)
    seconds = time.process_time() - began
    parts = job.result.parts or (job.result,)
    if failed := [part.error for part in parts if part.error]:
        raise SystemExit(failed[0])
    forwards = max(part.statistics.forwards for part in parts)
    return [part.text for part in parts], seconds, seconds / forwards


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.constraints", description=__doc__)
    parser.add_argument("--model")
    parser.add_argument("--prompt", default="dragon, cake, castle, happy ending")
    parser.add_argument("--texts", type=int, default=16)
    parser.add_argument("--length", type=int, default=32)
    parser.add_argument("--steps", type=int, default=12)
    args = parser.parse_args()
    app = App(Settings(keep_history=False))
    missing = 0
    try:
        run(app, args, {})
        plain = [run(app, args, {}) for _ in range(3)]
        base = statistics.median(each[2] for each in plain)
        print(
            "| rule | match without | match with | first run, s more | ms per forward, without and with | factor |"
        )
        print("|---|---|---|---|---|---|")
        for name, options in RULES.items():
            first = run(app, args, options)
            timed = [run(app, args, options) for _ in range(3)]
            good = sum(matches(options, text) for text in first[0])
            before = sum(matches(options, text) for text in plain[0][0])
            missing += args.texts - good
            now = statistics.median(each[2] for each in timed)
            extra = first[1] - statistics.median(each[1] for each in timed)
            print(
                f"| {name} | {before} of {args.texts} | {good} of {args.texts} | {max(extra, 0):.1f} "
                f"| {base * 1e3:.0f}, {now * 1e3:.0f} | {now / base:.2f} |",
                flush=True,
            )
    finally:
        app.close()
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
