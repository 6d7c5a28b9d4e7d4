"""Archives of strangers: only plain files, only inside the target, only so much.

Nothing is written by the archive's own rules: names are checked, contents are copied in chunks and counted.
Links, devices, compiled Python and git's own folder are not taken over. What Python's readers would hold in
memory whatever its size (headers of a tar archive, the directory of a zip archive) is counted before.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import tarfile
import tempfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO

MAX_BYTES = 64 << 20  # of all files, unpacked
MAX_FILES = 2000
MAX_ENTRIES = 2 * MAX_FILES  # of an archive, folders included
MAX_MEMORY = 128 << 20  # bytes that the decoder of .xz may take
MAX_DEPTH = 12
CHUNK = 1 << 16
PART = re.compile(r"[^\x00-\x1f\x7f/\\:*?\"<>|]{1,150}")  # of a path, as all systems can have it
ENTRY = b"PK\x01\x02"  # begins one of a zip archive's directory
COMPRESSIONS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2})
DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
LEFT_OUT = frozenset({"__pycache__", ".git", ".hg", ".svn"})

Open = Callable[[], IO[bytes] | None]


def unpack(archive: Path, target: Path) -> None:
    """Unpacks a .zip or .tar archive (also .gz, .bz2, .xz) into the empty folder `target`. ValueError with
    one sentence; what was written by then stays in `target`."""
    try:
        if zipfile.is_zipfile(archive):
            _check_directory(archive)
            with zipfile.ZipFile(archive) as opened:
                _write(_zipped(opened), target)
        else:
            with tempfile.TemporaryFile() as plain:
                for chunk in _plain(archive):
                    plain.write(chunk)
                plain.seek(0)
                with tarfile.open(fileobj=plain, mode="r:") as opened:
                    _write(_tarred(opened), target)
    except tarfile.ReadError:
        raise ValueError(f"{archive.name} is neither a .zip nor a .tar archive.") from None
    except OSError as error:
        if error.errno is not None:  # the disk
            raise
        raise ValueError(f"The archive {archive.name} cannot be read: {error}.") from None
    except (
        tarfile.TarError,
        zipfile.BadZipFile,
        EOFError,
        zlib.error,
        lzma.LZMAError,
        NotImplementedError,  # zipfile: a compression it does not know
        RuntimeError,
    ) as error:
        raise ValueError(f"The archive {archive.name} cannot be read: {error}.") from None


def _check_directory(archive: Path) -> None:
    """ValueError if a zip archive has too many entries."""
    entries, end = 0, b""
    with archive.open("rb") as file:
        while chunk := file.read(1 << 20):
            entries += (end + chunk).count(ENTRY)
            end = chunk[-3:]
            _check_entries(entries)


def _check_entries(number: int) -> None:
    if number > MAX_ENTRIES:
        raise ValueError(f"It has more than {MAX_FILES} files.")


def _plain(archive: Path) -> Iterator[bytes]:
    """A tar archive without its compression. ValueError if it is too much."""
    room = MAX_BYTES + MAX_ENTRIES * 2 * tarfile.BLOCKSIZE + tarfile.RECORDSIZE
    with archive.open("rb") as file:
        for chunk in _decompressed(file):
            room -= len(chunk)
            if room < 0:
                raise ValueError(f"It takes more than {MAX_BYTES >> 20} MB.")
            yield chunk


def _decompressed(file: IO[bytes]) -> Iterator[bytes]:
    begin = file.read(6)
    file.seek(0)
    if begin == b"\xfd7zXZ\x00":
        decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, MAX_MEMORY)
        while not decoder.eof:
            data = file.read(CHUNK) if decoder.needs_input else b""
            if decoder.needs_input and not data:
                raise EOFError("it ends too early")
            yield decoder.decompress(data, CHUNK)
        return
    known = ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open))
    opened = next((opener(file) for magic, opener in known if begin.startswith(magic)), file)
    while chunk := opened.read(CHUNK):
        yield chunk


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
        if entry.compress_type not in COMPRESSIONS:
            raise ValueError(f"{_shown(entry.filename)} is compressed by a method that is not read here.")
        if not entry.is_dir():
            yield entry.filename, lambda entry=entry: archive.open(entry)


def _tarred(archive: tarfile.TarFile) -> Iterator[tuple[str, Open]]:
    for number, entry in enumerate(archive):
        _check_entries(number + 1)
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
        folded = unicodedata.normalize("NFC", "/".join(parts)).casefold()
        if folded in names:
            raise ValueError(f"{_shown(name)} is there twice, or in two spellings.")
        names.add(folded)
        if len(names) > MAX_FILES:
            raise ValueError(f"It has more than {MAX_FILES} files.")
        path = target.joinpath(*parts)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise ValueError(f"{_shown(name)} lies in what is a file.") from None
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
        wrong = (
            wrong
            or part == ".."
            or ends
            or not PART.fullmatch(part)
            or not part.isprintable()
            or bool(DEVICES.fullmatch(part))
        )
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
