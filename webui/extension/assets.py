"""Scripts and style sheets that an extension brings for the page: files of its `static/`, no others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

LOADED = (".js", ".css")  # by the page itself
SERVED = (*LOADED, ".svg")  # ... and what those may ask for


def check_assets(names: Sequence[str], folder: Path) -> None:
    """ValueError unless each name is a script or style sheet in `folder`."""
    for name in names:
        if not isinstance(name, str) or not name.endswith(LOADED):
            raise ValueError(f"assets: {name!r} is neither a script (.js) nor a style sheet (.css).")
        if asset(folder, name) is None:
            raise ValueError(f"assets: there is no file {name!r} in the extension's folder static/.")


def asset(folder: Path, name: str) -> Path | None:
    """The file of this name in `folder`. None if there is none, if it leads out of the folder, by a link
    too, or if it is not of a kind that is served."""
    try:
        file = (folder / name).resolve()
        inside = file.is_relative_to(folder.resolve()) and file.is_file()
    except (OSError, ValueError, RuntimeError):  # a name that no file can have
        return None
    return file if inside and file.suffix in SERVED else None
