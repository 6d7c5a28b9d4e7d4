"""Results on disk: one JSON file each, written atomically as each text ends. Deleted ones go to a trash
folder."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from webui.core.atomic import write
from webui.core.options import Options
from webui.core.renamed import current, current_path
from webui.core.request import Request
from webui.core.result import Result, new_id
from webui.service.history.index import NAME, Index, Query, load

DAYS = "????-??-??"  # the folders of results, one for each day (UTC)
TRASH_LIFE = 7 * 86_400.0  # seconds that deleted results can be brought back
LEFT_OVER = 3_600.0  # seconds after which a half-written file is taken for one of a killed process


def bound(day: datetime.date) -> str:
    """The first id of a day by this machine's clock. Days before 1970 begin at 1970, days too late for a
    timestamp at the end of all ids."""
    try:
        seconds = datetime.datetime.combine(day, datetime.time()).astimezone().timestamp()
    except (OverflowError, ValueError, OSError):
        seconds = 0 if day.year < 1970 else 1e12
    return f"{max(0, int(seconds * 1e6)):016x}0000"


class History:
    """The folder of saved results. `request`: the composed request model, which they are read with.

    `keep`: whether results are saved; may be changed at any time. For any number of threads; other processes
    may write to the folder too.
    """

    def __init__(self, folder: Path, request: type[Request], keep: bool = True):
        self.keep = keep
        self._folder, self._request = folder, request
        self._trash = folder / "trash"
        self._index = Index(folder, self._extensions)
        self._lock = threading.Lock()  # for changing and moving files; saving a new one needs none

    def save(self, result: Result) -> None:
        """Writes a result, whole or not at all, also in a crash. OSError if the disk refuses."""
        if not self.keep:
            return
        used = self._extensions({"request": result.request.model_dump(mode="json"), "preset": result.preset})
        text = result.model_dump_json()
        more = json.dumps({"favourite": False, "extensions": used})
        write(self._place(result.id), f"{text[:-1]},{more[1:]}")

    # -- reading ---------------------------------------------------------------------------------------------

    def get(self, name: str) -> Result | None:
        """The result of this id, or None. ValueError with a sentence if its file cannot be read."""
        entry = self.entry(name)
        return None if entry is None else entry[0]

    def entry(self, name: str) -> tuple[Result, dict[str, Any]] | None:
        """A result, and what the file says about it: favourite, extensions, and the names of `unknown` fields
        of its request."""
        path = self._path(name)
        if path is None:
            return None
        try:
            data = load(path)
            result, unknown = self._result(data, name)
            about = {
                "favourite": data.get("favourite") is True,
                "extensions": self._extensions(data),
                "unknown": sorted(unknown),
            }
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise ValueError(f"The file of this result cannot be read: {error.errors()[0]['msg']}.") from None
        except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
            raise ValueError(f"The file of this result cannot be read: {error}") from None
        return result, about

    def take_in(self, data: Mapping[str, Any]) -> Result:
        """Saves a result that was exported, unless there is one of its id. ValueError if it is none; OSError
        if the disk refuses."""
        name = data.get("id")
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise ValueError("This is not an exported text: it has no id of one.")
        try:
            result, _ = self._result(data, name)
        except ValidationError as error:
            raise ValueError(f"This is not an exported text: {error.errors()[0]['msg']}.") from None
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            raise ValueError(f"This is not an exported text: {error}") from None
        if not self.has(name):
            self.save(result)
        return result

    def _result(self, data: Mapping[str, Any], name: str) -> tuple[Result, dict[str, Any]]:
        """A result from its fields, and the unknown ones of its request. ValidationError and whatever wrong
        fields raise."""
        request, unknown = self._request.read(dict(data))
        preset = [current_path(path, self._request.renamed) for path in data.get("preset", ())]
        result = Result.model_validate({**data, "id": name, "request": request, "preset": preset})
        result.model_dump_json()  # a file may hold what no reply can
        return result, unknown

    def has(self, name: str) -> bool:
        """Whether there is a result of this id."""
        return self._path(name) is not None

    def find(self, query: Query) -> dict[str, Any]:
        """Results as entries of a list, newest first, and numbers; see Index.find."""
        return self._index.find(query)

    def list(self, limit: int = 50, before: str | None = None) -> list[dict[str, Any]]:
        """The newest results as entries of a list; those before the id `before`, if it is given."""
        return self.find(Query(limit=limit, before=before))["items"]

    # -- changing --------------------------------------------------------------------------------------------

    def mark(self, name: str, favourite: bool) -> bool:
        """Makes a result a favourite or not; whether there is such a result. The rest of its file stays.
        OSError, ValueError."""
        with self._lock:
            path = self._path(name)
            if path is None:
                return False
            data = load(path) | {"favourite": favourite}
            try:
                write(path, json.dumps(data, ensure_ascii=False))
            except UnicodeEncodeError:
                write(path, json.dumps(data))
        self._index.refresh(path)
        return True

    def delete(self, name: str) -> bool:
        """Moves a result to the trash; whether there was one."""
        with self._lock:
            path = self._path(name)
            return path is not None and _move(path, self._trash / path.name)

    def delete_all(self) -> int:
        """Moves all results to the trash, as one batch; their number."""
        with self._lock:
            batch = self._trash / f"all-{new_id()}"
            return sum(_move(path, batch / path.name) for path in self._paths())

    def restore(self, name: str) -> bool:
        """Brings a deleted result back; whether it was in the trash."""
        if not NAME.fullmatch(name):
            return False
        with self._lock:
            places = [self._trash / f"{name}.json", *self._trash.glob(f"all-*/{name}.json")]
            return any(place.is_file() and _move(place, self._place(name)) for place in places)

    def restore_all(self) -> int:
        """Brings back what the last `delete_all` deleted; the number of results."""
        with self._lock:
            for batch in sorted(self._trash.glob("all-*"), reverse=True):
                back = sum(_move(path, self._place(path.stem)) for path in batch.glob("*.json"))
                with contextlib.suppress(OSError):
                    batch.rmdir()
                if back:
                    return back
        return 0

    def empty(self) -> int:
        """Removes what is in the trash, for good; the number of results. OSError."""
        with self._lock:
            number = sum(1 for _ in self._trash.rglob("*.json"))
            if self._trash.is_dir():
                shutil.rmtree(self._trash)
            return number

    def sweep(self) -> None:
        """Removes what has been in the trash for too long, and half-written files of killed processes. Called
        once, at the start."""
        with self._lock, contextlib.suppress(OSError):
            now = time.time()
            for path, life in (
                *(
                    (path, TRASH_LIFE)
                    for path in [*self._trash.glob("*.json"), *self._trash.glob("all-*/*.json")]
                ),
                *((path, LEFT_OVER) for path in self._folder.glob(f"{DAYS}/*.tmp")),
            ):
                if now - path.stat().st_mtime > life:
                    path.unlink()
            for batch in self._trash.glob("all-*"):
                with contextlib.suppress(OSError):
                    batch.rmdir()

    # -- files -----------------------------------------------------------------------------------------------

    def _place(self, name: str) -> Path:
        """Where the file of a result with this id belongs."""
        try:
            day = time.strftime("%Y-%m-%d", time.gmtime(int(name[:16], 16) / 1e6))
        except (OverflowError, ValueError, OSError):
            day = ""
        return self._folder / (day if len(day) == 10 else "9999-12-31") / f"{name}.json"

    def _path(self, name: str) -> Path | None:
        """The file of the result with this id. It may have been put into the folder of another day by
        hand."""
        if not NAME.fullmatch(name):
            return None
        place = self._place(name)
        return place if place.is_file() else next(self._folder.glob(f"{DAYS}/{name}.json"), None)

    def _paths(self) -> Iterator[Path]:
        for path in self._folder.glob(f"{DAYS}/*.json"):
            if NAME.fullmatch(path.stem):
                yield path

    def _extensions(self, data: Mapping[str, Any]) -> list[str]:
        """The extensions a stored result used: as it says itself, or those with options that are not at their
        defaults.

        What the checkpoint's preset filled in counts as default.
        """
        said, request, filled = data.get("extensions"), data["request"], set(data.get("preset", ()))
        if isinstance(said, list) and all(isinstance(name, str) for name in said):
            return sorted({current_path(name, self._request.renamed) for name in said})
        request = current(request, self._request.renamed)
        filled = {current_path(path, self._request.renamed) for path in filled}
        known = self._request.model_fields
        used = [name for name, value in request.items() if name not in known and isinstance(value, dict)]
        for name, info in known.items():
            kind = info.annotation
            if name in request and isinstance(kind, type) and issubclass(kind, Options):
                try:
                    own = {
                        key: value for key, value in request[name].items() if f"{name}.{key}" not in filled
                    }
                    plain = kind.model_validate(own).defaults()
                except ValidationError:
                    plain = False
                used += [] if plain else [name]
        return used


def _move(source: Path, target: Path) -> bool:
    """Moves a file and sets its mtime to now, from which the trash counts; False if it does not exist."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.utime(source)
        os.replace(source, target)
        return True
    except FileNotFoundError:
        return False
