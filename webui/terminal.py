"""Texts in a terminal: made harmless, and a canvas that is denoised in place."""

from __future__ import annotations

import math
import shutil
import unicodedata
from collections.abc import Iterator, Mapping
from typing import TextIO

PLAIN, DIM, BRIGHT = "", "\x1b[2m", "\x1b[1m"
RESET = "\x1b[0m"
DIRECTION = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def harmless(text: str) -> str:
    """`text` with everything a terminal would obey made visible: control characters, changes of direction, half surrogates."""
    return "".join(_harmless(character) for character in text)


def _harmless(character: str) -> str:
    code = ord(character)
    if character in "\n\t" or 0x20 <= code < 0x7F:
        return character
    if code < 0x20:
        return chr(0x2400 + code)  # the picture of that control character
    if character in DIRECTION or unicodedata.category(character) in ("Cc", "Cs"):
        return "\ufffd"
    return character


def width(character: str) -> int:
    """Columns of a character, rather one too many than too few."""
    if character == "\ufe0f":  # asks for the wide picture of the character before it
        return 1
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


class Live:
    """A part of the terminal that is painted over and over: at the cursor, as high as it needs, never above the screen."""

    def __init__(self, stream: TextIO):
        self._stream = stream
        self._painted: list[int] = []  # columns of each line that stands there now
        self._mask = " ░░" if _can(stream, "░") else " __"

    def paint(self, columns: Mapping[int, str | None], length: int, fresh: set[int], status: str) -> None:
        """The canvas of `length` positions: text of the decided ones (`fresh` ones bright), dim blocks for the others."""
        screen = shutil.get_terminal_size()
        lines = self._lines(columns, length, fresh, max(8, screen.columns - 1))
        height = max(1, screen.lines - 2)
        newest = next((i for i in range(len(lines) - 1, -1, -1) if any(style == BRIGHT for _, style in lines[i])), 0)
        start = max(0, min(newest - height // 2, len(lines) - height))
        shown = [*lines[start : start + height], [(character, DIM) for character in status[: screen.columns - 1]]]
        # Without automatic wrapping a character that is wider than we think costs a column and not a line.
        self._write(f"\x1b[?25l\x1b[?7l{self._home(screen.columns)}" + "\n".join(map(_styled, shown)) + "\x1b[?7h")
        self._painted = [sum(width(character) for character, _ in line) for line in shown]

    def clear(self) -> None:
        """Removes what is painted; the cursor stands where it began."""
        if self._painted:
            self._write(self._home(shutil.get_terminal_size().columns) + "\x1b[?25h")
            self._painted = []

    def _home(self, columns: int) -> str:
        # A window that was made narrower has broken the painted lines into more.
        rows = sum(max(1, math.ceil(line / max(1, columns))) for line in self._painted)
        return (f"\x1b[{rows - 1}A" if rows > 1 else "") + "\r\x1b[J"

    def _lines(self, columns: Mapping[int, str | None], length: int, fresh: set[int], room: int) -> list[list]:
        """Lines of (character, style), broken at blanks where there is one."""
        lines: list[list[tuple[str, str]]] = [[]]
        for character, style in self._characters(columns, length, fresh):
            line = lines[-1]
            if character == "\n":
                lines.append([])
                continue
            if sum(width(c) for c, _ in line) + width(character) > room:
                blank = next((i for i in range(len(line) - 1, 0, -1) if line[i][0] == " "), len(line) - 1)
                lines[-1], rest = line[: blank + 1], line[blank + 1 :]
                lines.append(rest)
            lines[-1].append((character, style))
        return lines

    def _characters(self, columns: Mapping[int, str | None], length: int, fresh: set[int]) -> Iterator[tuple[str, str]]:
        for column in range(length):
            text = columns.get(column)
            style = DIM if text is None else BRIGHT if column in fresh else PLAIN
            for character in self._mask if text is None else harmless(text).replace("\t", " "):
                yield character, style

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def _styled(line: list[tuple[str, str]]) -> str:
    parts, current = [], PLAIN
    for character, style in line:
        if style != current:
            parts.append(RESET + style)
            current = style
        parts.append(character)
    return "".join(parts) + (RESET if current else "")


def _can(stream: TextIO, text: str) -> bool:
    try:
        return bool(text.encode(stream.encoding or "ascii"))
    except (UnicodeError, LookupError):
        return False
