"""`python app.py evaluate`: measures a checkpoint and prints the table of its model card beside the recipes'
bars.

statistics.py  intervals             texts.py       what is measured on a text alone
likelihood.py  the evidence bound    questions.py   held-out stories as prompts, gaps and passages
coherence.py   whether a story hangs together by the grammar's lexicon and sentences
bench.py       the program, writing  metrics.py     one function for each row (or two) of the table
report.py      rows, table, JSON     presets.py     settings side by side (--try)
judge.py       an independent language model that scores the answers (--judge)

Everything is fixed by the checkpoint and `--seed`: prompts are the first held-out stories of the grammar, in
order; answer k has seed `--seed` + k; masks are drawn from `--seed`. This file imports nothing heavy, so
`--help` is instant.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from webui import Command

if TYPE_CHECKING:
    from webui import App

NAMES = (
    "tinystories",
    "grammar",
    "frozen",
    "keywords",
    "more",
    "people",
    "ending",
    "dialogue",
    "open",
    "coherence",
    "lexicon",
    "repetition",
    "judge",
    "distinct",
    "seeds",
    "infill",
    "emphasis",
    "negative",
    "ends",
)


def arguments(parser: ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("--model", help="name of the checkpoint (default: the program's)")
    parser.add_argument(
        "--samples", type=int, default=64, metavar="N", help="texts for each measurement (default: 64)"
    )
    parser.add_argument("--seed", type=int, default=0, help="answer k has this seed + k (default: 0)")
    parser.add_argument(
        "--corpus", type=Path, metavar="DIR", help="folder of real text; without it two rows stay empty"
    )
    parser.add_argument(
        "--judge",
        type=Path,
        metavar="DIR",
        help="folder of an autoregressive checkpoint that scores 40 answers; without it its row stays empty",
    )
    parser.add_argument("--only", metavar="NAME,...", help=f"measure these alone: {', '.join(NAMES)}")
    parser.add_argument(
        "--try",
        dest="settings",
        action="append",
        default=[],
        metavar="JSON",
        help="instead of the table: these fields of a request over the preset; more than once to compare",
    )
    parser.add_argument(
        "--show", type=int, default=0, metavar="N", help="print the first N answers, unedited"
    )
    parser.add_argument(
        "--json", action="store_true", help="print everything as JSON, the texts too, and nothing else"
    )


def run(app: App, options: Namespace) -> int:
    """Measures as the options say. ValueError with one sentence if they cannot be followed."""
    if options.samples < 1 or options.seed < 0 or options.show < 0:
        raise ValueError("--samples must be at least 1, --seed and --show at least 0.")
    only = tuple(name.strip() for name in (options.only or ",".join(NAMES)).split(","))
    if unknown := [name for name in only if name not in NAMES]:
        raise ValueError(f"--only: there is no {unknown[0]!r}. There are: {', '.join(NAMES)}.")
    if options.corpus and not options.corpus.is_dir():
        raise ValueError(f"--corpus: {options.corpus} is no folder.")
    if options.judge and not options.judge.is_dir():
        raise ValueError(f"--judge: {options.judge} is no folder.")
    try:
        settings = [json.loads(one) for one in options.settings]
    except ValueError as error:
        raise ValueError(f"--try: not JSON ({error}).") from error
    from . import presets, report
    from .bench import Bench
    from .metrics import measure

    bench = Bench(app, options.model, options.samples, options.seed, options.corpus, options.judge)
    try:
        if settings:
            tried = presets.tried(bench, settings)
            print(json.dumps(tried, indent=1) if options.json else presets.table(tried))
            return 0
        found = report.Report(bench.facts(), measure(bench, only), bench.texts(), bench.seconds())
    finally:
        bench.close()
    print(found.json() if options.json else found.table(options.show))
    return 0


COMMAND = Command("measure a checkpoint: the table of its model card", run, arguments)
