"""What an extension brings for the page: scripts and style sheets, files of its `static/` and no others, and
a view of its own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

LOADED = (".js", ".css")  # by the page itself
ELEMENT = re.compile(r"(?!tdw-)[a-z][a-z0-9]*(-[a-z0-9]+)+")  # names of custom elements have a hyphen
SERVED = (*LOADED, ".svg")  # ... and what those may ask for


def check_assets(names: Sequence[str], folder: Path) -> None:
    """ValueError unless each name is a script or style sheet in `folder`."""
    for name in names:
        if not isinstance(name, str) or not name.endswith(LOADED):
            raise ValueError(f"assets: {name!r} is neither a script (.js) nor a style sheet (.css).")
        if asset(folder, name) is None:
            raise ValueError(f"assets: there is no file {name!r} in the extension's folder static/.")


def check_tab(element: object, label: object) -> None:
    """ValueError unless these are the name of a custom element, none of the program's own, and words."""
    if not isinstance(element, str) or not ELEMENT.fullmatch(element):
        raise ValueError(f"tab: {element!r} is no name of a custom element, as 'my-history'.")
    if not isinstance(label, str) or not label.strip():
        raise ValueError("tab: its label is not a text.")


def asset(folder: Path, name: str) -> Path | None:
    """The file of this name in `folder`. None if there is none, if it leads out of the folder, by a link
    too, or if it is not of a kind that is served."""
    try:
        file = (folder / name).resolve()
        inside = file.is_relative_to(folder.resolve()) and file.is_file()
    except (OSError, ValueError, RuntimeError):  # a name that no file can have
        return None
    return file if inside and file.suffix in SERVED else None
