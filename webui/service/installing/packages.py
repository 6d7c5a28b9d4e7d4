"""Packages that extensions need, in the environment of the program: tried first, installed only if nothing
that is there changes. Only wheels: building a package would run its code."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import distributions
from pathlib import Path

SECONDS = 600.0
PIP = ("-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--only-binary=:all:", "--quiet")


def tried(requirements: Sequence[str], python: str = sys.executable) -> dict[str, str]:
    """The packages that would be installed, with their versions. Nothing is. ValueError with one sentence
    if one that is there would change, or if pip finds no way."""
    if not requirements:
        return {}
    said = _run(python, "--dry-run", "--report", "-", *requirements)
    try:
        report = json.loads(said[said.index("{") :])
        wanted = {one["metadata"]["name"]: one["metadata"]["version"] for one in report["install"]}
    except (ValueError, KeyError, TypeError):
        raise ValueError("pip answered with something that is no report.") from None
    there = installed()
    changed = [
        f"{name} from {there[plain(name)]} to {version}"
        for name, version in wanted.items()
        if there.get(plain(name), version) != version
    ]
    if changed:
        raise ValueError(
            f"Its requirements would change {', '.join(changed)}, which is installed in the "
            "version that the program was tested with."
        )
    return {name: version for name, version in wanted.items() if plain(name) not in there}


def install(packages: Mapping[str, str], python: str = sys.executable) -> None:
    """Installs exactly these, without what they need: that is among them. ValueError with one sentence."""
    if packages:
        _run(python, "--no-deps", *(f"{name}=={version}" for name, version in packages.items()))


def installed() -> dict[str, str]:
    """The versions of the packages of this environment, by plain name."""
    return {plain(one.metadata["Name"]): one.version for one in distributions() if one.metadata["Name"]}


def plain(name: str) -> str:
    """A package's name in the one spelling that the index compares."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _run(python: str, *arguments: str) -> str:
    try:
        done = subprocess.run(
            [python, *PIP, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True,
            errors="replace", timeout=SECONDS, cwd=Path(python).parent,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise ValueError(f"pip did not end within {SECONDS:g} s.") from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR") or "No module" in line]
        raise ValueError(f"pip: {lines[-1].removeprefix('ERROR: ')[:300] if lines else 'failed'}.")
    return done.stdout
