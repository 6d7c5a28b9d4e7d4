"""The index of the history: one SQLite file that answers searches. It can be deleted at any time; the JSON
files are the truth.

Saving or deleting a result does not write to it. A query first brings it up to date: folders whose mtime has
changed are listed, new files are read, missing ones are dropped.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VERSION = 2  # of the tables
DAY = re.compile(r"\d{4}-\d\d-\d\d")
NAME = re.compile(r"[0-9a-f]{20}")
CUT = 300  # characters of prompt and text in a list
CHUNK = 500  # files between two commits
COARSE = 2.0  # seconds: a folder changed so recently may change again without a new mtime
LITERAL, MEANT = re.compile(r"[\\%_]"), r"\\\g<0>"  # what LIKE would take for something else
LONG = 1000  # characters of a word
BROKEN = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

TABLES = f"""
CREATE TABLE entries (
    id TEXT NOT NULL UNIQUE, day TEXT NOT NULL, stamp TEXT NOT NULL, checkpoint TEXT NOT NULL,
    favourite INTEGER NOT NULL,
    item TEXT NOT NULL, words TEXT NOT NULL);
CREATE INDEX by_day ON entries (day, id, stamp);
CREATE INDEX by_checkpoint ON entries (checkpoint, id);
CREATE INDEX by_favourite ON entries (id) WHERE favourite;
CREATE TABLE uses (extension TEXT NOT NULL, id TEXT NOT NULL, PRIMARY KEY (extension, id)) WITHOUT ROWID;
CREATE INDEX used_by ON uses (id);
PRAGMA user_version = {VERSION};
"""


@dataclass(frozen=True)
class Query:
    """What to look for. `search`: every word of it occurs in prompt or text, whatever its case. `first` and
    `last`: bounds of ids, the last excluded. `before`: the id after which a page goes on."""

    search: str = ""
    checkpoint: str | None = None
    extension: str | None = None
    favourite: bool | None = None
    first: str | None = None
    last: str | None = None
    before: str | None = None
    limit: int = 50

    def where(self) -> tuple[str, list[Any]]:
        """The condition in SQL, without `before`, and its values."""
        parts: list[tuple[str, list[Any]]] = [
            _contains(word) for word in dict.fromkeys(_folded(self.search).split())
        ]
        for condition, value in (
            ("checkpoint = ?", self.checkpoint),
            ("id >= ?", self.first),
            ("id < ?", self.last),
            ("id IN (SELECT id FROM uses WHERE extension = ?)", self.extension),
        ):
            if value is not None:
                parts.append((condition, [clean(value)]))
        if self.favourite is not None:
            parts.append(("favourite" if self.favourite else "NOT favourite", []))
        return " AND ".join(condition for condition, _ in parts) or "1", [
            value for _, values in parts for value in values
        ]


class Index:
    """Knows every result in `folder`. `extensions(data)`: those that a stored result used. For any number of
    threads."""

    def __init__(self, folder: Path, extensions: Callable[[Mapping[str, Any]], list[str]]):
        self._folder, self._extensions = folder, extensions
        self._lock = threading.Lock()
        self._base: sqlite3.Connection | None = None
        self._file: Path | str = folder / "index.sqlite"
        self._seen: dict[str, int] = {}  # mtime of each day's folder, nanoseconds
        self._unreadable: dict[Path, str] = {}

    def find(self, query: Query) -> dict[str, Any]:
        """{"items", "total" that match, "all", "checkpoints" and "extensions" with their numbers}; newest
        first."""
        return self._ask(lambda base: self._find(base, query))

    def explain(self, query: Query) -> list[str]:
        """SQLite's query plan for a page of this query."""
        where, values = query.where()
        select = f"SELECT id, item FROM entries WHERE {where} AND id < ? ORDER BY id DESC LIMIT ?"
        plan = f"EXPLAIN QUERY PLAN {select}"
        return self._ask(lambda base: [row[-1] for row in base.execute(plan, [*values, "f" * 20, 50])])

    def refresh(self, path: Path) -> None:
        """Reads a file again that was changed in place."""
        if self._base is not None:
            self._ask(lambda base: self._enter(base, path.parent.name, [path]))

    def close(self) -> None:
        with self._lock:
            self._forget()

    # -- the base --------------------------------------------------------------------------------------------

    def _ask(self, question: Callable[[sqlite3.Connection], Any]) -> Any:
        """The answer from an index that is up to date. A damaged one is rebuilt; where none can be written,
        it is in memory."""
        with self._lock:
            if not self._folder.is_dir():
                self._forget()
                with contextlib.closing(_open(":memory:")) as base:
                    return question(base)
            for _ in range(3):
                try:
                    return self._answer(question)
                except sqlite3.Error as error:
                    self._forget()
                    if getattr(error, "sqlite_errorcode", 0) & 0xFF in BROKEN:
                        for suffix in ("", "-journal"):
                            with contextlib.suppress(OSError):
                                os.unlink(f"{self._file}{suffix}")
                    else:  # a full disk, a folder that cannot be written, a lock of another program
                        self._file = ":memory:"
            self._file = ":memory:"
            return self._answer(question)

    def _answer(self, question: Callable[[sqlite3.Connection], Any]) -> Any:
        self._base = self._base or _open(self._file)
        self._look(self._base)
        return question(self._base)

    def _forget(self) -> None:
        if self._base is not None:
            with contextlib.suppress(sqlite3.Error):
                self._base.close()
        self._base, self._seen = None, {}

    # -- updating --------------------------------------------------------------------------------------------

    def _look(self, base: sqlite3.Connection) -> None:
        """Brings the index up to date with the folders. The first time the stamp of every file is compared,
        later only the names."""
        first = not self._seen
        now = time.time()
        try:
            with os.scandir(self._folder) as found:
                days = {
                    entry.name: entry.stat().st_mtime_ns
                    for entry in found
                    if DAY.fullmatch(entry.name) and entry.is_dir()
                }
        except FileNotFoundError:
            days = {}
        known = (
            {day for (day,) in base.execute("SELECT DISTINCT day FROM entries")}
            if first
            else self._seen.keys()
        )
        changed = {day for day, at in days.items() if self._seen.get(day) != at} | (known - days.keys())
        changed |= {path.parent.name for path, stamp in self._unreadable.items() if _stamp(path) != stamp}
        for day in sorted(changed, reverse=True):
            self._look_into(base, day, first)
            self._seen[day] = days[day] if day in days and now - days[day] / 1e9 > COARSE else 0
        self._seen = {day: at for day, at in self._seen.items() if day in days}

    def _look_into(self, base: sqlite3.Connection, day: str, stamps: bool) -> None:
        folder = self._folder / day
        try:
            with os.scandir(folder) as found:
                there = {
                    e.name[:-5]: e for e in found if e.name.endswith(".json") and NAME.fullmatch(e.name[:-5])
                }
                current = {name: _stamp(entry) for name, entry in there.items()} if stamps else {}
        except FileNotFoundError:
            there, current = {}, {}
        known = dict(base.execute("SELECT id, stamp FROM entries WHERE day = ?", (day,)))
        for id in known.keys() - there.keys():
            _drop(base, id)
        base.commit()
        new = sorted(id for id in there if id not in known or (stamps and current[id] != known[id]))
        self._enter(base, day, [folder / f"{id}.json" for id in new])

    def _enter(self, base: sqlite3.Connection, day: str, paths: Iterable[Path]) -> None:
        for number, path in enumerate(paths, 1):
            stamp = _stamp(path)  # before it is read: a change while it is read is noticed next time
            try:
                data = load(path)
                item = summary(path.stem, data, self._extensions(data))
                words = _folded(f"{data['request']['prompt']}\n{data['text']}")
            except (OSError, ValueError, TypeError, LookupError, AttributeError):
                self._unreadable[path] = stamp
                continue
            self._unreadable.pop(path, None)
            _drop(base, path.stem)
            row = (path.stem, day, stamp, item["checkpoint"], item["favourite"], json.dumps(item), words)
            base.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?)", row)
            base.executemany(
                "INSERT INTO uses VALUES (?, ?)", [(name, path.stem) for name in item["extensions"]]
            )
            if number % CHUNK == 0:
                base.commit()
        base.commit()

    # -- answering -------------------------------------------------------------------------------------------

    def _find(self, base: sqlite3.Connection, query: Query) -> dict[str, Any]:
        (where, values), before = query.where(), None if query.before is None else clean(query.before)
        if query.search.split():  # one scan of all texts gives both the total and the page
            ids = [
                id for (id,) in base.execute(f"SELECT id FROM entries WHERE {where} ORDER BY id DESC", values)
            ]
            total = len(ids)
            page = [id for id in ids if before is None or id < before][: query.limit]
            items = [
                base.execute("SELECT item FROM entries WHERE id = ?", (id,)).fetchone()[0] for id in page
            ]
        else:
            total = base.execute(f"SELECT count(*) FROM entries WHERE {where}", values).fetchone()[0]
            after, more = (" AND id < ?", [before]) if before is not None else ("", [])
            sql = f"SELECT item FROM entries WHERE {where}{after} ORDER BY id DESC LIMIT ?"
            items = [item for (item,) in base.execute(sql, [*values, *more, query.limit])]
        return {
            "items": [json.loads(item) for item in items],
            "total": total,
            "all": base.execute("SELECT count(*) FROM entries").fetchone()[0],
            "checkpoints": dict(base.execute("SELECT checkpoint, count(*) FROM entries GROUP BY checkpoint")),
            "extensions": dict(base.execute("SELECT extension, count(*) FROM uses GROUP BY extension")),
        }


def load(path: Path) -> dict[str, Any]:
    """The content of a file of the history. ValueError if it is not a JSON object or has numbers that JSON
    does not have."""
    try:
        data = json.loads(path.read_bytes(), parse_float=_finite, parse_constant=_finite)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    if not isinstance(data, dict):
        raise ValueError("is no JSON object")
    return data


def summary(id: str, data: Mapping[str, Any], extensions: list[str]) -> dict[str, Any]:
    """A stored result as one entry of a list. TypeError for a value of a wrong type, LookupError for a
    missing one."""
    request, made, costs = data["request"], data.get("provenance") or {}, data.get("statistics") or {}
    item = {
        "id": id,
        "text": data["text"][:CUT],
        "prompt": request["prompt"][:CUT],
        "complete": data["complete"],
        "error": data.get("error"),
        "checkpoint": made.get("checkpoint", ""),
        "seed": request["seed"],
        "job": made.get("job"),
        "created": made.get("created"),
        "favourite": data.get("favourite", False),
        "extensions": sorted({clean(name) for name in extensions}),
        "tokens": costs.get("tokens", 0),
        "seconds": costs.get("seconds", 0.0),
    }
    kinds = {
        "text": str,
        "prompt": str,
        "checkpoint": str,
        "complete": bool,
        "favourite": bool,
        "seed": int,
        "tokens": int,
    }
    kinds |= {"error": str | None, "job": str | None, "created": str | None, "seconds": float | int}
    for name, kind in kinds.items():
        if not isinstance(item[name], kind):
            raise TypeError(f"{name} is no {kind}")
    return {name: clean(value) if isinstance(value, str) else value for name, value in item.items()}


def clean(text: str) -> str:
    """The text without half surrogate pairs, which SQLite cannot store."""
    return text.encode("utf-8", "replace").decode()


def _folded(text: str) -> str:
    """The text as it is searched: case-folded, and without NUL, at which SQLite's LIKE stops."""
    return clean(text.casefold()).replace("\0", "\ufffd")


def _contains(word: str) -> tuple[str, list[Any]]:
    """The condition that a word occurs. LIKE is twice as fast as instr, but limited in length."""
    if len(word) > LONG:
        return "instr(words, ?) > 0", [word]
    return r"words LIKE ? ESCAPE '\'", [f"%{LITERAL.sub(MEANT, word)}%"]


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits} is no number of JSON")
    return number


def _drop(base: sqlite3.Connection, id: str) -> None:
    base.execute("DELETE FROM entries WHERE id = ?", (id,))
    base.execute("DELETE FROM uses WHERE id = ?", (id,))


def _stamp(file: Path | os.DirEntry) -> str:
    """Mtime and size of a file; empty if it does not exist."""
    try:
        found = file.stat()
        return f"{found.st_mtime_ns}-{found.st_size}"
    except OSError:
        return ""


def _open(file: Path | str) -> sqlite3.Connection:
    """The database in this file, checked, with its tables. sqlite3.Error, whose code is one of BROKEN if it
    has to be rebuilt."""
    base = sqlite3.connect(file, timeout=5, check_same_thread=False)
    try:
        version = base.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            base.executescript("BEGIN;" + TABLES + "COMMIT;")
        elif version != VERSION or base.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            error = sqlite3.DatabaseError("The index is damaged, or of another version.")
            error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise error
        return base
    except BaseException:
        base.close()
        raise
