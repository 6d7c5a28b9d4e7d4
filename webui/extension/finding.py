"""Where extensions come from: the program's own folder, folders the operator names, and installed ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Origin = Literal["built-in", "folder", "installed"]
MANIFEST = "extension.toml"


@dataclass(frozen=True)
class Found:
    """The folder of an extension.

    origin     built-in; folder: the operator named it or the one around it; installed: by the program
    revision   exactly which one is installed: a commit, or a digest of its files
    """

    name: str
    folder: Path
    origin: Origin = "built-in"
    revision: str = ""


def in_folder(folder: Path, origin: Origin = "built-in") -> list[Found]:
    """The extensions in a folder by name, or the one that the folder itself is."""
    if not folder.is_dir():
        return []
    paths = sorted(folder.glob("*/__init__.py"))
    if (folder / "__init__.py").is_file() and (not paths or (folder / MANIFEST).is_file()):
        return [Found(folder.resolve().name, folder, origin)]
    return [Found(path.parent.name, path.parent, origin) for path in paths]


def in_folders(folders: Iterable[Path], origin: Origin = "folder") -> list[Found]:
    """The extensions of several folders, in this order. ValueError if one of them is not there."""
    found: list[Found] = []
    for folder in folders:
        if not folder.is_dir():
            raise ValueError(f"There is no extensions folder {folder}.")
        found += in_folder(folder, origin)
    return found


def named(found: Iterable[Found]) -> Iterator[tuple[str, Found, str]]:
    """Each folder once, with the name to report it by, and what is wrong: "" or that its name is taken."""
    taken: dict[str, Found] = {}
    for one in found:
        first = taken.setdefault(one.name, one)
        if first is one:
            yield one.name, one, ""
        elif first.folder.resolve() != one.folder.resolve():
            sentence = f"There is another extension {one.name}, in {first.folder}; rename one of the folders."
            yield str(one.folder), one, sentence
