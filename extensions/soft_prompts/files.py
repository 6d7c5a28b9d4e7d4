"""Files of soft prompts: safetensors with `embedding` (M, D), the rows that stand for the M tokens of the
trigger words; trigger, checkpoint and tokens are in the header."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

MOST = 1000  # files that are looked at
LARGEST = 64 << 20  # bytes of one


@dataclass(frozen=True)
class SoftPrompt:
    """What the header of a file says.

    trigger      the words in the prompt
    checkpoint   the one that it was trained with
    tokens       the trigger in tokens: at the start of a text, and behind a blank
    hash         SHA-256 of the file, 16 hexadecimal digits
    """

    path: Path
    trigger: str
    checkpoint: str
    tokens: tuple[tuple[int, ...], ...]
    hash: str


def soft_prompts(folder: Path) -> Mapping[str, SoftPrompt]:
    """Those in a folder, by name. A file that is none is left out: nobody knows its trigger words."""
    if not folder.is_dir():
        return MappingProxyType({})
    found = sorted(folder.glob("*.safetensors"))[:MOST]
    stamps = tuple(
        (file, (stat := file.stat()).st_mtime_ns, stat.st_size) for file in found if file.is_file()
    )
    return _read(stamps)


@lru_cache(maxsize=8)
def _read(stamps: tuple[tuple[Path, int, int], ...]) -> Mapping[str, SoftPrompt]:
    read = ((file.stem, _one(file, size)) for file, _, size in stamps)
    return MappingProxyType({name: one for name, one in read if one is not None})


def _one(file: Path, size: int) -> SoftPrompt | None:
    """What a file says; None if it is no soft prompt."""
    if size > LARGEST:
        return None
    try:
        data = file.read_bytes()
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        said = header["__metadata__"]
        tokens = json.loads(said["tokens"])
        rows, _ = header["embedding"]["shape"]
        trigger, checkpoint = str(said["trigger"]), str(said["checkpoint"])
        kept = tuple(tuple(map(int, one)) for one in tokens)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    if not trigger.strip() or not kept or any(len(one) != rows or min(one, default=-1) < 0 for one in kept):
        return None
    return SoftPrompt(file, trigger, checkpoint, kept, hashlib.sha256(data).hexdigest()[:16])
