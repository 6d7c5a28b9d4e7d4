"""Writing a file so that it is there whole or not at all, also after a crash or on a full disk."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from pathlib import Path


def write(path: Path, text: str) -> None:
    """Replaces the file at `path`, or the one a link there leads to. OSError if the disk refuses; nothing has
    changed then."""
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        with contextlib.suppress(FileNotFoundError):
            shutil.copymode(path, temporary)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
