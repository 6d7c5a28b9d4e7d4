"""One process at a time: a lock that the operating system gives back however its holder ends."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def alone(file: Path, sentence: str) -> Iterator[None]:
    """Nobody else is inside with this file, in any process of the machine. ValueError with the sentence if
    somebody is. The file is empty, is made for it, and is gone afterwards; one that a killed process left
    blocks nobody."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(file, os.O_RDWR | os.O_CREAT)
    try:
        if not _locked(handle) or not _is(handle, file):
            raise ValueError(sentence)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # Windows removes no open file: it stays, and blocks nobody
                file.unlink()
    finally:
        os.close(handle)


def _locked(handle: int) -> bool:
    """Whether the lock on an open file was acquired."""
    try:
        try:
            import fcntl
        except ImportError:  # Windows
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        else:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _is(handle: int, file: Path) -> bool:
    """Whether this open file is still the one of that name: its last holder may just have removed it."""
    try:
        return os.path.samestat(os.fstat(handle), file.stat())
    except OSError:
        return False
