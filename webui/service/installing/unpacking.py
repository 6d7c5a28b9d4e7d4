"""Archives of strangers: only plain files, only inside the target, only so much.

Nothing is written by the archive's own rules: names are checked, contents are copied in chunks and counted.
Links, devices, compiled Python and git's own folder are not taken over.
"""

from __future__ import annotations

import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO

MAX_BYTES = 64 << 20  # of all files, unpacked
MAX_FILES = 2000
MAX_DEPTH = 12
CHUNK = 1 << 16
PART = re.compile(r"[^\x00-\x1f\x7f/\\:*?\"<>|]{1,150}")  # of a path, as all systems can have it
DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
LEFT_OUT = frozenset({"__pycache__", ".git", ".hg", ".svn"})

Open = Callable[[], IO[bytes] | None]


def unpack(archive: Path, target: Path) -> None:
    """Unpacks a .zip or .tar archive (also .gz, .bz2, .xz) into the empty folder `target`. ValueError with
    one sentence; what was written by then stays in `target`."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as opened:
                _write(_zipped(opened), target)
        elif tarfile.is_tarfile(archive):
            with tarfile.open(archive) as opened:
                _write(_tarred(opened), target)
        else:
            raise ValueError(f"{archive.name} is neither a .zip nor a .tar archive.")
    except (
        tarfile.TarError,
        zipfile.BadZipFile,
        EOFError,
        zlib.error,
        NotImplementedError,  # zipfile: a compression it does not know
        RuntimeError,
    ) as error:
        raise ValueError(f"The archive {archive.name} cannot be read: {error}.") from None


def copy(folder: Path, target: Path) -> None:
    """Copies the files of a folder by the same rules. Links are refused."""

    def files() -> Iterator[tuple[str, Open]]:
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder).as_posix()
            if _left_out(name):
                continue
            if path.is_symlink():
                raise ValueError(f"{name} is a link; an extension has only files.")
            if path.is_file():
                yield name, lambda path=path: path.open("rb")

    _write(files(), target)


def _zipped(archive: zipfile.ZipFile) -> Iterator[tuple[str, Open]]:
    for entry in archive.infolist():
        kind = entry.external_attr >> 16 & 0o170000  # of Unix, if it was made there
        if kind not in (0, 0o100000, 0o040000):
            raise ValueError(f"{_shown(entry.filename)} is a link or a device; an extension has only files.")
        if not entry.is_dir():
            yield entry.filename, lambda entry=entry: archive.open(entry)


def _tarred(archive: tarfile.TarFile) -> Iterator[tuple[str, Open]]:
    for entry in archive:
        if entry.isdir():
            continue
        if not entry.isreg():
            raise ValueError(f"{_shown(entry.name)} is a link or a device; an extension has only files.")
        yield entry.name, lambda entry=entry: archive.extractfile(entry)


def _write(files: Iterator[tuple[str, Open]], target: Path) -> None:
    """Writes files below `target`. ValueError for a name that leads out of it or that not all systems can
    have, and when it is too much."""
    room, names = MAX_BYTES, set[str]()
    for name, opened in files:
        parts = _parts(name)
        if _left_out(name):
            continue
        folded = "/".join(parts).casefold()
        if folded in names:
            raise ValueError(f"{_shown(name)} is there twice, or in two spellings.")
        names.add(folded)
        if len(names) > MAX_FILES:
            raise ValueError(f"It has more than {MAX_FILES} files.")
        path = target.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        source = opened()
        if source is None:
            raise ValueError(f"{_shown(name)} cannot be read.")
        with source, path.open("xb") as file:
            while chunk := source.read(CHUNK):
                room -= len(chunk)
                if room < 0:
                    raise ValueError(f"It takes more than {MAX_BYTES >> 20} MB.")
                file.write(chunk)


def _parts(name: str) -> tuple[str, ...]:
    """The parts of a file's path. ValueError for one that could lead anywhere else."""
    parts = PurePosixPath(name).parts
    wrong = name.startswith("/") or not parts or len(parts) > MAX_DEPTH
    for part in parts:
        ends = part.endswith((".", " ")) or part.startswith(" ")
        wrong = wrong or part == ".." or ends or not PART.fullmatch(part) or bool(DEVICES.fullmatch(part))
    try:
        name.encode()
    except UnicodeEncodeError:
        wrong = True
    if wrong:
        raise ValueError(f"{_shown(name)} is no name that a file of an extension can have.")
    return parts


def _left_out(name: str) -> bool:
    """Whether a file is not taken over: compiled Python may be something else than its source."""
    return not LEFT_OUT.isdisjoint(name.split("/")) or name.endswith((".pyc", ".pyo"))


def _shown(name: str) -> str:
    return ascii(name[:100])
