"""Pickled weights to safetensors: each file by a process without rights (unpickle.py), the results checked
and renamed into place. No pickle is ever read in this process."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from webui.checkpoints import weights
from webui.checkpoints.files import label, printable, read_json, status
from webui.checkpoints.process import ENVIRONMENT, ROOT
from webui.core import atomic
from webui.core.errors import Refusal

INDEX = "pytorch_model.bin.index.json"
OTHERS = re.compile(r"(training_args|optimizer|scheduler|scaler|rng_state|trainer_state)")  # no weights
COPIED = ("*.json", "*.txt", "*.jinja", "*.md", "LICENSE*", "NOTICE*")  # to another folder, with the weights


def pickles(folder: Path) -> list[Path]:
    """The files to convert: those that the index names, or the one there is. Refusal says which are there if
    it is not clear."""
    here = printable(folder.name)
    if status(folder / INDEX):
        mapping = read_json(folder / INDEX, weights.MAX_INDEX).get("weight_map")
        names = set(mapping.values()) if isinstance(mapping, dict) else set()
        if not names or not all(isinstance(name, str) and Path(name).name == name for name in names):
            raise Refusal(f"{here}/{INDEX} names no files of the folder.")
        return [folder / name for name in sorted(names)]
    found = [file for pattern in weights.PICKLES for file in folder.glob(pattern) if status(file)]
    found = sorted(file for file in found if not OTHERS.match(file.name))
    main = [file for file in found if file.name == "pytorch_model.bin"]
    if len(found) > 1 and not main:
        names = ", ".join(printable(file.name) for file in found[:6])
        raise Refusal(
            f"{here} has several files with pickles ({names}); leave only the one with the weights."
        )
    if not found:
        raise Refusal(f"{here} has no pickled weights to convert.")
    return main or found


def convert(
    folder: Path, out: Path | None = None, report: Callable[[str], None] = lambda line: None
) -> list[Path]:
    """Converts a folder's pickled weights; the new files. They are put beside the pickles, which stay, or
    into the folder `out`, with everything else a checkpoint consists of.

    report  gets a line for each file. Refusal with one sentence; no file is there in part then.
    """
    target = folder if out is None else out
    sources = pickles(folder)
    names = _names(sources)
    if there := next((name for name in (*names, weights.INDEX) if (target / name).exists()), None):
        raise Refusal(f"{printable(target.name)} has {there} already; remove it first.")
    target.mkdir(parents=True, exist_ok=True)
    made: list[Path] = []
    tensors: dict[str, str] = {}
    try:
        for source, name in zip(sources, names, strict=True):
            if status(source) is None:
                raise Refusal(
                    f"{printable(folder.name)} lacks {printable(source.name)}, which its index names."
                )
            made.append(_convert(source, target / name, report))
            for tensor in weights.header(target / name):
                if tensor in tensors:
                    raise Refusal(f"{printable(folder.name)} has {printable(tensor)} in two files.")
                tensors[tensor] = name
        if len(made) > 1:
            total = sum(file.stat().st_size for file in made)
            index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(tensors.items()))}
            atomic.write(target / weights.INDEX, json.dumps(index, indent=2) + "\n")
        if target != folder:
            for file in {file for pattern in COPIED for file in folder.glob(pattern)}:
                if status(file) and file.name != INDEX and not (target / file.name).exists():
                    shutil.copyfile(file, target / file.name)
    except BaseException:
        for file in made:
            file.unlink(missing_ok=True)
        raise
    return made


def _names(sources: Sequence[Path]) -> list[str]:
    return [f"{source.stem.replace('pytorch_model', 'model')}.safetensors" for source in sources]


def _convert(source: Path, target: Path, report: Callable[[str], None]) -> Path:
    """One file, by a process of its own."""
    part = target.with_name(f"{target.name}.part")
    part.unlink(missing_ok=True)
    path = os.pathsep.join(map(os.path.abspath, filter(None, (ROOT, *sys.path))))
    environment = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    environment |= {"PYTHONPATH": path, "PYTHONUTF8": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        with part.open("xb") as sink:
            ran = subprocess.run(
                [sys.executable, "-P", "-m", "webui.checkpoints.unpickle", os.path.abspath(source)],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.PIPE,
                env=environment,
                check=False,
            )
            os.fsync(sink.fileno())
        reply = _reply(ran.stderr)
        if "error" in reply:
            raise Refusal(f"{label(source)} cannot be converted: {reply['error']}")
        count = len(weights.header(part))
        os.replace(part, target)
    except OSError as error:
        raise Refusal(f"{label(target)} cannot be written: {error.strerror}.") from error
    finally:
        part.unlink(missing_ok=True)
    barrier = "" if reply.get("enforced") else "; this system cannot confine the process that read it"
    report(f"{source.name} -> {target.name}: {count} tensors{barrier}")
    return target


def _reply(errors: bytes) -> dict[str, Any]:
    """What the process said in its last line."""
    try:
        return dict(json.loads(errors.splitlines()[-1]))
    except (ValueError, IndexError, TypeError):
        return {"error": "the process that read it ended."}
