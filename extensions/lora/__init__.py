"""LoRA: adapters from models/loras, named in the prompt, `<lora:name:0.8>`; every row has its own weights."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from webui import (
    Adapter,
    AdapterEntry,
    Completion,
    Construct,
    Extension,
    Options,
    Piece,
    Prompt,
    Row,
    Typed,
    Underline,
    adapter_entry,
    adapters,
    field,
    find_adapter,
)

from .tags import SYNTAX, Use, read, writable

if TYPE_CHECKING:
    from webui import Network, Result

FOLDER = "loras"  # of the models folder
ANCESTORS = (
    6.0  # weight at which an adapter of the autoregressive model acts as there (AR-MAP, arXiv 2602.02178)
)
SHOWN = 20  # names of modules that a checkpoint lacks
UNWRITABLE = "No tag can hold its name; rename it, without < > : and line breaks, and no blanks around it."
TYPED = re.compile(r"<(?:lora:([^<>:\n]{0,200})|[lora]{0,4})\Z")  # a tag up to the cursor


class Lora(Extension):
    """`<lora:name:weight>` adds an adapter to the model for this text, `<lora:name:weight:start-end>` while
    its share of committed positions is in this range. Several add up; a weight may be negative.

    Rows with other weights, or none, share the forward passes: what an adapter adds is multiplied by a column
    with one weight for each row (`patch.py`). A row at weight 0 is what it is without the adapter, and the
    model's own weights are never changed.
    """

    title = "LoRA"
    about = "<lora:name:0.8> in the prompt adds an adapter from models/loras."
    # after styles and choices, whose texts may have tags; before what divides the prompt, so that a tag acts
    # wherever it stands
    order = MappingProxyType({"prompt": -20})
    tags = ("lora",)
    explanations = MappingProxyType(
        {
            "use": "The LoRA {name}, with weight {weight}.",
            "off": "The LoRA {name} is off at weight 0.",
            "range": "The LoRA {name}, with weight {weight}, from {start} to {end} of the answer committed.",
            "refused": "Column {column}: {reason}",
        }
    )

    class Options(Options):
        merged: bool = field(
            False,
            label="Merge LoRA into the weights",
            help="Faster for one LoRA at one weight over the whole text. Texts of another one or weight "
            "then have forward passes of their own.",
        )

    @classmethod
    def prompt(cls, row: Row) -> Row:
        uses: list[Use] = []
        for name, prompt in tuple(row.prompts.items()):
            scan = prompt.scan(SYNTAX, row.request.syntax)
            pieces: list[Piece] = []
            for number, part in enumerate(scan.parts):
                if isinstance(part, Construct):
                    uses.append(cls._use(part))
                elif number and not pieces and part.text.startswith(" "):  # behind a tag at the start
                    pieces += Prompt((part,)).cut(1, len(part.text))
                else:
                    pieces.append(part)
            row = row.with_prompt(name, Prompt(tuple(pieces)))
        return row.with_own(cls.name, tuple(uses)) if uses else row

    @classmethod
    def _use(cls, tag: Construct) -> Use:
        """What a tag asks for. ValueError begins with its column."""
        try:
            use = read(tag.groups)
            find_adapter(cls.models / FOLDER, use.name)
        except ValueError as error:
            column = _span(tag)[0] + 1
            raise ValueError(f"column {column}: {error}") from error
        return use

    @classmethod
    def neutral(cls, row: Row) -> bool:
        return not any(use.weight for use in row.own.get(cls.name, ()))

    @classmethod
    def apart(cls, row: Row) -> Hashable:
        """The LoRA that is merged for a row, with its weight: rows of one batch have the same, or none."""
        return cls._merged(row)

    @classmethod
    def _merged(cls, row: Row) -> Use | None:
        """What is merged into the weights for a row. Two LoRAs, and one that acts for a part of the text, are
        hooked."""
        uses = [use for use in row.own.get(cls.name, ()) if use.weight]
        if not cls.options(row).merged or len(uses) != 1:
            return None
        return uses[0] if (uses[0].start, uses[0].end) == (0, 1) else None

    @classmethod
    def marks(cls, typed: Typed) -> Iterator[Underline]:
        tags = [part for part in typed.scan(SYNTAX).parts if isinstance(part, Construct)]
        there = adapters(cls.models / FOLDER) if tags else {}
        for part in tags:
            start, end = _span(part)
            try:
                use = read(part.groups)
                if use.name not in there:
                    find_adapter(cls.models / FOLDER, use.name)
            except ValueError as error:
                values = {"column": start + 1, "reason": str(error)}
                yield Underline(start, end, "refused", "refused", values)
                continue
            kind = "off" if not use.weight else "use" if (use.start, use.end) == (0, 1) else "range"
            yield Underline(start, end, kind, values=use._asdict())

    @classmethod
    def complete(cls, typed: Typed, cursor: int) -> Iterator[Completion]:
        found = TYPED.search(typed.text, max(0, cursor - 210), cursor)
        if found is None or typed.mode == "off" or not "<lora:".startswith(found[0][:6]):
            return
        part = (found[1] or "").casefold()
        there = adapters(cls.models / FOLDER)
        names = [name for name in there if part in name.casefold() and writable(name)]
        for name in sorted(names, key=lambda name: not name.casefold().startswith(part)):
            entry = adapter_entry(name, there[name])
            about = entry.error or ", ".join(filter(None, [entry.base, *entry.triggers]))
            yield Completion(found.start(), cursor, f"<lora:{name}:1>", about)

    @classmethod
    def assets(cls) -> Sequence[str]:
        return ("lora.js", "lora.css")

    @classmethod
    def routes(cls) -> Mapping[str, Callable[[Any, Mapping[str, Any]], Mapping[str, Any]]]:
        return {"list": cls._list, "fit": cls._fit}

    @classmethod
    def _list(cls, app: Any, sent: Mapping[str, Any]) -> Mapping[str, Any]:
        """{"model": a checkpoint or null} to {"model": its name, "loras": what the headers of each file
        say}."""
        entry = app.checkpoints.entry(_name(sent, "model"))
        return {"model": entry.name, "loras": [_shown(one) for one in cls._entries()]}

    @classmethod
    def _entries(cls) -> Iterator[AdapterEntry]:
        """What the headers of each file say; an error for a name that no tag can hold."""
        for name, path in adapters(cls.models / FOLDER).items():
            entry = adapter_entry(name, path)
            yield entry if entry.error or writable(name) else replace(entry, error=UNWRITABLE)

    @classmethod
    def _fit(cls, app: Any, sent: Mapping[str, Any]) -> Mapping[str, Any]:
        """{"name", "model"}: how a LoRA fits a checkpoint, {"checkpoint", "matched", "count", "unmatched",
        "hash", "notes"}. The whole file is read, no weights of the checkpoint are."""
        name = _name(sent, "name")
        if name is None:
            raise ValueError("name: Field required.")
        skeleton = app.checkpoints.skeleton(_name(sent, "model"))
        adapter = Adapter.read(find_adapter(cls.models / FOLDER, name), name)
        fitted = adapter.fit(skeleton.modules, skeleton.native, skeleton.checkpoint)
        family = app.checkpoints.family(_name(sent, "model"))
        return {
            "checkpoint": skeleton.checkpoint,
            "matched": len(fitted.parts),
            "count": fitted.count,
            "unmatched": list(fitted.unmatched[:SHOWN]),
            "hash": adapter.hash,
            "notes": [*adapter.notes, *descent(family.name, family.ancestor, adapter)],
        }

    def __init__(self, rows: Sequence[Row | None]):
        super().__init__(rows)
        self._said: dict[str, str] = {}  # about each adapter of the batch

    @contextmanager
    def patch(self, network: Network) -> Iterator[None]:
        from .patch import Patch

        uses = [() if row is None else row.own[self.name] for row in self.rows]
        modules = dict(network.module.named_modules())
        loaded, hashes = {}, {}
        for name in sorted({use.name for some in uses for use in some if use.weight}):
            adapter = Adapter.read(find_adapter(self.models / FOLDER, name), name)
            fitted = adapter.fit(modules, network.native, network.description.name)
            loaded[name], hashes[name] = fitted, adapter.hash
            said = about(adapter, fitted.parts, fitted.unmatched)
            self._said[name] = "; ".join(
                [said, *descent(network.description.family, network.description.ancestor, adapter)]
            )
        with ExitStack() as stack:
            whole = next((self._merged(row) for row in self.rows if row is not None), None)
            hooked = None
            if whole is not None:  # for every row: see `apart`
                from .merged import weights

                fitted = loaded[whole.name]
                scales = frozenset((name, part.scale) for name, part in fitted.parts.items())
                made, hooked = network.kept(
                    self.name,
                    (hashes[whole.name], scales, whole.weight),
                    lambda: weights(modules, fitted, whole.weight),
                )
                stack.enter_context(network.exchanged(made))
            patch = Patch(network, loaded, uses)
            stack.callback(patch.leave)
            patch.enter(modules, hooked)
            with network.varies(patch.weights_of):
                yield

    def finish(self, row: Row, result: Result) -> Mapping[str, str]:
        """For each adapter its weight in this text, how much of it the model has, and the file's hash."""
        said: dict[str, str] = {}
        for use in row.own[self.name]:
            if use.weight:
                how = "; merged into the weights" if self._merged(row) else ""
                before = f"{said[use.name].partition('; ')[0]} + " if use.name in said else ""
                said[use.name] = f"{before}{use.text}; {self._said[use.name]}{how}"
        return said


def _name(sent: Mapping[str, Any], key: str) -> str | None:
    """A name that was sent; None if it is empty. ValueError."""
    value = sent.get(key)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{key}: a text is expected.")
    return value or None


def _shown(entry: AdapterEntry) -> dict[str, Any]:
    """What a card shows."""
    names = ("name", "rank", "modules", "size", "base", "about", "preview", "error")
    lists = {"triggers": list(entry.triggers), "tags": list(entry.tags)}
    return {name: getattr(entry, name) for name in names} | lists


def _span(tag: Construct) -> tuple[int, int]:
    """Where a tag stands in what was typed, without the space that it takes along."""
    start, end = tag.span or (0, 0)
    shown = next(
        (piece for piece in tag.pieces if piece.text.strip()), None
    )  # the space may be a piece of its own
    if shown is not None and shown.span is not None:
        start = shown.span[0] + shown.text.startswith(" ")
    return start, end


def descent(family: str, ancestor: str, adapter: Adapter) -> Iterator[str]:
    """What is to be known of an adapter made for the autoregressive model that a family comes from."""
    base = adapter.base.rpartition("/")[2].lower()
    if ancestor and base.startswith(ancestor.lower()):
        yield (
            f"{family} was made from {ancestor}, for which this was trained: it acts less here, "
            f"and weights up to {ANCESTORS:g} are usual"
        )


def about(adapter: Adapter, parts: Mapping[str, object], unmatched: Sequence[str]) -> str:
    """How much of an adapter a model has, the file's hash, and what is to be known of it."""
    text = f"{len(parts)} of {len(adapter.parts)} modules"
    if unmatched:
        text += f", not {', '.join(unmatched[:2])}" + (" ..." if len(unmatched) > 2 else "")
    made_for = (f"made for {adapter.base}",) if adapter.base else ()
    return "; ".join([text, f"SHA-256 {adapter.hash}", *made_for, *adapter.notes])
