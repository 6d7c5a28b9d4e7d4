"""What a checkpoint's folder says of itself in profile.json, and its lexicon."""

from __future__ import annotations

import re
from collections.abc import Container
from pathlib import Path
from types import MappingProxyType
from typing import Any

from webui.checkpoints.files import MAX_CONFIG, printable, read_json, read_text, status
from webui.core.errors import Refusal
from webui.core.options import validate
from webui.core.renamed import current
from webui.core.request import Request
from webui.core.unknown import part

KINDS = MappingProxyType(
    {
        "preset": dict,
        "presets": dict,
        "family": str,
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
NOT_IN_PRESETS = ("prompt", "model", "seed", "canvas")  # what presets under a name leave as it is
LEXICON = "lexicon.txt"
MAX_CARD = 1 << 16  # bytes of README.md that are looked at
FRONT = re.compile(r"---[ \t]*\r?\n(.*?)\n---", re.DOTALL)
LICENSE = re.compile(r"^(license|license_name):[ \t]*(\S.*?)\s*$", re.MULTILINE)
MARKED = re.compile(r"<[^<>\s]+>|(?<!\w)__[\w./-]+__(?!\w)")
WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")


def read_profile(folder: Path, request: type[Request] = Request) -> dict[str, Any]:
    """profile.json, or nothing. Refusal names the key with a value that it cannot have.

    request: what the preset is checked against, with the fields of extensions
    """
    file, here = folder / "profile.json", f"{printable(folder.name)}/profile.json"
    profile = read_json(file, MAX_CONFIG) if status(file) else {}
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
    for name in preset:
        if name in Request.model_fields and not _may_be_preset(name):
            raise Refusal(f"{here}: preset.{name}: a checkpoint's preset cannot have this field.")
    try:  # options of extensions that are not here stay as they are
        validate(request, part(request, current(preset, request.renamed))[0])
    except ValueError as error:
        raise Refusal(f"{here}: preset: {error}") from error
    for name, fields in profile.get("presets", {}).items():
        _check_named(here, name, fields, request)
    return profile


def _check_named(here: str, name: str, fields: Any, request: type[Request]) -> None:
    """Refusal if a preset that the checkpoint offers under a name cannot be one."""
    at = f"{here}: presets.{printable(name)}"
    if not name.strip() or len(name) > 80 or printable(name) != name:
        raise Refusal(f"{at}: a preset's name is 1 to 80 characters without control characters.")
    if not isinstance(fields, dict):
        raise Refusal(f"{at} must be a {NAMES[dict]}.")
    if wrong := [field for field in NOT_IN_PRESETS if field in fields]:
        raise Refusal(f"{at}.{wrong[0]}: a preset cannot have this field.")
    try:
        validate(request, part(request, current(fields, request.renamed))[0])
    except ValueError as error:
        raise Refusal(f"{at}: {error}") from error


def _may_be_preset(name: str) -> bool:
    """Whether a field of a request that is no extension's can come from a preset: None there means so, and
    neither the checkpoint itself nor a canvas does."""
    return Request.model_fields[name].default is None and name not in ("model", "canvas")


def read_lexicon(folder: Path) -> frozenset[str] | None:
    """The words of lexicon.txt, or None without one. Refusal if it is not UTF-8."""
    file = folder / LEXICON
    return frozenset(read_text(file).split()) if status(file) else None


def stated_license(folder: Path) -> str | None:
    """The licence that the folder's README.md states in its front matter, as the Hub's model cards do;
    None if there is none."""
    try:
        if status(folder / "README.md") is None:
            return None
        with (folder / "README.md").open("rb") as stream:
            text = stream.read(MAX_CARD).decode("utf-8", "replace").removeprefix("\ufeff")
    except (Refusal, OSError):
        return None
    front = FRONT.match(text)
    named = {key: value.strip(" '\"") for key, value in LICENSE.findall(front[1])} if front else {}
    stated = named.get("license") or ""
    if stated in ("", "other"):
        stated = named.get("license_name") or stated
    return printable(stated)[:100] or None


def unknown_words(known: Container[str], text: str) -> list[str]:
    """Words of a text that are not known, each once, if they are most of its words."""
    words = WORD.findall(text.lower())
    unknown = [word for word in words if word not in known]
    return list(dict.fromkeys(unknown)) if 2 * len(unknown) > len(words) else []


def new_words(known: Container[str], text: str) -> list[str]:
    """The words of a text that are not known, each once, in its order. Tags (<lora:name:0.8>) and names
    between double underscores are no words of it."""
    words = WORD.findall(MARKED.sub(" ", text).lower())
    return [word for word in dict.fromkeys(words) if word not in known]
