"""Text files: written whole or not at all, also after a crash or on a full disk; read without marks."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from pathlib import Path


def read(path: Path) -> str:
    """The text of a file, without the byte-order mark that some editors put before it. OSError; ValueError if
    it is not UTF-8."""
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not text in UTF-8.") from None


def write(path: Path, text: str, mode: int | None = None) -> None:
    """Replaces the file at `path`, or the one that a link there points to. OSError if the disk refuses;
    nothing has changed then. mode: who may read it, from before anything is in it; None: as the file there,
    or the system's default."""
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8", newline="\n") as stream:
            if mode is not None:
                os.chmod(temporary, mode)
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        if mode is None:
            with contextlib.suppress(FileNotFoundError):
                shutil.copymode(path, temporary)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
