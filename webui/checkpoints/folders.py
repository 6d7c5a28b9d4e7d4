"""The folders below models/checkpoints that have a config.json: each once, through any links, found again
quickly."""

from __future__ import annotations

import os
import stat
import time
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from webui.checkpoints.files import printable

DEPTH = 4  # folders below the root
FRESH = (
    2_000_000_000  # nanoseconds within which a folder may change without a new mtime, on some file systems
)
FILE = "config.json"

Key = tuple[int, int] | str  # one for a folder, whatever leads to it: device and inode, or its real path


class Listing(NamedTuple):
    """What a folder holds: whether there is a config.json, the names of folders, and those of links."""

    model: bool
    folders: tuple[str, ...]
    links: tuple[str, ...]


class Folders:
    """Finds model folders. A folder that did not change, by its mtime, is not listed again. Thread-safe: what
    it remembers is replaced whole."""

    def __init__(self, root: Path, *more: Path):
        self._root, self._more = root, more
        self._added: dict[str, Path] = {}
        self._listings: dict[Path, tuple[int, Listing]] = {}  # with its mtime
        self._found: dict[str, Path] = {}
        self._names: dict[Key, str] = {}

    def add(self, folder: Path) -> str:
        """Adds a model folder that lies anywhere, for this process; its name is its whole path."""
        path = folder.resolve()
        self._added[path.as_posix()] = path
        return path.as_posix()

    def added(self, name: str) -> bool:
        """Whether this is the name of a folder that was added."""
        return name in self._added

    def find(self) -> Mapping[str, Path]:
        """Every model folder by its name, its path below the root. Of several ways to one, that without a
        link counts, then the shortest, then the first by name. In a further root, a folder whose name is
        taken has its whole path for a name."""
        listings: dict[Path, tuple[int, Listing]] = {}
        found: dict[str, Path] = {}
        names: dict[Key, str] = {}
        seen: set[Key] = set()
        linked: deque[tuple[Path, str, int]] = deque()
        roots = deque([self._root, *self._more])
        plain: deque[tuple[Path, str, int]] = deque()
        while plain or linked or roots:
            if not plain and not linked:
                plain.append((roots.popleft(), ".", 0))
            path, name, depth = (plain or linked).popleft()
            key, mtime = _folder(path)
            if key is None or key in seen:
                continue
            seen.add(key)
            listing = self._listing(path, mtime)
            if time.time_ns() - mtime > FRESH:
                listings[path] = (mtime, listing)
            if listing.model:
                shown = path.resolve().as_posix() if name in found else name
                found[shown], names[key] = path, shown
            if depth < DEPTH:
                prefix = "" if name == "." else f"{name}/"
                for queue, inner in ((plain, listing.folders), (linked, listing.links)):
                    queue.extend((path / one, f"{prefix}{printable(one)}", depth + 1) for one in inner)
        for name, path in self._added.items():
            key, _ = _folder(path)
            if key is not None and key not in seen and os.path.lexists(path / FILE):
                seen.add(key)
                found[name], names[key] = path, name
        self._listings, self._names = listings, names
        self._found = dict(sorted(found.items()))
        return self._found

    def get(self, name: str) -> tuple[str, Path] | None:
        """Name and path of a model folder, also under another name that leads to it. Looks at that folder
        alone if it was found before. No name leads out of the root, except to a folder that was added."""
        for again in (False, True):
            if again:
                self.find()
            path = self._found.get(name) or next(self._paths(name), None)
            key = _folder(path)[0] if path and os.path.lexists(path / FILE) else None
            known = self._names.get(key) if key else None
            if known in self._found and _folder(self._found[known])[0] == key:
                return known, self._found[known]
        return None

    def _paths(self, name: str) -> Iterator[Path]:
        """Where a name may lead below the roots."""
        parts = name.split("/")
        if not any(part in ("", ".", "..") or "\0" in part or Path(part).name != part for part in parts):
            below = (root.joinpath(*parts) for root in (self._root, *self._more))
            yield from (path for path in below if os.path.lexists(path / FILE))

    def _listing(self, path: Path, mtime: int) -> Listing:
        known = self._listings.get(path)
        if known is not None and known[0] == mtime:
            return known[1]
        folders, links, model = [], [], False
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    if entry.name == FILE:
                        model = True
                    elif entry.name.startswith("."):  # hidden, such as what is still being written
                        continue
                    elif entry.is_symlink():
                        links.append(entry.name)
                    elif entry.is_dir(follow_symlinks=False):
                        folders.append(entry.name)
        except OSError:
            return Listing(False, (), ())
        return Listing(model, tuple(sorted(folders)), tuple(sorted(links)))


def _folder(path: Path) -> tuple[Key | None, int]:
    """Key and mtime in nanoseconds of a folder; no key for anything else."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None, 0
    if not stat.S_ISDIR(found.st_mode):
        return None, 0
    key = (found.st_dev, found.st_ino) if found.st_ino else os.path.realpath(path)
    return key, found.st_mtime_ns
