"""Puts a drawn text in the place of each choice and wildcard of a prompt."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Literal, Protocol

from webui import Construct, Piece, Prompt

from .files import Files, Missing
from .syntax import SYNTAX, options_of

MANY = 10**12  # combinations beyond which nobody counts
MAX_DEPTH = 16  # of wildcards whose lines have wildcards
MAX_DRAWS = 1000  # in one prompt
MAX_TEXT = 100_000  # characters of the prompt that comes of it
MAX_MISSING = 3  # wildcards that are not there, of one prompt, about which a sentence is said
LONG = 60  # characters of what is drawn from; of more a digest is kept

Mode = Literal["safe", "full", "off"]
Drawn = tuple[str, str]  # what was drawn from, and what: the number of a choice's option, from 0, or a line


class Draw(Protocol):
    """How a place of a prompt is drawn."""

    def recorded(self, source: str) -> str | None:
        """What was drawn from this source when the text was first made, if that is known."""
        ...

    def number(self, count: int) -> int:
        """A number below count."""
        ...


class Drawing:
    """One prompt whose choices and wildcards are drawn.

    drawn     what was drawn, in the prompt's order, what is within a text after that text
    texts     what came of it: what is drawn from nothing but text
    warnings  about wildcards that are not there
    """

    def __init__(self, files: Files, mode: Mode, draw: Draw):
        self._files, self._draw = files, draw
        self._mode: Mode = mode
        self.drawn: list[Drawn] = []
        self.texts: list[str] = []
        self.warnings: list[str] = []
        self._length = 0

    def prompt(self, parts: Sequence[Piece | Construct]) -> Prompt:
        """The prompt of these parts, with what was drawn. ValueError with the column of what cannot be."""
        return Prompt(tuple(self._pieces(parts, None, ())))

    def _pieces(
        self, parts: Sequence[Piece | Construct], column: int | None, inside: tuple[str, ...]
    ) -> Iterator[Piece]:
        """The pieces that parts become. column: of the outermost construct that was typed; inside: the
        wildcards whose lines these are."""
        for part in parts:
            if isinstance(part, Piece):
                self._length += len(part.text)
                if self._length > MAX_TEXT and column is not None:
                    raise ValueError(
                        f"column {column}: choices and wildcards make a text of more than {MAX_TEXT} "
                        "characters."
                    )
                yield part
                continue
            at = column if column is not None else column_of(part)
            source = "".join(piece.text for piece in part.pieces)
            if not part.groups:
                options = options_of(part)
                value = self._recorded(source, at)
                if value is None or not value.isdecimal() or int(value) >= len(options):
                    value = str(self._draw.number(len(options)))
                self.drawn.append((short(source), value))
                number = int(value)
                self._told(options[number])
                yield from self._pieces(options[number], at, inside)
                continue
            name = part.groups[0] or ""
            line = self._recorded(source, at)
            if line is None:
                try:
                    lines = self._lines(name, inside, at)
                except Missing as error:
                    if len(self.warnings) < MAX_MISSING:
                        self.warnings.append(f"Column {at}: {error} So {source} is text.")
                    yield from part.pieces
                    continue
                line = lines[self._draw.number(len(lines))]
            self.drawn.append((short(source), line))
            scan = Prompt((Piece(line),)).scan(SYNTAX, self._mode)
            self._told(scan.parts)
            yield from self._pieces(scan.parts, at, (*inside, name))

    def _told(self, parts: Sequence[Piece | Construct]) -> None:
        if all(isinstance(part, Piece) for part in parts):
            self.texts.append("".join(part.text for part in parts if isinstance(part, Piece)))

    def _recorded(self, source: str, at: int) -> str | None:
        if len(self.drawn) >= MAX_DRAWS:
            raise ValueError(f"column {at}: more than {MAX_DRAWS} choices and wildcards.")
        return self._draw.recorded(source)

    def _lines(self, name: str, inside: tuple[str, ...], at: int) -> Sequence[str]:
        if len(inside) >= MAX_DEPTH:
            raise ValueError(f"column {at}: wildcards are nested more than {MAX_DEPTH} deep.")
        try:
            lines = self._files.lines(name)
            if not inside:
                self._files.check(name)
        except Missing:
            raise
        except ValueError as error:
            raise ValueError(f"column {at}: {error}") from None
        return lines


def column_of(part: Construct) -> int:
    """Where what was typed begins, from 1; 1 for what an extension put there."""
    return part.span[0] + 1 if part.span else 1


def short(source: str) -> str:
    """What stands for a text in the record of what was drawn from it."""
    return source if len(source) <= LONG else hashlib.blake2b(source.encode(), digest_size=16).hexdigest()


class Seeded:
    """Draws by a hash of the seed, the name of the prompt and how many were drawn before. What was recorded
    from the same source, in this order, is taken again, whatever is in the files by now."""

    def __init__(self, seed: int, prompt: str, drawn: Sequence[Drawn] = ()):
        self._seed, self._prompt, self._drawn = seed, prompt, list(drawn)
        self._count = 0

    def recorded(self, source: str) -> str | None:
        self._count += 1
        return self._drawn.pop(0)[1] if self._drawn and self._drawn[0][0] == short(source) else None

    def number(self, count: int) -> int:
        text = f"{self._seed}\0{self._prompt}\0{self._count}".encode()
        return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest()) % count


class _Path:
    """The numbers of one combination; counts like a number whose last digit is the last place."""

    def __init__(self) -> None:
        self._places: list[list[int]] = []  # [number, count] of each
        self._at = 0

    def recorded(self, source: str) -> str | None:
        return None

    def number(self, count: int) -> int:
        if self._at == len(self._places):
            self._places.append([0, count])
        self._at += 1
        return self._places[self._at - 1][0]

    def next(self) -> bool:
        """Goes on to the next combination; False after the last one."""
        self._at = 0
        while self._places and self._places[-1][0] + 1 == self._places[-1][1]:
            self._places.pop()
        if self._places:
            self._places[-1][0] += 1
        return bool(self._places)


def every(prompt: Prompt, files: Files, mode: Mode) -> Iterator[Drawing]:
    """A drawing for each combination of a prompt's choices and lines, the last place fastest."""
    parts = prompt.scan(SYNTAX, mode).parts
    path = _Path()
    while True:
        drawing = Drawing(files, mode, path)
        drawing.prompt(parts)
        yield drawing
        if not path.next():
            return


def number_of(prompt: Prompt, files: Files, mode: Mode) -> int | None:
    """How many drawings `every` gives, at most MANY; None where something cannot be drawn from."""
    known: dict[str, int | None] = {}  # of the lines of each wildcard

    def of_lines(name: str, inside: tuple[str, ...]) -> int | None:
        if name not in known:
            lines = [Prompt((Piece(line),)).scan(SYNTAX, mode).parts for line in files.lines(name)]
            known[name] = total([of(parts, (*inside, name)) for parts in lines])
        return known[name]

    def of(parts: Sequence[Piece | Construct], inside: tuple[str, ...]) -> int | None:
        product = 1
        for part in parts:
            if isinstance(part, Piece):
                continue
            name = part.groups[0] or "" if part.groups else ""
            try:
                if not part.groups:
                    count = total([of(option, inside) for option in options_of(part)])
                elif name in inside or len(inside) >= MAX_DEPTH:
                    return None
                else:
                    count = of_lines(name, inside)
            except Missing:  # text
                continue
            except ValueError:
                return None
            if count is None:
                return None
            product = min(MANY, product * count)
        return product

    def total(counts: Sequence[int | None]) -> int | None:
        numbers = [count for count in counts if count is not None]
        return min(MANY, sum(numbers)) if len(numbers) == len(counts) else None

    return of(prompt.scan(SYNTAX, mode).parts, ())
