"""The safetensors files of a checkpoint: exactly those that its index names, matched to the native model
before anything is read, then read with every byte counted."""

from __future__ import annotations

import hashlib
import json
import math
import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from webui.checkpoints import recipes
from webui.checkpoints.files import check_pointer, label, printable, read_json, status
from webui.checkpoints.quantize import stored
from webui.checkpoints.recipes import Recipe, Take
from webui.core.errors import Refusal

if TYPE_CHECKING:
    from transformers import PretrainedConfig

    from webui.checkpoints.families.base import Family

INDEX = "model.safetensors.index.json"
# Headers and the index are read whenever checkpoints are listed. A mixture of 256 experts in 32 layers has
# 25,000 tensors, 3 MB of headers.
MAX_INDEX = 16 << 20  # bytes
MAX_HEADERS = 8 << 20  # bytes, of all files of a folder together
MAX_TENSORS = 1 << 15  # of a folder
MAX_FILES = 1024  # of a folder
MAX_DIMENSIONS = 8
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
CHUNK = 4 << 20  # bytes read at once for the fingerprint
STEP = 0.01  # progress is reported in steps of at least this much
BYTES = {  # of a number of each type
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0"), 1),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 2),
    **dict.fromkeys(("U32", "I32", "F32"), 4),
    **dict.fromkeys(("U64", "I64", "F64", "C64"), 8),
}
FLOATS = ("F16", "BF16", "F32", "F64")  # what weights may be; the others are quantized
SIZES = (  # of a configuration, each at most a dimension or the number of tensors
    "hidden_size",
    "intermediate_size",
    "moe_intermediate_size",
    "vocab_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "num_experts",
    "num_local_experts",
    "n_routed_experts",
    "n_shared_experts",
)

ReportProgress = Callable[[float], None]


class Stopped(Exception):
    """Raised by a progress function: loading is abandoned on request; it is not an error."""


class Meter:
    """Adds up work from several threads, in bytes or what takes as long, and reports the share of all of it,
    0 to 1, a hundred times at most."""

    def __init__(self, total: int, report: ReportProgress):
        self._total, self._report = max(1, total), report
        self._done, self._reported = 0.0, 0.0
        self._lock = threading.Lock()

    def add(self, work: float) -> None:
        """Raises what the progress function raises."""
        with self._lock:
            self._done += work
            share = min(1.0, self._done / self._total)
            if share - self._reported >= STEP or (share == 1.0 != self._reported):
                self._reported = share
                self._report(share)


@dataclass(frozen=True)
class TensorInfo:
    """A tensor in a file, by its header: `size` bytes from byte `start` on."""

    file: Path
    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    size: int


# -- files and headers ---------------------------------------------------------------------------------------


def files(folder: Path) -> list[Path]:
    """The files with weights, in order: those that the index names or, without one, all safetensors files.
    Refusal if there are none or one is missing."""
    if status(folder / INDEX):
        found = [folder / name for name in sorted(set(_weight_map(folder).values()))]
        _check_count(folder, len(found), MAX_FILES, "files with weights")
        for file in found:
            if status(file) is None:
                raise Refusal(
                    f"{printable(folder.name)} lacks {printable(file.name)}, which its index names."
                )
        return found
    found = sorted(file for file in folder.glob("*.safetensors") if status(file))
    if not found:
        pickled = any(next(folder.glob(pattern), None) for pattern in PICKLES)
        reason = (
            "only pickled weights, which can run code when they are read; convert them to safetensors"
            if pickled
            else "no weights"
        )
        raise Refusal(f"{printable(folder.name)} has {reason}.")
    _check_count(folder, len(found), MAX_FILES, "files with weights")
    return found


def tensors(folder: Path) -> list[TensorInfo]:
    """Every tensor of a folder, by the headers alone, without torch. With an index: those that it names, each
    in the file it says. Refusal for missing ones, for a name in two files and for damaged files."""
    headers: dict[str, dict[str, TensorInfo]] = {}
    left, count = MAX_HEADERS, 0
    for file in files(folder):
        headers[file.name], size = _header(file, left)
        left, count = left - size, count + len(headers[file.name])
        _check_count(folder, count, MAX_TENSORS, "tensors")
    found: dict[str, TensorInfo] = {}
    if status(folder / INDEX):
        for name, file in _weight_map(folder).items():
            if name not in headers[file]:
                raise Refusal(
                    f"{printable(folder.name)}/{printable(file)} lacks {printable(name)}, which its index "
                    "says it has."
                )
            found[name] = headers[file][name]
        return list(found.values())
    for file, there in headers.items():
        for name, tensor in there.items():
            if name in found:
                raise Refusal(
                    f"{printable(folder.name)} has {printable(name)} in two files, "
                    f"{printable(found[name].file.name)} and {printable(file)}; remove one of them."
                )
            found[name] = tensor
    return list(found.values())


def header(file: Path) -> dict[str, TensorInfo]:
    """The tensors of a safetensors file by name. Refusal if the file is not exactly what its header says, or
    if the header is too large."""
    return _header(file, MAX_HEADERS)[0]


def _header(file: Path, limit: int) -> tuple[dict[str, TensorInfo], int]:
    """See `header`; with the header's size. `limit`: what it may have, in bytes."""
    found = status(file)
    if found is None:
        raise Refusal(f"{label(file)} does not exist.")
    try:
        with file.open("rb") as stream:
            first = stream.read(64)
            check_pointer(file, first)
            size = int.from_bytes(first[:8], "little")
            stream.seek(8)
            if limit < size <= found.st_size - 8:
                raise Refusal(
                    f"{label(file)} has a header of {size} bytes; at most {MAX_HEADERS} are read, of all "
                    "files of a folder together."
                )
            data = stream.read(size) if size <= limit else b""
    except OSError as error:
        raise Refusal(f"{label(file)} cannot be read: {error.strerror}.") from error
    try:
        entries = json.loads(data)
        entries.pop("__metadata__", None)
        _check_count(file, len(entries), MAX_TENSORS, "tensors")
        listed = [_tensor(file, name, entry, 8 + size) for name, entry in entries.items()]
    except Refusal:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise Refusal(f"{label(file)} is damaged: it is no safetensors file.") from error
    end = 8 + size
    for tensor in sorted(listed, key=lambda tensor: (tensor.start, tensor.size)):
        if tensor.start != end:
            raise Refusal(f"{label(file)} is damaged: it is no safetensors file.")
        end += tensor.size
    if end != found.st_size:
        raise Refusal(f"{label(file)} is damaged: it has {found.st_size} bytes where its header says {end}.")
    return {tensor.name: tensor for tensor in listed}, size


def _check_count(path: Path, count: int, most: int, things: str) -> None:
    """Refuses a folder or file that has more of these things than a checkpoint has."""
    if count > most:
        here = label(path) if path.suffix == ".safetensors" else printable(path.name)
        raise Refusal(f"{here} has {count} {things}; at most {most} are read.")


def parameters(found: Iterable[TensorInfo]) -> int:
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


def _weight_map(folder: Path) -> dict[str, str]:
    """Tensor names to file names, as the index has them."""
    mapping = read_json(folder / INDEX, MAX_INDEX).get("weight_map")
    if not isinstance(mapping, dict) or not all(isinstance(file, str) for file in mapping.values()):
        raise Refusal(f"{printable(folder.name)}/{INDEX} has no weight_map.")
    if not mapping:
        raise Refusal(f"{printable(folder.name)}/{INDEX} has an empty weight_map: it names no weights.")
    for file in set(mapping.values()):
        if file in ("", ".", "..") or "\0" in file or Path(file).name != file:
            raise Refusal(
                f"{printable(folder.name)}/{INDEX} names {file!r}, which is not a file of the folder."
            )
    _check_count(folder, len(mapping), MAX_TENSORS, "tensors in its index")
    return mapping


def _tensor(file: Path, name: str, entry: Mapping[str, Any], offset: int) -> TensorInfo:
    """An entry of a header. ValueError, TypeError or KeyError if it is malformed."""
    dtype, shape, (start, stop) = entry["dtype"], entry["shape"], entry["data_offsets"]
    whole = all(type(number) is int and 0 <= number < 2**63 for number in (*shape, start, stop))
    if not whole or len(shape) > MAX_DIMENSIONS or math.prod(shape) * BYTES[dtype] != stop - start:
        raise ValueError(name)
    name.encode()  # a lone surrogate cannot be shown
    return TensorInfo(file, name, dtype, tuple(shape), offset + start, stop - start)


# -- matching ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Matched:
    """The tensors of a native model, each as the recipe that makes it, and the published ones by the names
    that recipes use."""

    recipes: Mapping[str, Recipe]
    published: Mapping[str, TensorInfo]
    computed: frozenset[str] = frozenset()  # names of native tensors that the native class computes itself

    @property
    def size(self) -> int:
        """Bytes that reading them takes; what several recipes use counts each time."""
        return sum(self.published[name].size for one in self.recipes.values() for name in recipes.names(one))


def check_sizes(folder: Path, config: Any, found: Sequence[TensorInfo]) -> None:
    """Refuses a configuration of more layers, width, rows ... than the weights have, before a model of it is
    built."""
    most = 2 * max([len(found), *(size for tensor in found for size in tensor.shape)], default=0)
    for key in SIZES:
        value = getattr(config, key, None)
        limit = len(found) if key == "num_hidden_layers" else most
        if isinstance(value, int) and value > limit:
            raise Refusal(
                f"{printable(folder.name)}/config.json makes {key} {value}, which the weights do not have."
            )


def translated(folder: Path, family: Family, config: Mapping[str, Any]) -> PretrainedConfig:
    """The configuration of transformers for a config.json. Refusal with one sentence if there is none."""
    try:
        return family.translate(config)
    except Refusal:
        raise
    except Exception as error:  # the library's own, often of several lines
        raise _unusable(folder, error) from error


def _unusable(folder: Path, error: Exception) -> Refusal:
    line = " ".join((str(error) or type(error).__name__).split())[:300].rstrip(".")
    return Refusal(f"{printable(folder.name)}/config.json cannot be used: {line}.")


@dataclass(frozen=True)
class Comparison:
    """A native model beside the published weights.

    matched     what fits
    lacking     native tensors that nothing published makes
    unknown     published names that the native model does not have
    misshaped   published names of another shape than the configuration says, each with both shapes
    """

    matched: Matched
    lacking: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    misshaped: tuple[tuple[str, tuple[int, ...] | None, tuple[int, ...]], ...] = ()


def match(folder: Path, kind: Any, config: Any, family: Family) -> Matched:
    """Recipes for every tensor of the native model; no weight is read but those that must be equal.

    kind    the native class of transformers, `config` its configuration
    Refusal says what is missing, unknown, of another shape or not equal: partial weights are not loaded.
    """
    here = printable(folder.name)
    found = tensors(folder)
    check_sizes(folder, config, found)
    compared = compare(here, found, meta(folder, kind, config), config, family)
    for fault, names in (("lacks", compared.lacking), ("has unknown", compared.unknown)):
        if names:
            raise Refusal(
                f"{here} {fault} weights, {printable(min(names))} among them; partial weights are not loaded."
            )
    if compared.misshaped:
        raise Refusal(
            f"{here} has weights of another shape than in its config.json, "
            f"{printable(compared.misshaped[0][0])} among them."
        )
    return compared.matched


def meta(folder: Path, kind: Any, config: Any) -> Any:
    """The native model without memory for its weights. Refusal."""
    import torch

    try:
        with torch.device("meta"):
            return kind(config)
    except Exception as error:
        raise _unusable(folder, error) from error


def compare(here: str, found: Iterable[TensorInfo], module: Any, config: Any, family: Family) -> Comparison:
    """Every native tensor with the recipe that makes it of published ones, and what does not fit.

    here    the folder's name, for sentences; `module`: the native model on the meta device
    Refusal for names that are there twice, quantized weights, and ties whose ends are not equal.
    """
    computed = re.compile("|".join(family.computed) or "(?!)")
    wanted = {
        name: tuple(value.shape) for name, value in module.state_dict().items() if not computed.search(name)
    }
    tied = module.get_expanded_tied_weights_keys(all_submodels=True)
    unused = re.compile("|".join(f"(?:{pattern})" for pattern in family.unused) or "(?!)")
    published: dict[str, TensorInfo] = {}
    for tensor in found:
        name = tensor.name if tensor.name in wanted else renamed(tensor.name, family.names)
        if unused.search(tensor.name) and name not in wanted:
            continue
        if name in published:
            raise Refusal(f"{here} has {printable(tensor.name)} twice, the other as {published[name].name}.")
        if tensor.dtype not in FLOATS:
            raise Refusal(
                f"{here} has weights of type {tensor.dtype}, {printable(tensor.name)} among them; quantized "
                "weights are not loaded."
            )
        published[name] = tensor
    made = {name: family.assemble(name, config) or Take(name) for name in wanted}
    there = {name for name, one in made.items() if all(part in published for part in recipes.names(one))}
    for target, source in tied.items():
        if target in there and source in there:
            _check_equal(here, made[target], made[source], published)
        if target in there and source not in there:  # published under the other name
            made[source] = made[target]
            there.add(source)
    made = {name: one for name, one in made.items() if name not in tied}
    lacking = tuple(name for name in made if name not in there)
    used = {part for name in wanted if name in there for part in recipes.names(made.get(name, Take(name)))}
    used |= {
        part for target in tied for part in recipes.names(family.assemble(target, config) or Take(target))
    }
    unknown = tuple(published[name].name for name in published.keys() - used)
    misshaped = []
    for name, one in made.items():
        if name in there:
            shape = recipes.shape(one, lambda part: published[part].shape)
            if shape != wanted[name]:
                misshaped.append((published[next(recipes.names(one))].name, shape, wanted[name]))
    matched = Matched(made, published, frozenset(filter(computed.search, module.state_dict())))
    return Comparison(matched, lacking, unknown, tuple(misshaped))


def _check_equal(here: str, target: Recipe, source: Recipe, published: Mapping[str, TensorInfo]) -> None:
    """Refuses two tensors that the model has as one and that are not equal, by their published names."""
    one, other = (published[next(recipes.names(recipe))] for recipe in (target, source))
    if type(target) is not type(source) or not _equal(one, other):
        raise Refusal(
            f"{here} ties {printable(one.name)} to {printable(other.name)} in its config.json, but the two "
            "differ in its weights."
        )


def _equal(one: TensorInfo, other: TensorInfo) -> bool:
    if (one.dtype, one.shape) != (other.dtype, other.shape):
        return False
    with one.file.open("rb") as first, other.file.open("rb") as second:
        first.seek(one.start)
        second.seek(other.start)
        left = one.size
        while left:
            count = min(CHUNK, left)
            if first.read(count) != second.read(count):
                return False
            left -= count
    return True


def renamed(name: str, names: Mapping[str, str]) -> str:
    """The native name of a published weight, by a family's expressions."""
    for old, new in names.items():
        name = re.sub(old, new, name, count=1)
    return name


def native_name(name: str, names: Mapping[str, str]) -> str:
    """The native name of a published module, by a family's expressions; one without dots has underscores for
    them, and so has the answer."""
    if "." in name:
        return renamed(f"{name}.weight", names).removesuffix(".weight")
    flat = {old.replace(r"\.", "_"): new.replace(".", "_") for old, new in names.items()}
    return renamed(f"{name}_weight", flat).removesuffix("_weight")


# -- reading -------------------------------------------------------------------------------------------------


class _Lazy:
    """What transformers takes for a tensor of a file and reads with [...]: then its bytes count."""

    def __init__(self, recipe: Recipe, read: Callable[[str], Any]):
        self._recipe, self._read = recipe, read
        self.stop: Stopped | None = None

    def __getitem__(self, index: Any) -> Any:
        try:
            return recipes.make(self._recipe, self._read)[index]
        except Stopped as stop:  # kept: transformers collects errors of tensors and raises one of its own
            self.stop = stop
            raise


def read(matched: Matched, kind: Any, config: Any, dtype: Any, meter: Meter) -> Any:
    """The native model with these tensors, on the CPU. Refusal with a sentence; Stopped if the meter's
    function says so."""
    from safetensors import safe_open

    opened = {tensor.file: safe_open(tensor.file, framework="pt") for tensor in matched.published.values()}

    def take(name: str) -> Any:
        tensor = matched.published[name]
        meter.add(tensor.size)
        return opened[tensor.file].get_slice(tensor.name)[...]

    state = {name: _Lazy(recipe, take) for name, recipe in matched.recipes.items()}
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
        raise Refusal(f"The weights cannot be read: {line}") from error
    tied = set(model.get_expanded_tied_weights_keys(all_submodels=True))
    wrong = set(info["missing_keys"]) | set(info["unexpected_keys"]) | set(map(str, info["mismatched_keys"]))
    if wrong := wrong - tied - matched.computed:
        raise Refusal(f"The weights cannot be read: {min(wrong)} did not fit.")
    return model


def faulty_weight(module: Any) -> str | None:
    """The name of a weight of a loaded model that is not a finite number, or None. For when logits are not
    finite: it reads every weight once."""
    import torch

    for name, value in (*module.named_parameters(), *module.named_buffers()):
        for one in stored(value):
            if one.is_floating_point() and not bool(torch.isfinite(one).all()):
                return name
    return None
