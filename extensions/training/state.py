"""The state of a run on disk: one file, replaced in one piece, so that a kill at any moment loses at most
some minutes.

Everything else that a step needs is a function of the step's number, so a resumed run gives the same weights,
bit for bit, as one that was never interrupted (on the same machine, build and number of threads).
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

FILE = "state.safetensors"


def write(folder: Path, tensors: dict[str, Tensor], facts: dict) -> None:
    """Replace the state in `folder` by these tensors and facts (JSON)."""
    from safetensors.torch import save

    folder.mkdir(parents=True, exist_ok=True)
    blob = save(
        {name: one.contiguous() for name, one in tensors.items()}, metadata={"facts": json.dumps(facts)}
    )
    replace(folder / FILE, blob)


def read(folder: Path) -> tuple[dict[str, Tensor], dict] | None:
    """The state in `folder`, or None if there is none."""
    from safetensors import safe_open

    path = folder / FILE
    if not path.is_file():
        return None
    with safe_open(path, "pt") as file:
        facts = json.loads(file.metadata()["facts"])
        return {name: file.get_tensor(name) for name in file.keys()}, facts


def replace(path: Path, blob: bytes) -> None:
    """Write a file beside `path`, bring it to the disk, then rename it over `path`. OSError if the disk
    refuses; nothing has changed then."""
    draft = path.with_name(path.name + ".new")
    try:
        with open(draft, "wb") as file:
            file.write(blob)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
