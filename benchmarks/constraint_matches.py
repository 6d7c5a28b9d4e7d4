"""Whether every text matches: `python -m benchmarks.constraint_matches [--texts 20] [--length 40] [--model M] [--only RULE] [--suite FOLDER]`.

The 25 rules of tests/constraint_rules.py, each over `texts` texts: half of them at temperature 0 and half at 1, at 1, 2, 4 and 8 tokens per
forward pass, with guidance and emphasis on, of three checkpoints: the default one, `tiny`, a random one with a byte-level BPE, and `split`, a
random one whose tokens end within characters and begin within others. A text is checked by `re`, `json` and `jsonschema`, Lark's parser or the
dictionary, never by the program's own automata. The claim: all match. Exit status 1 if one does not.

With `--suite` the rules are the schemas of a folder of JSON-Schema-Test-Suite instead, such as its tests/draft2020-12, which is no part of the
program; those that the program refuses, or whose pattern Python does not know, are counted and left out.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from extensions.constraints.rules import of_schema
from tests.constraint_rules import Check, by_schema, rules
from webui.application import App
from webui.settings import Settings
from webui.testing.tiny import MERGES, llada

LETTERS = "äöüß猫é €🦊"  # whose bytes are split and joined


def split(folder: Path) -> None:
    """A tiny checkpoint whose tokens end within a character and begin within the next one."""
    data, alphabet = LETTERS.encode() * 2, byte_letters()
    pairs = dict.fromkeys(data[i : i + 2] for i in range(len(data) - 1))  # across characters, and within
    found = ["".join(alphabet[byte] for byte in pair) for pair in pairs][: len(MERGES)]
    llada(folder, merges=[*found, *MERGES[: len(MERGES) - len(found)]])


def byte_letters() -> dict[int, str]:
    """The letter of each byte in the alphabet of byte-level tokenizers."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in plain]
    return {byte: chr(byte) for byte in plain} | {byte: chr(256 + i) for i, byte in enumerate(rest)}


def suite(folder: Path) -> Iterator[tuple[str, dict[str, str], Check]]:
    """The rules of a folder of JSON-Schema-Test-Suite, without those that are refused."""
    refused, taken = Counter(), 0
    for path in sorted(folder.glob("*.json")):
        for group in json.loads(path.read_text("utf-8")):
            schema, text = group["schema"], json.dumps(group["schema"])
            try:
                of_schema(text)
                matches = by_schema(schema)
                for test in group["tests"]:
                    matches(json.dumps(test["data"]))
            except (ValueError, re.error):
                refused[path.stem] += 1
                continue
            taken += 1
            yield f"{path.stem}: {group['description']}", {"json_schema": text}, matches
    print(f"{taken} schemas; refused {refused.total()}: {dict(refused)}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.constraint_matches", description=__doc__)
    parser.add_argument("--texts", type=int, default=20, help="of each rule")
    parser.add_argument("--length", type=int, default=40)
    parser.add_argument("--model", help="one checkpoint only")
    parser.add_argument("--only", help="rules with this in their name")
    parser.add_argument("--suite", type=Path, help="a folder of JSON-Schema-Test-Suite")
    args = parser.parse_args()
    good, every, began = Counter(), Counter(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        tiny = Path(folder) / "models"
        llada(tiny / "checkpoints" / "tiny")
        split(tiny / "checkpoints" / "split")
        for model in [args.model] if args.model else ["storyteller", "tiny", "split"]:
            small = model in ("tiny", "split")
            settings = Settings(keep_history=False, **({"models": tiny, "model": model} if small else {}))
            app = App(settings)
            try:
                for name, options, matches in suite(args.suite) if args.suite else rules():
                    if not args.only or args.only in name:
                        before = good.total(), every.total()
                        _texts(app, model, args, name, options, matches, good, every)
                        mine = good.total() - before[0], every.total() - before[1]
                        print(f"{model}, {name}: {mine[0]} of {mine[1]}", flush=True)
            finally:
                app.close()
    for key in sorted(every):
        print(
            f"{key[0]}, {key[1]} tokens per forward pass, temperature {key[2]}: {good[key]} of {every[key]}"
        )
    print(
        f"{good.total()} of {every.total()} texts match, {time.process_time() - began:.0f} s of processor time"
    )
    return 0 if good == every else 1


def _texts(app, model: str, args, name: str, options: dict, matches, good: Counter, every: Counter) -> None:
    cases = [(together, temperature) for together in (1, 2, 4, 8) for temperature in (0.0, 1.0)]
    for number, (together, temperature) in enumerate(cases):
        count = args.texts // len(cases) + (number < args.texts % len(cases))
        if not count:
            continue
        job = app.queue.submit(
            app.Request(
                model=model,
                prompt="a (dragon:1.3) and a cat",
                length=args.length,
                steps=args.length // together,
                temperature=temperature,
                count=count,
                seed=number + 1,
                guidance={"scale": 1.5, "negative_prompt": "rain"},
                constraints=options,
            )
        )
        job.wait()
        for part in (job.result.parts or (job.result,)) if job.result else ():
            every[model, together, temperature] += 1
            fine = part.error is None and matches(part.text)
            good[model, together, temperature] += fine
            if not fine:
                print(
                    f"{model}, {name}, {together}, {temperature}: {part.text!r} {part.error or ''}",
                    flush=True,
                )
        if not job.result:
            every[model, together, temperature] += count
            print(f"{model}, {name}: {job.error}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
