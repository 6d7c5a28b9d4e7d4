"""Adapter files (LoRA): PEFT folders and single safetensors files, listed by their headers, read whole, and
fitted to a model's modules by name and shape.

An adapter changes what modules give, by what PEFT computes (Hu et al. 2021, arXiv:2106.09685): scale * B A x
is added; rank and scale may differ from module to module; rsLoRA scales by alpha / sqrt(rank) (Kalajdzievski
2023, arXiv:2312.03732); DoRA also sets the magnitude of each output (Liu et al. 2024, arXiv:2402.09353);
weights that were trained whole replace the model's. What cannot be computed is refused by name.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from webui.checkpoints import weights
from webui.checkpoints.files import MAX_CONFIG, label, printable, read_bytes, read_json, status
from webui.checkpoints.weights import FLOATS, PICKLES, TensorInfo
from webui.core.errors import NotFound, Refusal
from webui.core.tags import nearest

if TYPE_CHECKING:
    from torch import Tensor

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
SIDECAR = "about.json"  # beside a folder's weights; NAME.json beside a single file
# where the header of a single file may hold what a folder's adapter_config.json says
HEADER_KEYS = ("adapter_config", "lora_adapter_metadata")
DEPTH = 3  # of folders that are looked into
MAX_ADAPTERS = 10_000
MAX_BYTES = 16 << 30  # of a file
SHOWN = 3  # names in a sentence

# what an adapter_config.json may say that changes nothing here: facts, and how the adapter was trained
HARMLESS = frozenset(
    "alpha_pattern auto_mapping base_model_name_or_path bias corda_config ensure_weight_tying eva_config "
    "exclude_modules inference_mode init_lora_weights layers_pattern layers_to_transform loftq_config "
    "lora_alpha lora_bias lora_dropout lora_ga_config megatron_core modules_to_save peft_type peft_version "
    "qalora_group_size r rank_pattern revision runtime_config target_modules task_type use_dora "
    "use_rslora".split()
)
# ways to begin that leave the model's own weights as they are; others need weights that nobody has here
BEGINNINGS = (True, False, None, "gaussian", "eva", "orthogonal")

PREFIXES = (
    "base_model.model.",
    "base_model.",
    "diffusion_model.",
    "text_encoder.",
    "module.",
    "_orig_mod.",
)
FLAT_PREFIX = re.compile(r"^(?i:LoRA|LyCORIS)_(?:unet|te\d?|transformer|llm|text_encoder)_")
KEY = re.compile(
    r"^(?P<module>.+?)\.(?P<part>lora_A|lora_B|lora_down|lora_up|(?i:LoRA)\.(?:down|up)"
    r"|lora_embedding_A|lora_embedding_B|lora_magnitude_vector)"
    r"(?:\.(?P<adapter>(?!weight$|bias$)[^.]+))?(?:\.(?P<kind>weight|bias))?$"
)
WHOLE = re.compile(r"^(?P<module>.+?)(?:\.base_layer|\.modules_to_save(?:\.[^.]+)?)?\.(?P<kind>weight|bias)$")
ALPHA = re.compile(r"^(?P<module>.+?)\.alpha$")
FOREIGN = {  # other kinds of adapters, by what their keys hold
    "hada_": "LoHa",
    "lokr_": "LoKr",
    "oft_": "OFT",
    "ia3_": "IA3",
    "dora_scale": "DoRA in the format of LyCORIS",
    "lora_mid": "LoCon with a middle matrix",
    "prompt_embeddings": "a soft prompt",
    "lora_variant": "a variant of LoRA",
    "token_adapter": "trained single tokens",
}
PARTS = {
    "lora_A": "down",
    "lora_down": "down",
    "lora_B": "up",
    "lora_up": "up",
    "lora_embedding_A": "down",
    "lora_embedding_B": "up",
    "lora_magnitude_vector": "magnitude",
}


@dataclass(frozen=True)
class AdapterEntry:
    """An adapter as a list shows it: what its headers and its sidecar say. Nothing of it is trusted.

    name      path below the folder of adapters, without ".safetensors"
    rank      of most of its modules, 0 if not known
    modules   how many modules it changes
    size      bytes
    base      the checkpoint it was made for, as its author named it
    triggers  words that call up what it was trained on
    preview   a text that was written with it
    error     a sentence if it cannot be used
    """

    name: str
    path: Path
    rank: int = 0
    modules: int = 0
    size: int = 0
    base: str = ""
    about: str = ""
    triggers: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    preview: str = ""
    error: str | None = None


@dataclass(frozen=True)
class Part:
    """What an adapter does to one module, as tensors on the CPU in fp32 or as they are stored.

    down, up   A (rank, inputs) and B (outputs, rank); of an embedding A is (rank, rows)
    scale      alpha / rank, or alpha / sqrt(rank)
    bias       (outputs,), added to B's product before it is scaled
    magnitude  (outputs,): DoRA's
    weight     (outputs, inputs): the module's weight, trained whole; `own_bias` its bias
    """

    down: Tensor | None = None
    up: Tensor | None = None
    scale: float = 1.0
    bias: Tensor | None = None
    magnitude: Tensor | None = None
    weight: Tensor | None = None
    own_bias: Tensor | None = None
    embedding: bool = False


@dataclass(frozen=True)
class Fitted:
    """An adapter's parts by the names of a model's own modules, and what of it the model has no module
    for."""

    parts: Mapping[str, Part]
    unmatched: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        return len(self.parts) + len(self.unmatched)


@dataclass(frozen=True)
class Adapter:
    """An adapter in memory.

    parts  by the name of the module as its author named it, common prefixes taken away
    hash   SHA-256 of the file with its weights, 16 hexadecimal digits
    """

    name: str
    hash: str
    base: str
    parts: Mapping[str, Part]
    notes: tuple[str, ...] = ()

    @classmethod
    def read(cls, path: Path, name: str = "") -> Adapter:
        """The adapter at `path`, a folder or a file. Refusal with one sentence that names it."""
        return _read(path, name or path.name.removesuffix(".safetensors"))

    def fit(self, modules: Mapping[str, Any], native: Callable[[str], str], checkpoint: str) -> Fitted:
        """Its parts at a model's modules.

        modules     the model's modules by name; native: the name that a published one has in it
        checkpoint  its name, for sentences
        Refusal if nothing fits, or something has another shape or is at a module that cannot be changed.
        """
        return _fit(self, modules, native, checkpoint)


# -- the folder ----------------------------------------------------------------------------------------------


def adapters(folder: Path) -> dict[str, Path]:
    """Every adapter below a folder, by name; those that cannot be used too. Nothing is opened."""
    found: dict[str, Path] = {}
    _collect(folder, "", DEPTH, found)
    return dict(sorted(found.items(), key=lambda pair: pair[0].casefold()))


def find_adapter(folder: Path, name: str) -> Path:
    """Where the adapter of this name lies. NotFound names the nearest ones."""
    there = adapters(folder)
    if name not in there:
        raise NotFound(f"There is no LoRA {name!r} in {folder.name}/. {nearest(name, there)}")
    return there[name]


def _collect(folder: Path, prefix: str, depth: int, found: dict[str, Path]) -> None:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if entry.name.startswith(".") or len(found) >= MAX_ADAPTERS:
            continue
        path, name = Path(entry.path), f"{prefix}{entry.name}"
        if path.suffix == ".safetensors":
            found[name.removesuffix(path.suffix)] = path
        elif any(
            path.match(pattern) for pattern in PICKLES
        ):  # listed, so that it can be said why it is refused
            found.setdefault(name.removesuffix(path.suffix), path)
        elif entry.is_dir():
            try:
                inside = {one.name for one in os.scandir(path)}
            except OSError:
                continue
            if CONFIG in inside or WEIGHTS in inside:
                found[name] = path
            elif depth > 1:
                _collect(path, f"{name}/", depth - 1, found)


def adapter_entry(name: str, path: Path) -> AdapterEntry:
    """What a list shows of an adapter, by its headers; the error if it cannot be used."""
    sidecar: Mapping[str, Any] = {}
    try:
        sidecar = _sidecar(path)
        file, config = _file(path), _config(path)
        infos = weights.header(file)
        config = config or _header_config(file)
        _check_config(config, path)
        found = [(match, infos[match.string]) for match in map(KEY.match, infos) if match]
        ranks = [
            info.shape[0]
            for match, info in found
            if PARTS[match["part"].replace(".", "_")] == "down" and info.shape
        ]
        modules = {match["module"] for match, _ in found}
        if not modules and not any(map(WHOLE.match, infos)):
            raise Refusal(f"{label(file)} has no LoRA weights.")
        error = None
    except Refusal as refusal:
        ranks, modules, file, config, error = [], set(), path, {}, str(refusal)
    words = sidecar.get("trigger_words")
    tags = sidecar.get("tags")
    base = sidecar.get("base")
    base = base.get("name") if isinstance(base, Mapping) else base
    return AdapterEntry(
        name,
        path,
        rank=max(set(ranks), key=ranks.count) if ranks else 0,
        modules=len(modules),
        size=_size(file),
        base=_text(base) or _base(config),
        about=_text(sidecar.get("about")),
        triggers=tuple(map(_text, words)) if isinstance(words, list) else (),
        tags=tuple(map(_text, tags)) if isinstance(tags, list) else (),
        preview=_text(" / ".join(_lines(sidecar.get("preview")))),
        error=error,
    )


def _text(value: object) -> str:
    """A text of a file that anybody may have written, for people."""
    return printable(value)[:500] if isinstance(value, str) else ""


def _lines(value: object) -> list[str]:
    """The lines of a text, without empty ones."""
    return [line.strip() for line in value.splitlines() if line.strip()] if isinstance(value, str) else []


def _base(config: Mapping[str, Any]) -> str:
    base = _text(config.get("base_model_name_or_path"))
    return "" if base == "None" else base  # PEFT writes it for a model without a name


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _file(path: Path) -> Path:
    """The file with an adapter's weights. Refusal for pickles, which run code when they are read."""
    if any(path.match(pattern) for pattern in PICKLES):
        raise Refusal(_pickled(label(path)))
    if not path.is_dir():
        return path
    if status(path / WEIGHTS) is None:
        pickles = [file.name for pattern in PICKLES for file in path.glob(pattern)]
        if pickles:
            raise Refusal(_pickled(f"{printable(path.name)}/{printable(min(pickles))}"))
        raise Refusal(f"{printable(path.name)} has no {WEIGHTS}.")
    return path / WEIGHTS


def _pickled(what: str) -> str:
    return f"{what} is a pickle, which can run code when it is read; convert it to safetensors."


def _sidecar(path: Path) -> dict[str, Any]:
    file = path / SIDECAR if path.is_dir() else path.with_suffix(".json")
    return read_json(file, MAX_CONFIG) if status(file) else {}


def _config(path: Path) -> dict[str, Any]:
    """A folder's adapter_config.json; {} for a single file."""
    if not path.is_dir():
        return {}
    return read_json(path / CONFIG, MAX_CONFIG)


def _header_config(file: Path) -> dict[str, Any]:
    """What the header of a single file says about it, in the words of adapter_config.json."""
    with file.open("rb") as stream:  # its header was read before, so that it is one
        data = stream.read(int.from_bytes(stream.read(8), "little"))
    if not any(key.encode() in data for key in HEADER_KEYS):  # parsed once, where lists are long
        return {}
    said = json.loads(data).get("__metadata__") or {}
    for key in HEADER_KEYS:
        if isinstance(said.get(key), str):
            try:
                config = json.loads(said[key])
            except (ValueError, RecursionError) as error:
                raise Refusal(f"{label(file)} has a header whose {key} is not JSON.") from error
            if isinstance(config, dict):
                return {name.rpartition(".")[2]: value for name, value in config.items()}
    return {}


def _check_config(config: Mapping[str, Any], path: Path) -> None:
    """Refuses by name what cannot be computed as PEFT does."""
    here = printable(path.name)
    kind = config.get("peft_type", "LORA")
    if kind != "LORA":
        raise Refusal(f"{here} is an adapter of the type {str(kind)[:40]}; only LoRA is computed.")
    for key, value in config.items():
        if key not in HARMLESS and value not in (None, False, [], {}, ""):
            raise Refusal(f"{here} sets {printable(key)[:80]} in its {CONFIG}, which is not computed here.")
    beginning = config.get("init_lora_weights")
    if beginning not in BEGINNINGS:
        raise Refusal(
            f"{here} began with {str(beginning)[:40]!r}, which changes the base model's own weights; "
            "convert it to a plain LoRA with PEFT."
        )
    runtime = config.get("runtime_config")
    if runtime is not None and not isinstance(runtime, dict):
        raise Refusal(f"{here} has a runtime_config that is no object.")
    for key in ("lora_alpha", "r"):
        if key in config:
            _number(config[key], f"{here}: {key}")
    for key in ("rank_pattern", "alpha_pattern"):
        if not isinstance(config.get(key) or {}, dict):
            raise Refusal(f"{here}: {key} is no object.")


def _number(value: object, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < abs(value) < 1e6:
        raise Refusal(f"{what} must be a number other than 0, not {str(value)[:40]!r}.")
    return float(value)


# -- reading -------------------------------------------------------------------------------------------------


@dataclass
class _Found:
    """The tensors of one module while a file is read."""

    down: Any = None
    up: Any = None
    bias: Any = None
    magnitude: Any = None
    weight: Any = None
    own_bias: Any = None
    alpha: float | None = None
    embedding: bool = False
    adapters: set[str] = field(default_factory=set)


def _read(path: Path, name: str) -> Adapter:
    from safetensors import SafetensorError
    from safetensors.torch import load

    file = _file(path)
    if status(file) is None:
        raise Refusal(f"The LoRA {name} is not there any more: {label(file)} does not exist.")
    infos = weights.header(file)
    for info in infos.values():
        if info.dtype not in FLOATS and not ALPHA.match(info.name):
            raise Refusal(
                f"{label(file)} has weights of type {info.dtype}, {printable(info.name)} among them; "
                "quantized adapters are not read."
            )
    config = _config(path) or _header_config(file)
    _check_config(config, path)
    data = read_bytes(file, MAX_BYTES)
    try:
        tensors = load(data)
    except (SafetensorError, ValueError) as error:
        raise Refusal(f"{label(file)} changed while it was read.") from error
    found = _sorted(tensors, infos, file)
    parts, assumed = {}, False
    for module, one in found.items():
        parts[module], guessed = _part(module, one, config, file)
        assumed |= guessed
    notes = (f"{name} says no alpha; its scale is 1.",) if assumed else ()
    base = _base(config)
    return Adapter(name, hashlib.sha256(data).hexdigest()[:16], base, parts, notes)


def _sorted(tensors: Mapping[str, Any], infos: Mapping[str, TensorInfo], file: Path) -> dict[str, _Found]:
    """The tensors by module. Refusal for those of other kinds of adapters and for faulty ones."""
    found: dict[str, _Found] = {}
    for key, tensor in tensors.items():
        here = f"{label(file)}: {printable(key)}"
        for mark, kind in FOREIGN.items():
            if mark in key:
                raise Refusal(f"{here} is {kind}, which is not computed here.")
        if not bool(tensor.isfinite().all()):
            raise Refusal(f"{here} holds numbers that are not finite.")
        if match := ALPHA.match(key):
            if tensor.numel() != 1:
                raise Refusal(f"{here} is not one number.")
            found.setdefault(_bare(match["module"]), _Found()).alpha = float(tensor)
            continue
        if match := KEY.match(key):
            one = found.setdefault(_bare(match["module"]), _Found())
            one.adapters.add(match["adapter"] or "")
            one.embedding |= "embedding" in match["part"]
            slot = PARTS[match["part"].replace(".", "_")]
            if match["kind"] == "bias":
                slot = "bias" if slot == "up" else ""
        elif (match := WHOLE.match(key)) and "lora_" not in key:
            one = found.setdefault(_bare(match["module"]), _Found())
            slot = "weight" if match["kind"] == "weight" else "own_bias"
        else:
            raise Refusal(f"{here} is no weight of a LoRA that is known here.")
        if not slot or getattr(one, slot) is not None or len(one.adapters) > 1:
            raise Refusal(f"{here} is there twice or belongs to a second adapter; keep one in a file.")
        setattr(one, slot, tensor)
    if not found:
        raise Refusal(f"{label(file)} has no weights.")
    return found


def _bare(module: str) -> str:
    """A module's name without what training programs put before it."""
    while prefix := next((one for one in PREFIXES if module.startswith(one)), None):
        module = module.removeprefix(prefix)
    return module


def _part(module: str, one: _Found, config: Mapping[str, Any], file: Path) -> tuple[Part, bool]:
    """A module's part, and whether nothing says its alpha."""
    here = f"{label(file)}: {printable(module)}"
    if (one.down is None) != (one.up is None) or (one.down is None and (one.bias is not None)):
        raise Refusal(f"{here} has only one of the two matrices of a LoRA.")
    if one.down is None:
        if one.weight is None and one.own_bias is None:
            raise Refusal(f"{here} has no matrices.")
        return Part(weight=one.weight, own_bias=one.own_bias), False
    if one.down.dim() != 2 or one.up.dim() != 2:
        raise Refusal(f"{here} has matrices of {one.down.dim()} dimensions; convolutions are not computed.")
    rank = one.down.shape[0]
    if one.up.shape[1] != rank:
        raise Refusal(f"{here} has matrices of rank {rank} and {one.up.shape[1]}, which do not go together.")
    said = _of_module(config, "rank_pattern", "r", module, here)
    if said is not None and said != rank:
        raise Refusal(f"{here} has rank {rank} where its {CONFIG} says {said:g}.")
    if config.get("use_dora") and one.magnitude is None and not one.embedding:
        raise Refusal(f"{here} has no magnitude, though its {CONFIG} says DoRA.")
    if one.magnitude is not None and one.embedding:
        raise Refusal(f"{here} is DoRA of an embedding, which is not computed here.")
    alpha = one.alpha
    if alpha is None:
        alpha = _of_module(config, "alpha_pattern", "lora_alpha", module, here)
    root = math.sqrt(rank) if config.get("use_rslora") else rank
    scale = 1.0 if alpha is None else alpha / root
    magnitude = None if one.magnitude is None else one.magnitude.flatten()
    made = Part(
        one.down, one.up, scale, one.bias, magnitude, one.weight, one.own_bias, embedding=one.embedding
    )
    return made, alpha is None


def _of_module(
    config: Mapping[str, Any], patterns: str, standard: str, module: str, here: str
) -> float | None:
    """What a configuration says for one module: PEFT takes the first pattern that its name ends in."""
    for pattern, value in (config.get(patterns) or {}).items():
        if _ends_in(pattern, module):
            return _number(value, f"{here}: {patterns}")
    return None if config.get(standard) is None else _number(config[standard], f"{here}: {standard}")


def _ends_in(pattern: str, module: str) -> bool:
    import re2  # of a file that anybody may have written: linear, whatever it is

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(rf"(?:.*\.)?(?:{pattern})", options).fullmatch(module) is not None
    except re2.error as error:
        raise Refusal(f"The pattern {pattern[:80]!r} of {CONFIG} is not understood.") from error


# -- fitting -------------------------------------------------------------------------------------------------


def _fit(
    adapter: Adapter, modules: Mapping[str, Any], native: Callable[[str], str], checkpoint: str
) -> Fitted:
    flat = {name.replace(".", "_"): name for name in modules}
    parts: dict[str, Part] = {}
    unmatched: list[str] = []
    for name, part in adapter.parts.items():
        target = _target(name, modules, flat, native)
        if target is None:
            unmatched.append(name)
            continue
        if target in parts:
            raise Refusal(f"The LoRA {adapter.name} has {printable(target)} twice, under two names.")
        found = _checked(adapter.name, target, part, modules[target], checkpoint)
        if found is not None:
            parts[target] = found
    if not parts:
        made_for = f"; it was made for {adapter.base}" if adapter.base else ""
        raise Refusal(
            f"The LoRA {adapter.name} does not fit {checkpoint}: 0 of {len(adapter.parts)} modules match, "
            f"{named(adapter.parts)} among those that it lacks{made_for}."
        )
    return Fitted(parts, tuple(sorted(unmatched)))


def named(names: Iterable[str]) -> str:
    """A few names, for a sentence."""
    there = sorted(names)
    return ", ".join(map(printable, there[:SHOWN])) + (" ..." if len(there) > SHOWN else "")


def _target(
    name: str, modules: Collection[str], flat: Mapping[str, str], native: Callable[[str], str]
) -> str | None:
    """The model's module that an adapter's module is: under its published or its native name, with or
    without the body's prefix, or with underscores for dots."""
    if "." not in name or FLAT_PREFIX.match(name):
        bare = FLAT_PREFIX.sub("", name)
        for candidate in (bare, f"model_{bare}", native(bare), native(f"model_{bare}")):
            if candidate in flat:
                return flat[candidate]
        return None
    short = name.removeprefix("transformer.") if name.startswith("transformer.model.") else name
    for candidate in (short, f"model.{short}", short.removeprefix("model.")):
        for one in (candidate, native(candidate)):
            if one in modules:
                return one
    return None


def _checked(adapter: str, name: str, part: Part, module: Any, checkpoint: str) -> Part | None:
    """The part, None if it leaves the module as it is. Refusal if it does not go with it."""
    from torch import nn

    whole = part.weight is not None and part.down is None and not module.weight.is_meta
    if whole and part.weight is not None and part.weight.shape == module.weight.shape:
        same = part.own_bias is None and bool((part.weight.to(module.weight) == module.weight).all())
        if same:
            return None  # PEFT saves the base of an embedding that it adapts
    here, embedding = f"The LoRA {adapter} changes {printable(name)}", isinstance(module, nn.Embedding)
    if not isinstance(module, nn.Linear) and type(module) is not nn.Embedding:
        raise Refusal(f"{here}, a {type(module).__name__}; only linear layers and embeddings can be changed.")
    if ".experts." in name:
        raise Refusal(f"{here}, an expert that gets single tokens; experts cannot be changed.")
    if part.down is not None and part.embedding != embedding:
        raise Refusal(f"{here} as {'an embedding' if part.embedding else 'a linear layer'}, which it is not.")
    outputs, inputs = tuple(module.weight.shape)
    if embedding:
        outputs, inputs = inputs, outputs
    shapes = {
        "down": (part.down, 1, inputs),
        "up": (part.up, 0, outputs),
        "bias": (part.bias, 0, outputs),
        "magnitude": (part.magnitude, 0, outputs),
        "own_bias": (part.own_bias, 0, outputs),
    }
    for tensor, dimension, size in shapes.values():
        if tensor is not None and tensor.shape[dimension] != size:
            raise Refusal(
                f"The LoRA {adapter} does not fit {checkpoint}: {printable(name)} has {size} "
                f"{'inputs' if dimension else 'outputs'}, in the LoRA {tensor.shape[dimension]}."
            )
    if part.weight is not None and part.weight.shape != module.weight.shape:
        raise Refusal(f"The LoRA {adapter} does not fit {checkpoint}: {printable(name)} has another shape.")
    if part.own_bias is not None and getattr(module, "bias", None) is None:
        raise Refusal(f"{here}'s bias, which {checkpoint} does not have.")
    return part
