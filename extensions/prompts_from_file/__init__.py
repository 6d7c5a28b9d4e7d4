"""Prompts from a file: one text for each line of a text, CSV or JSON Lines file, with any fields."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from webui import Cell, Extension, Options, Request, field, nearest

from .lines import Line, changes, read

FOLDER = "prompts"  # within the models folder
ENDINGS = {".txt": "txt", ".csv": "csv", ".jsonl": "jsonl"}
MOST = 4_000_000  # characters of a file
SHOWN = 60  # characters of a prompt in a label


def _names(app: Any) -> list[str]:
    return ["", *_files(app.settings.models / FOLDER)]


class PromptsFromFile(Extension):
    """One text for each line of a file in models/prompts, or of a text that is pasted.

    txt    a prompt in each line
    csv    the first line names fields: prompt, temperature, guidance.scale ...; an empty cell sets nothing
    jsonl  an object of fields in each line, or a prompt as a JSON text
    """

    title = "Prompts from file"
    order = 5  # before the grid: it varies each line

    class Options(Options):
        file: str = field(
            "",
            label="File",
            help="A .txt, .csv or .jsonl file in models/prompts; empty: the lines below.",
            choices=_names,
            axis=False,
            max_length=200,
        )
        text: str = field(
            "",
            label="Lines",
            help="One prompt in each line; or lines of CSV or JSON.",
            widget="lines",
            axis=False,
            max_length=500_000,
        )
        format: Literal["txt", "csv", "jsonl"] = field(
            "txt",
            label="Format of the lines",
            help="txt: prompts; csv: the first line names fields; jsonl: an object in each line.",
            axis=False,
        )

    @classmethod
    def expand(cls, request: Request) -> Iterator[Cell] | None:
        options = cls.options(request)
        if not options.file and not options.text.strip():
            return None
        if options.file and options.text.strip():
            raise ValueError("there are a file and lines; clear one of them.")
        text, kind = options.text, options.format
        if options.file:
            text, kind = cls._read(options.file)
        lines = read(text, kind, request)
        if not lines:
            raise ValueError("there is no line with a prompt.")
        return (cls._cell(i, request, line) for i, line in enumerate(lines))

    @classmethod
    def _cell(cls, index: int, request: Request, line: Line) -> Cell:
        try:
            cell = cls.cell(index, request, **changes(request, line))
        except ValueError as error:
            raise ValueError(f"line {line.number}: {error}") from None
        axes = []
        for name in line.fields:
            value: Any = cell.request
            for part in name.split("."):
                value = getattr(value, part)
            shown = " ".join(str(value).split())
            label = shown if name == "prompt" else f"{name.rpartition('.')[2]} {shown}"
            axes.append((name, value, label if len(label) <= SHOWN else label[: SHOWN - 1] + "…"))
        return Cell(cell.id, cell.request, tuple(axes))

    @classmethod
    def _read(cls, name: str) -> tuple[str, str]:
        """The text of a file in the folder, and its format. ValueError."""
        known = _files(cls.models / FOLDER)
        if name not in known:
            raise ValueError(f"there is no file {name!r} in models/{FOLDER}. {nearest(name, known)}")
        path = cls.models / FOLDER / name
        try:
            if path.stat().st_size > MOST:
                raise ValueError(f"{name} has more than {MOST:,} bytes.")
            return path.read_text("utf-8-sig"), ENDINGS[path.suffix.lower()]
        except UnicodeDecodeError:
            raise ValueError(f"{name} is not text in UTF-8.") from None
        except OSError as error:
            raise ValueError(f"{name} cannot be read: {error.strerror}.") from None


def _files(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if path.suffix.lower() in ENDINGS and path.is_file())
