"""Results on disk: one JSON file each is the truth. Written atomically as each text ends."""

from __future__ import annotations

import json
import os
import re
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from webui.request import Request, Result

NAME = re.compile(r"[0-9a-f]{20}")


def new_id() -> str:
    """20 hexadecimal digits that sort by time."""
    return f"{time.time_ns() // 1000:016x}{secrets.token_hex(2)}"


class History:
    """The folder of saved results. `request` is the composed request model that they are read back with."""

    def __init__(self, folder: Path, request: type[Request], keep: bool = True):
        self._folder, self._request, self._keep = folder, request, keep

    def save(self, result: Result) -> None:
        """Writes a result; it is there whole or not at all, also after a crash. OSError if the disk refuses."""
        if not self._keep:
            return
        day = time.strftime("%Y-%m-%d", time.gmtime(int(result.id[:16], 16) / 1e6))
        target = self._folder / day / f"{result.id}.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_suffix(".tmp")
        try:
            with temporary.open("w", encoding="utf-8") as stream:
                stream.write(result.model_dump_json())
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def get(self, name: str) -> Result | None:
        """The result of this id, or None. Fields of extensions that are gone are left out (the file keeps them)."""
        if not NAME.fullmatch(name):
            return None
        path = next(self._folder.glob(f"*/{name}.json"), None)
        if path is None:
            return None
        data = json.loads(path.read_text("utf-8"))
        request, _ = self._request.read(data)
        return Result.model_validate({**data, "request": request})

    def list(self, limit: int = 50, before: str | None = None) -> list[dict[str, Any]]:
        """Summaries, newest first: id, text, checkpoint, seed, job, complete. `before` pages on from an id."""
        found: list[dict[str, Any]] = []
        for path in self._paths():
            if before is not None and path.stem >= before:
                continue
            if len(found) == limit:
                break
            data = json.loads(path.read_text("utf-8"))
            found.append(
                {
                    "id": data["id"], "text": data["text"], "complete": data["complete"],
                    "prompt": data["request"]["prompt"], "seed": data["request"]["seed"],
                    "checkpoint": data["provenance"]["checkpoint"], "job": data["provenance"]["job"],
                }
            )  # fmt: skip
        return found

    def _paths(self) -> Iterator[Path]:
        for day in sorted(self._folder.glob("????-??-??"), reverse=True):
            yield from sorted(day.glob("*.json"), reverse=True)
