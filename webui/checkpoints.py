"""What lies in models/checkpoints: find, identify, fingerprint, load. Safetensors only; partial weights are refused."""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from webui.families import identify
from webui.families.base import Family
from webui.settings import Settings

if TYPE_CHECKING:
    from webui.model import Model

PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")
DEPTH = 4  # folders below models/checkpoints
MAX_HEADER = 100_000_000  # bytes, safetensors' own limit
_JSON_NAMES = MappingProxyType({dict: "JSON object", str: "text", int: "whole number"})


@dataclass(frozen=True)
class Entry:
    """A folder with a config.json. `error` says why it cannot be used, if it cannot."""

    name: str
    folder: Path
    size: int = 0  # bytes of its weights
    family: str = ""
    license: str = ""
    profile: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None


class Checkpoints:
    """The checkpoints of a models folder. One model is held in memory; asking for another one unloads it."""

    def __init__(self, settings: Settings):
        self._settings = settings
        self._loaded: tuple[tuple, Model] | None = None
        self._lock = threading.Lock()

    def list(self) -> list[Entry]:
        """Every folder that has a config.json, also the unusable ones, by name; at any depth below models/checkpoints."""
        return [self._entry(name, folder) for name, folder in self._folders().items()]

    def names(self) -> list[str]:
        """Names of the usable checkpoints, the default first."""
        names = [entry.name for entry in self.list() if entry.error is None]
        return sorted(names, key=lambda name: (name != self._settings.model, name))

    def entry(self, name: str | None) -> Entry:
        """The checkpoint of this name (None: the default). ValueError names the ones there are."""
        wanted = name or self._settings.model
        folders = self._folders()
        if wanted not in folders:
            there = ", ".join(folders) or "none"
            raise ValueError(
                f"There is no checkpoint {wanted!r} in {self._settings.checkpoints.name}/. There are: {there}."
            )
        entry = self._entry(wanted, folders[wanted])
        if entry.error:
            raise ValueError(f"Checkpoint {wanted!r} cannot be used: {entry.error}")
        return entry

    def profile(self, name: str | None) -> Mapping[str, Any]:
        """The checkpoint's profile, its preset complete: the family's values with profile.json's over them."""
        entry = self.entry(name)
        family = identify(_json(entry.folder / "config.json"), entry.folder)
        return {**entry.profile, "preset": {**family.preset, **entry.profile.get("preset", {})}}

    def hint(self, name: str | None, text: str) -> str | None:
        """One sentence if most words of a prompt are not in the checkpoint's lexicon.txt, the words it was trained on."""
        entry = self.entry(name)
        file = entry.folder / "lexicon.txt"
        words = WORD.findall(text.lower())
        if not words or not file.is_file():
            return None
        known = frozenset(file.read_text("utf-8").split())
        strange = [word for word in words if word not in known]
        if 2 * len(strange) <= len(words):
            return None
        few = ", ".join(dict.fromkeys(strange[:6]))
        return f"Most words of the prompt are new to {entry.name} ({few}). It understands: {entry.profile.get('understands', '')}"

    def load(self, name: str | None) -> Model:
        """The model of this name, loaded if it is not. Worker thread only. ValueError with one sentence if it cannot be."""
        entry = self.entry(name)
        key = (entry.name, _stamp(entry.folder), self.device(), self.dtype())
        with self._lock:
            if self._loaded is None or self._loaded[0] != key:
                self._loaded = None  # before the next one takes memory
                self._loaded = (key, self._read(entry))
            return self._loaded[1]

    def device(self) -> str:
        """The device that models run on."""
        if self._settings.device != "auto":
            return self._settings.device
        import torch

        return "cuda" if torch.cuda.is_available() else "cpu"

    def dtype(self) -> str:
        """The type of the weights; on CPUs fp32 is faster than bf16."""
        if self._settings.dtype != "auto":
            return self._settings.dtype
        return "float32" if self.device() == "cpu" else "bfloat16"

    def _folders(self) -> dict[str, Path]:
        """The folders that have a config.json, by name: no name can leave models/checkpoints."""
        root = self._settings.checkpoints
        found: dict[str, Path] = {}
        for folder, inner, files in os.walk(root, followlinks=True):  # people link large weights from elsewhere
            path = Path(folder)
            if "config.json" in files:
                found[path.relative_to(root).as_posix()] = path
            if len(path.relative_to(root).parts) >= DEPTH:  # a link that leads back into itself ends here
                inner.clear()
        return dict(sorted(found.items()))

    def _entry(self, name: str, folder: Path) -> Entry:
        try:
            config = _json(folder / "config.json")
            family = identify(config, folder)
            _check(family, config, folder)
            profile = _profile(folder)
            weights = _weights(folder)
            _check_whole(folder)
        except (ValueError, OSError) as error:
            return Entry(name, folder, error=str(error))
        size = sum(file.stat().st_size for file in weights)
        return Entry(name, folder, size, family.name, profile.get("license", family.license), profile)

    def _read(self, entry: Entry) -> Model:
        import torch
        import transformers

        from webui.model import Description, Model
        from webui.tokenizer import Tokenizer

        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        config = _json(entry.folder / "config.json")
        family = identify(config, entry.folder)
        tokenizer = Tokenizer.read(entry.folder)
        translated = family.translate(config)
        mask = _mask(config, entry, family, tokenizer)
        if not 0 <= mask < translated.vocab_size:
            raise ValueError(
                f"{entry.name}: the mask token {mask} is outside the {translated.vocab_size} embedding rows."
            )
        module = _load(entry, family, translated, getattr(torch, self.dtype())).to(self.device()).eval()
        family.prepare(module)
        profile = self.profile(entry.name)
        ends = tuple(dict.fromkeys(i for i in (tokenizer.end, *map(tokenizer.id, family.end_tokens)) if i is not None))
        length = profile.get("max_length") or family.max_length(config)
        description = Description(
            entry.name, family.name, fingerprint(entry.folder), self.device(), self.dtype(), length, profile["preset"],
            profile.get("answer_prefix", ""),
        )  # fmt: skip
        return Model(module, tokenizer, mask, ends, description)


def fingerprint(folder: Path) -> str:
    """SHA-256 over the weights' files in order, 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for file in _weights(folder):
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]


def _load(entry: Entry, family: Family, config: Any, dtype: Any) -> Any:
    """The native model with all of the checkpoint's weights, or ValueError saying what is missing, extra or misshapen."""
    import transformers

    kind = getattr(transformers, family.model_class)
    names = {old: new for old, new in family.names.items() if not (config.tie_word_embeddings and new == "lm_head.")}
    try:
        model, info = kind.from_pretrained(
            entry.folder, config=config, key_mapping=names, dtype=dtype, use_safetensors=True, local_files_only=True,
            output_loading_info=True, attn_implementation="sdpa", ignore_mismatched_sizes=True,  # refused below, by name
        )  # fmt: skip
    except Exception as error:
        raise ValueError(f"{entry.name} cannot be loaded: {_line(error)}") from error
    if info["mismatched_keys"]:
        raise ValueError(
            f"{entry.name} has weights of another shape than its config.json says, {_first(info['mismatched_keys'])} among them."
        )
    for fault, keys in (("lacks", info["missing_keys"]), ("has unknown", info["unexpected_keys"])):
        if keys:
            raise ValueError(f"{entry.name} {fault} weights, {_first(keys)} among them; partial weights are not loaded.")
    return model


def _mask(config: Mapping[str, Any], entry: Entry, family: Family, tokenizer: Any) -> int:
    """Profile, config, tokenizer, then the names the family's checkpoints use (LLaDA's declares none)."""
    declared = (entry.profile.get("mask_token_id"), config.get("mask_token_id"), tokenizer.declared_mask)
    for value in (*declared, *map(tokenizer.id, family.mask_tokens)):
        if value is not None:
            return int(value)
    raise ValueError(f"{entry.name} declares no mask token; set mask_token_id in its profile.json.")


def _check(family: Family, config: Mapping[str, Any], folder: Path) -> None:
    """Refuses a config.json that the family's native model cannot compute. ValueError names folder and cause."""
    try:
        family.check(config)
    except ValueError as error:
        raise ValueError(f"{folder.name}: {error}") from error


def _check_whole(folder: Path) -> None:
    """Refuses folders whose index names shards that are not there, and files cut short. Reads headers only, without torch."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        named = _json(index).get("weight_map")
        if not isinstance(named, dict):
            raise ValueError(f"{folder.name}/{index.name} has no weight_map.")
        for shard in sorted(set(map(str, named.values()))):
            if not (folder / shard).is_file():
                raise ValueError(f"{folder.name} lacks {shard}, which its index names.")
    for file in _weights(folder):
        there, said = file.stat().st_size, _length(file)
        if there != said:
            raise ValueError(f"{folder.name}/{file.name} is damaged: it has {there} bytes where its header says {said}.")


def _length(file: Path) -> int:
    """Bytes that a safetensors file should have by its header. ValueError if it has none."""
    with file.open("rb") as stream:
        size = int.from_bytes(stream.read(8), "little")
        try:
            header = json.loads(stream.read(size) if size <= MAX_HEADER else b"")
            ends = [tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"]
            return 8 + size + max(ends, default=0)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
            raise ValueError(f"{file.parent.name}/{file.name} is damaged: it is no safetensors file.") from error


def _profile(folder: Path) -> dict[str, Any]:
    """profile.json, or nothing. ValueError if what a person wrote there cannot be meant."""
    profile = _json(folder / "profile.json") if (folder / "profile.json").is_file() else {}
    kinds = {"preset": dict, "license": str, "answer_prefix": str, "mask_token_id": int, "max_length": int}
    for key, kind in kinds.items():
        if key in profile and (not isinstance(profile[key], kind) or isinstance(profile[key], bool)):
            raise ValueError(f"{folder.name}/profile.json: {key} must be a {_JSON_NAMES[kind]}.")
    return profile


def _weights(folder: Path) -> list[Path]:
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        pickled = any(next(folder.glob(pattern), None) for pattern in PICKLES)
        reason = (
            "only pickled weights, which can run code when they are read; convert them to safetensors"
            if pickled
            else "no weights"
        )
        raise ValueError(f"{folder.name} has {reason}.")
    return files


def _line(error: Exception) -> str:
    return (str(error) or type(error).__name__).strip().splitlines()[0]


def _first(keys: Any) -> str:
    return min(key if isinstance(key, str) else key[0] for key in keys)


def _stamp(folder: Path) -> tuple:
    return tuple(
        (file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in sorted(folder.iterdir()) if file.is_file()
    )


def _json(path: Path) -> dict[str, Any]:
    """A JSON object from a file. ValueError with the file's name if it is not one."""
    try:
        data = json.loads(path.read_text("utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path.parent.name}/{path.name} is not valid JSON: {error}.") from error
    if not isinstance(data, dict):
        raise ValueError(f"{path.parent.name}/{path.name} is not a JSON object.")
    return data
