"""Merges checkpoints: `python app.py merge --method weighted_sum --a A --b B --weight 0.3 --out NAME`; tries
a merge without saving it; makes LoRAs of differences; prunes."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from webui import Command, Extension, Options, Refusal, Row, Tab, field, fingerprint

from .methods import METHODS

if TYPE_CHECKING:
    from torch import Tensor

    from webui import Network, Result

FOLDER = "checkpoints"  # of the models folder
MOST = 2.0  # weight of a merge that is tried
ACTS_ON = ("lora", "soft_prompts")  # whose patches are made of the weights that they find


class CheckpointMerger(Extension):
    """Makes a checkpoint of two or three of one shape, tensor by tensor.

    With its options a text is written by a merge that was not saved: the checkpoint in use is A, and the
    model has for the batch the weights that the saved merge would have. Rows of another merge, or of none,
    are in another batch.
    """

    title = "Checkpoint merger"
    about = "Writes with a mixture of the checkpoint and another one of its shape, without saving it."
    before = MappingProxyType({"patch": ACTS_ON})

    class Options(Options):
        b: str = field(
            "",
            label="Merge with",
            help="The second checkpoint, B; the one that writes is A. Empty: no merge.",
            choices=lambda app: ["", *app.checkpoints.names()],
            max_length=500,
        )
        weight: float = field(
            0.5, ge=-MOST, le=MOST, step=0.05, label="Merge weight", help="0 is A; 1 is B for two methods."
        )
        method: Literal["weighted_sum", "slerp", "add_difference", "task_arithmetic", "ties", "dare"] = field(
            "weighted_sum", label="Merge method", help="How the weights are put together."
        )
        c: str = field(
            "",
            label="Merge: third",
            help="The third checkpoint, C, where the method has one.",
            choices=lambda app: ["", *app.checkpoints.names()],
            max_length=500,
        )
        density: float = field(
            0.5,
            gt=0,
            le=1,
            step=0.05,
            label="Merge density",
            help="Share of a difference that ties and dare keep.",
        )
        seed: int = field(
            0, ge=0, lt=2**53, label="Merge seed", help="Repeats what dare drops.", widget="number"
        )

    @classmethod
    def tab(cls) -> Tab:
        return Tab("merger-view", "Merger")

    @classmethod
    def assets(cls) -> Sequence[str]:
        return ("merger.js", "merger.css")

    @classmethod
    def routes(cls) -> Mapping[str, Callable[[Any, Mapping[str, Any]], Mapping[str, Any]]]:
        from .routes import ROUTES

        return ROUTES

    @classmethod
    def commands(cls) -> Mapping[str, Command]:
        """`merge`."""
        from .command import arguments, run

        about = "make a checkpoint of two or three of one shape; an interrupted run goes on where it was"
        return {"merge": Command(about, run, arguments)}

    @classmethod
    def neutral(cls, row: Row) -> bool:
        options = cls.options(row)
        return not options.b or options.weight == 0

    @classmethod
    def prompt(cls, row: Row) -> Row:
        if cls.neutral(row):
            return row
        from .trying import folder_of

        options = cls.options(row)
        third = METHODS[options.method].third
        if third is True and not options.c:
            raise ValueError(f"the method {options.method} needs a third checkpoint.")
        if third is False and options.c:
            raise ValueError(f"the method {options.method} has no use for a third checkpoint.")
        for name in filter(None, (options.b, options.c)):
            folder_of(cls.models / FOLDER, name)
        return row

    @classmethod
    def apart(cls, row: Row) -> Hashable:
        return None if cls.neutral(row) else tuple(value for _, value in cls.options(row))

    def __init__(self, rows: Sequence[Row | None]):
        super().__init__(rows)
        self._said: dict[str, str] = {}  # of each parent, by its letter

    @contextmanager
    def patch(self, network: Network) -> Iterator[None]:
        from .merging import Recipe
        from .trying import folder_of, stamps, weights

        row = next(row for row in self.rows if row is not None)  # all are alike: see `apart`
        options, base = self.options(row), self.models / FOLDER
        names = [name for name in (options.b, options.c) if name]
        own = base / network.description.name
        if not own.is_dir():
            raise Refusal(f"{network.description.name} lies outside of {base.name}/; save the merge.")
        folders = [own, *(folder_of(base, name) for name in names)]

        def made() -> tuple[tuple[tuple[str, str], ...], Mapping[Tensor, Tensor]]:
            prints = [network.description.fingerprint, *(fingerprint(folder) for folder in folders[1:])]
            parents = tuple(zip((network.description.name, *names), prints, strict=True))
            recipe = Recipe(options.method, options.weight, parents, (), options.density, options.seed)
            return parents, weights(network, recipe, folders)

        key = tuple(value for _, value in options), *(stamps(folder) for folder in folders)
        parents, merged = network.kept(self.name, key, made)
        self._said = {letter: ", weights ".join(one) for letter, one in zip("ABC", parents, strict=False)}
        with network.exchanged(merged):
            yield

    def finish(self, row: Row, result: Result) -> Mapping[str, str]:
        """The method with its weight, and the parents with the fingerprints of their weights."""
        options = self.options(row)
        return {"method": f"{options.method}, weight {options.weight:g}", **self._said}
