"""Checkpoints that the command line names by a path, or by a repository in the cache of huggingface_hub."""

from __future__ import annotations

from pathlib import Path

from webui.checkpoints.download import cached
from webui.settings import Settings


def model_folder(value: str | None, settings: Settings) -> Path | None:
    """The folder that a value of --model means: a path, or organisation/name[@revision] in the cache. None if
    it is a name in models/checkpoints, or nothing that is there."""
    if not value:
        return None
    folder = Path(value).expanduser()
    named = any((root / value / "config.json").is_file() for root in settings.all_checkpoints)
    if not folder.is_absolute() and named:
        return None
    if (folder / "config.json").is_file():
        return folder.resolve()
    there = cached(value)
    return there.resolve() if there is not None else None
