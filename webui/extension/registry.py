"""Finds the extensions, refuses clashes, composes the request model, and folds the hooks that are pure."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
import traceback
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import cached_property
from itertools import islice
from keyword import iskeyword
from math import isfinite
from operator import length_hint
from pathlib import Path
from threading import current_thread, main_thread
from types import MappingProxyType
from typing import Any

from pydantic import Field, create_model

from webui.core.errors import Abandoned, ExtensionFault, NotFound, message
from webui.core.fields import is_axis, is_secret
from webui.core.flags import COMMANDS, OWN, flags
from webui.core.options import Options, check_defaults
from webui.core.prompt import Construct, Prompt
from webui.core.renamed import Renamed
from webui.core.request import Cell, Request
from webui.core.result import Result
from webui.core.syntax import Mode
from webui.core.tags import TAGS
from webui.extension.assets import check_assets, check_tab
from webui.extension.extension import HOOKS, Choices, Command, Cost, Extension
from webui.extension.faults import Faults
from webui.extension.finding import MANIFEST, Found, in_folder, named
from webui.extension.manifest import Manifest
from webui.extension.order import check_order, ordered
from webui.extension.own_settings import OwnSettings
from webui.extension.row import Row, checked_row, is_whole
from webui.extension.typed import (
    MAX_COMPLETIONS,
    MAX_MARKS,
    Completion,
    Explained,
    Off,
    Typed,
    Underline,
    completed,
    explained,
    still_open,
)
from webui.settings import ROOT, Settings

MAX_NOTES = 3  # about tags of unknown kinds in one prompt
MAX_CLEARED = 4000  # characters of a prompt or of options that a saved text says it came from
UNKNOWN_TAG = MappingProxyType(
    {
        "unknown_tag": "Column {column}: no extension has tags of the kind {kind}, so {tag} is text. Kinds: "
        "{kinds}."
    }
)


class Registry:
    """The extensions that loaded, those that did not with their traceback, and the request model they make
    together."""

    def __init__(
        self,
        found: Path | Sequence[Found],
        max_cells: int = 20_000,
        models: Path = ROOT / "models",
        choices: Choices = lambda info: None,
        program: str = "",
        operator: OwnSettings | None = None,
    ):
        self.max_cells = max_cells
        self.operator = operator or OwnSettings()
        loaded: dict[str, type[Extension]] = {}
        failed: dict[str, str] = {}
        commands: dict[str, Command] = {}
        taken = {*COMMANDS, *OWN, *flags(Settings.model_fields), *flags(Request.model_fields)}
        origins: dict[str, Found] = {}
        manifests: dict[str, Manifest] = {}
        for name, one, wrong in named(in_folder(found) if isinstance(found, Path) else found):
            try:
                if wrong:
                    raise ValueError(wrong)
                if manifest := Manifest.read(one.folder):
                    _check_manifest(one, manifest, program)
                kind = _load(one)
                check_order(kind)
                self.operator.add(name, kind.Settings)
                _check_circles([*loaded.values(), kind])
                own = dict(kind.commands())
                check_assets(kind.assets(), one.folder / "static")
                if tab := kind.tab():
                    check_tab(tab.element, tab.label)
                names = {*own, *flags(kind.Options.model_fields, kind.name)}
                if clash := sorted(names & taken):
                    raise ValueError(
                        f"The command line has {clash[0]} already; rename the option or command."
                    )
            except KeyboardInterrupt:
                raise
            except BaseException:  # an extension that calls sys.exit() is left out like any that fails
                failed[name] = traceback.format_exc(limit=-4)
                continue
            taken |= names
            commands |= own
            origins[name] = one
            if manifest is not None:
                manifests[name] = manifest
            loaded[name] = _bound(kind, one.folder, models, choices, self.operator)
        self.commands: Mapping[str, Command] = MappingProxyType(commands)
        self.extensions: Mapping[str, type[Extension]] = MappingProxyType(loaded)
        self.origins: Mapping[str, Found] = MappingProxyType(origins)
        self.manifests: Mapping[str, Manifest] = MappingProxyType(manifests)
        self.faults = Faults(self.operator.clean)
        self.failed: Mapping[str, str] = MappingProxyType(failed)
        self.Request = composed(loaded)

    @property
    def folders(self) -> Mapping[str, Path]:
        """The folders of the extensions that loaded, by name."""
        return {name: one.folder for name, one in self.origins.items()}

    def chain(self, hook: str) -> list[type[Extension]]:
        """The extensions that have this hook, in its order."""
        return ordered([kind for kind in self.extensions.values() if kind.has(hook)], hook)

    def order_table(self, hook: str = "") -> list[tuple[str, list[str]]]:
        """For each hook, or this one, the names of the extensions that have it, in its order."""
        hooks = [one for one in HOOKS if hook in ("", one)]
        return [(one, [kind.name for kind in chain]) for one in hooks if (chain := self.chain(one))]

    @property
    def versions(self) -> Mapping[str, str]:
        """The versions of the extensions by name, as far as they say it."""
        modules = {name: sys.modules.get(f"extensions.{name}") for name in self.extensions}
        stated = {name: str(getattr(module, "__version__", "")) for name, module in modules.items()}
        return {**stated, **{name: manifest.version for name, manifest in self.manifests.items()}}

    @property
    def third_party(self) -> Mapping[str, str]:
        """Version and revision of each extension that is not built-in, by name: a saved text names them."""
        return {
            name: f"{self.versions[name]} {one.revision}".strip()
            for name, one in self.origins.items()
            if one.origin != "built-in"
        }

    def sentence_of_failed(self) -> str:
        """One line about the extensions that did not load, with each one's reason, or ""."""
        reasons = (f"{name} ({trace.strip().splitlines()[-1]})" for name, trace in self.failed.items())
        return f"Extensions that did not load: {'; '.join(reasons)}" if self.failed else ""

    def expand(self, request: Request) -> tuple[Cell, ...]:
        """All cells of a request: the extensions' grids, then `count` texts of each. ValueError with a
        sentence."""
        cells = [Cell("0", request.replace(confirm=False) if request.confirm else request)]
        for kind in self.chain("expand"):
            more: list[Cell] = []
            for cell in cells:
                more += self._expanded(kind, cell, self.max_cells + 1 - len(more))
                self._check_number(len(more))
            cells = more
        self._check_number(sum(cell.request.count for cell in cells))
        whole = [copy for cell in cells for copy in _copies(cell)]
        return tuple(replace(cell, id=str(i)) for i, cell in enumerate(whole))

    def _expanded(self, kind: type[Extension], cell: Cell, limit: int) -> list[Cell]:
        """What one extension makes of a cell, at most `limit` cells. ValueError names the extension."""
        with self._blamed(kind):
            parts = kind.expand(cell.request)
            number = 0 if parts is None else length_hint(parts)
        if parts is None:
            return [cell]
        if number >= limit:
            self._check_number(self.max_cells + 1 - limit + number)
        with self._blamed(kind):
            made = list(islice(parts, limit))
            if not made:
                raise ValueError("makes no text from this request; give it at least one value.")
            for part in made:
                _check_cell(kind, cell.request, part)
            cleared = {**cell.cleared, **_cleared(kind, cell.request)}
            return [Cell("", part.request, (*cell.axes, *part.axes), cleared) for part in made]

    def _check_number(self, texts: int) -> None:
        if texts > self.max_cells:
            raise ValueError(
                f"The request makes {texts:,} texts or more; the setting max_cells allows {self.max_cells:,}."
            )

    @cached_property
    def _costly(self) -> list[type[Extension]]:
        """Asked for each of thousands of cells."""
        return self.chain("cost")

    def cost(self, request: Request, preset: Mapping[str, Any]) -> Cost:
        """By how much the extensions make a text of the request cost more, with the preset of its checkpoint.
        ValueError names the extension that failed."""
        passes, rows = 1.0, 1.0
        for kind in self._costly:
            options, default = kind.options(request), preset.get(kind.name)
            default = default if isinstance(default, Mapping) else {}
            if inner := {name: default[name] for name, own in options if own is None and name in default}:
                request = request.model_copy(update={kind.name: options.model_copy(update=inner)})
        for kind in self._costly:
            with self._blamed(kind):
                cost = kind.cost(request)
                if not (isfinite(cost.passes) and isfinite(cost.rows) and cost.passes > 0 and cost.rows >= 1):
                    raise ValueError("gave a cost that is no number above 0, or less than one row.")
            passes, rows = passes * cost.passes, rows + cost.rows - 1
        return Cost(passes, rows)

    def prepare(self, row: Row) -> Row:
        """The row after every extension's `prompt`. ValueError names the extension that refused it."""
        for mark in islice(unknown_tags(row.prompts["main"], row.request.syntax, self.tags), MAX_NOTES):
            row = row.note(UNKNOWN_TAG[mark.construct].format_map(mark.values))
        for kind in self.chain("prompt"):
            with self._blamed(kind):
                made = checked_row(kind.prompt(row), row)
            if made.draft is not row.draft:
                made = made.replace(source=kind.name if made.draft is not None else "")
            row = made
        for kind in self.chain("neutral"):
            with self._blamed(kind):
                kind.neutral(row)  # asked again by the batch; one that raises fails this row only
        for kind in self.chain("apart"):
            with self._blamed(kind):
                hash(kind.apart(row))
        return row

    def apart(self, row: Row) -> Hashable:
        """What the rows of a batch have in common, besides checkpoint and cache."""
        return tuple(kind.apart(row) for kind in self.chain("apart"))

    @property
    def tags(self) -> tuple[str, ...]:
        """The kinds of tags that extensions have, by name."""
        return tuple(sorted({name for kind in self.extensions.values() for name in kind.tags}))

    def marks(self, typed: Typed) -> tuple[list[Explained], dict[str, str]]:
        """What is to be underlined in a text, by its place, at most MAX_MARKS; and a sentence for each
        extension that failed, by its name."""
        length = len(typed.text)
        unknown = unknown_tags(Prompt.of(typed.text), typed.mode, self.tags)
        found = explained("", UNKNOWN_TAG, unknown, length)
        failed: dict[str, str] = {}
        for kind in self.chain("marks"):
            try:
                with self._blamed(kind):
                    found += explained(kind.name, kind.explanations, kind.marks(typed), length)
            except ValueError as error:
                failed[kind.name] = str(error)
        found.sort(key=lambda one: (one.underline.start, -one.underline.end))
        return found[:MAX_MARKS], failed

    def call(self, extension: str, route: str, app: Any, sent: Mapping[str, Any]) -> Mapping[str, Any]:
        """What an extension's route answers. NotFound if there is none; ValueError names the extension."""
        kind = self.extensions.get(extension)
        if kind is None:
            raise NotFound(f"There is no extension {extension[:100]}.")
        with self._blamed(kind):
            routes = kind.routes()
        if route not in routes:
            raise NotFound(f"The extension {extension} has no call {route[:100]}.")
        with self._blamed(kind):
            answer = routes[route](app, sent)
            if not isinstance(answer, Mapping) or not _is_plain(answer):
                raise TypeError(f"{route} answered with what is no JSON object.")
            return answer

    def off(self, typed: Typed) -> Iterator[Off]:
        """Constructs in a text that would act if one more option of their extension were on: for each option
        that is a switch and off, the first mark that the extension makes with it and not without it, unless a
        bracket before it is still open. An extension that fails makes none; it says so in `marks`."""
        for kind in self.chain("marks"):
            options = getattr(typed.request, kind.name, None)
            for name, info in kind.Options.model_fields.items():
                if options is None or info.annotation is not bool or getattr(options, name) is not False:
                    continue
                on = typed.request.replace(**{kind.name: options.replace(**{name: True})})
                try:
                    with self._blamed(kind):
                        now = {(mark.start, mark.end) for mark in kind.marks(typed)}
                        then = [m for m in kind.marks(replace(typed, request=on)) if m.effect != "literal"]
                except ValueError:
                    continue
                new = next((mark for mark in then if (mark.start, mark.end) not in now), None)
                if new is not None and not still_open(typed.text, new.start):
                    yield Off(f"{kind.name}.{name}", typed.text[new.start : new.end])

    def metrics(self, result: Result) -> tuple[dict[str, int | float | bool], dict[str, str]]:
        """What extensions measure of a text, as `extension.metric`, and a sentence for each extension that
        failed, by its name."""
        found: dict[str, int | float | bool] = {}
        failed: dict[str, str] = {}
        for kind in self.chain("metrics"):
            try:
                with self._blamed(kind):
                    for name, value in kind.metrics(result).items():
                        if not is_whole(name) or not isinstance(value, int | float) or not isfinite(value):
                            raise ValueError(f"gave {type(value).__name__} instead of a finite number.")
                        found[f"{kind.name}.{name}"] = value
            except ValueError as error:
                failed[kind.name] = str(error)
        return found, failed

    def _blamed(self, kind: type[Extension]) -> AbstractContextManager[None]:
        return _blamed(kind, self.faults)

    def complete(self, typed: Typed, cursor: int) -> tuple[list[Completion], dict[str, str]]:
        """What may stand at the cursor, and a sentence for each extension that failed, by its name."""
        found: list[Completion] = []
        failed: dict[str, str] = {}
        for kind in self.chain("complete"):
            try:
                with self._blamed(kind):
                    found += completed(kind.complete(typed, cursor), len(typed.text))
            except ValueError as error:
                failed[kind.name] = str(error)
        return found[:MAX_COMPLETIONS], failed


def composed(kinds: Mapping[str, type[Extension]]) -> type[Request]:
    """The request with the options of these extensions, by their names."""
    options: dict[str, Any] = {
        name: (kind.Options, Field(default=kind.Options(), title=kind.title, description=kind.about))
        for name, kind in kinds.items()
        if kind.Options.model_fields
    }
    made: type[Request] = create_model("Request", __base__=Request, __doc__=Request.__doc__, **options)
    made.renamed = MappingProxyType(_renamed(kinds))
    return made


def unknown_tags(prompt: Prompt, mode: Mode, kinds: Sequence[str]) -> Iterator[Underline]:
    """The tags in a prompt whose kind is none of these: they are text."""
    for part in prompt.scan(TAGS, mode).parts:
        if isinstance(part, Construct) and part.span and part.groups[0] not in kinds:
            values = {
                "column": part.span[0] + 1,
                "kind": part.groups[0] or "",
                "tag": "".join(piece.text for piece in part.pieces),
                "kinds": ", ".join(kinds) or "none",
            }
            yield Underline(*part.span, "unknown_tag", "literal", values)


def _bound(
    kind: type[Extension], folder: Path, models: Path, choices: Choices, operator: OwnSettings
) -> type[Extension]:
    """The extension as this program has it: a subclass that knows the folders and what fields offer, so that
    two programs in one process do not share them."""
    own = {
        "folder": folder,
        "models": models,
        "operator": operator,
        "__module__": kind.__module__,
        "__doc__": kind.__doc__,
    }
    bound = type(kind.__name__, (kind,), own)
    bound.choices = staticmethod(choices)
    return bound


def _renamed(loaded: Mapping[str, type[Extension]]) -> Renamed:
    """The former names of the extensions. A name that an extension or a field of the request has today is its
    own."""
    return {
        old: (name, options)
        for name, kind in loaded.items()
        for old, options in kind.replaces.items()
        if old not in loaded and old not in Request.model_fields
    }


@contextmanager
def _blamed(kind: type[Extension], faults: Faults) -> Iterator[None]:
    """Makes any failure inside a ValueError that names the extension: its refusals as they are, everything
    else, SystemExit too, an ExtensionFault, whose traceback is kept."""
    try:
        yield
    except Abandoned:
        raise
    except ValueError as error:
        raise ValueError(faults.clean(f"{kind.name}: {message(error)}")) from None
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and current_thread() is main_thread():
            raise  # Ctrl+C
        faults.add(kind.name, error)
        raise ExtensionFault(kind.name, error, faults.clean) from None  # whose traceback may hold secrets


def _check_cell(kind: type[Extension], before: Request, cell: object) -> None:
    """ValueError if an extension made a cell of something else, or varied a field that is no axis."""
    if not isinstance(cell, Cell) or not isinstance(cell.request, type(before)):
        raise ValueError(f"returns something other than cells of the request: {type(cell).__name__}.")
    for axis in cell.axes:
        if not isinstance(axis, tuple) or len(axis) != 3 or not is_whole(axis[0]) or not is_whole(axis[2]):
            raise ValueError("returns a cell whose axes are not (name, value, label).")
        if not is_whole(axis[1]) and not _is_plain(axis[1]):
            raise ValueError("returns a cell with an axis whose value JSON cannot hold.")
    for name, info in type(before).model_fields.items():
        old, new = getattr(before, name), getattr(cell.request, name)
        if name == kind.name or old is new or old == new:
            continue
        if not is_axis(info):
            raise ValueError(f"varies {name}, which is not an axis.")
        if isinstance(old, Options) and isinstance(new, Options):
            for option, inner in type(old).model_fields.items():
                if getattr(old, option) != getattr(new, option, None) and not is_axis(inner):
                    raise ValueError(f"varies {name}.{option}, which is not an axis.")


def _cleared(kind: type[Extension], request: Request) -> dict[str, Any]:
    """What an extension expands a request from: the prompt and its own options, those that are not the
    default and not longer than MAX_CLEARED characters."""
    options = getattr(request, kind.name, None)
    values = options.model_dump(mode="json", exclude_defaults=True) if options is not None else {}
    found = {"prompt": request.prompt, **({kind.name: values} if values else {})}
    return {name: value for name, value in found.items() if len(json.dumps(value)) <= MAX_CLEARED}


def _is_plain(value: object) -> bool:
    try:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def _copies(cell: Cell) -> list[Cell]:
    request = cell.request
    if request.count == 1:
        return [cell]
    seeds = range(request.seed, request.seed + request.count)
    return [
        replace(
            cell,
            request=request.replace(seed=seed, count=1),
            axes=(*cell.axes, ("seed", seed, f"seed {seed}")),
        )
        for seed in seeds
    ]


def _check_manifest(found: Found, manifest: Manifest, program: str) -> None:
    """ValueError if an extension's manifest does not fit its folder or this program."""
    if manifest.name and manifest.name != found.name:
        raise ValueError(
            f"{MANIFEST} calls it {manifest.name}, and its folder {found.name}; rename the folder to "
            f"{manifest.name}."
        )
    if program and (refusal := manifest.refusal(program)):
        raise ValueError(refusal)


def _check_circles(kinds: Sequence[type[Extension]]) -> None:
    for hook in HOOKS:
        ordered([kind for kind in kinds if kind.has(hook)], hook)


def check_name(name: str) -> None:
    """ValueError unless an extension can have this name."""
    if not name.isidentifier() or iskeyword(name) or not name.isascii():
        better = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_")
        advice = f", rename the folder to {better}" if better.isidentifier() and not iskeyword(better) else ""
        raise ValueError(f"{name} is no identifier{advice}.")
    if name in Request.model_fields or hasattr(Request, name) or name in ("self", "cls"):
        raise ValueError(
            f"An extension cannot be named {name!r}: the request has something of that name; rename the "
            "folder."
        )


def _load(found: Found) -> type[Extension]:
    """The one Extension subclass that the package defines, named like its folder. ValueError if it clashes or
    is missing."""
    name, path = found.name, found.folder / "__init__.py"
    check_name(name)
    module_name = f"extensions.{name}"
    module = sys.modules.get(module_name)
    if module is None or Path(module.__file__ or "") != path:
        spec = importlib.util.spec_from_file_location(
            module_name, path, submodule_search_locations=[str(path.parent)]
        )
        if spec is None or spec.loader is None:
            raise ValueError(f"{path} cannot be imported.")
        module = importlib.util.module_from_spec(spec)
        for other in [other for other in sys.modules if other.startswith(f"{module_name}.")]:
            del sys.modules[other]  # of another extension of this name, or of another version
        sys.modules[module_name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[module_name]
            raise
    kinds = [
        v
        for v in vars(module).values()
        if isinstance(v, type) and issubclass(v, Extension) and v.__module__ == module_name
    ]
    if len(kinds) != 1:
        raise ValueError(
            f"extensions/{name}/__init__.py must define exactly one subclass of Extension, not {len(kinds)}."
        )
    kind = kinds[0]
    if not issubclass(kind.Options, Options):
        raise ValueError(f"{kind.__name__}.Options must be a subclass of webui.Options.")
    kind.name = name
    kind.title = kind.title or name.replace("_", " ").capitalize()
    kind.about = kind.about or (kind.__doc__ or "").strip().split("\n")[0].replace("`", "")
    if not issubclass(kind.Settings, Options):
        raise ValueError(f"{kind.__name__}.Settings must be a subclass of webui.Options.")
    if secret := [option for option, info in kind.Options.model_fields.items() if is_secret(info)]:
        raise ValueError(
            f"{kind.__name__}.Options.{secret[0]}: options are saved with every text; a secret belongs into "
            "class Settings."
        )
    check_defaults(kind.Settings)
    check_defaults(kind.Options)  # a request without options must be possible
    for text in (kind.title, kind.about):
        text.encode()
    return kind
