"""A checkpoint with fewer layers or a narrower feed-forward part: what matters least for a text is removed.

The idea is LLM-Pruner's (Ma et al. 2023, arXiv:2305.11627): what has to go together, a row of gate and up
projection with its column of the down projection, or a whole layer, is one group; its importance is how much
the loss changes without it, on some texts. Of a width it is estimated by the first-order Taylor term,
of a layer it is measured by leaving it out. The bound is taken on texts that took no part in this, before,
after, and for a random choice of the same size.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from webui import tensors, write

from .merging import NOT_COPIED, copy_bytes

if TYPE_CHECKING:
    from torch import Tensor

PRUNE = "prune"
ABOUT = "A without the layers, or the width, that matter least for a text"
RECIPE = "pruning.json"
WHAT = ("width", "layers")
CHOICES = ("importance", "random")
INDEX = "model.safetensors.index.json"
ROWS = 64  # of the text that measure importance; as many others measure the bound
BATCH = 8
DRAWS = 4  # of masks for each row of the bound
RANDOM = 3  # random choices whose bound is averaged
LOW = 0.1  # least share of masked tokens
ANSWERS = ("answer", "text", "completion", "response", "output")  # keys of a line; the first that is there
IN_LAYER = re.compile(r"(?:^|.*\.)layers\.(\d+)\.(.+)")  # of a native name
PARTS = ("gate_proj", "up_proj", "down_proj")  # of a layer's `mlp`
LAYER_KEYS = ("n_layers", "num_hidden_layers")  # of a config.json
WIDTH_KEYS = ("mlp_hidden_size", "intermediate_size")

Example = tuple[list[int], list[int]]  # tokens of a prompt in its template, and of its answer
Chosen = tuple[tuple[int, ...], ...]  # of each layer that stays the units that stay; () for all of them


@dataclass(frozen=True)
class Pruning:
    """What is pruned how; `parent`: name and fingerprint of A; `text`: hash of the calibration text."""

    parent: tuple[str, str]
    what: str  # layers or width
    share: float  # that is removed
    choice: str  # importance or random
    text: str
    seed: int = 0


@dataclass(frozen=True)
class Found:
    """What stays, and what it costs: bounds in nats per token on texts that did not choose.

    layers  numbers of the layers that stay
    units   of each of these the units of its width that stay; () for all
    """

    layers: tuple[int, ...]
    units: Chosen
    before: float
    after: float
    random: float

    @property
    def text(self) -> str:
        """The bounds in one sentence."""
        return (
            f"bound {self.before:.4f} nats per token before, {self.after:.4f} after; {self.random:.4f} for a "
            "random choice of the same size"
        )


# -- texts ---------------------------------------------------------------------------------------------------


def read(file: Path, model: Any) -> list[Example]:
    """Rows of a text, which is cut, or of a .jsonl with `text`, or `prompt` and `answer`. ValueError."""
    if not file.is_file():  # a pipe or a device would never end
        raise ValueError(f"There is no file {file}.")
    try:
        text = file.read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{file} is not text in UTF-8.") from None
    prefix, empty = model.description.prefix, list(model.tokenizer.prompt("").tokens)
    room = min(256, model.description.max_length - len(empty) - 16)
    if file.suffix != ".jsonl":
        tokens = model.tokenizer.encode(prefix + text)
        pieces = [tokens[at : at + room] for at in range(0, len(tokens), room)]
        made = [(empty, piece) for piece in pieces if len(piece) >= 8]
    else:
        made = []
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip():
                continue
            try:
                entry = json.loads(line)
                answer = next(entry[key] for key in ANSWERS if key in entry)
                prompt = list(model.tokenizer.prompt(entry.get("prompt") or "").tokens)
                tokens = model.tokenizer.encode(prefix + answer)[:room]
            except (ValueError, TypeError, AttributeError, StopIteration, RecursionError):
                raise ValueError(f"Line {number} of {file} is no JSON with a `text`.") from None
            long = len(prompt) + len(tokens) > model.description.max_length
            made.append((empty if long else prompt, tokens))
            if len(made) >= 100 * ROWS:
                break
    if len(made) < 4:
        raise ValueError(f"The data makes {len(made)} rows; at least 4 are needed.")
    return made


def halves(rows: Sequence[Example]) -> tuple[list[Example], list[Example]]:
    """Rows that measure importance, evenly spread over the text, and others that measure the bound."""
    many = min(ROWS, len(rows) // 2)
    step = len(rows) / (2 * many)
    picked = [rows[int(step * number)] for number in range(2 * many)]
    return picked[::2], picked[1::2]


def loss(model: Any, some: Sequence[Example], dice: random.Random) -> Tensor:
    """Of each row its masked-diffusion loss, in nats per token: (rows,). Masks are drawn from `dice`, shares
    of masked tokens spread evenly over the rows."""
    import torch

    from webui import Canvas

    order = list(range(len(some)))
    dice.shuffle(order)
    answers, given, wanted, weights, rows = [], [], [], [], []
    for number, ((_, tokens), place) in enumerate(zip(some, order, strict=True)):
        t = LOW + (1 - LOW) * (place + dice.random()) / len(some)
        hidden = [dice.random() < t for _ in tokens]
        hidden[dice.randrange(len(hidden))] = True
        pairs = list(zip(tokens, hidden, strict=True))
        answers.append([model.mask if masked else token for token, masked in pairs])
        given.append([not masked for masked in hidden])
        wanted += [token for token, masked in pairs if masked]
        weights += [1 / t / len(tokens)] * sum(hidden)
        rows += [number] * sum(hidden)
    prompts = [prompt for prompt, _ in some]
    canvas = Canvas.build(
        prompts, answers, [0] * len(some), model.mask, model.ends, model.device, given=given
    )
    logits = model.logits(canvas.activate(~canvas.given))
    device = logits.device
    lost = torch.nn.functional.cross_entropy(logits, torch.tensor(wanted, device=device), reduction="none")
    lost = lost * torch.tensor(weights, device=device)
    index = torch.tensor(rows, device=device)
    return torch.zeros(len(some), dtype=lost.dtype, device=device).index_add(0, index, lost)


def bound(model: Any, rows: Sequence[Example]) -> float:
    """Nats per token of the rows, always under the same masks."""
    import torch

    total = 0.0
    with torch.no_grad():
        for start in range(0, len(rows), BATCH):
            some = rows[start : start + BATCH]
            for draw in range(DRAWS):
                total += float(loss(model, some, random.Random(f"bound {start} {draw}")).sum()) / DRAWS
    return total / len(rows)


# -- what matters --------------------------------------------------------------------------------------------


def layers_of(model: Any) -> Sequence[Any]:
    """The layers of a model's body. ValueError for a family whose layers this does not know."""
    found = getattr(model.body, "layers", None)
    if found is None:
        family = model.description.family
        raise ValueError(f"Checkpoints of the family {family} have no layers that can be pruned here.")
    return found


def check_width(model: Any) -> int:
    """The units of each layer's feed-forward part. ValueError if it has none with three projections."""
    import torch

    for layer in layers_of(model):
        parts = [getattr(getattr(layer, "mlp", None), name, None) for name in PARTS]
        if not all(isinstance(one, torch.nn.Linear) for one in parts):
            family = model.description.family
            raise ValueError(f"Checkpoints of the family {family} have no width that can be pruned here.")
    return layers_of(model)[0].mlp.down_proj.weight.shape[1]


@contextmanager
def without(model: Any, layers: Sequence[int], units: Chosen) -> Iterator[None]:
    """The model as if pruned: only these layers act, and of each only these units ((): all)."""
    import torch

    def bypass(module: Any, inputs: tuple[Any, ...], keywords: Mapping[str, Any], output: Any) -> Any:
        hidden = inputs[0] if inputs else keywords["hidden_states"]
        return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

    def silence(stays: Tensor) -> Callable[[Any, tuple[Any, ...]], Any]:
        return lambda module, inputs: (inputs[0] * stays,)

    with ExitStack() as stack:
        for number, layer in enumerate(layers_of(model)):
            if number not in layers:
                handle = layer.register_forward_hook(bypass, with_kwargs=True)
                stack.callback(handle.remove)
            elif own := units[layers.index(number)]:
                down = layer.mlp.down_proj
                stays = torch.zeros(down.weight.shape[1], dtype=down.weight.dtype, device=down.weight.device)
                stays[list(own)] = 1
                stack.callback(down.register_forward_pre_hook(silence(stays)).remove)
        yield


def importance(model: Any, rows: Sequence[Example], progress: Callable[[float], None]) -> list[Tensor]:
    """Of each layer the importance of its units, (units,): the mean over the texts of |sum a dL/da|, where a
    is what the down projection gets. The sum equals that of w dL/dw over the unit's column, LLM-Pruner's
    first-order term of a vector."""
    import torch

    layers = layers_of(model)
    seen: dict[int, Tensor] = {}
    total = [torch.zeros(one.mlp.down_proj.weight.shape[1], device=model.device) for one in layers]

    def keep(number: int) -> Callable[[Any, tuple[Any, ...]], None]:
        def hook(module: Any, inputs: tuple[Any, ...]) -> None:
            inputs[0].retain_grad()
            seen[number] = inputs[0]

        return hook

    def begin(module: Any, inputs: Any, output: Tensor) -> Tensor:
        return output.detach().requires_grad_()  # gradients of activations alone: no weight needs one

    model.module.requires_grad_(False)
    with ExitStack() as stack, torch.enable_grad():
        embedding = model.module.get_input_embeddings()
        stack.callback(embedding.register_forward_hook(begin).remove)
        for number, layer in enumerate(layers):
            handle = layer.mlp.down_proj.register_forward_pre_hook(keep(number))
            stack.callback(handle.remove)
        for start in range(0, len(rows), BATCH):
            loss(model, rows[start : start + BATCH], random.Random(f"importance {start}")).sum().backward()
            for number, there in seen.items():
                assert there.grad is not None
                total[number] += (there.detach() * there.grad).float().sum(1).abs().sum(0)
            progress((start + BATCH) / len(rows))
    return total


def choose(
    model: Any, rows: Sequence[Example], recipe: Pruning, progress: Callable[[float], None]
) -> tuple[tuple[int, ...], Chosen]:
    """The layers that stay and of each the units that stay."""
    every = tuple(range(len(layers_of(model))))
    if recipe.choice == "random":
        return at_random(model, recipe, recipe.seed)
    many = _removed(model, recipe)
    if recipe.what == "width":
        units = []
        for one in importance(model, rows, progress):
            order = one.argsort(descending=True, stable=True)[: one.numel() - many]
            units.append(tuple(sorted(order.tolist())))
        return every, tuple(units)
    stay = list(every)
    for number in range(many):  # one after the other: what matters depends on what is left
        costs = {}
        for one in stay:
            rest = [other for other in stay if other != one]
            with without(model, rest, ((),) * len(rest)):
                costs[one] = bound(model, rows)
            progress((number + len(costs) / len(stay)) / many)
        stay.remove(min(stay, key=lambda one: costs[one]))
    return tuple(stay), ((),) * len(stay)


def at_random(model: Any, recipe: Pruning, seed: int) -> tuple[tuple[int, ...], Chosen]:
    """As many layers or units as the recipe keeps, drawn."""
    dice, many = random.Random(seed), _removed(model, recipe)
    count = len(layers_of(model))
    if recipe.what == "layers":
        stay = tuple(sorted(dice.sample(range(count), count - many)))
        return stay, ((),) * len(stay)
    width = check_width(model)
    units = tuple(tuple(sorted(dice.sample(range(width), width - many))) for _ in range(count))
    return tuple(range(count)), units


def _removed(model: Any, recipe: Pruning) -> int:
    """How many layers, or units of each layer, the share is. ValueError if nothing or everything goes."""
    whole = len(layers_of(model)) if recipe.what == "layers" else check_width(model)
    many = round(recipe.share * whole)
    if not 0 < many < whole:
        what = "layers" if recipe.what == "layers" else "units of each layer"
        raise ValueError(f"--remove {recipe.share:g} is {many} of {whole} {what}; give another share.")
    return many


def find(model: Any, rows: Sequence[Example], recipe: Pruning, progress: Callable[[float], None]) -> Found:
    """What stays, with the bounds on texts that did not choose."""
    own, others = halves(rows)
    layers, units = choose(model, own, recipe, progress)
    before = bound(model, others)
    with without(model, layers, units):
        after = bound(model, others)
    total = 0.0
    for seed in range(RANDOM):
        some, drawn = at_random(model, recipe, seed)
        with without(model, some, drawn):
            total += bound(model, others) / RANDOM
    return Found(layers, units, before, after, total)


# -- files ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Change:
    """What becomes of a tensor: its new name, and which rows or columns stay (None: all)."""

    name: str
    rows: tuple[int, ...] | None = None
    columns: tuple[int, ...] | None = None

    def shape(self, shape: Sequence[int]) -> list[int]:
        """Its new shape."""
        made = list(shape)
        if self.rows is not None:
            made[0] = len(self.rows)
        if self.columns is not None:
            made[1] = len(self.columns)
        return made


def changed(name: str, native: Callable[[str], str], found: Found) -> Change | None:
    """What becomes of a published tensor; None if its layer goes."""
    module, _, leaf = name.rpartition(".")
    match = IN_LAYER.fullmatch(f"{native(module)}.{leaf}")
    if match is None:
        return Change(name)
    number, within = int(match[1]), match[2]
    if number not in found.layers:
        return None
    place = found.layers.index(number)
    renumbered = re.sub(rf"(?<![^.]){number}(?=\.)", str(place), name, count=1)
    units, part = found.units[place] or None, within.removeprefix("mlp.").partition(".")[0]
    if units is None or not within.startswith("mlp.") or part not in PARTS:
        return Change(renumbered)
    if part == "down_proj":
        return Change(renumbered, columns=units if leaf == "weight" else None)
    return Change(renumbered, rows=units)


def config_of(folder: Path, layers: int, kept: Sequence[int], width: int) -> dict[str, Any]:
    """A's config.json with fewer layers, of which `kept` stay of `layers`, and this width (0: as it is).
    ValueError if it does not say these where they are known."""
    config = json.loads((folder / "config.json").read_text("utf-8-sig"))
    key = next((key for key in LAYER_KEYS if config.get(key) == layers), None)
    if key is None:
        raise ValueError(f"{folder.name}/config.json does not say its {layers} layers where they are known.")
    config[key] = len(kept)
    for name, value in config.items():  # such as layer_types
        if isinstance(value, list) and len(value) == layers:
            config[name] = [value[number] for number in kept]
    if width:
        own = next((key for key in WIDTH_KEYS if key in config), None)
        if own is None:
            raise ValueError(f"{folder.name}/config.json does not say its width where it is known.")
        config[own] = width
    return config


def prune(
    recipe: Pruning,
    folder: Path,
    out: Path,
    measure: Callable[[], Found],
    native: Callable[[str], str],
    layers: int,
    progress: Callable[[float], None] = lambda done: None,
) -> Found:
    """Write the pruned checkpoint to `out`, which must not exist; A has this many `layers`. What `measure`
    found is kept beside it, and so is each finished file: an interrupted run goes on from there."""
    draft = out.with_name(f".pruning-{out.name}")
    said = json.loads(json.dumps(asdict(recipe)))
    kept = draft / RECIPE
    known = json.loads(kept.read_text("utf-8")) if kept.is_file() else {}
    if known.get("recipe") != said:
        shutil.rmtree(draft, ignore_errors=True)
        found = measure()
        known = {"recipe": said, "found": asdict(found)}
        draft.mkdir(parents=True)
        write(kept, json.dumps(known) + "\n")
    stays = known["found"]
    units = tuple(tuple(one) for one in stays["units"])
    found = Found(tuple(stays["layers"]), units, stays["before"], stays["after"], stays["random"])
    width = len(found.units[0]) if found.units and found.units[0] else 0
    config = config_of(folder, layers, found.layers, width)
    by_file: dict[Path, list[tuple[Any, Change]]] = {}
    for one in tensors(folder):
        if (change := changed(one.name, native, found)) is not None:
            by_file.setdefault(one.file, []).append((one, change))
    for number, (file, some) in enumerate(sorted(by_file.items())):
        if not (draft / file.name).is_file():
            _pruned_file(some, draft / file.name)
        progress((number + 1) / len(by_file))
    for file in folder.iterdir():
        if file.is_file() and not NOT_COPIED.fullmatch(file.name):
            shutil.copyfile(file, draft / file.name)
    write(draft / "config.json", json.dumps(config, indent=2, ensure_ascii=False) + "\n")
    if (folder / INDEX).is_file():
        names = {change.name: file.name for file, some in by_file.items() for _, change in some}
        write(draft / INDEX, json.dumps({"weight_map": names}, indent=2) + "\n")
    write(draft / "README.md", _card(recipe, found, out.name))
    os.rename(draft, out)
    return found


def _pruned_file(some: Sequence[tuple[Any, Change]], target: Path) -> None:
    """A safetensors file of the tensors that stay, cut as they are changed, bit for bit; one in memory."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for one, change in some:
        shape, size = change.shape(one.shape), one.size
        for before, after in zip(one.shape, shape, strict=True):
            size = size * after // before
        header[change.name] = {"dtype": one.dtype, "shape": shape, "data_offsets": [end, end + size]}
        end += size
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    part = target.with_name(f"{target.name}.part")
    with part.open("wb") as stream:
        stream.write(len(head).to_bytes(8, "little") + head)
        for one, change in some:
            with one.file.open("rb") as source:
                source.seek(one.start)
                if change.rows is None and change.columns is None:
                    copy_bytes(source, stream, one.size)
                else:
                    stream.write(_cut(source.read(one.size), one, change))
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(part, target)


def _cut(raw: bytes, one: Any, change: Change) -> bytes:
    """The bytes of a tensor's rows or columns that stay."""
    import torch

    shape = (*one.shape, -1)  # the last: the bytes of a number
    there = torch.frombuffer(bytearray(raw), dtype=torch.uint8).reshape(shape)
    if change.rows is not None:
        there = there[list(change.rows)]
    if change.columns is not None:
        there = there[:, list(change.columns)]
    return there.contiguous().numpy().tobytes()


def _card(recipe: Pruning, found: Found, name: str) -> str:
    """What its README says."""
    what = (
        f"layers {', '.join(map(str, found.layers))} of it stay"
        if recipe.what == "layers"
        else f"{len(found.units[0])} units of each layer's feed-forward part stay"
    )
    lines = [
        f"# {name}",
        "",
        f"Pruned from {recipe.parent[0]} (weights {recipe.parent[1]}), chosen by {recipe.choice}: {what}.",
        "",
        f"{found.text[0].upper()}{found.text[1:]}.",
        "",
        f"The recipe is in {RECIPE}; the parent's licence applies. A short training heals it:",
        f"`python app.py finetune --kind full --model {name} --data ... --out NAME`.",
        "",
    ]
    return "\n".join(lines)
