"""Reads a GGUF file (version 3, the format of llama.cpp): its facts, and its tensors as fp32.

Only the three types that the files of our named sources have are computed: F32, Q8_0 and Q4_1. A reader of
our own for these brings no requirement along, and bounds what a file can make it read; the package `gguf`
would be needed for this one command alone.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from webui.checkpoints.files import label, printable, status
from webui.core.errors import Refusal

if TYPE_CHECKING:
    from torch import Tensor

MAGIC, VERSION = b"GGUF", 3
MAX_FACTS, MAX_TENSORS, MAX_DIMENSIONS = 1 << 12, 1 << 16, 4
MAX_TEXT, MAX_LIST = 1 << 20, 1 << 20  # bytes of a text, entries of a list
TEXT, LIST = 8, 9
NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}


@dataclass(frozen=True)
class Packing:
    """How a type holds numbers: `values` of them in a block of `size` bytes; `unpack` makes (blocks, values)
    fp32 of (blocks, size) uint8."""

    name: str
    values: int
    size: int
    unpack: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Stored:
    """A tensor in the file. `shape` as torch counts, the fastest dimension last; `start` in bytes."""

    shape: tuple[int, ...]
    packing: Packing
    start: int


class Gguf:
    """A GGUF file. `facts` are its key-value pairs, `tensors` what `read` can give, by name."""

    def __init__(self, file: Path):
        """Refusal with one sentence for a file that is damaged, or has what is not computed."""
        if status(file) is None:
            raise Refusal(f"{label(file)} does not exist.")
        self.file, self._size = file, file.stat().st_size
        with file.open("rb") as stream:
            try:
                self.facts, self.tensors = self._head(stream)
            except (struct.error, UnicodeDecodeError, ValueError) as error:
                if isinstance(error, Refusal):
                    raise
                raise Refusal(f"{label(file)} is damaged: {error}.") from error

    def read(self, name: str) -> Tensor:
        """A tensor in fp32."""
        import torch

        stored = self.tensors[name]
        packing = stored.packing
        count = math.prod(stored.shape) // packing.values
        with self.file.open("rb") as stream:
            stream.seek(stored.start)
            raw = bytearray(stream.read(count * packing.size))
        blocks = torch.frombuffer(raw, dtype=torch.uint8).view(count, packing.size)
        return packing.unpack(blocks).reshape(stored.shape)

    def _head(self, stream: BinaryIO) -> tuple[dict[str, Any], Mapping[str, Stored]]:
        if stream.read(4) != MAGIC:
            raise Refusal(f"{label(self.file)} is no GGUF file.")
        version, tensors, facts = _numbers(stream, "IQQ")
        if version != VERSION:
            raise Refusal(f"{label(self.file)} is a GGUF file of version {version}; only {VERSION} is read.")
        _bound(tensors, MAX_TENSORS)
        _bound(facts, MAX_FACTS)
        known: dict[str, Any] = {}
        for _ in range(facts):
            key = _text(stream)
            known[key] = _value(stream, *_numbers(stream, "I"))
        listed = [self._entry(stream) for _ in range(tensors)]
        aligned = known.get("general.alignment", 32)
        if not isinstance(aligned, int) or not 0 < aligned <= 1 << 16:
            raise ValueError("its alignment is no number")
        data = -(-stream.tell() // aligned) * aligned
        found = {}
        for name, shape, packing, offset in listed:
            stored = Stored(shape, packing, data + offset)
            if shape[-1] % packing.values or stored.start + _bytes(stored) > self._size:
                raise ValueError(f"{printable(name)} lies outside the file")
            found[name] = stored
        return known, found

    def _entry(self, stream: BinaryIO) -> tuple[str, tuple[int, ...], Packing, int]:
        name = _text(stream)
        (count,) = _numbers(stream, "I")
        _bound(count, MAX_DIMENSIONS)
        shape = tuple(_numbers(stream, f"{count}Q")[::-1])
        if not shape or not all(0 < size < 1 << 32 for size in shape):
            raise ValueError(f"{printable(name)} has no shape")
        kind, offset = _numbers(stream, "IQ")
        packing = PACKINGS.get(kind)
        if packing is None:
            kinds = ", ".join(one.name for one in PACKINGS.values())
            raise Refusal(
                f"{label(self.file)} has {printable(name)} in the type {kind} of GGUF; only {kinds} are read."
            )
        return name, shape, packing, offset


# -- inside --------------------------------------------------------------------------------------------------


def _bytes(stored: Stored) -> int:
    return math.prod(stored.shape) // stored.packing.values * stored.packing.size


def _numbers(stream: BinaryIO, kinds: str) -> tuple[Any, ...]:
    layout = struct.Struct(f"<{kinds}")
    return layout.unpack(stream.read(layout.size))


def _text(stream: BinaryIO) -> str:
    (count,) = _numbers(stream, "Q")
    _bound(count, MAX_TEXT)
    return stream.read(count).decode("utf-8")


def _value(stream: BinaryIO, kind: int) -> Any:
    if kind == TEXT:
        return _text(stream)
    if kind == LIST:
        inner, count = _numbers(stream, "IQ")
        _bound(count, MAX_LIST)
        if inner == TEXT:
            return [_text(stream) for _ in range(count)]
        return list(_numbers(stream, f"{count}{_number(inner)}"))
    return _numbers(stream, _number(kind))[0]


def _number(kind: int) -> str:
    if kind not in NUMBERS:
        raise ValueError(f"there is no type {kind} of a value")
    return NUMBERS[kind]


def _bound(count: int, most: int) -> None:
    if count > most:
        raise ValueError(f"{count} entries, at most {most} are read")


def _half(blocks: Tensor, first: int) -> Tensor:
    """(blocks, 1): the fp16 at this byte of every block."""
    import torch

    return blocks[:, first : first + 2].contiguous().view(torch.float16).float()


def _f32(blocks: Tensor) -> Tensor:
    import torch

    return blocks.view(torch.float32)


def _q8_0(blocks: Tensor) -> Tensor:
    """A scale, then 32 signed bytes."""
    import torch

    return _half(blocks, 0) * blocks[:, 2:].contiguous().view(torch.int8)


def _q4_1(blocks: Tensor) -> Tensor:
    """A scale and the least value, then 16 bytes: the first half of the block in their low four bits, the
    second half in the high ones."""
    import torch

    packed = blocks[:, 4:]
    return _half(blocks, 0) * torch.cat([packed & 15, packed >> 4], dim=1) + _half(blocks, 2)


PACKINGS: Mapping[int, Packing] = {
    0: Packing("F32", 1, 4, _f32),
    3: Packing("Q4_1", 32, 20, _q4_1),
    8: Packing("Q8_0", 32, 34, _q8_0),
}
