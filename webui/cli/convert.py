"""The command `convert`: pickled weights to safetensors."""

from __future__ import annotations

import argparse
from pathlib import Path

from webui.application import App
from webui.checkpoints.convert import convert as converted

HELP = "pickled weights to safetensors, read by a process without network or write access"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's flags."""
    parser.add_argument(
        "folder", type=Path, help="the checkpoint with pytorch_model.bin, its shards, or another pickle"
    )
    parser.add_argument("--out", type=Path, help="the new folder (default: beside the pickles, which stay)")


def convert(app: App, parsed: argparse.Namespace) -> int:
    """Converts. ValueError with one sentence."""
    folder = parsed.folder.expanduser()
    if not folder.is_dir():
        raise ValueError(f"{parsed.folder} is no folder.")
    out = None if parsed.out is None else parsed.out.expanduser()
    converted(folder.resolve(), None if out is None else out.resolve(), lambda line: print(line, flush=True))
    return 0
