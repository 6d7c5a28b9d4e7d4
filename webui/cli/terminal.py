"""Texts in a terminal: escaped, printed as they end, and shown in place while they are denoised."""

from __future__ import annotations

import math
import shutil
import sys
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any, TextIO

from webui.service.queue import ENDED, Job

PLAIN, DIM, BRIGHT = "", "\x1b[2m", "\x1b[1m"
RESET = "\x1b[0m"
DIRECTION = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def harmless(text: str) -> str:
    """`text` with everything that a terminal interprets made visible: control characters, changes of
    direction, half surrogates."""
    return "".join(_harmless(character) for character in text)


def one_line(text: str) -> str:
    """A sentence for standard error, whatever it quotes."""
    return harmless(text).replace("\n", " ")


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
    """Columns that a character takes; in doubt the larger number."""
    if character == "\ufe0f":  # asks for the wide picture of the character before it
        return 1
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


class Live:
    """A part of the terminal that is painted repeatedly: at the cursor, as high as it needs, at most as high
    as the screen."""

    def __init__(self, stream: TextIO):
        self._stream = stream
        self._painted: list[int] = []  # columns of each line that stands there now
        self._mask = " ░░" if _can(stream, "░") else " __"

    def paint(self, columns: Mapping[int, str | None], length: int, fresh: set[int], status: str) -> None:
        """Paints a canvas of `length` positions: the text of committed ones, bright if they are `fresh`, and
        dim blocks for masked ones."""
        screen = shutil.get_terminal_size()
        lines = self._lines(columns, length, fresh, max(8, screen.columns - 1))
        height = max(1, screen.lines - 2)
        newest = next(
            (i for i in range(len(lines) - 1, -1, -1) if any(style == BRIGHT for _, style in lines[i])), 0
        )
        start = max(0, min(newest - height // 2, len(lines) - height))
        shown = [
            *lines[start : start + height],
            [(character, DIM) for character in status[: screen.columns - 1]],
        ]
        # Without automatic wrapping a character that is wider than we think costs a column and not a line.
        self._write(
            f"\x1b[?25l\x1b[?7l{self._home(screen.columns)}" + "\n".join(map(_styled, shown)) + "\x1b[?7h"
        )
        self._painted = [
            min(screen.columns, sum(width(character) for character, _ in line)) for line in shown
        ]

    def clear(self) -> None:
        """Removes what is painted and returns the cursor to where it began."""
        if self._painted:
            self._write(self._home(shutil.get_terminal_size().columns) + "\x1b[?25h")
            self._painted = []

    def _home(self, columns: int) -> str:
        # A window that was made narrower has broken the painted lines into more.
        rows = sum(max(1, math.ceil(line / max(1, columns))) for line in self._painted)
        return (f"\x1b[{rows - 1}A" if rows > 1 else "") + "\r\x1b[J"

    def _lines(
        self, columns: Mapping[int, str | None], length: int, fresh: set[int], room: int
    ) -> list[list]:
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

    def _characters(
        self, columns: Mapping[int, str | None], length: int, fresh: set[int]
    ) -> Iterator[tuple[str, str]]:
        for column in range(length):
            text = columns.get(column)
            style = DIM if text is None else BRIGHT if column in fresh else PLAIN
            for character in self._mask if text is None else harmless(text).replace("\t", " "):
                yield character, style

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


class Printer:
    """Prints the texts of a job in their order, each as soon as it ends; `live` shows the next one while it
    is made.

    quiet    prints no text, only collects the errors
    clean    escapes texts, because a terminal interprets them; a file gets them as they are
    """

    def __init__(self, job: Job, live: Live | None, quiet: bool, clean: bool):
        self.errors: list[str] = []
        self._live, self._quiet, self._clean = live, quiet, clean
        self._waiting = [cell.id for cell in job.cells]
        self._many = len(self._waiting) > 1
        self._columns: dict[str, dict[int, str | None]] = {name: {} for name in self._waiting}
        self._cells: dict[str, dict[str, Any]] = {}

    def take(self, update: Mapping[str, Any]) -> None:
        """Enters a merged difference, prints what has ended, and paints the next text."""
        fresh: dict[str, set[int]] = {}
        for name, cell in update["cells"].items():
            self._cells[name] = cell
            self._columns[name] |= {column: text for column, text, _, _ in cell["changes"]}
            # Given text has no confidence: no model call committed it.
            fresh[name] = {
                column
                for column, text, confidence, _ in cell["changes"]
                if text is not None and confidence is not None
            }
        while self._waiting and self._cells.get(self._waiting[0], {}).get("state") in ENDED:
            self._print(self._cells[self._waiting.pop(0)])
        if self._live and self._waiting and self._waiting[0] in fresh:
            name = self._waiting[0]
            cell = self._cells[name]
            status = (
                f"{self._label(cell)}step {cell['step']} of {cell['steps']}" if cell["length"] else "waiting"
            )
            self._live.paint(self._columns[name], cell["length"], fresh[name], status)

    def close(self) -> None:
        """Restores the terminal."""
        if self._live:
            self._live.clear()

    def _label(self, cell: Mapping[str, Any]) -> str:
        return harmless(", ".join(label for _, _, label in cell["axes"])) + ": " if self._many else ""

    def _print(self, cell: Mapping[str, Any]) -> None:
        if self._live:
            self._live.clear()
        if cell["error"]:
            self.errors.append(self._label(cell) + cell["error"])
        elif cell["result"] and not self._quiet:
            if self._many:
                print(f"== {self._label(cell).removesuffix(': ')} ==")
            text = cell["result"]["text"]
            print(harmless(text) if self._clean else text, flush=True)
            for note in cell["result"]["notes"]:
                print(one_line(self._label(cell) + note), file=sys.stderr)


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
