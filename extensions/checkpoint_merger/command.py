"""The command `merge`: its flags, and what they mean."""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from webui import alone, fingerprint

from .extraction import ABOUT as EXTRACT_ABOUT
from .extraction import EXTRACT
from .methods import BAKE, BAKE_ABOUT, METHODS
from .pruning import ABOUT as PRUNE_ABOUT
from .pruning import CHOICES, PRUNE, WHAT

NAME = re.compile(r"\w(?:[\w .+-]{0,98}[\w+-])?")  # one that a tag and every disk can hold
MOST = 10.0
MOST_RANK = 1024
OTHERS = {BAKE: BAKE_ABOUT, EXTRACT: EXTRACT_ABOUT, PRUNE: PRUNE_ABOUT}  # methods that mix no checkpoints
# flags that only some of the methods take, with these methods
ONLY = {
    "b": (*METHODS, EXTRACT),
    "c": tuple(name for name, method in METHODS.items() if method.third is not False),
    "layers": tuple(METHODS),
    "lora": (BAKE,),
    "rank": (EXTRACT,),
    "data": (PRUNE,),
    "what": (PRUNE,),
    "remove": (PRUNE,),
    "choice": (PRUNE,),
}
LIMITS: Mapping[str, tuple[Callable[[float], bool], str]] = MappingProxyType(
    {
        "weight": (lambda weight: abs(weight) <= MOST, f"-{MOST:g} to {MOST:g}"),
        "density": (lambda density: 0 < density <= 1, "above 0 and at most 1"),
        "rank": (lambda rank: 1 <= rank <= MOST_RANK, f"1 to {MOST_RANK}"),
        "remove": (lambda remove: 0 < remove < 1, "above 0 and below 1"),
    }
)
NEEDED = {BAKE: ("lora",), EXTRACT: ("b",), PRUNE: ("data",), **dict.fromkeys(METHODS, ("b",))}
WORDS = {"b": "a second checkpoint", "lora": "a LoRA", "data": "a text", "c": "a third checkpoint"}


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's flags."""
    about = "; ".join(f"{name}: {method.about}" for name, method in METHODS.items())
    about += "".join(f"; {name}: {what}" for name, what in OTHERS.items())
    parser.add_argument(
        "--method", default="weighted_sum", choices=[*METHODS, *OTHERS], help=about.replace("%", "%%")
    )
    parser.add_argument("--a", required=True, help="the checkpoint that gives names, types and tokenizer")
    parser.add_argument("--b", help="the second checkpoint; every method but bake and prune needs one")
    parser.add_argument("--lora", help="the LoRA that bake writes into A")
    parser.add_argument("--c", help="the third checkpoint")
    parser.add_argument("--weight", type=float, default=0.5, help="0 is A (default: 0.5)")
    parser.add_argument("--layers", default="", help="weights of single layers, as 0-3=0.2,7=0.8")
    parser.add_argument(
        "--density", type=float, default=0.5, help="share of a difference that ties and dare keep (0.5)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of dare, and of prune at random")
    parser.add_argument("--rank", type=int, help="of the LoRA that extract makes (default: 16)")
    parser.add_argument("--data", type=Path, help="a text or .jsonl by which prune measures importance")
    parser.add_argument("--what", choices=WHAT, help="what prune removes (default: width)")
    parser.add_argument("--remove", type=float, help="share that prune removes (default: 0.25)")
    parser.add_argument(
        "--choice", choices=CHOICES, help="how prune chooses (default: importance); random is to compare with"
    )
    parser.add_argument("--out", required=True, help="name of the new checkpoint, or of extract's LoRA")
    parser.add_argument("--json", action="store_true", help="print the progress as JSON lines")


def run(app: Any, options: argparse.Namespace) -> int:
    """Merge as the flags say. ValueError with one sentence."""
    from . import merging

    _check(options)
    names = [name for name in (options.a, options.b, options.c) if name is not None]
    folders = [app.checkpoints.entry(name).folder for name in names]
    lora = options.method == EXTRACT
    out = (app.settings.models / "loras" if lora else app.settings.checkpoints) / options.out
    merging.check(folders)
    merging.check_room(folders[0])
    progress = _progress(options.json)
    what = "LoRA" if lora else "checkpoint"
    lock = out.with_name(f".merging-{out.name}.lock")
    try:
        with alone(lock, f"Another command is making the {what} {options.out}; give another --out, or wait."):
            if out.exists() or not lora and is_known(app, options.out):
                raise ValueError(f"There is a {what} {options.out} already; give another --out.")
            if lora:
                _extract(app, options, names, folders, out, progress)
            elif options.method == PRUNE:
                _prune(app, options, folders[0], out, progress)
            else:
                _merge(app, options, names, folders, out, progress)
    except OSError as error:
        raise ValueError(
            f"The disk refused: {error.strerror or error}. The same command goes on from here."
        ) from error
    print(out)
    return 0


def _check(options: argparse.Namespace) -> None:
    """ValueError for flags that cannot be followed."""
    method = options.method
    for name in NEEDED[method]:
        if getattr(options, name) is None:
            raise ValueError(f"The method {method} needs {WORDS[name]}, --{name}.")
    for name, methods in ONLY.items():
        if getattr(options, name) not in (None, "") and method not in methods:
            raise ValueError(f"The method {method} has no use for --{name}.")
    if not NAME.fullmatch(options.out):
        raise ValueError("--out is a name of letters, digits, blanks, dots, + and -, no dot or blank last.")
    check_numbers(vars(options), "--")
    if method in METHODS and METHODS[method].third is True and options.c is None:
        raise ValueError(f"The method {method} needs a third checkpoint, --c.")


def is_known(app: Any, name: str) -> bool:
    """Whether a checkpoint of this name is in one of the models folders."""
    return any(entry.name == name for entry in app.checkpoints.list())


def check_numbers(values: Mapping[str, Any], dashes: str = "") -> None:
    """ValueError for numbers out of their range; `dashes` stand before their names in the sentence."""
    for name, (fits, range_) in LIMITS.items():
        if (value := values.get(name)) is not None and not fits(value):
            raise ValueError(f"{dashes}{name} must be {range_}.")


def _merge(
    app: Any, options: argparse.Namespace, names: list[str], folders: list[Path], out: Path, progress: Any
) -> None:
    from . import merging
    from .baking import changes

    lora: str | None = options.lora  # None for every method but bake
    weights = layers(options.layers)
    merging.check_layers(folders[0], [layer for layer, _ in weights])
    made, digest = changes(app, options.a, lora, folders[0]) if lora is not None else ({}, "")
    recipe = merging.Recipe(
        options.method,
        options.weight,
        merging.parents(folders, names),
        weights,
        options.density,
        options.seed,
        (lora, digest) if lora is not None else None,
    )
    merging.merge(recipe, folders, out, progress, made)


def _extract(
    app: Any, options: argparse.Namespace, names: list[str], folders: list[Path], out: Path, progress: Any
) -> None:
    from . import extraction, merging

    recipe = extraction.Extraction(options.rank or 16, merging.parents(folders, names))
    linear = extraction.linear_layers(app, options.a, folders[0])
    report = extraction.extract(recipe, folders, linear, out, progress)
    _say(report.text, options.json)


def _prune(app: Any, options: argparse.Namespace, folder: Path, out: Path, progress: Any) -> None:
    from . import pruning

    model = app.checkpoints.load(options.a)
    rows = pruning.read(options.data, model)
    recipe = pruning.Pruning(
        (options.a, fingerprint(folder)),
        options.what or WHAT[0],
        options.remove or 0.25,
        options.choice or CHOICES[0],
        hashlib.sha256(options.data.read_bytes()).hexdigest()[:16],
        options.seed,
    )
    if recipe.what == "width":
        pruning.check_width(model)
    many = len(pruning.layers_of(model))
    pruning.config_of(folder, many, range(many), 1 if recipe.what == "width" else 0)
    found = pruning.prune(
        recipe,
        folder,
        out,
        lambda: pruning.find(model, rows, recipe, lambda done: progress(0.9 * min(1.0, done))),
        model.native,
        many,
        lambda done: progress(0.9 + 0.1 * done),
    )
    _say(found.text, options.json)


def _say(sentence: str, lines: bool) -> None:
    print(json.dumps({"done": 1.0, "said": sentence}) if lines else sentence, flush=True)


def _progress(lines: bool) -> Callable[[float], None]:
    """Shows the share done: as JSON lines, or in a terminal."""
    shown = -1

    def progress(done: float) -> None:
        nonlocal shown
        if lines and int(100 * done) > shown:
            shown = int(100 * done)
            print(json.dumps({"done": done}), flush=True)
        elif sys.stderr.isatty() and int(100 * done) > shown:
            shown = int(100 * done)
            print(f"\r{shown} %", end="" if shown < 100 else "\n", file=sys.stderr, flush=True)

    return progress


def layers(text: str) -> tuple[tuple[int, float], ...]:
    """Weights of single layers. ValueError."""
    found: dict[int, float] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?=(-?\d*\.?\d+)", part)
        backwards = match is not None and int(match[2] or match[1]) < int(match[1])
        if match is None or backwards or abs(float(match[3])) > MOST:
            raise ValueError(f"--layers says {part[:40]!r}; write 0-3=0.2,7=0.8.")
        for layer in range(int(match[1]), int(match[2] or match[1]) + 1):
            found[layer] = float(match[3])
    return tuple(sorted(found.items()))
