"""Git repositories and archives of extensions, made in a test."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

MANIFEST = """
name = "{name}"
version = "{version}"
needs = "webui>=0.1,<0.2"
licence = "MIT"
description = "Counts letters."
"""
CODE = '''
from webui import Extension, Options, field

class Letters(Extension):
    """Counts letters."""
    class Options(Options):
        on: bool = field(False, label="Count letters", help="The number stands beside the text.")
    def finish(self, row, result):
        return {{"letters": len(result.text), "version": "{version}"}}
'''


def extension(folder: Path, name: str = "letters", version: str = "0.1.0", more: str = "") -> Path:
    """An extension's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "extension.toml").write_text(MANIFEST.format(name=name, version=version) + more, "utf-8")
    (folder / "__init__.py").write_text(CODE.format(version=version), "utf-8")
    return folder


def git(folder: Path, *arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    author = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main")
    done = subprocess.run(
        ["git", *author, *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def commit(folder: Path, tag: str = "") -> str:
    """Commits everything in a folder, a repository from now on; the commit."""
    if not (folder / ".git").exists():
        git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", "a")
    if tag:
        git(folder, "tag", tag)
    return git(folder, "rev-parse", "HEAD")


def repository(source: Path, folder: Path) -> Path:
    """A repository with a copy of an extension's folder."""
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("__pycache__"))
    commit(folder)
    return folder
