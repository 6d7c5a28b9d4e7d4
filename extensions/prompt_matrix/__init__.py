"""Prompt matrix: `base | x | y` becomes every combination of its options, as rows of one batch."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType
from typing import Literal

from webui import Cell, Construct, Extension, Options, Prompt, Request, Syntax, Typed, Underline, field

SYNTAX = Syntax(patterns={"bar": r"\|"}, outside="()[]{}")
MAX_OPTIONS = 32


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
        parts = _split(request.prompt, request.syntax)
        if len(parts) == 1:
            raise ValueError("the prompt has no | to separate options; write base | option | option.")
        base, choices = parts[0], parts[1:]
        if len(choices) > MAX_OPTIONS:
            raise ValueError(f"{len(choices)} options are more than {MAX_OPTIONS}.")
        if "" in choices:
            raise ValueError(
                f"option {choices.index('') + 1} is empty; remove its |, or write \\| for a | that is text."
            )
        joint = ", " if options.join == "comma" else " "
        chosen = ([choice] for choice in choices) if options.one_of else _combinations(choices)
        return (
            cls._cell(i, request, joint.join(filter(None, (base, *some)))) for i, some in enumerate(chosen)
        )

    @classmethod
    def marks(cls, typed: Typed) -> Iterator[Underline]:
        options = cls.options(typed.request)
        if not options.enabled or not typed.main:
            return
        bars = [part.span for part in typed.scan(SYNTAX).parts if isinstance(part, Construct) and part.span]
        choices = _split(typed.text, typed.mode)[1:]
        texts = len(choices) if options.one_of else 1 << min(len(choices), MAX_OPTIONS)
        for i, (span, choice) in enumerate(zip(bars, choices, strict=True)):
            values = {"column": span[0] + 1, "most": MAX_OPTIONS, "texts": texts}
            construct = "empty" if not choice else "many" if i >= MAX_OPTIONS else "bar"
            yield Underline(*span, construct, "acts" if construct == "bar" else "refused", values)

    @classmethod
    def _cell(cls, index: int, request: Request, prompt: str) -> Cell:
        cell = cls.cell(index, request, prompt=prompt)
        return Cell(cell.id, cell.request, (("prompt", prompt, prompt),))


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


def _combinations(choices: list[str]) -> Iterator[list[str]]:
    """Every subset, counting in binary, the first option fastest."""
    for number in range(1 << len(choices)):
        yield [choice for i, choice in enumerate(choices) if number >> i & 1]
