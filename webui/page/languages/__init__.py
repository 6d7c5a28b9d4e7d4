"""The texts of the page: one folder per language, one flat JSON file per area, the same keys in all of them.

An extension brings the texts of its own options in `languages/<language>.json` of its folder:
`field.<name>.<option>.label` and `.help`, `extension.<name>.title` and `.about`, what its constructs do,
`mark.<name>.<construct>`, and its columns in tables, `metric.<name>.<metric>`. Without them the declared
English texts are shown.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

HERE = Path(__file__).resolve().parent
ENGLISH = "en"
NONE: Mapping[str, Path] = MappingProxyType({})


def languages(extensions: Mapping[str, Path] = NONE) -> dict[str, dict[str, str]]:
    """The texts of every language by key, English first, with those of extensions, whose folders are given by
    name."""
    folders = (folder.name for folder in HERE.iterdir() if any(folder.glob("*.json")))
    names = sorted(folders, key=lambda name: (name != ENGLISH, name))
    return {name: {**_extensions(extensions, name), **_own(name)} for name in names}


def embedded(language: str, extensions: Mapping[str, Path] = NONE) -> str:
    """The texts as the script element that strings.js reads; `language` is `auto` or a language's name."""
    data = json.dumps({"language": language, "languages": languages(extensions)}, ensure_ascii=False).replace(
        "<", "\\u003c"
    )
    return f'<script type="application/json" id="tdw-strings">{data}</script>'


def _own(language: str) -> dict[str, str]:
    return {
        key: text for file in sorted((HERE / language).glob("*.json")) for key, text in _read(file).items()
    }


def _extensions(folders: Mapping[str, Path], language: str) -> dict[str, str]:
    """The texts of extensions, each about itself alone; a file that cannot be read is skipped."""
    words: dict[str, str] = {}
    for name, folder in folders.items():
        try:
            found = _read(folder / "languages" / f"{language}.json")
        except (OSError, ValueError):
            continue
        if not isinstance(found, dict):
            continue
        words |= {
            key: str(text)
            for key, text in found.items()
            if key.startswith((f"field.{name}.", f"extension.{name}.", f"mark.{name}.", f"metric.{name}."))
        }
    return words


def _read(file: Path) -> dict[str, str]:
    return json.loads(file.read_text("utf-8"))
