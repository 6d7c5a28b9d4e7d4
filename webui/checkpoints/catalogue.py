"""What lies in models/checkpoints: find, identify, fingerprint, load. Safetensors only; partial weights are
refused."""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from webui.checkpoints import weights
from webui.checkpoints.families import identify
from webui.checkpoints.families.base import Family
from webui.checkpoints.profile import read_json, read_profile, strange_words
from webui.checkpoints.weights import fingerprint
from webui.settings import Settings

if TYPE_CHECKING:
    from transformers import PretrainedConfig

    from webui.checkpoints.model import Model
    from webui.checkpoints.tokenizer import Tokenizer

DEPTH = 4  # folders below models/checkpoints


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
    parameters: int = 0  # numbers its weights are
    loaded: bool = False
    failed: str | None = (
        None  # why loading it failed the last time, until its files change or a load succeeds
    )


class Plan(NamedTuple):
    """What is known of a checkpoint before its weights are read: then little can go wrong with those."""

    family: Family
    tokenizer: Tokenizer
    config: PretrainedConfig
    mask: int
    kind: Any  # the native class of transformers
    found: dict[str, weights.TensorInfo]


class Count(NamedTuple):
    """Tokens of a text, of the whole prompt it makes, and how many there may be with the answer."""

    text: int
    prompt: int
    limit: int


class Checkpoints:
    """The checkpoints of a models folder. One model is held in memory; asking for another one unloads it.

    Only the worker thread loads and unloads; everything else may be asked from any thread and never waits for
    a load.
    """

    def __init__(self, settings: Settings):
        self._settings = settings
        self._loaded: tuple[tuple, Model] | None = None
        self._failed: dict[str, tuple[tuple, str]] = {}  # name: stamp of its files, sentence
        self._counting: tuple[tuple, Tokenizer] | None = (
            None  # of its own: tokenizing changes a tokenizer for a moment
        )
        self._lock, self._counts = threading.Lock(), threading.Lock()
        self.version = 0  # changes with whatever is loaded, let go or failed

    @property
    def loaded(self) -> str | None:
        """The name of the checkpoint in memory."""
        held = self._loaded
        return held[0][0] if held else None

    def list(self) -> list[Entry]:
        """Every folder that has a config.json, also the unusable ones, by name; at any depth below
        models/checkpoints."""
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
                f"There is no checkpoint {wanted!r} in {self._settings.checkpoints.name}/. There are: "
                f"{there}."
            )
        entry = self._entry(wanted, folders[wanted])
        if entry.error:
            raise ValueError(f"Checkpoint {wanted!r} cannot be used: {entry.error}")
        return entry

    def profile(self, name: str | None) -> Mapping[str, Any]:
        """The checkpoint's profile, its preset complete: the family's values with profile.json's over
        them."""
        entry = self.entry(name)
        family = identify(read_json(entry.folder / "config.json"), entry.folder)
        return {**entry.profile, "preset": {**family.preset, **entry.profile.get("preset", {})}}

    def hint(self, name: str | None, text: str) -> str | None:
        """One sentence if most words of a prompt are not in the checkpoint's lexicon.txt, the words it was
        trained on."""
        entry = self.entry(name)
        strange = strange_words(entry.folder, text)
        if not strange:
            return None
        few, known = ", ".join(strange[:6]), entry.profile.get("understands", "")
        return f"Most words of the prompt are new to {entry.name} ({few}). It understands: {known}"

    def load(self, name: str | None, progress: weights.ReportProgress = lambda done: None) -> Model:
        """The model of this name, loaded if it is not. Worker thread only. ValueError with one sentence if it
        cannot be.

        `progress` is told the share of bytes read, 0 to 1 (each twice: for the fingerprint and for the
        model); it may raise Stopped. What can be known to fail without the weights fails before the model in
        memory is let go.
        """
        entry = self.entry(name)
        stamp = _stamp(entry.folder)
        key = (entry.name, stamp, self.device(), self.dtype())
        with self._lock:
            if self._loaded is not None and self._loaded[0] == key:
                return self._loaded[1]
            try:
                progress(0.0)
                plan = self._plan(entry)
                self._loaded = None  # before the next one takes memory
                total = entry.size + sum(tensor.size for tensor in plan.found.values())
                self._loaded = (key, self._read(entry, plan, weights.Meter(total, progress)))
                self._failed = {name: failure for name, failure in self._failed.items() if name != entry.name}
            except weights.Stopped:
                raise
            except Exception as error:
                sentence = _sentence(entry.name, error)
                self._failed = {**self._failed, entry.name: (stamp, sentence)}
                if isinstance(error, ValueError | OSError):
                    raise ValueError(sentence) from error
                raise
            finally:
                self.version += 1
            return self._loaded[1]

    def unload(self) -> None:
        """Gives the memory of the model back. Worker thread only."""
        with self._lock:
            self._loaded = None
            self.version += 1
        gc.collect()
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available():
            torch.cuda.empty_cache()

    def count(self, name: str | None, text: str, system: str = "", template: str = "auto") -> Count:
        """How many tokens a prompt takes. No weights are read. ValueError."""
        from webui.checkpoints.tokenizer import Tokenizer

        entry = self.entry(name)
        key = (entry.name, _stamp(entry.folder))
        with self._counts:
            if self._counting is None or self._counting[0] != key:
                self._counting = (key, Tokenizer.read(entry.folder))
            tokenizer = self._counting[1]
            whole = tokenizer.prompt(text, system, template)
            return Count(len(tokenizer.encode(text)), len(whole.tokens), self.max_length(entry.name))

    def max_length(self, name: str | None) -> int:
        """Tokens that a prompt and its answer may take together."""
        entry = self.entry(name)
        config = read_json(entry.folder / "config.json")
        return entry.profile.get("max_length") or identify(config, entry.folder).max_length(config)

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
        for folder, inner, files in os.walk(
            root, followlinks=True
        ):  # people link large weights from elsewhere
            path = Path(folder)
            if "config.json" in files:
                found[path.relative_to(root).as_posix()] = path
            if len(path.relative_to(root).parts) >= DEPTH:  # a link that leads back into itself ends here
                inner.clear()
        return dict(sorted(found.items()))

    def _entry(self, name: str, folder: Path) -> Entry:
        try:
            config = read_json(folder / "config.json")
            family = identify(config, folder)
            _check(family, config, folder)
            profile = read_profile(folder)
            tensors = weights.tensors(folder)
            size = sum(file.stat().st_size for file in weights.files(folder))
            stamp, failed = self._failed.get(name, (None, None))
            if failed and stamp != _stamp(folder):  # the files changed: it may work now
                failed = None
        except (ValueError, OSError) as error:
            return Entry(name, folder, error=str(error))
        return Entry(
            name,
            folder,
            size,
            family.name,
            profile.get("license", family.license),
            profile,
            None,
            weights.parameters(tensors),
            name == self.loaded,
            failed,
        )

    def _plan(self, entry: Entry) -> Plan:
        """Everything about a checkpoint but its weights. ValueError says in a sentence why it cannot be
        loaded."""
        from webui.checkpoints.tokenizer import Tokenizer, library

        transformers = library()
        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        config = read_json(entry.folder / "config.json")
        family = identify(config, entry.folder)
        tokenizer = Tokenizer.read(entry.folder)
        translated = family.translate(config)
        mask = _mask(config, entry, family, tokenizer)
        if not 0 <= mask < translated.vocab_size:
            raise ValueError(
                f"{entry.name}: the mask token {mask} is outside the {translated.vocab_size} embedding rows."
            )
        kind = getattr(transformers, family.model_class)
        return Plan(
            family,
            tokenizer,
            translated,
            mask,
            kind,
            weights.match(entry.folder, kind, translated, family.names),
        )

    def _read(self, entry: Entry, plan: Plan, meter: weights.Meter) -> Model:
        import torch

        from webui.checkpoints.model import Description, Model

        mark = fingerprint(entry.folder, meter)
        module = weights.read(plan.found, plan.kind, plan.config, getattr(torch, self.dtype()), meter)
        try:
            module = module.to(self.device()).eval()
        except torch.OutOfMemoryError as error:
            raise ValueError(f"The memory of {self.device()} is too small for it.") from error
        plan.family.prepare(module)
        profile = self.profile(entry.name)
        ends = (plan.tokenizer.end, *map(plan.tokenizer.id, plan.family.end_tokens))
        description = Description(
            entry.name,
            plan.family.name,
            mark,
            self.device(),
            self.dtype(),
            self.max_length(entry.name),
            profile["preset"],
            profile.get("answer_prefix", ""),
            plan.family.block_length(read_json(entry.folder / "config.json")),
        )
        return Model(
            module,
            plan.family,
            plan.tokenizer,
            plan.mask,
            tuple(dict.fromkeys(i for i in ends if i is not None)),
            description,
        )


def _mask(config: Mapping[str, Any], entry: Entry, family: Family, tokenizer: Any) -> int:
    """Profile, config, tokenizer, then the names the family's checkpoints use (LLaDA's declares none)."""
    declared = (entry.profile.get("mask_token_id"), config.get("mask_token_id"), tokenizer.declared_mask)
    for value in (*declared, *map(tokenizer.id, family.mask_tokens)):
        if value is not None:
            return int(value)
    raise ValueError(f"{entry.name} declares no mask token; set mask_token_id in its profile.json.")


def _check(family: Family, config: Mapping[str, Any], folder: Path) -> None:
    """Refuses a config.json that the family's native model cannot compute. ValueError names folder and
    cause."""
    try:
        family.check(config)
    except ValueError as error:
        raise ValueError(f"{folder.name}: {error}") from error


def _sentence(name: str, error: Exception) -> str:
    """What went wrong in one line that names the checkpoint."""
    line = (str(error) or type(error).__name__).strip().splitlines()[0]
    line = line if name.rpartition("/")[2] in line else f"{name} cannot be loaded: {line}"
    return line if line.endswith(".") else f"{line}."


def _stamp(folder: Path) -> tuple:
    return tuple(
        (file.name, file.stat().st_mtime_ns, file.stat().st_size)
        for file in sorted(folder.iterdir())
        if file.is_file()
    )
