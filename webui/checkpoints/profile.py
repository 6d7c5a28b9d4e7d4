"""What a checkpoint's folder says of itself in profile.json, and its lexicon."""

from __future__ import annotations

import re
from collections.abc import Container
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic.fields import FieldInfo

from webui.checkpoints.files import printable, read_json, read_text, status
from webui.core.errors import Refusal
from webui.core.options import validate
from webui.core.request import Request

KINDS = MappingProxyType(
    {
        "preset": dict,
        "license": str,
        "answer_prefix": str,
        "understands": str,
        "examples": list,
        "mask_token_id": int,
        "max_length": int,
    }
)
NAMES = MappingProxyType({dict: "JSON object", str: "text", int: "whole number", list: "list of texts"})
RANGES = MappingProxyType({"mask_token_id": (0, 2**31), "max_length": (1, 2**31)})
LEXICON = "lexicon.txt"
OF_A_TEXT = frozenset(
    {"prompt", "model", "seed"}
)  # fields that are of one text, besides those that are no axes
WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")


def read_profile(folder: Path) -> dict[str, Any]:
    """profile.json, or nothing. Refusal names the key with a value that it cannot have."""
    file, here = folder / "profile.json", f"{printable(folder.name)}/profile.json"
    profile = read_json(file) if status(file) else {}
    for key, kind in KINDS.items():
        value = profile.get(key)
        if key in profile and (not isinstance(value, kind) or isinstance(value, bool)):
            raise Refusal(f"{here}: {key} must be a {NAMES[kind]}.")
    if not all(isinstance(text, str) for text in profile.get("examples", ())):
        raise Refusal(f"{here}: examples must be a list of texts.")
    for key, (least, beyond) in RANGES.items():
        if key in profile and not least <= profile[key] < beyond:
            raise Refusal(f"{here}: {key} must be from {least} to {beyond - 1}.")
    preset = profile.get("preset", {})
    if wrong := sorted(
        name for name, info in Request.model_fields.items() if name in preset and _own(name, info)
    ):
        raise Refusal(f"{here}: preset: a preset cannot set {wrong[0]}.")
    try:  # what extensions add is checked by them, when a text is made
        validate(Request, {key: value for key, value in preset.items() if key in Request.model_fields})
    except ValueError as error:
        raise Refusal(f"{here}: preset: {error}") from error
    return profile


def _own(name: str, info: FieldInfo) -> bool:
    """Whether a field of the request is of one text, so that no preset may set it."""
    extra = info.json_schema_extra
    return name in OF_A_TEXT or (isinstance(extra, dict) and extra.get("axis") is False)


def read_lexicon(folder: Path) -> frozenset[str] | None:
    """The words of lexicon.txt, or None without one. Refusal if it is not UTF-8."""
    file = folder / LEXICON
    return frozenset(read_text(file).split()) if status(file) else None


def unknown_words(known: Container[str], text: str) -> list[str]:
    """Words of a text that are not known, each once, if they are most of its words."""
    words = WORD.findall(text.lower())
    unknown = [word for word in words if word not in known]
    return list(dict.fromkeys(unknown)) if 2 * len(unknown) > len(words) else []
