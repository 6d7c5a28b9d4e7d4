"""What lies in models/checkpoints: find, list and describe checkpoints. Nothing here imports torch, and a
folder is read again only when its files change."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from webui.checkpoints import weights
from webui.checkpoints.capabilities import Capabilities, capabilities
from webui.checkpoints.families import FAMILIES, identify
from webui.checkpoints.families.base import Family
from webui.checkpoints.files import MAX_CONFIG, printable, read_json
from webui.checkpoints.folders import Folders
from webui.checkpoints.profile import (
    new_words,
    read_lexicon,
    read_profile,
    stated_license,
    unknown_words,
)
from webui.core.errors import Refusal
from webui.core.request import Request
from webui.settings import Settings

SHOWN = 20  # names in the sentence about a name that does not exist

Stamp = tuple[Any, ...]  # names, sizes and mtimes of a folder's files


@dataclass(frozen=True)
class Entry:
    """A folder with a config.json. `error` says why it cannot be used, if it cannot."""

    name: str
    folder: Path
    size: int = 0  # bytes of its weights
    family: str = ""
    license: str = ""
    profile: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None
    parameters: int = 0  # numbers its weights are
    capabilities: Capabilities = Capabilities()
    loaded: bool = False
    failed: str | None = None  # why it could not be loaded the last time, until its files change


class Described(NamedTuple):
    """An entry and what it was made of; no config and no family if there is an error."""

    stamp: Stamp
    entry: Entry
    config: Mapping[str, Any]
    family: Family | None


class Catalogue:
    """The checkpoints of a models folder. Any thread may ask.

    request: the request of the program, with a field per extension; presets are checked against it
    """

    def __init__(
        self,
        settings: Settings,
        families: Sequence[Family] = FAMILIES,
        request: type[Request] = Request,
    ):
        self._settings, self._families, self._request = settings, families, request
        self._folders = Folders(*settings.all_checkpoints)
        self._described: dict[Path, Described] = {}
        self._lexicon: tuple[Path, Stamp, frozenset[str] | None] | None = None  # the last one asked for

    def add(self, folder: Path) -> str:
        """Adds a checkpoint that lies outside the models folder, for this process. Gives its name, its whole
        path. For the operator alone: no request may name a folder of the machine."""
        return self._folders.add(folder)

    def serve(self, request: type[Request]) -> None:
        """From now on presets are checked against this request."""
        self._request, self._described = request, {}

    def list(self) -> list[Entry]:
        """Every folder that has a config.json, also the unusable ones, by name; at any depth below
        models/checkpoints, each once."""
        folders = self._folders.find()
        described = [self._describe(name, folder) for name, folder in folders.items()]
        self._described = {one.entry.folder: one for one in described}  # without those that are gone
        return [self._entry(one) for one in described]

    def names(self) -> list[str]:
        """Names of the usable checkpoints, the default first."""
        names = [entry.name for entry in self.list() if entry.error is None]
        found = self._folders.get(self._settings.model)
        return sorted(names, key=lambda name: (found is None or name != found[0], name))

    def entry(self, name: str | None) -> Entry:
        """The checkpoint of this name (None: the default). Refusal names those that exist, or says why
        this one cannot be used."""
        return self._entry(self._usable(name))

    def profile(self, name: str | None) -> Mapping[str, Any]:
        """The checkpoint's profile, its preset complete: the family's values with profile.json's over
        them."""
        described = self._usable(name)
        profile, family = described.entry.profile, _known(described.family)
        block = family.block_length(described.config)
        own = {"block_length": block} if block else {}
        return {**profile, "preset": {**own, **family.preset, **profile.get("preset", {})}}

    def family(self, name: str | None) -> Family:
        """The family of a usable checkpoint."""
        return _known(self._usable(name).family)

    def hint(self, name: str | None, text: str) -> str | None:
        """One sentence if most words of a prompt are not in the checkpoint's lexicon.txt, the words it was
        trained on."""
        lexicon = self.lexicon(name)
        if lexicon is None or not (unknown := unknown_words(lexicon, text)):
            return None
        entry = self._usable(name).entry
        few, known = ", ".join(unknown[:6]), entry.profile.get("understands", "")
        return f"Most words of the prompt are new to {entry.name} ({few}). It understands: {known}"

    def new_words(self, name: str | None, text: str) -> list[str]:
        """The words of a prompt that the checkpoint was not trained on; none if it does not say on which."""
        lexicon = self.lexicon(name)
        return [] if lexicon is None else new_words(lexicon, text)

    def lexicon(self, name: str | None) -> frozenset[str] | None:
        """The words that the checkpoint was trained on, from its lexicon.txt; None if it has none."""
        described = self._usable(name)
        entry, stamp = described.entry, described.stamp
        held = self._lexicon
        if held is None or held[:2] != (entry.folder, stamp):
            self._lexicon = held = (entry.folder, stamp, read_lexicon(entry.folder))
        return held[2]

    def max_length(self, name: str | None) -> int:
        """Tokens that a prompt and its answer may take together."""
        described = self._usable(name)
        return described.entry.profile.get("max_length") or _known(described.family).max_length(
            described.config
        )

    def _usable(self, name: str | None) -> Described:
        wanted = name or self._settings.model
        found = self._folders.get(wanted)
        if found is None:
            names = [*self._folders.find()]
            there = ", ".join(names[:SHOWN]) or "none"
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            raise Refusal(
                f"There is no checkpoint {wanted!r} in {self._settings.checkpoints.name}/. There are: "
                f"{there}{more}."
            )
        described = self._describe(*found)
        if described.entry.error:
            raise Refusal(f"Checkpoint {wanted!r} cannot be used: {described.entry.error}")
        return described

    def _describe(self, name: str, folder: Path) -> Described:
        """The folder as it is now; read only if a file changed."""
        stamp = stamp_of(folder)
        known = self._described.get(folder)
        if known is None or (known.stamp, known.entry.name) != (stamp, name):
            known = self._read(name, folder, stamp)
            self._described[folder] = known
        return known

    def _read(self, name: str, folder: Path, stamp: Stamp) -> Described:
        try:
            if not self._folders.added(name) and name not in self._paths_of(folder):
                raise Refusal(
                    f"{name} has a name that is not UTF-8 or has control characters; rename the folder."
                )
            config = read_json(folder / "config.json", MAX_CONFIG)
            profile = read_profile(folder, self._request)
            family = identify(config, folder, self._families, profile.get("family"))
            _check(family, config, folder)
            read_lexicon(folder)
            able = capabilities(name, folder, family, config)
            found = weights.tensors(folder)
            size = sum(file.stat().st_size for file in weights.files(folder))
        except (ValueError, OSError) as error:
            return Described(stamp, Entry(name, folder, error=str(error)), {}, None)
        except Exception as error:  # nothing in a folder may hurt the others
            reason = f"{name} cannot be read: {type(error).__name__}."
            return Described(stamp, Entry(name, folder, error=reason), {}, None)
        license = profile.get("license") or stated_license(folder) or family.license
        count = weights.parameters(found)
        entry = Entry(name, folder, size, family.name, license, profile, None, count, able)
        return Described(stamp, entry, config, family)

    def _paths_of(self, folder: Path) -> tuple[str, ...]:
        """What a folder may be called: its path below the folder of checkpoints it is in, or all of it."""
        below = (
            folder.relative_to(root) for root in self._settings.all_checkpoints if folder.is_relative_to(root)
        )
        return (*(path.as_posix() for path in below), folder.resolve().as_posix())

    def _entry(self, described: Described) -> Entry:
        """The entry as it is shown: with what happened to it meanwhile."""
        return described.entry


def stamp_of(folder: Path) -> Stamp:
    """What changes when a file of a folder does: names, sizes and mtimes."""
    try:
        with os.scandir(folder) as entries:
            return tuple(sorted(_file(entry) for entry in entries))
    except OSError:
        return ()


def with_state(entry: Entry, loaded: bool, failed: str | None) -> Entry:
    """The entry with whether it is in memory, and why it could not be loaded."""
    return replace(entry, loaded=loaded, failed=failed) if loaded or failed else entry


def _file(entry: os.DirEntry[str]) -> tuple[str, int, int, int]:
    try:
        found = entry.stat()
    except OSError:
        return entry.name, 0, 0, 0
    return entry.name, found.st_mtime_ns, found.st_size, found.st_ino


def _known(family: Family | None) -> Family:
    assert family is not None, "a usable checkpoint has a family"
    return family


def _check(family: Family, config: Mapping[str, Any], folder: Path) -> None:
    """Refuses a config.json that the family's native model cannot compute; the sentence names the folder."""
    try:
        family.check(config)
    except ValueError as error:
        raise Refusal(f"{printable(folder.name)}: {error}") from error
