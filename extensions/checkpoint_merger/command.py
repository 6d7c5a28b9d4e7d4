"""The command `merge`: its flags, and what they mean."""

from __future__ import annotations

import argparse
import json
import re
import sys
from typing import Any

from .methods import BAKE, BAKE_ABOUT, METHODS

NAME = re.compile(r"\w[\w .+-]{0,99}")
MOST = 10.0


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's flags."""
    about = "; ".join(f"{name}: {method.about}" for name, method in METHODS.items())
    about += f"; {BAKE}: {BAKE_ABOUT}"
    parser.add_argument(
        "--method", default="weighted_sum", choices=[*METHODS, BAKE], help=about.replace("%", "%%")
    )
    parser.add_argument("--a", required=True, help="the checkpoint that gives names, types and tokenizer")
    parser.add_argument("--b", help="the second checkpoint; every method but bake needs one")
    parser.add_argument("--lora", help="the LoRA that bake writes into A")
    parser.add_argument("--c", help="the third checkpoint")
    parser.add_argument("--weight", type=float, default=0.5, help="0 is A (default: 0.5)")
    parser.add_argument("--layers", default="", help="weights of single layers, as 0-3=0.2,7=0.8")
    parser.add_argument(
        "--density", type=float, default=0.5, help="share of a difference that ties and dare keep (0.5)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of dare")
    parser.add_argument("--out", required=True, help="name of the new checkpoint")
    parser.add_argument("--json", action="store_true", help="print the progress as JSON lines")


def run(app: Any, options: argparse.Namespace) -> int:
    """Merge as the flags say. ValueError with one sentence."""
    from . import merging
    from .baking import changes

    baking = options.method == BAKE
    if baking and (options.lora is None or options.b or options.c or options.layers):
        raise ValueError("The method bake takes --a and --lora, and no other checkpoints or layers.")
    if not baking and (options.b is None or options.lora is not None):
        what = "needs a second checkpoint, --b" if options.b is None else "has no use for --lora"
        raise ValueError(f"The method {options.method} {what}.")
    if not NAME.fullmatch(options.out):
        raise ValueError("--out is a name of letters, digits, blanks, dots, + and -.")
    if not abs(options.weight) <= MOST:
        raise ValueError(f"--weight must be -{MOST:g} to {MOST:g}.")
    if not 0 < options.density <= 1:
        raise ValueError("--density must be above 0 and at most 1.")
    method = METHODS.get(options.method)
    if method is not None and method.third is True and options.c is None:
        raise ValueError(f"The method {options.method} needs a third checkpoint, --c.")
    if method is not None and method.third is False and options.c is not None:
        raise ValueError(f"The method {options.method} has no use for --c.")
    names = [name for name in (options.a, options.b, options.c) if name is not None]
    folders = [app.checkpoints.entry(name).folder for name in names]
    out = app.settings.checkpoints / options.out
    if out.exists():
        raise ValueError(f"There is a checkpoint {options.out} already; give another --out.")
    merging.check(folders)
    lora: str | None = options.lora  # None for every method but bake
    made, digest = changes(app, options.a, lora, folders[0]) if lora is not None else ({}, "")
    recipe = merging.Recipe(
        options.method,
        options.weight,
        merging.parents(folders, names),
        layers(options.layers),
        options.density,
        options.seed,
        (lora, digest) if lora is not None else None,
    )
    shown = -1

    def progress(done: float) -> None:
        nonlocal shown
        if options.json and int(100 * done) > shown:
            shown = int(100 * done)
            print(json.dumps({"done": done}), flush=True)
        elif sys.stderr.isatty() and int(100 * done) > shown:
            shown = int(100 * done)
            print(f"\r{shown} %", end="" if shown < 100 else "\n", file=sys.stderr, flush=True)

    try:
        merging.merge(recipe, folders, out, progress, made)
    except OSError as error:
        raise ValueError(
            f"The disk refused: {error.strerror or error}. The same command goes on from here."
        ) from error
    print(out)
    return 0


def layers(text: str) -> tuple[tuple[int, float], ...]:
    """Weights of single layers. ValueError."""
    found: dict[int, float] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?=(-?\d*\.?\d+)", part)
        if match is None or abs(float(match[3])) > MOST:
            raise ValueError(f"--layers says {part!r}; write 0-3=0.2,7=0.8.")
        for layer in range(int(match[1]), int(match[2] or match[1]) + 1):
            found[layer] = float(match[3])
    return tuple(sorted(found.items()))
