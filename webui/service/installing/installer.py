"""Looking at an extension, and adding, updating, pinning and removing it. Whoever adds one first gets a Plan,
which shows what will happen; only that plan can then be carried out."""

from __future__ import annotations

import secrets
import shutil
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from webui.core.errors import Busy, NotFound
from webui.extension.finding import MANIFEST
from webui.extension.manifest import Manifest
from webui.extension.registry import check_name
from webui.service.installing import packages
from webui.service.installing.lock import FOLDER, Lock, Locked, Version
from webui.service.installing.sources import COMMIT, Source, fetch

STAGED = ".staged"
MAX_SOURCE = 2 << 20  # bytes of a Python file
MAX_PLANS = 5  # that wait to be carried out


@dataclass(frozen=True)
class Plan:
    """What adding an extension would do, before any of its code has run.

    id         names this plan, and with it exactly these files
    instead    the version that it replaces; None if it is new
    packages   packages that would be installed beside it, by name
    notes      what is unusual about it
    pictures   its screenshots
    """

    id: str
    name: str
    source: Source
    revision: str
    manifest: Manifest
    instead: Locked | None
    packages: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    pictures: tuple[Path, ...] = ()


class Installer:
    """The installed extensions of a data folder. For any threads; one change at a time, Busy for another.
    What it changes takes effect with the next App: at the next start, or when webui/http/live.py exchanges
    it."""

    def __init__(self, data: Path, program: str, built_in: Sequence[str] = ()):
        self._data, self._program, self._built_in = data, program, frozenset(built_in)
        self._plans: dict[str, Plan] = {}
        self._changing = threading.Lock()

    def lock(self) -> Lock:
        """The lock file as it is now."""
        return Lock.read(self._data)

    def look(self, address: str, ref: str = "") -> Plan:
        """A plan to add what an address names. ValueError with one sentence if that cannot be added."""
        with self._alone():
            return self._plan(Source.of(address, ref))

    def plan(self, plan_id: str) -> Plan:
        """A plan that waits. NotFound if it is no longer there."""
        plan = self._plans.get(plan_id)
        if plan is None:
            raise NotFound("This plan is no longer there; look at the extension again.")
        return plan

    def update(self, name: str) -> Plan | None:
        """A plan to update an extension to what its source offers now; None if it has that. ValueError for a
        pinned one."""
        with self._alone():
            locked = self._locked(name)
            if locked.pinned:
                raise ValueError(f"{name} is pinned to {locked.current.revision[:12]}; release it first.")
            plan = self._plan(Source.of(locked.address, locked.current.ref), name)
            if plan.revision == locked.current.revision:
                self._drop(plan)
                return None
            return plan

    def pin_plan(self, name: str, commit: str) -> Plan:
        """A plan to go to one commit of an extension's repository."""
        with self._alone():
            return self._plan(Source.of(self._locked(name).address, commit), name)

    def add(self, plan_id: str) -> Locked:
        """Carries out a plan: installs its packages, moves its files to their place, writes the lock file
        last. ValueError with one sentence; the extensions are as before then."""
        with self._alone():
            plan = self.plan(plan_id)
            lock = self.lock()
            if lock.extensions.get(plan.name) != plan.instead:
                raise ValueError(f"{plan.name} has changed meanwhile; look at it again.")
            packages.install(plan.packages)
            version = Version(plan.revision, plan.manifest.version, plan.source.ref)
            place = lock.folder(plan.name, version)
            if not place.is_dir():  # it may be one that was there before
                place.parent.mkdir(parents=True, exist_ok=True)
                self._staged(plan.id).replace(place)
            if plan.instead is None:
                locked = Locked(plan.source.kind, plan.source.address, version, packages=dict(plan.packages))
            else:
                known = {**plan.instead.packages, **plan.packages}
                locked = replace(plan.instead.moved(version), packages=known, address=plan.source.address)
            pinned = bool(COMMIT.fullmatch(plan.source.ref))
            locked = replace(locked, kind=plan.source.kind, pinned=pinned)
            lock.having(plan.name, locked)
            self._tidy(plan.name, locked)
            self._drop(plan)
            return locked

    def back(self, name: str) -> Locked:
        """Goes back to the version before. It is pinned, or the next update would undo this."""
        with self._alone():
            lock, locked = self.lock(), self._locked(name)
            if not locked.earlier:
                raise ValueError(f"There is no earlier version of {name}.")
            before = locked.earlier[0]
            if not lock.folder(name, before).is_dir():
                raise ValueError(f"The files of {name} {before.version} are gone; add it again.")
            changed = replace(locked.moved(before), pinned=True)
            lock.having(name, changed)
            return changed

    def change(self, name: str, *, enabled: bool | None = None, pinned: bool | None = None) -> Locked:
        """Enables or disables it, pins or releases it."""
        with self._alone():
            locked = self._locked(name)
            values = {"enabled": enabled, "pinned": pinned}
            changed = replace(locked, **{key: value for key, value in values.items() if value is not None})
            self.lock().having(name, changed)
            return changed

    def remove(self, name: str) -> Locked:
        """Removes an extension with all its versions. The packages that came with it stay."""
        with self._alone():
            locked = self._locked(name)
            self.lock().having(name, None)
            shutil.rmtree(self._data / FOLDER / name, ignore_errors=True)
            return locked

    def cancel(self, plan_id: str) -> None:
        """Forgets a plan and its files."""
        with self._alone():
            if plan := self._plans.get(plan_id):
                self._drop(plan)

    def _plan(self, source: Source, name: str = "") -> Plan:
        """A plan from the files of a source. `name`: what it must be called."""
        plan_id = secrets.token_hex(16)
        place = self._staged(plan_id)
        place.mkdir(parents=True)
        try:
            revision = fetch(source, place)
            _lift(place)
            plan = self._checked(plan_id, source, revision, place, name)
        except OSError as error:
            shutil.rmtree(place, ignore_errors=True)
            raise ValueError(f"Its files cannot be written: {error.strerror or error}.") from None
        except BaseException:
            shutil.rmtree(place, ignore_errors=True)
            raise
        while len(self._plans) >= MAX_PLANS:
            self._drop(next(iter(self._plans.values())))
        self._plans[plan_id] = plan
        return plan

    def _checked(self, plan_id: str, source: Source, revision: str, place: Path, name: str) -> Plan:
        manifest = Manifest.read(place)
        if manifest is None or not (place / "__init__.py").is_file():
            missing = MANIFEST if manifest is None else "__init__.py"
            raise ValueError(f"There is no {missing}, so this is no extension that can be added.")
        check_name(manifest.name)
        if name and manifest.name != name:
            raise ValueError(f"It is now called {manifest.name}; add it as a new extension.")
        for other in (*self._built_in, *self.lock().extensions):
            if other.casefold() != manifest.name.casefold():
                continue
            if other in self._built_in:
                raise ValueError(f"There is an extension {other} already, which is not an installed one.")
            if other != manifest.name:  # where folders cannot be told apart
                raise ValueError(f"There is an extension {other} already; it differs in capitals only.")
        if refusal := manifest.refusal(self._program):
            raise ValueError(f"{manifest.name} cannot be added. {refusal}")
        _compiles(place)
        instead = self.lock().extensions.get(manifest.name)
        notes = []
        if not manifest.licence:
            notes.append("It names no licence, so you may not pass it on.")
        if manifest.restart:
            notes.append("It comes and goes only with a restart of the program.")
        notes += manifest.pictures(place)[1]
        if instead is not None and instead.address != source.address:
            notes.append(f"It comes from another place than the one installed: {instead.address}.")
        return Plan(
            plan_id, manifest.name, source, revision, manifest, instead,
            packages.tried(manifest.requirements), tuple(notes), tuple(manifest.pictures(place)[0]),
        )  # fmt: skip

    def _locked(self, name: str) -> Locked:
        locked = self.lock().extensions.get(name)
        if locked is None:
            raise NotFound(f"No installed extension is called {name[:100]}.")
        return locked

    def _staged(self, plan_id: str) -> Path:
        return self._data / FOLDER / STAGED / plan_id

    def _drop(self, plan: Plan) -> None:
        self._plans.pop(plan.id, None)
        shutil.rmtree(self._staged(plan.id), ignore_errors=True)

    def _tidy(self, name: str, locked: Locked) -> None:
        """Deletes the versions that nobody can go back to."""
        kept = {locked.current.revision, *(one.revision for one in locked.earlier)}
        for folder in (self._data / FOLDER / name).iterdir():
            if folder.name not in kept:
                shutil.rmtree(folder, ignore_errors=True)

    def _alone(self) -> _Alone:
        return _Alone(self._changing)


class _Alone:
    """Holds a lock, or is Busy."""

    def __init__(self, lock: threading.Lock):
        self._lock = lock

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            raise Busy("Another extension is being added or changed; try again.")

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def _lift(place: Path) -> None:
    """Archives often have all files in one folder: then that folder's files are meant."""
    inside = list(place.iterdir())
    if len(inside) == 1 and inside[0].is_dir() and (inside[0] / MANIFEST).is_file():
        shell = inside[0].rename(place / ".lifted")
        for path in list(shell.iterdir()):
            path.rename(place / path.name)
        shell.rmdir()


def _compiles(place: Path) -> None:
    """ValueError for a file that is no Python, or too long to be read by anyone. Nothing is executed."""
    room = 2 * MAX_SOURCE
    for path in sorted(place.rglob("*.py")):
        room -= path.stat().st_size
        if room < 0:
            raise ValueError(f"Its Python files have more than {2 * MAX_SOURCE >> 20} MB.")
        if path.stat().st_size > MAX_SOURCE:
            raise ValueError(f"{path.relative_to(place).as_posix()} has more than {MAX_SOURCE >> 20} MB.")
        try:
            compile(path.read_bytes(), path.name, "exec", dont_inherit=True)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            where = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
            raise ValueError(
                f"{path.relative_to(place).as_posix()}{where} is no Python of this version."
            ) from None
