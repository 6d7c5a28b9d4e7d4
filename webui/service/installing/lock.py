"""The lock file: which extensions are installed, from where, and exactly which commit of each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from webui.core.atomic import read, write
from webui.extension.finding import Found

FILE = "extensions.lock"
FOLDER = "extensions"
MAX_EARLIER = 3  # versions of an extension that are kept to go back to


@dataclass(frozen=True)
class Version:
    """One version of an installed extension: what is in its folder `<data>/extensions/<name>/<revision>`."""

    revision: str  # the commit, or a digest of the files
    version: str
    ref: str = ""  # the branch, tag or commit that was asked for


@dataclass(frozen=True)
class Locked:
    """An installed extension.

    pinned    it is not updated
    packages  packages that were installed with it, by name
    earlier   versions that can be gone back to, the newest first
    """

    kind: str
    address: str
    current: Version
    enabled: bool = True
    pinned: bool = False
    packages: Mapping[str, str] = field(default_factory=dict)
    earlier: tuple[Version, ...] = ()

    def moved(self, to: Version) -> Locked:
        """With another version in use; the one before can be gone back to."""
        if to.revision == self.current.revision:
            return replace(self, current=to)
        rest = [one for one in (self.current, *self.earlier) if one.revision != to.revision]
        return replace(self, current=to, earlier=tuple(rest[:MAX_EARLIER]))


@dataclass(frozen=True)
class Lock:
    """The lock file of a data folder, as it is."""

    data: Path
    extensions: Mapping[str, Locked]

    @classmethod
    def read(cls, data: Path) -> Lock:
        """ValueError if the file is damaged: it is never overwritten then."""
        path = data / FILE
        if not path.is_file():
            return cls(data, {})
        try:
            stored = json.loads(read(path))["extensions"]
            return cls(data, {name: _locked(values) for name, values in stored.items()})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path} is damaged ({type(error).__name__}); correct or delete it.") from None

    def having(self, name: str, locked: Locked | None) -> Lock:
        """Written with this extension, or without it for None."""
        others = {key: value for key, value in self.extensions.items() if key != name}
        changed = Lock(self.data, {**others, **({name: locked} if locked else {})})
        content = {key: _stored(value) for key, value in sorted(changed.extensions.items())}
        write(self.data / FILE, json.dumps({"extensions": content}, indent=2, ensure_ascii=False) + "\n")
        return changed

    def folder(self, name: str, version: Version) -> Path:
        return self.data / FOLDER / name / version.revision

    def found(self) -> list[Found]:
        """The enabled ones, as the registry wants them."""
        return [
            Found(name, self.folder(name, one.current), "installed", one.current.revision)
            for name, one in sorted(self.extensions.items())
            if one.enabled
        ]


def _stored(locked: Locked) -> dict[str, Any]:
    return {**asdict(replace(locked, packages={})), "packages": dict(locked.packages)}


def _locked(values: Mapping[str, Any]) -> Locked:
    versions = {"current": Version(**values["current"])}
    earlier = tuple(Version(**one) for one in values.get("earlier", ()))
    for one in (*versions.values(), *earlier):
        if not one.revision.isalnum():  # it becomes a part of a path
            raise ValueError
    return Locked(**{**values, **versions, "earlier": earlier})
