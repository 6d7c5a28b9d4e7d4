"""X/Y/Z grid: one text for every combination of values of up to three fields, or more by the API, as rows of
one batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from math import prod
from typing import Any

from webui import Cell, Command, Extension, Options, Request, counted, field

from . import axes as kinds
from . import command

LETTERS = "XYZ"
MOST_TEXT = 20_000  # characters of the values of an axis


def _names(app: Any) -> list[str]:
    return ["", *kinds.names(app.Request)]


def _field(letter: str) -> Any:
    return field(
        "",
        label=f"{letter} field",
        help="What varies along this axis, by name or path: Temperature, guidance.scale; empty: nothing.",
        choices=_names,
        widget="field",
        axis=False,
        max_length=200,
    )


def _values(letter: str) -> Any:
    return field(
        "",
        label=f"{letter} values",
        help="Separated by commas: 0.5, 1; ranges 1-5, 1-10(+2), 0-1[5]; * is all choices. In a text the "
        "first value is replaced by each.",
        widget="lines",
        axis=False,
        max_length=MOST_TEXT,
    )


class XyzGrid(Extension):
    """One text for every combination of the values of up to three fields, as rows of one batch."""

    title = "X/Y/Z grid"
    order = 10  # text is replaced in the prompt as it was typed, before the prompt matrix splits it

    class Options(Options):
        x_field: str = _field("X")
        x_values: str = _values("X")
        y_field: str = _field("Y")
        y_values: str = _values("Y")
        z_field: str = _field("Z")
        z_values: str = _values("Z")
        more: tuple[str, ...] = field(
            (),
            label="More axes",
            help="field = values, one axis each.",
            axis=False,
            max_length=8,
        )

    @classmethod
    def expand(cls, request: Request) -> Iterator[Cell] | None:
        options = cls.options(request)
        if options.defaults():
            return None
        found = list(cls._axes(request))
        kinds.check(found, type(request))
        axes = list(reversed(found))  # the outermost first; X is the fastest
        return counted(
            prod(len(axis.values) for _, axis in axes),
            (
                cls._cell(i, request, axes, chosen)
                for i, chosen in enumerate(product(*(axis.values for _, axis in axes)))
            ),
        )

    @classmethod
    def assets(cls) -> Sequence[str]:
        return ("values.js", "values.css")

    @classmethod
    def commands(cls) -> Mapping[str, Command]:
        about = "write the texts of an experiment, and tables of them"
        return {"grid": Command(about, command.run, command.arguments)}

    @classmethod
    def _cell(
        cls, index: int, request: Request, lettered: list[tuple[str, kinds.Axis]], chosen: tuple
    ) -> Cell:
        """One cell. ValueError names the axes whose values together are refused, as a text that is too long
        once its words are replaced."""
        axes = [axis for _, axis in lettered]
        try:
            cell = cls.cell(index, request, **kinds.changes(request, axes, chosen))
        except ValueError as error:
            raise ValueError(kinds.refused(request, lettered, chosen, error)) from None
        return Cell(cell.id, cell.request, kinds.labels(axes, chosen))

    @classmethod
    def _axes(cls, request: Request) -> Iterator[tuple[str, kinds.Axis]]:
        """The axes with their letters, X first. ValueError."""
        options = cls.options(request)
        given = []
        for letter in LETTERS:
            name = getattr(options, f"{letter.lower()}_field").strip()
            given.append((letter, name, getattr(options, f"{letter.lower()}_values")))
        for i, line in enumerate(options.more):
            name, equals, values = line.partition("=")
            if not equals:
                raise ValueError(f"axis {len(LETTERS) + i + 1}: write it as field = values.")
            given.append((f"axis {len(LETTERS) + i + 1}", name.strip(), values))
        for letter, name, values in given:
            if name:
                yield letter, kinds.axis(letter, name, values, request, cls.choices)
            elif values.strip():
                raise ValueError(f"{letter} has values but no field; choose one, or clear the values.")
