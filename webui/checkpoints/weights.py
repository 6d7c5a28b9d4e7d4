"""The safetensors files of a checkpoint: whole, named as the native model names them, read with every byte
counted."""

from __future__ import annotations

import hashlib
import json
import math
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
MAX_HEADER = 100_000_000  # bytes, safetensors' own limit
CHUNK = 4 << 20  # bytes read at once for the fingerprint
NOTCH = 0.01  # progress is told in steps of at least this much

ReportProgress = Callable[[float], None]


class Stopped(Exception):
    """Raised by a progress function: loading is given up, nothing is at fault."""


class Meter:
    """Adds up bytes from several threads and tells the share of all there are, 0 to 1, a hundred times at
    most."""

    def __init__(self, total: int, report: ReportProgress):
        self._total, self._report = max(1, total), report
        self._done, self._told = 0, 0.0
        self._lock = threading.Lock()

    def add(self, count: int) -> None:
        """Raises what the progress function raises."""
        with self._lock:
            self._done += count
            share = min(1.0, self._done / self._total)
            if share - self._told >= NOTCH or (share == 1.0 != self._told):
                self._told = share
                self._report(share)


@dataclass(frozen=True)
class TensorInfo:
    """A tensor in a file, by its header: `size` in bytes."""

    file: Path
    name: str
    shape: tuple[int, ...]
    size: int


class _Lazy:
    """What transformers takes for a tensor of a file and reads with [...]: then its bytes count."""

    def __init__(self, piece: Any, size: int, meter: Meter):
        self._piece, self._size, self._meter = piece, size, meter
        self.stop: Stopped | None = None

    def __getitem__(self, index: Any) -> Any:
        try:
            self._meter.add(self._size)
        except (
            Stopped
        ) as stop:  # kept: transformers collects the errors of single tensors and raises one of its own
            self.stop = stop
            raise
        return self._piece[index]


def files(folder: Path) -> list[Path]:
    """The files with weights, in order. ValueError if there are none."""
    found = sorted(folder.glob("*.safetensors"))
    if not found:
        pickled = any(next(folder.glob(pattern), None) for pattern in PICKLES)
        reason = (
            "only pickled weights, which can run code when they are read; convert them to safetensors"
            if pickled
            else "no weights"
        )
        raise ValueError(f"{folder.name} has {reason}.")
    return found


def tensors(folder: Path) -> list[TensorInfo]:
    """Every tensor of a folder, by the headers, without torch. ValueError for missing shards and files cut
    short."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        try:
            shards = set(map(str, json.loads(index.read_text("utf-8"))["weight_map"].values()))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{folder.name}/{index.name} has no weight_map.") from error
        for shard in sorted(shards):
            if not (folder / shard).is_file():
                raise ValueError(f"{folder.name} lacks {shard}, which its index names.")
    return [tensor for file in files(folder) for tensor in _header(file)]


def _header(file: Path) -> Iterator[TensorInfo]:
    damaged = f"{file.parent.name}/{file.name} is damaged:"
    with file.open("rb") as stream:
        size = int.from_bytes(stream.read(8), "little")
        try:
            header = json.loads(stream.read(size) if size <= MAX_HEADER else b"")
            header.pop("__metadata__", None)
            found = [
                (
                    TensorInfo(
                        file,
                        name,
                        tuple(map(int, told["shape"])),
                        told["data_offsets"][1] - told["data_offsets"][0],
                    ),
                    told["data_offsets"][1],
                )
                for name, told in header.items()
            ]
            said = 8 + size + max((end for _, end in found), default=0)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
            raise ValueError(f"{damaged} it is no safetensors file.") from error
    there = file.stat().st_size
    if there != said:
        raise ValueError(f"{damaged} it has {there} bytes where its header says {said}.")
    yield from (tensor for tensor, _ in found)


def parameters(found: list[TensorInfo]) -> int:
    """How many numbers the weights are."""
    return sum(math.prod(tensor.shape) for tensor in found)


def fingerprint(folder: Path, meter: Meter | None = None) -> str:
    """SHA-256 over the weights' files in order, 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for file in files(folder):
        inner = hashlib.sha256()
        with file.open("rb") as stream:
            while chunk := stream.read(CHUNK):
                inner.update(chunk)
                if meter:
                    meter.add(len(chunk))
        digest.update(inner.digest())
    return digest.hexdigest()[:16]


def match(folder: Path, kind: Any, config: Any, names: Mapping[str, str]) -> dict[str, TensorInfo]:
    """The tensors of a folder under the native model's names; no weight is read.

    kind    the native class of transformers, `config` its configuration
    names   regular expressions from published to native names, in order
    ValueError says what is missing, unknown or of another shape: partial weights are not loaded.
    """
    import torch

    with torch.device("meta"):
        wanted = {name: tuple(value.shape) for name, value in kind(config).state_dict().items()}
    if config.tie_word_embeddings:
        names = {old: new for old, new in names.items() if new != "lm_head."}
    found = {
        tensor.name if tensor.name in wanted else _renamed(tensor.name, names): tensor
        for tensor in tensors(folder)
    }
    shapes = [name for name, tensor in found.items() if name in wanted and tensor.shape != wanted[name]]
    if shapes:
        raise ValueError(
            f"{folder.name} has weights of another shape than its config.json says, {min(shapes)} among them."
        )
    tied = {"lm_head.weight"} if config.tie_word_embeddings else set()
    for fault, keys in (
        ("lacks", wanted.keys() - found.keys() - tied),
        ("has unknown", found.keys() - wanted.keys()),
    ):
        if keys:
            raise ValueError(
                f"{folder.name} {fault} weights, {min(keys)} among them; partial weights are not loaded."
            )
    return found


def read(found: Mapping[str, TensorInfo], kind: Any, config: Any, dtype: Any, meter: Meter) -> Any:
    """The native model with these tensors, on the CPU. ValueError with a sentence; Stopped if the meter's
    function says so."""
    from safetensors import safe_open

    opened = {tensor.file: safe_open(tensor.file, framework="pt") for tensor in found.values()}
    state = {name: _Lazy(opened[t.file].get_slice(t.name), t.size, meter) for name, t in found.items()}
    try:
        model, info = kind.from_pretrained(
            None,
            config=config,
            state_dict=state,
            dtype=dtype,
            output_loading_info=True,
            attn_implementation="sdpa",
        )
    except Exception as error:
        for lazy in state.values():
            if lazy.stop:
                raise lazy.stop from None
        line = (str(error) or type(error).__name__).strip().splitlines()[0]
        raise ValueError(f"The weights cannot be read: {line}") from error
    wrong = set(info["missing_keys"]) | set(info["unexpected_keys"]) | set(map(str, info["mismatched_keys"]))
    if wrong - ({"lm_head.weight"} if config.tie_word_embeddings else set()):
        raise ValueError(f"The weights cannot be read: {min(wrong)} did not fit.")
    return model


def _renamed(name: str, names: Mapping[str, str]) -> str:
    for old, new in names.items():
        name = re.sub(old, new, name, count=1)
    return name
