"""The files of wildcards: models/wildcards/<name>.txt, one text a line."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path

from webui import nearest

from .syntax import NAMED

MAX_BYTES = 1 << 20  # of one file
MAX_NAMES = 2000  # that are listed
MAX_LISTED = 20_000  # files of the folder that are looked at for them
MAX_FILES = 200  # that one wildcard may lead to
MAX_NEAREST = 20  # names that are not there for which the nearest are looked up
COMMENT = "#"  # at the start of a line


class Missing(ValueError):
    """There is no such wildcard; the message says what is there."""


class Files:
    """The wildcards of a folder, as they are while one row is prepared: make one for each row."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._read: dict[str, tuple[str, ...]] = {}
        self._missing: dict[str, str] = {}
        self._checked: set[str] = set()
        self._names: list[str] | None = None

    def names(self) -> list[str]:
        """All wildcards by name, "folder/animal" for those in folders."""
        if self._names is None:
            self._names = self._listed()
        return self._names

    def _listed(self) -> list[str]:
        found = []
        paths = islice(self._folder.rglob("*.txt"), MAX_LISTED) if self._folder.is_dir() else ()
        for path in sorted(paths):
            name = path.relative_to(self._folder).with_suffix("").as_posix()
            if NAMED.fullmatch(f"__{name}__"):
                found.append(name)
            if len(found) >= MAX_NAMES:
                break
        return found

    def lines(self, name: str) -> tuple[str, ...]:
        """The texts of a wildcard. Missing if there is none of this name in the folder; ValueError if its
        file cannot be used."""
        if name in self._missing:
            raise Missing(self._missing[name])
        if name not in self._read:
            self._read[name] = self._lines(name)
        return self._read[name]

    def check(self, name: str) -> None:
        """ValueError if this wildcard includes itself, directly or by others, or leads to too many files."""
        if name in self._checked:
            return
        done = self._checked
        path: list[str] = []

        def visit(one: str) -> None:
            if one in path:
                raise ValueError(f"the wildcard {one} includes itself: {' > '.join([*path, one])}.")
            if one in done:
                return
            if len(done) + len(path) >= MAX_FILES:
                raise ValueError(f"the wildcard {name} leads to more than {MAX_FILES} others.")
            path.append(one)
            for other in self._inner(one):
                visit(other)
            path.pop()
            done.add(one)

        visit(name)

    def _inner(self, name: str) -> Sequence[str]:
        """The wildcards that lines of this one name; none if it is missing."""
        try:
            return _named(self.lines(name))
        except Missing:
            return ()

    def _lines(self, name: str) -> tuple[str, ...]:
        try:
            file = (self._folder / f"{name}.txt").resolve()
            if not file.is_relative_to(self._folder.resolve()):
                raise self._none(name, f"{name} is not within the folder of the wildcards.")
            if not file.is_file():
                raise self._none(name)
            about = file.stat()
        except OSError:  # a name that no file can have
            raise self._none(name) from None
        if about.st_size > MAX_BYTES:
            raise ValueError(f"the file of the wildcard {name} is larger than {MAX_BYTES >> 20} MB.")
        try:
            lines = _contents(file, about.st_mtime_ns, about.st_size)
        except UnicodeDecodeError:
            raise ValueError(f"the file of the wildcard {name} is not UTF-8.") from None
        except OSError as error:
            raise ValueError(f"the wildcard {name} cannot be read: {error.strerror}.") from error
        if not lines:
            raise ValueError(f"the file of the wildcard {name} has no lines.")
        return lines

    def _none(self, name: str, reason: str = "") -> Missing:
        """What is raised for a wildcard that is not there, now and when it is asked for again."""
        if not reason:
            like = nearest(name, self.names()) if len(self._missing) < MAX_NEAREST else ""
            reason = f"there is no wildcard {name}. {like}".strip()
        self._missing[name] = reason
        return Missing(reason)


@lru_cache(maxsize=64)
def _contents(file: Path, mtime: int, size: int) -> tuple[str, ...]:
    """The lines of a file that are texts; read again when it has changed."""
    lines = map(str.strip, file.read_text("utf-8-sig").splitlines())
    return tuple(line for line in lines if line and line[0] != COMMENT)


@lru_cache(maxsize=64)
def _named(lines: tuple[str, ...]) -> Sequence[str]:
    """The wildcards that are named in these lines."""
    return tuple(dict.fromkeys(NAMED.findall("\n".join(lines))))
