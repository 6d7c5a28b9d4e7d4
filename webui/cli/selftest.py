"""The command `selftest`: what a checkpoint's first contact with the program shows."""

from __future__ import annotations

import argparse
import math
import sys
from typing import Any

from webui.application import App
from webui.cli.folders import model_folder
from webui.cli.terminal import harmless

HELP = "whether a checkpoint runs: names that do not match, the bound of a masked sentence, a first text"
SENTENCE = "The sun rose over the hills, and the children walked to school."
SHOWN = 12  # names of a kind
DRAWS = 32  # of masks for the bound


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's flags."""
    parser.add_argument(
        "checkpoint", help="a folder, a name in models/checkpoints, or one in the cache of Hugging Face"
    )
    parser.add_argument("--sentence", default=SENTENCE, help=f"what is masked (default: {SENTENCE!r})")
    parser.add_argument("--prompt", default="", help="of the text (default: none)")
    parser.add_argument("--length", type=int, default=32, help="tokens of the text (default: 32)")


def selftest(app: App, parsed: argparse.Namespace) -> int:
    """Prints what there is to know; 1 if the checkpoint does not run. ValueError if it is none."""
    name = parsed.checkpoint
    outside = model_folder(name, app.settings)
    if outside is not None:
        name = app.checkpoints.add(outside)
    entry = app.checkpoints.entry(name)
    _say("checkpoint", entry.name)
    family = app.checkpoints.family(name)
    _say(
        "family",
        f"{entry.family} as {family.native().__name__}, {family.attention}"
        + (", shift" if family.shift else ""),
    )
    _say("licence", entry.license)
    compared = app.checkpoints.compare(name)
    tensors, size = len(compared.matched.published), entry.size / 1e9
    _say("weights", f"{tensors} tensors, {entry.parameters:,} parameters, {size:.3g} GB")
    wrong: dict[str, list[str]] = {
        "lacking": sorted(compared.lacking),
        "unknown": sorted(compared.unknown),
        "other shape": [f"{n} {there}, needed {need}" for n, there, need in compared.misshaped],
    }
    for kind, names in wrong.items():
        for one in names[:SHOWN]:
            _say(kind, one)
        if len(names) > SHOWN:
            _say(kind, f"and {len(names) - SHOWN} more")
    if any(wrong.values()):
        print("The weights do not match the family's native model: it is not loaded.", file=sys.stderr)
        return 1
    _say("names", "all match")
    return _run(app, name, parsed)


def _run(app: App, name: str, parsed: argparse.Namespace) -> int:
    """Loads it, and prints the bound and a text."""
    from webui.checkpoints.likelihood import Whole, bounds

    model = app.checkpoints.load(name)
    facts = model.description
    _say("loaded", f"{facts.dtype} on {facts.device}, fingerprint {facts.fingerprint}")
    tokens = model.tokenizer.encode(parsed.sentence)
    if not tokens:
        raise ValueError("The sentence has no tokens.")
    (nats,) = bounds(model, [Whole(tokens)], draws=DRAWS)
    value, chance = nats / len(tokens), math.log(model.vocabulary - 1)
    _say("bound", f"{value:.3f} nats a token over {len(tokens)} tokens (by chance {chance:.3f})")
    request: dict[str, Any] = {"prompt": parsed.prompt, "model": name, "length": parsed.length, "seed": 0}
    job = app.queue.submit(app.Request(**request))
    job.wait()
    if job.result is None or job.state != "done":
        print(job.error or "There is no text.", file=sys.stderr)
        return 1
    _say("text", harmless(job.result.parts[0].text if job.result.parts else job.result.text))
    if not value < chance:
        print(
            "The bound is no better than chance: the weights are untrained, or its family computes something "
            "else than what they were trained for.",
            file=sys.stderr,
        )
        return 1
    return 0


def _say(what: str, value: str) -> None:
    print(f"{what:12}{value}", flush=True)
