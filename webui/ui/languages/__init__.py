"""The words of the page: one folder a language, one flat JSON file an area, the same keys in all of them."""

from __future__ import annotations

import json
from pathlib import Path

HERE = Path(__file__).resolve().parent
ENGLISH = "en"


def languages() -> dict[str, dict[str, str]]:
    """Every language's words by key, English first."""
    names = sorted((folder.name for folder in HERE.iterdir() if any(folder.glob("*.json"))), key=lambda name: (name != ENGLISH, name))
    return {name: {key: text for file in sorted((HERE / name).glob("*.json")) for key, text in _read(file).items()} for name in names}


def embedded(language: str) -> str:
    """The words as the script element that strings.js reads; `language` is `auto` or a language's name."""
    data = json.dumps({"language": language, "languages": languages()}, ensure_ascii=False).replace("<", "\\u003c")
    return f'<script type="application/json" id="tdw-strings">{data}</script>'


def _read(file: Path) -> dict[str, str]:
    return json.loads(file.read_text("utf-8"))
