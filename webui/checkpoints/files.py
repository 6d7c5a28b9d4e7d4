"""Reads the text files of a checkpoint folder, which anybody may have written: regular files of a bounded
size, with or without a byte-order mark, and JSON that the rest of the program can hold.

Every error is a Refusal, one sentence that names the file. Light: the tokenizer process imports it too.
"""

from __future__ import annotations

import codecs
import json
import math
import os
import re
import stat
from pathlib import Path
from typing import Any, NoReturn

from webui.core.errors import Refusal

MAX_JSON = 16 << 20  # bytes of tokenizer_config.json, lexicon.txt ...
MAX_CONFIG = 1 << 20  # bytes of config.json and profile.json, which are read when checkpoints are listed
MAX_DEPTH = 64  # how deeply lists and objects may be nested
POINTER = b"version https://git-lfs.github.com/spec/"  # a Git LFS pointer begins with it
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
MARKS = (  # longest first: UTF-32's begins with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def printable(name: str) -> str:
    """A file name fit for a sentence: what is not UTF-8, control characters and line ends as escapes."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def label(path: Path) -> str:
    """`folder/file`, as sentences name a file."""
    return f"{printable(path.parent.name)}/{printable(path.name)}"


def status(path: Path) -> os.stat_result | None:
    """The status of a regular file, or None if there is nothing. Refusal for a folder, FIFO, device ...,
    which are never opened."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise Refusal(f"{label(path)} cannot be read: {error.strerror}.") from error
    if not stat.S_ISREG(found.st_mode):
        raise Refusal(f"{label(path)} is not a regular file.")
    return found


def read_bytes(path: Path, limit: int = MAX_JSON) -> bytes:
    """A whole file of at most `limit` bytes."""
    found = status(path)
    if found is None:
        raise Refusal(f"{label(path)} does not exist.")
    if found.st_size > limit:
        raise Refusal(f"{label(path)} has {found.st_size} bytes; at most {limit} are read.")
    try:
        with path.open("rb") as stream:
            data = stream.read(limit)
    except OSError as error:
        raise Refusal(f"{label(path)} cannot be read: {error.strerror}.") from error
    check_pointer(path, data)
    return data


def check_pointer(path: Path, beginning: bytes) -> None:
    """Refuses a file that begins like a Git LFS pointer."""
    if beginning.startswith(POINTER):
        raise Refusal(f"{label(path)} is a Git LFS pointer; run git lfs pull.")


def read_text(path: Path, limit: int = MAX_JSON) -> str:
    """A text in UTF-8, or in what its byte-order mark says; the mark is left out."""
    data = read_bytes(path, limit)
    encoding = next((name for mark, name in MARKS if data.startswith(mark)), "utf-8")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise Refusal(f"{label(path)} is not valid {encoding.removesuffix('-sig').upper()}.") from error


def read_json(path: Path, limit: int = MAX_JSON) -> dict[str, Any]:
    """A JSON object without NaN, infinities, lone surrogates or very deep nesting."""
    text = read_text(path, limit)
    try:
        data = json.loads(text, parse_float=_finite, parse_constant=_refuse)
    except RecursionError as error:
        raise Refusal(f"{label(path)} is nested too deeply.") from error
    except ValueError as error:
        raise Refusal(f"{label(path)} is not valid JSON: {error}.") from error
    if not isinstance(data, dict):
        raise Refusal(f"{label(path)} is not a JSON object.")
    _check(path, data)
    return data


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"the number {digits[:40]} is too large")
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number of JSON")


def _check(path: Path, data: Any) -> None:
    """Refuses nesting beyond MAX_DEPTH and texts that are not Unicode; without recursion."""
    left: list[tuple[Any, int]] = [(data, 1)]
    while left:
        value, depth = left.pop()
        if isinstance(value, str):
            try:
                value.encode()
            except UnicodeEncodeError:
                raise Refusal(f"{label(path)} contains text that is not valid Unicode.") from None
        elif isinstance(value, dict | list):
            if depth > MAX_DEPTH:
                raise Refusal(f"{label(path)} is nested too deeply.")
            parts = (*value, *value.values()) if isinstance(value, dict) else value
            left += [(part, depth + 1) for part in parts if isinstance(part, str | dict | list)]
