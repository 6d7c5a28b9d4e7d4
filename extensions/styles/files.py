"""The files of styles: models/styles/*.csv with the columns name, prompt, negative_prompt."""

from __future__ import annotations

import csv
import io
import re
import threading
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Final

from webui import write

OWN = "styles.csv"  # where saved styles go
COLUMNS = ("name", "prompt", "negative_prompt")
MAX_BYTES = 1 << 20  # of one file
MAX_FILES = 50
MAX_TEXT = 100_000  # characters of a prompt
MAX_NAME = 80  # characters
MOST = 2000  # styles
NAME = re.compile(r"[^<>:,\s](?:[^<>:,\n]*[^<>:,\s])?")  # one that a tag can hold

LOCK: Final = threading.Lock()  # held while the file of saved styles is read and written again


@dataclass(frozen=True)
class Style:
    """What is put around or behind a prompt, and a negative prompt."""

    name: str
    prompt: str = ""
    negative_prompt: str = ""


def styles(folder: Path) -> Mapping[str, Style]:
    """The styles of all files of a folder by name, each file's in its order. Of two with one name the first
    counts, saved ones before those of other files. ValueError if a file cannot be used."""
    found: dict[str, Style] = {}
    paths = sorted(folder.glob("*.csv"), key=lambda path: (path.name != OWN, path.name))[:MAX_FILES]
    for path in paths:
        try:
            about = path.stat()
            if about.st_size > MAX_BYTES:
                raise ValueError(f"the file of styles {path.name} is larger than {MAX_BYTES >> 20} MB.")
            for style in _contents(path, about.st_mtime_ns, about.st_size):
                found.setdefault(style.name, style)
        except OSError as error:
            raise ValueError(f"the file of styles {path.name} cannot be read: {error.strerror}.") from error
        if len(found) > MOST:
            raise ValueError(f"there are more than {MOST} styles; take some files out of the folder.")
    return MappingProxyType(found)


def save(folder: Path, new: Style) -> None:
    """Puts a style among the saved ones; one of this name is replaced. ValueError."""
    if not NAME.fullmatch(new.name) or len(new.name) > MAX_NAME or not _printable(new.name):
        raise ValueError(f"a style's name is 1 to {MAX_NAME} characters, without <, >, : and commas.")
    if not new.prompt.strip() and not new.negative_prompt.strip():
        raise ValueError("a style needs a prompt or a negative prompt.")
    with LOCK:
        _write(folder, {**_own(folder), new.name: new})


def delete(folder: Path, name: str) -> None:
    """Takes a style out of the saved ones. ValueError if it is not among them."""
    with LOCK:
        own = _own(folder)
        if name not in own:
            raise ValueError(f"there is no saved style {name}; those of other files are deleted there.")
        _write(folder, {one: style for one, style in own.items() if one != name})


def _own(folder: Path) -> dict[str, Style]:
    path = folder / OWN
    if not path.exists():
        return {}
    about = path.stat()
    return {style.name: style for style in _contents(path, about.st_mtime_ns, about.st_size)}


def _write(folder: Path, own: Mapping[str, Style]) -> None:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    table.writerows((style.name, style.prompt, style.negative_prompt) for style in own.values())
    if len(own) > MOST or len(text.getvalue().encode()) > MAX_BYTES:
        raise ValueError(f"the saved styles would be more than {MOST}, or larger than {MAX_BYTES >> 20} MB.")
    try:
        write(folder / OWN, text.getvalue())
    except OSError as error:
        raise ValueError(f"the styles cannot be saved: {error.strerror}.") from error


@lru_cache(maxsize=MAX_FILES)
def _contents(path: Path, mtime: int, size: int) -> tuple[Style, ...]:
    """The styles of a file; read again when it has changed. Rows without a name are left out."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"the file of styles {path.name} is not UTF-8.") from None
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise ValueError(f"the file of styles {path.name} is not a table in CSV: {error}.") from None
    head = [column.strip().lower().replace(" ", "_") for column in rows[0]] if rows else []
    if "name" not in head or not {"prompt", "negative_prompt"} & set(head):
        raise ValueError(
            f"the file of styles {path.name} needs a first row with name, prompt and negative_prompt."
        )
    found = []
    for row in rows[1:]:
        values = dict(zip(head, row, strict=False))
        if name := values.get("name", "").strip():
            found.append(Style(name, values.get("prompt", ""), values.get("negative_prompt", "")))
    return tuple(found)


def _printable(name: str) -> bool:
    return not any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in name)
