"""What a checkpoint's folder says of itself: config.json and profile.json, read with suspicion, and its
lexicon."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import MappingProxyType
from typing import Any

KINDS = MappingProxyType(
    {"preset": dict, "license": str, "answer_prefix": str, "mask_token_id": int, "max_length": int}
)
NAMES = MappingProxyType({dict: "JSON object", str: "text", int: "whole number"})
WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file. ValueError with the file's name if it is not one."""
    try:
        data = json.loads(path.read_text("utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path.parent.name}/{path.name} is not valid JSON: {error}.") from error
    if not isinstance(data, dict):
        raise ValueError(f"{path.parent.name}/{path.name} is not a JSON object.")
    return data


def read_profile(folder: Path) -> dict[str, Any]:
    """profile.json, or nothing. ValueError if what a person wrote there cannot be meant."""
    profile = read_json(folder / "profile.json") if (folder / "profile.json").is_file() else {}
    for key, kind in KINDS.items():
        if key in profile and (not isinstance(profile[key], kind) or isinstance(profile[key], bool)):
            raise ValueError(f"{folder.name}/profile.json: {key} must be a {NAMES[kind]}.")
    return profile


def strange_words(folder: Path, text: str) -> list[str]:
    """Words of a text that are not in the folder's lexicon.txt, if they are most of its words."""
    words = WORD.findall(text.lower())
    file = folder / "lexicon.txt"
    if not words or not file.is_file():
        return []
    known = frozenset(file.read_text("utf-8").split())
    strange = [word for word in words if word not in known]
    return list(dict.fromkeys(strange)) if 2 * len(strange) > len(words) else []
