"""Writes the merged checkpoint: each file of A with the bytes of its tensors replaced, one tensor in memory
at a time, in a folder that gets its name when all is there.

A file that was finished is not written again when the same merge is started again.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from webui import fingerprint, tensors, write

from .baking import Change, baked
from .methods import BAKE_ABOUT, METHODS, Settings

if TYPE_CHECKING:
    from torch import Tensor

RECIPE = "merge.json"
CHUNK = 4 << 20  # bytes copied at once
LAYER = re.compile(r"\.(\d+)\.")
FLOATS = {"F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64"}
NOT_COPIED = re.compile(
    r"(?:.*\.(?:safetensors|bin|pt|pth|ckpt|pkl|py|tmp)|README\.md|merge\.json|pruning\.json|\..*)"
)


@dataclass(frozen=True)
class Recipe:
    """What is merged how. `parents`: for each of A, B and C its name and the fingerprint of its weights;
    `layers`: weights of single layers, by their numbers."""

    method: str
    weight: float
    parents: tuple[tuple[str, str], ...]
    layers: tuple[tuple[int, float], ...] = ()
    density: float = 0.5
    seed: int = 0
    lora: tuple[str, str] | None = None  # name and hash of what the method bake writes into A

    def at(self, name: str) -> float:
        """The weight of a tensor."""
        found = LAYER.search(name)
        return dict(self.layers).get(int(found[1]), self.weight) if found else self.weight


def check(folders: Sequence[Path]) -> None:
    """Refuses what cannot be merged, before anything is written. ValueError with one sentence."""
    first = folders[0]
    own = {one.name: one for one in tensors(first)}
    for folder in folders[1:]:
        other = {one.name: one for one in tensors(folder)}
        names = f"{first.name} and {folder.name}"
        if lacking := sorted(own.keys() ^ other.keys()):
            has, lacks = (first, folder) if lacking[0] in own else (folder, first)
            raise ValueError(
                f"{names} have not the same weights: {lacks.name} lacks {lacking[0]}, which {has.name} has."
            )
        for name, one in sorted(own.items()):
            if other[name].shape != one.shape:
                shapes = f"{list(one.shape)} and {list(other[name].shape)}"
                raise ValueError(f"{names} have {name} in the shapes {shapes}.")
            for tensor in (one, other[name]):
                if tensor.dtype not in FLOATS:
                    raise ValueError(f"{name} of {folder.name} is of type {tensor.dtype}; it is no float.")
        if _vocabulary(first) != _vocabulary(folder):
            raise ValueError(f"{names} have different tokenizers.")
        masks = _mask(first), _mask(folder)
        if None not in masks and masks[0] != masks[1]:
            raise ValueError(f"{names} have different mask tokens, {masks[0]} and {masks[1]}.")


def check_layers(folder: Path, numbers: Sequence[int]) -> None:
    """ValueError for the number of a layer that a checkpoint does not have."""
    there = {int(found[1]) for one in tensors(folder) if (found := LAYER.search(one.name))}
    if lacking := sorted({*numbers} - there):
        known = f"its layers are {min(there)} to {max(there)}" if there else "it has none"
        raise ValueError(f"--layers names layer {lacking[0]}, which {folder.name} does not have: {known}.")


def check_room(folder: Path) -> None:
    """ValueError if the disk of a checkpoint has no room for another of its size."""
    free = shutil.disk_usage(folder).free
    if (size := sum(one.size for one in tensors(folder))) > free:
        raise ValueError(f"The disk has {free} bytes left; {size} are needed.")


def _vocabulary(folder: Path) -> Any:
    """What a tokenizer's tokens are."""
    said = _json(folder / "tokenizer.json")
    added = [(one.get("id"), one.get("content")) for one in said.get("added_tokens") or ()]
    return said.get("model"), added


def _mask(folder: Path) -> Any:
    for file in ("profile.json", "config.json"):
        if (value := _json(folder / file).get("mask_token_id")) is not None:
            return value
    return None


def _json(file: Path) -> dict[str, Any]:
    try:
        value = json.loads(file.read_text("utf-8-sig"))
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file.parent.name}/{file.name} is not valid JSON.") from error
    return value if isinstance(value, dict) else {}


def parents(folders: Sequence[Path], names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Names and fingerprints of the weights, for the recipe."""
    return tuple((name, fingerprint(folder)) for name, folder in zip(names, folders, strict=True))


def merge(
    recipe: Recipe,
    folders: Sequence[Path],
    out: Path,
    progress: Callable[[float], None] = lambda done: None,
    changes: Mapping[str, Change] = MappingProxyType({}),
) -> None:
    """Write the merged checkpoint to `out`, which must not exist. `changes`: what the method bake makes of
    tensors, by their names. OSError if the disk refuses: what was
    finished is kept beside it and used by the next run."""
    draft = out.with_name(f".merging-{out.name}")
    said = json.dumps({"recipe": asdict(recipe)}, indent=2) + "\n"
    if not (draft / RECIPE).is_file() or (draft / RECIPE).read_text("utf-8") != said:
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        write(draft / RECIPE, said)
    others = [{one.name: one for one in tensors(folder)} for folder in folders[1:]]
    by_file: dict[Path, list[Any]] = {}
    for one in tensors(folders[0]):
        by_file.setdefault(one.file, []).append(one)
    whole, done = sum(one.size for some in by_file.values() for one in some), 0
    for file, some in sorted(by_file.items()):
        if not (draft / file.name).is_file():
            before = done

            def report(more: int, before: int = before) -> None:
                progress((before + more) / whole)

            _merged_file(recipe, file, some, others, draft / file.name, report, changes)
        done += sum(one.size for one in some)
        progress(done / whole)
    for file in folders[0].iterdir():
        if file.is_file() and not NOT_COPIED.fullmatch(file.name):
            shutil.copyfile(file, draft / file.name)
    write(draft / "README.md", _card(recipe, out.name))
    os.rename(draft, out)


def _merged_file(
    recipe: Recipe,
    file: Path,
    some: Sequence[Any],
    others: Sequence[Mapping[str, Any]],
    target: Path,
    progress: Callable[[int], None],
    changes: Mapping[str, Change] = MappingProxyType({}),
) -> None:
    """A file of A with the bytes of its tensors replaced: header and everything else stay as they are."""
    part, done = target.with_name(f"{target.name}.part"), 0
    with file.open("rb") as source, part.open("wb") as stream:
        for one in sorted(some, key=lambda tensor: tensor.start):
            copy_bytes(source, stream, one.start - source.tell())
            raw = source.read(one.size)
            if recipe.lora is None:
                raw = _merged(recipe, one, raw, [there[one.name] for there in others])
            elif one.name in changes and recipe.weight != 0:
                raw = _exact(baked(changes[one.name], _tensor(one, raw), recipe.weight), one)
            stream.write(raw)
            done += one.size
            progress(done)
        shutil.copyfileobj(source, stream, CHUNK)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(part, target)


def copy_bytes(source: Any, stream: Any, left: int) -> None:
    """Copies this many bytes, a piece at a time."""
    while left:
        data = source.read(min(CHUNK, left))
        stream.write(data)
        left -= len(data)


def merged(recipe: Recipe, one: Any, others: Sequence[Any]) -> bytes:
    """The bytes that a tensor of A's files has in the merged checkpoint; `others`: it in B and C."""
    return _merged(recipe, one, _raw(one), others)


def _merged(recipe: Recipe, one: Any, raw: bytes, others: Sequence[Any]) -> bytes:
    """The bytes of a merged tensor in A's type."""
    method, weight = METHODS[recipe.method], recipe.at(one.name)
    if weight == 0 or not raw:
        return raw
    if weight == 1 and method.ends and others[0].dtype == one.dtype:
        return _raw(others[0])
    a, b, *rest = (_tensor(info, data) for info, data in [(one, raw), *((i, _raw(i)) for i in others)])
    settings = Settings(weight, recipe.density, recipe.seed, one.name)
    made = b if weight == 1 and method.ends else method.merge(a, b, rest[0] if rest else None, settings)
    return _exact(made, one, bool(a.isfinite().all()))


def _exact(made: Tensor, one: Any, finite: bool = True) -> bytes:
    """A tensor's bytes in the type that `one` has in A. ValueError if numbers become infinite."""
    import torch

    exact = made.to(getattr(torch, FLOATS[one.dtype]))
    if finite and not bool(exact.isfinite().all()):
        raise ValueError(f"{one.name} becomes too large for its type, {one.dtype}; choose a smaller weight.")
    return exact.contiguous().view(torch.uint8).numpy().tobytes() if exact.dim() else _bytes(exact)


def _bytes(number: Tensor) -> bytes:
    import torch

    return number.reshape(1).view(torch.uint8).numpy().tobytes()


def _raw(info: Any) -> bytes:
    with info.file.open("rb") as stream:
        stream.seek(info.start)
        return stream.read(info.size)


def tensor_of(info: Any) -> Tensor:
    """A tensor of a checkpoint's files in float64."""
    return _tensor(info, _raw(info))


def _tensor(info: Any, data: bytes) -> Tensor:
    """A tensor of a file in float64."""
    import torch

    flat = torch.frombuffer(bytearray(data), dtype=getattr(torch, FLOATS[info.dtype]))
    return flat.reshape(info.shape).double()


def _card(recipe: Recipe, name: str) -> str:
    about = BAKE_ABOUT if recipe.lora else METHODS[recipe.method].about
    lines = [f"# {name}", "", f"Merged: {about}, w = {recipe.weight:g}.", ""]
    if recipe.lora:
        lines.append(f"- LoRA: {recipe.lora[0]}, SHA-256 {recipe.lora[1]}")
    for letter, (parent, digest) in zip("ABC", recipe.parents, strict=False):
        lines.append(f"- {letter}: {parent}, weights {digest}")
    if recipe.layers:
        lines += ["", "Layers: " + ", ".join(f"{layer}: {weight:g}" for layer, weight in recipe.layers)]
    return "\n".join([*lines, "", f"The recipe is in {RECIPE}; the parents' licences apply.", ""])
