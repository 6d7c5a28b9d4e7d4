"""A recipe: everything that decides what a training run gives, read from a .toml file."""

from __future__ import annotations

import tomllib
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

FOLDER = Path(__file__).parent / "recipes"


@dataclass(frozen=True)
class Sizes:
    """The network; the meaning of each size stands at `network.Shape`."""

    vocabulary: int = 4096
    width: int = 192
    layers: int = 5
    heads: int = 3
    kv_heads: int = 3
    hidden: int = 512
    max_length: int = 128
    dropout: float = 0.0


@dataclass(frozen=True)
class Data:
    """Shares of the rows by source (made to sum to 1; without a corpus only the grammar counts), and the size
    of batches.

    tokens: of a batch, about; group: batches that are drawn together and sorted by length; padded: share of
    the rows that are padded with end-of-text to a random length and not only to a multiple of 8; continued:
    share of the grammar's stories that are cut in two, the first part becoming the `More:` of the second;
    open: share of the others that are told without their end, and say so.
    """

    grammar: float = 0.70
    tinystories: float = 0.25
    fables: float = 0.0
    storybooks: float = 0.05
    tokens: int = 8192
    group: int = 16
    padded: float = 0.5
    continued: float = 0.04
    open: float = 0.0
    stories_for_tokenizer: int = 20000


@dataclass(frozen=True)
class Plan:
    """The run: lengths of phases as shares of `steps`, learning rates, weights of the loss.

    causal: share of the steps that predict the next token; low: smallest t of the masked phase, in its last
    `last` of the steps `last_low`; decay: of the matrices' weights, times their learning rate; sharp: the
    largest attention score over its row's mean that is let stand (0: any), looked at every 8 steps; clean,
    empty: shares of the rows whose condition is shown, and wholly masked (else it is masked like the text);
    content: weight of the condition's tokens in the causal phase; padding: weight of end-of-text after the
    first; further: weight of the tokens that introduce a further character, for which a small network takes
    the first one's kind and name again.
    """

    steps: int = 9000
    causal: float = 0.33
    low: float = 0.1
    last: float = 0.2
    last_low: float = 0.02
    muon: float = 0.02
    adam: float = 0.002
    decay: float = 0.0
    sharp: float = 0.0
    warmup: int = 40
    hold: float = 0.6
    floor: float = 0.03
    clip: float = 1.0
    ema: float = 0.999
    clean: float = 0.70
    empty: float = 0.15
    content: float = 0.25
    padding: float = 0.15
    further: float = 1.0


@dataclass(frozen=True)
class Recipe:
    """A named recipe.

    start: the checkpoint, beside the one that is made, whose tokenizer and weights the run begins with
    (fine-tuning); precision: fp32, bf16, or auto (bf16 where the device multiplies it faster); compile: fuse
    with torch.compile; minutes: between states, and between exports; report: steps between lines of the log;
    later: the plan of every leg but the first (the file's table `[leg]`, over `[plan]`).
    """

    name: str = "storyteller"
    seed: int = 1
    start: str = ""
    precision: str = "auto"
    compile: bool = True
    save_minutes: float = 5.0
    export_minutes: float = 15.0
    report: int = 50
    shard_megabytes: float = 16.0
    network: Sizes = field(default_factory=Sizes)
    data: Data = field(default_factory=Data)
    plan: Plan = field(default_factory=Plan)
    later: Plan | None = None

    def leg(self, number: int, start: str) -> Recipe:
        """The recipe of leg `number` of a long run, counted from 1. From the second on it begins from the
        averaged weights of the checkpoint `start`, on rows of its own and by the plan of `[leg]`: nothing of
        the state of the leg before is needed. ValueError if the recipe has no such plan."""
        if number == 1:
            return self
        if number < 1 or self.later is None:
            raise ValueError(f"The recipe {self.name} has no leg {number}: its file has no table [leg].")
        return replace(self, seed=self.seed + number - 1, start=start, plan=self.later)

    def with_steps(self, steps: int | None) -> Recipe:
        """The same recipe ending after `steps`; phases and learning rate end with it."""
        return self if steps is None else replace(self, plan=replace(self.plan, steps=steps))

    def identity(self) -> dict:
        """What must be equal for a run to be resumed: the network, the rows and their draws. The plan may
        change on the way."""
        return {"seed": self.seed, "network": asdict(self.network), "data": asdict(self.data)}


def read(name: str | Path) -> Recipe:
    """A recipe of the folder `recipes` by its name, or any .toml file. ValueError names what it does not
    know."""
    path = Path(name)
    if path.suffix != ".toml":
        path = FOLDER / f"{name}.toml"
    if not path.is_file():
        known = ", ".join(sorted(found.stem for found in FOLDER.glob("*.toml")))
        raise ValueError(f"There is no recipe {name}; there are {known}, or give the path of a .toml file.")
    entries = tomllib.loads(path.read_text(encoding="utf-8"))
    parts = {"network": Sizes, "data": Data, "plan": Plan}
    made = {
        key: _filled(parts[key], value, f"{path}, [{key}]") for key, value in entries.items() if key in parts
    }
    if "leg" in entries:
        both = {**entries.get("plan", {}), **entries["leg"]}
        made["later"] = _filled(Plan, both, f"{path}, [leg]")
    rest = {key: value for key, value in entries.items() if key not in (*parts, "leg")}
    return replace(_filled(Recipe, rest, str(path)), **made)


def _filled(kind: type, entries: dict, where: str):
    known = {one.name for one in fields(kind)}
    if unknown := sorted(set(entries) - known):
        raise ValueError(f"{where}: there is no key {unknown[0]}; there are {', '.join(sorted(known))}.")
    return kind(**entries)
