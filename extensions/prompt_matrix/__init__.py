"""Prompt matrix: `base | x | y` in the prompt or the negative prompt becomes every combination of its
options, as rows of one batch. Each option is an axis; with `one_of` the chosen option is the only one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from types import MappingProxyType
from typing import Any, Literal

from webui import (
    Cell,
    Construct,
    Extension,
    Options,
    Prompt,
    Request,
    Syntax,
    Typed,
    Underline,
    counted,
    field,
)

SYNTAX = Syntax(patterns={"bar": r"\|"}, outside="()[]{}")
MAX_OPTIONS = 32
WITH, WITHOUT = "+", "−"  # before an option, in the label of a cell's axis
NEGATIVE = (
    "guidance",
    "negative_prompt",
)  # extension and option; the matrix works without it, over the prompt

Axes = tuple[tuple[str, Any, str], ...]


class PromptMatrix(Extension):
    """`base | x | y` writes base, base with x, base with y, and base with both."""

    title = "Prompt matrix"
    order = 20
    explanations = MappingProxyType(
        {
            "bar": "Separates options of the prompt matrix, which writes {texts} texts.",
            "empty": "Column {column}: the option behind this | is empty; remove its |, or write \\| for a | "
            "that is text.",
            "many": "Column {column}: more than {most} options.",
        }
    )

    class Options(Options):
        enabled: bool = field(
            False, label="Prompt matrix", help="The prompt's | separates options to combine.", axis=False
        )
        over: Literal["prompt", "negative prompt"] = field(
            "prompt", label="Options in", help="The text whose | separates options.", axis=False
        )
        one_of: bool = field(
            False,
            label="One of",
            help="Exactly one option at a time instead of every combination.",
            axis=False,
        )
        join: Literal["comma", "blank"] = field(
            "comma", label="Join with", help="What stands between the parts.", axis=False
        )

    @classmethod
    def expand(cls, request: Request) -> Iterator[Cell] | None:
        options = cls.options(request)
        if not options.enabled:
            return None
        if request.syntax == "off":
            raise ValueError(
                "with the prompt syntax off, | is text; set the syntax to safe or turn the prompt matrix off."
            )
        parts = _split(cls._text(request), request.syntax)
        if len(parts) == 1:
            raise ValueError(
                f"the {options.over} has no | to separate options; write base | option | option."
            )
        base, choices = parts[0], parts[1:]
        if len(choices) > MAX_OPTIONS:
            raise ValueError(f"{len(choices)} options are more than {MAX_OPTIONS}.")
        if "" in choices:
            raise ValueError(
                f"option {choices.index('') + 1} is empty; remove its |, or write \\| for a | that is text."
            )
        joint = ", " if options.join == "comma" else " "
        numbers = range(len(choices))
        chosen = ((i,) for i in numbers) if options.one_of else _combinations(len(choices))
        axes = _one_axis(choices) if options.one_of else _axis_each(choices)
        return counted(
            len(choices) if options.one_of else 1 << len(choices),
            (
                cls._cell(
                    i, request, joint.join(filter(None, (base, *(choices[k] for k in some)))), axes(some)
                )
                for i, some in enumerate(chosen)
            ),
        )

    @classmethod
    def marks(cls, typed: Typed) -> Iterator[Underline]:
        options = cls.options(typed.request)
        if not options.enabled or typed.field != _field(options.over):
            return
        bars = [part.span for part in typed.scan(SYNTAX).parts if isinstance(part, Construct) and part.span]
        choices = _split(typed.text, typed.mode)[1:]
        texts = len(choices) if options.one_of else 1 << min(len(choices), MAX_OPTIONS)
        for i, (span, choice) in enumerate(zip(bars, choices, strict=True)):
            values = {"column": span[0] + 1, "most": MAX_OPTIONS, "texts": texts}
            construct = "empty" if not choice else "many" if i >= MAX_OPTIONS else "bar"
            yield Underline(*span, construct, "acts" if construct == "bar" else "refused", values)

    @classmethod
    def _text(cls, request: Request) -> str:
        """The text that has the options. ValueError if the negative prompt's extension is not there."""
        if cls.options(request).over == "prompt":
            return request.prompt
        extension, option = NEGATIVE
        if not hasattr(request, extension):
            raise ValueError(f"there is no negative prompt without the extension {extension}.")
        return getattr(getattr(request, extension), option)

    @classmethod
    def _cell(cls, index: int, request: Request, text: str, axes: Axes) -> Cell:
        changes: dict[str, Any] = {"prompt": text}
        if cls.options(request).over != "prompt":
            extension, option = NEGATIVE
            changes = {extension: getattr(request, extension).replace(**{option: text})}
        cell = cls.cell(index, request, **changes)
        return Cell(cell.id, cell.request, axes)


def _field(over: str) -> str:
    """The dotted path of the text that has the options."""
    return "prompt" if over == "prompt" else ".".join(NEGATIVE)


def _one_axis(choices: Sequence[str]) -> Callable[[Sequence[int]], Axes]:
    """The axis of a cell with exactly one option."""
    return lambda some: (("option", choices[some[0]], choices[some[0]]),)


def _axis_each(choices: Sequence[str]) -> Callable[[Sequence[int]], Axes]:
    """The axes of a cell, one for each option: whether it has this one. One that occurs twice has its number
    in its name."""
    twice = {choice for choice, count in Counter(choices).items() if count > 1}
    names = [f"{choice} ({i + 1})" if choice in twice else choice for i, choice in enumerate(choices)]
    return lambda some: tuple(
        (name, i in some, f"{WITH if i in some else WITHOUT} {name}") for i, name in enumerate(names)
    )


def _split(text: str, mode: Literal["safe", "full", "off"]) -> list[str]:
    """What stands between the bars, trimmed of blanks and commas. Bars within brackets, in fences or after a
    backslash are text."""
    parts = [""]
    for part in Prompt.of(text).scan(SYNTAX, mode).parts:
        if isinstance(part, Construct):
            parts.append("")
        else:
            parts[-1] += part.text
    return [part.strip(" \t\r\n,") for part in parts]


def _combinations(options: int) -> Iterator[tuple[int, ...]]:
    """Every subset of the options' numbers, counting in binary, the first option fastest."""
    for number in range(1 << options):
        yield tuple(i for i in range(options) if number >> i & 1)
