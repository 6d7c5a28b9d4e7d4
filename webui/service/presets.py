"""Presets that are saved under a name: one JSON file each, with the fields it sets and no others. Fields of
extensions that are not here stay in it."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import unicodedata
from collections.abc import Mapping
from math import inf
from pathlib import Path
from typing import Any

from webui.core.atomic import read, write
from webui.core.renamed import current
from webui.core.request import Request
from webui.core.unknown import plain

MAX_NAME = 80  # characters
MOST = 1000  # presets


class Presets:
    """The folder of presets. `request` is the composed request model that they must fit."""

    def __init__(self, folder: Path, request: type[Request]):
        self._folder, self._request = folder, request
        self._lock = threading.Lock()

    def all(self) -> list[dict[str, Any]]:
        """{"name", "request"} of each, by name. Files that are no presets are ignored."""
        return sorted(
            (preset for preset, _ in self._files().values()),
            key=lambda preset: (preset["name"].casefold(), preset["name"]),
        )

    def put(self, name: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Makes or replaces a preset of these fields. ValueError with a sentence, OSError."""
        if not name.strip() or name != name.strip() or len(name) > MAX_NAME or not _printable(name):
            raise ValueError(
                f"A preset's name is 1 to {MAX_NAME} characters, with no space around it and no control "
                "characters."
            )
        fields = current(fields, self._request.renamed)
        request, unknown = self._request.read({"request": fields})
        plain(unknown)
        preset = {"name": name, "request": _set(fields, request.model_dump(mode="json"))}
        with self._lock:
            files = self._files()
            if name not in files and len(files) >= MOST:
                raise ValueError(f"There are {MOST} presets already; delete one first.")
            path = files[name][1] if name in files else self._folder / _file(name)
            write(path, json.dumps(preset, ensure_ascii=False, indent=1) + "\n")
        return preset

    def delete(self, name: str) -> bool:
        """Deletes a preset; whether there was one. OSError."""
        with self._lock:
            found = self._files().get(name)
            if found is not None:
                found[1].unlink(missing_ok=True)
            return found is not None

    def _files(self) -> dict[str, tuple[dict[str, Any], Path]]:
        """Every preset by name, with its file. A file that was put here by hand may be called anything."""
        found: dict[str, tuple[dict[str, Any], Path]] = {}
        for path in sorted(self._folder.glob("*.json")):
            try:
                data = json.loads(read(path))
                name, fields = data["name"], current(plain(data["request"], inf), self._request.renamed)
                self._request.read({"request": fields})
                name.encode()
            except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
                continue
            found[name] = ({"name": name, "request": fields}, path)
        return found


def _set(given: Mapping[str, Any], valid: Mapping[str, Any]) -> dict[str, Any]:
    """The given fields with their validated values; unknown ones as they were given."""
    return {
        name: _set(value, valid[name])
        if isinstance(value, Mapping) and isinstance(valid.get(name), Mapping)
        else valid.get(name, value)
        for name, value in given.items()
    }


def _file(name: str) -> str:
    """A readable file name that every system accepts and that no two presets share."""
    readable = re.sub(r"[^a-z0-9]+", "-", unicodedata.normalize("NFKD", name).lower())[:40].strip("-")
    return f"{readable or 'preset'}-{hashlib.sha256(name.encode()).hexdigest()[:12]}.json"


def _printable(name: str) -> bool:
    """Whether a name has no control characters and no half surrogate pairs. Direction marks are allowed."""
    return not any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in name)
