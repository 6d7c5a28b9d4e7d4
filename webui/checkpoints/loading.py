"""Checkpoints in memory: plan what can go wrong, read the weights, hold one model. Safetensors only; partial
weights are refused."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.abc import MetaPathFinder
from typing import TYPE_CHECKING, Any, NamedTuple

from webui.checkpoints import memory, weights
from webui.checkpoints import quantize as quantizing
from webui.checkpoints.catalogue import Catalogue, Described, Entry, Stamp, stamp_of, with_state
from webui.checkpoints.families import FAMILIES
from webui.checkpoints.families.base import Family
from webui.checkpoints.files import printable
from webui.checkpoints.tokenizer import Tokenizer
from webui.checkpoints.weights import Comparison, Matched, Meter, ReportProgress, Stopped, fingerprint
from webui.core.errors import Refusal
from webui.core.request import Request
from webui.settings import Settings

if TYPE_CHECKING:
    from transformers import PretrainedConfig

    from webui.checkpoints.model import Model

MODULES = 2400  # that torch and transformers import for a model
IMPORTS = 2_000_000_000  # bytes that could be read while they are imported
PLANNING = 200_000_000  # bytes that could be read while a checkpoint is matched
COUNTERS = 2  # tokenizers held for counting

Key = tuple[str, Stamp, str, str]  # name, files, device, dtype


class Plan(NamedTuple):
    """What is known of a checkpoint before its weights are read: then little can go wrong with those."""

    family: Family
    tokenizer: Tokenizer
    config: PretrainedConfig
    mask: int
    kind: Any  # the native class of transformers
    matched: Matched


class Count(NamedTuple):
    """Tokens of a text, of the whole prompt it makes, and how many there may be with the answer."""

    text: int
    prompt: int
    limit: int


class Skeleton(NamedTuple):
    """A checkpoint's modules by their native names, without memory for their weights, and the native name of
    a published module."""

    checkpoint: str
    modules: Mapping[str, Any]
    native: Callable[[str], str]


class Checkpoints(Catalogue):
    """The catalogue, and models in memory: one, or as many as the setting `memory_budget` has room for,
    those used last.

    Only the worker thread loads and unloads; everything else may be asked from any thread and never waits for
    a load.
    """

    def __init__(
        self,
        settings: Settings,
        families: Sequence[Family] = FAMILIES,
        request: type[Request] = Request,
    ):
        super().__init__(settings, families, request)
        self._loaded: tuple[Key, Model] | None = None
        self._held: dict[Key, Model] = {}  # others in memory, the one used last at the end
        self._failed: dict[str, tuple[Stamp, str]] = {}  # name: its files, sentence
        self._fingerprints: dict[str, tuple[Stamp, str]] = {}  # name: its files, fingerprint
        self._counters: dict[tuple[str, Stamp], Tokenizer] = {}
        self._lock, self._counting = threading.Lock(), threading.Lock()
        self._garbage = False  # there may be weights in memory that nothing uses
        self.version = 0  # changes when a checkpoint is loaded, unloaded or could not be loaded

    @property
    def loaded(self) -> str | None:
        """The name of the checkpoint in memory."""
        held = self._loaded
        return held[0][0] if held else None

    def load(self, name: str | None, progress: ReportProgress = lambda done: None) -> Model:
        """The model of this name, loaded if it is not. Worker thread only. Refusal with one sentence if it
        cannot be.

        `progress` gets the share of the work done, 0 to 1: libraries imported, files matched, bytes read
        (twice, once for the fingerprint). It may raise Stopped. What can fail without the weights fails
        before the model in memory is unloaded.
        """
        described = self._usable(name)
        entry, stamp = described.entry, described.stamp
        lock = self._lock
        with lock:
            key = (entry.name, stamp, self.device(), self.dtype())
            if self._loaded is not None and self._loaded[0] == key:
                return self._loaded[1]
            if key in self._held:
                return self._back(key)
            tokenizer: Tokenizer | None = None
            try:
                progress(0.0)
                meter = Meter(self._work(described), progress)
                tokenizer = Tokenizer(entry.folder)  # is read while the libraries are imported
                with _imports_counted(meter):
                    import transformers
                    import transformers.modeling_utils
                plan = self._plan(described, tokenizer, transformers, meter)
                self._check_turn(lock)
                self._make_room(entry)
                model = self._read_weights(described, plan, meter)
                self._check_turn(lock)
                self._loaded = (key, model)
                self._failed = {name: failure for name, failure in self._failed.items() if name != entry.name}
                progress(1.0)
            except BaseException as error:
                self._garbage = True
                if tokenizer is not None and self.loaded != entry.name:
                    tokenizer.close()
                if isinstance(error, Exception) and not isinstance(error, Stopped):
                    sentence = _sentence(entry.name, error)
                    self._failed = {**self._failed, entry.name: (stamp, sentence)}
                    if isinstance(error, ValueError | OSError):
                        raise Refusal(sentence) from error
                raise
            finally:
                self.version += 1
            return model

    def _back(self, key: Key) -> Model:
        """A model that stayed in memory, as the one in use; that one stays now."""
        model = self._held.pop(key)
        if self._loaded is not None:
            self._held[self._loaded[0]] = self._loaded[1]
        self._loaded = (key, model)
        self.version += 1
        return model

    def _make_room(self, entry: Entry) -> None:
        """Unloads what has to go before a checkpoint is read: the one in use without a budget, else as many
        as it needs, the one used last at the end. Refusal if even then there is too little memory."""
        sizes = {key: _bytes(model) for key, model in self._held.items()}
        if self._loaded is not None:
            self._held[self._loaded[0]], sizes[self._loaded[0]] = self._loaded[1], _bytes(self._loaded[1])
        try:
            memory.check(entry.name, entry.parameters, self.dtype(), self.device(), sum(sizes.values()))
        except Refusal:
            if self._loaded is not None:
                del self._held[self._loaded[0]]
            raise
        self._loaded = None
        new = memory.needed(entry.parameters, self.dtype())
        budget = int(self._settings.memory_budget * 1e9)
        free = memory.free(self.device())
        for key in [*self._held]:
            left = sum(sizes[other] for other in self._held)
            if budget and left + new <= budget and (free is None or new <= free):
                break
            del self._held[key]
            self._garbage = True
            free = None if free is None else free + sizes[key]
        if self._garbage:
            self._release()

    def _release(self) -> None:
        """Gives memory that nothing uses back to the device. Looking for it takes half a second, which the
        first load can do without."""
        self._garbage = False
        gc.collect()
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available():
            torch.cuda.empty_cache()

    def changed(self) -> None:
        """To be called when folders have come or gone: whoever shows the list asks for it again."""
        self.version += 1

    def compare(self, name: str | None) -> Comparison:
        """A checkpoint's weights beside its family's native model, by their headers. Refusal if it is not
        known what they should be."""
        described = self._usable(name)
        folder, family = described.entry.folder, self.family(name)
        config = weights.translated(folder, family, described.config)
        found = weights.tensors(folder)
        weights.check_sizes(folder, config, found)
        module = weights.meta(folder, family.native(), config)
        return weights.compare(described.entry.name, found, module, config, family)

    def skeleton(self, name: str | None) -> Skeleton:
        """What a checkpoint is made of, for looking at adapters: no weights are read and nothing waits for a
        load. Refusal."""
        described = self._usable(name)
        folder, family = described.entry.folder, described.family
        assert family is not None
        config = weights.translated(folder, family, described.config)
        weights.check_sizes(folder, config, weights.tensors(folder))
        module = weights.meta(folder, family.native(), config)
        native = partial(weights.native_name, names=family.names)
        return Skeleton(described.entry.name, dict(module.named_modules()), native)

    def abandon(self) -> None:
        """Another worker takes over from a thread that may never return: it waits for none of its locks and
        uses nothing that it loads."""
        self._lock, self._loaded, self._held, self._garbage = threading.Lock(), None, {}, True
        self.version += 1

    def _check_turn(self, lock: threading.Lock) -> None:
        """Stopped if the thread that holds this lock was abandoned meanwhile."""
        if lock is not self._lock:
            raise Stopped

    def unload(self) -> None:
        """Frees the memory of all models. Worker thread only."""
        with self._lock:
            self._loaded, self._held = None, {}
            self.version += 1
        self._release()

    def count(self, name: str | None, text: str, system: str = "", template: str = "auto") -> Count:
        """How many tokens a prompt takes. No weights are read and nothing waits for a load. Refusal."""
        tokenizer = self.tokenizer(name)
        whole = tokenizer.prompt(text, system, template)
        return Count(len(tokenizer.encode(text)), len(whole.tokens), self.max_length(name))

    def encoder(self, name: str | None) -> Callable[[str], list[int]]:
        """Makes a text into tokens of a checkpoint, whose tokenizer is read when it is first called."""
        return lambda text: self.tokenizer(name).encode(text)

    def tokenizer(self, name: str | None) -> Tokenizer:
        """The checkpoint's tokenizer, beside the one of the model in memory. No weights are read and nothing
        waits for a load. Refusal."""
        described = self._usable(name)
        key = (described.entry.name, described.stamp)
        with self._counting:
            tokenizer = self._counters.pop(key, None) or Tokenizer(described.entry.folder)
            self._counters[key] = tokenizer  # the last one asked for
            while len(self._counters) > COUNTERS:  # ends its process when the last call has returned
                del self._counters[next(iter(self._counters))]
        return tokenizer

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

    def _entry(self, described: Described) -> Entry:
        entry = described.entry
        stamp, failed = self._failed.get(entry.name, (None, None))
        held = entry.name == self.loaded or any(key[0] == entry.name for key in [*self._held])
        return with_state(entry, held, failed if stamp == described.stamp else None)

    def _work(self, described: Described) -> int:
        """What loading it takes, in bytes read."""
        imports = 0 if "transformers.modeling_utils" in sys.modules else IMPORTS
        passes = 1 if self._known_fingerprint(described) else 2
        return imports + PLANNING + passes * described.entry.size

    def _plan(self, described: Described, tokenizer: Tokenizer, transformers: Any, meter: Meter) -> Plan:
        """Everything about a checkpoint but its weights. Refusal says in a sentence why it cannot be
        loaded."""
        quantizing.check(self._settings.quantize, self.device())
        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        entry, config, family = described.entry, described.config, described.family
        assert family is not None
        translated = weights.translated(entry.folder, family, config)
        weights.check_sizes(entry.folder, translated, weights.tensors(entry.folder))
        meter.add(PLANNING * 0.2)
        with _imports_counted(meter):
            kind = family.native()
        mask = _mask(config, entry, family, tokenizer)
        if not 0 <= mask < translated.vocab_size:
            raise Refusal(
                f"{entry.name}: the mask token {mask} is outside the {translated.vocab_size} embedding rows."
            )
        if tokenizer.last >= translated.vocab_size:
            raise Refusal(
                f"{entry.name}: the tokenizer has the token {tokenizer.last}, outside the "
                f"{translated.vocab_size} embedding rows."
            )
        tokenizer.rows = translated.vocab_size
        tokenizer.words(translated.vocab_size)  # every text needs them; a decoder that goes too far ends here
        meter.add(PLANNING * 0.4)
        matched = weights.match(entry.folder, kind, translated, family)
        meter.add(PLANNING * 0.4)
        return Plan(family, tokenizer, translated, mask, kind, matched)

    def _read_weights(self, described: Described, plan: Plan, meter: Meter) -> Model:
        import torch

        from webui.checkpoints import model as models

        entry = described.entry
        identity = self._known_fingerprint(described)
        if identity is None:
            identity = fingerprint(entry.folder, meter)
            self._fingerprints[entry.name] = (described.stamp, identity)
        module = weights.read(plan.matched, plan.kind, plan.config, getattr(torch, self.dtype()), meter)
        try:
            module = module.to(self.device()).eval()
        except torch.OutOfMemoryError as error:
            raise Refusal(f"The memory of {self.device()} is too small for it.") from error
        plan.family.prepare(module)
        quantized = self._settings.quantize
        if quantized != "none":
            quantizing.quantize(module, plan.family.split(module)[0], quantized)
        if stamp_of(entry.folder) != described.stamp:
            raise Refusal("Its files changed while they were read; load it again.")
        profile = self.profile(entry.name)
        ends = (plan.tokenizer.end, *map(plan.tokenizer.id, plan.family.end_tokens))
        description = models.Description(
            entry.name,
            plan.family.name,
            identity,
            self.device(),
            self.dtype() if quantized == "none" else f"{self.dtype()}, {quantized}",
            self.max_length(entry.name),
            profile["preset"],
            profile.get("answer_prefix", ""),
            plan.family.block_length(described.config),
            plan.family.first_position(described.config),
            _frame(plan.family, plan.tokenizer),
            tuple(i for i in map(plan.tokenizer.id, plan.family.forbidden) if i is not None),
            ancestor=plan.family.ancestor,
            answer_block=plan.family.answer_block(described.config),
            ratios=plan.family.ratios,
            expand=plan.family.expand(described.config),
        )
        return models.Model(
            module,
            plan.family,
            plan.tokenizer,
            plan.mask,
            tuple(dict.fromkeys(i for i in ends if i is not None)),
            description,
        )

    def _known_fingerprint(self, described: Described) -> str | None:
        stamp, identity = self._fingerprints.get(described.entry.name, (None, None))
        return identity if stamp == described.stamp else None


@contextmanager
def _imports_counted(meter: Meter) -> Iterator[None]:
    """Reports imports of this thread as progress. A stop waits until the import ends: a library that is
    imported half cannot be imported again."""
    counter = _Counter(meter)
    sys.meta_path.insert(0, counter)
    try:
        yield
    finally:
        sys.meta_path.remove(counter)
    if counter.stop is not None:
        raise counter.stop
    if counter.first:
        meter.add(max(0.0, IMPORTS * 0.9 - counter.counted))


class _Counter(MetaPathFinder):
    """Finds no module, but is asked for each that is imported."""

    def __init__(self, meter: Meter):
        self._meter, self._thread = meter, threading.get_ident()
        self.first = "transformers.modeling_utils" not in sys.modules
        self.counted = 0.0
        self.stop: BaseException | None = None

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> None:
        if threading.get_ident() != self._thread or self.stop is not None or self.counted >= IMPORTS:
            return
        work = IMPORTS / MODULES
        self.counted += work
        try:
            self._meter.add(work)
        except BaseException as stop:
            self.stop = stop


def _mask(config: Mapping[str, Any], entry: Entry, family: Family, tokenizer: Tokenizer) -> int:
    """Profile, config, tokenizer, what the family knows, then the names its checkpoints use (LLaDA's declares
    none)."""
    declared = (entry.profile.get("mask_token_id"), config.get("mask_token_id"), tokenizer.declared_mask)
    for value in (*declared, family.mask_id(config), *map(tokenizer.id, family.mask_tokens)):
        if value is None:
            continue
        if type(value) is not int:
            raise Refusal(f"{entry.name}: mask_token_id must be a whole number.")
        return value
    raise Refusal(f"{entry.name} declares no mask token; set mask_token_id in its profile.json.")


def _frame(family: Family, tokenizer: Tokenizer) -> tuple[int, int] | None:
    """The first and last token of a row, if the family has them and no chat template writes them."""
    if tokenizer.has_template or not all(family.frame):
        return None
    found = [[i for i in map(tokenizer.id, names) if i is not None] for names in family.frame]
    return (found[0][0], found[1][0]) if all(found) else None


def _bytes(model: Model) -> int:
    """The memory that its weights take."""
    parts = (one for value in model.module.parameters() for one in quantizing.stored(value))
    return sum(one.numel() * one.element_size() for one in parts)


def _sentence(name: str, error: Exception) -> str:
    """What went wrong in one line that names the checkpoint."""
    line = (str(error) or type(error).__name__).strip().splitlines()[0]
    line = line if printable(name.rpartition("/")[2]) in line else f"{name} cannot be loaded: {line}"
    return line if line.endswith(".") else f"{line}."
