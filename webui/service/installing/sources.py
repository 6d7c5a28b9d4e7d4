"""Where an extension comes from: a git repository, an archive (a file or an address), a folder. Nothing of it
is executed here, git's hooks and filters included."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from webui.service.installing.downloading import download, is_web
from webui.service.installing.unpacking import MAX_BYTES, copy, unpack

SECONDS = 120.0  # that git may take
POLL = 0.1  # seconds between two looks at how much it has written
HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,250}[A-Za-z0-9])?")
SCP = re.compile(
    r"(?P<user>[A-Za-z0-9_][A-Za-z0-9_.-]{0,50})@(?P<host>[^:/\s]+):(?P<path>[A-Za-z0-9~][^\s]*)"
)
REF = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._/+-]{0,198}[A-Za-z0-9])?")
COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
SCHEMES = frozenset({"https", "ssh", "file"})
SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
NO_REF = "Only a git repository has branches, tags and commits."
Kind = Literal["git", "archive", "folder"]


@dataclass(frozen=True)
class Source:
    """An address that was checked.

    ref   a branch, tag or commit of a repository; "" is what it offers by itself
    """

    kind: Kind
    address: str
    ref: str = ""

    @classmethod
    def of(cls, text: str, ref: str = "") -> Source:
        """The source that a text names. ValueError with one sentence."""
        text = text.strip()
        if ref and (not REF.fullmatch(ref) or ".." in ref or ref.endswith(".lock")):
            raise ValueError(f"{ref[:100]!r} is no branch, tag or commit.")
        if not text or not text.isprintable() or len(text) > 1000 or text.startswith("-"):
            raise ValueError("Name a git address, an archive or a folder.")
        if scp := SCP.fullmatch(text):
            if not HOST.fullmatch(scp["host"]):
                raise ValueError(f"{scp['host'][:100]!r} is no host name.")
            return cls("git", text, ref)
        if "://" in text or "::" in text:
            address = _address(text)
            if not is_web(address) or not urlsplit(address).path.lower().endswith(SUFFIXES):
                return cls("git", address, ref)
            if ref:
                raise ValueError(NO_REF)
            return cls("archive", address)
        path = Path(text).expanduser()
        if path.is_dir() and ((path / ".git").exists() or (path / "HEAD").is_file()):
            return cls("git", path.resolve().as_uri(), ref)
        if ref:
            raise ValueError(NO_REF)
        if path.is_dir():
            return cls("folder", str(path.resolve()))
        if path.is_file() and path.name.lower().endswith(SUFFIXES):
            return cls("archive", str(path.resolve()))
        raise ValueError(
            f"{text[:200]} is no git address, and no folder and no .zip or .tar archive is called so."
        )


def fetch(source: Source, target: Path) -> str:
    """Writes the files of a source into the empty folder `target`, and returns which ones exactly: the
    commit, or a digest of the files. ValueError with one sentence."""
    if source.kind == "git":
        return _fetch_git(source, target)
    if source.kind == "archive" and "://" in source.address:
        with tempfile.TemporaryDirectory(prefix="webui-archive-") as place:
            archive = Path(place) / urlsplit(source.address).path.rpartition("/")[2][-100:]
            download(source.address, archive, MAX_BYTES)
            unpack(archive, target)
    elif source.kind == "archive":
        unpack(Path(source.address), target)
    else:
        copy(Path(source.address), target)
    return digest(target)


def digest(folder: Path) -> str:
    """64 hexadecimal digits that change with any file's name or content."""
    whole = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        whole.update(f"{path.relative_to(folder).as_posix()}\0{content}\n".encode())
    return whole.hexdigest()


def _address(text: str) -> str:
    """A URL that git may be given. ValueError for other schemes, passwords in it, and hosts that are
    options."""
    try:
        parts = urlsplit(text)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        raise ValueError(f"{text[:200]} is no address.") from None
    if not (parts.scheme in SCHEMES or is_web(text)) or "::" in text.partition("://")[0]:
        raise ValueError(f"Addresses begin with https://, ssh:// or file://, not {text[:50]!r}.")
    if parts.password is not None or (parts.username and parts.scheme in ("http", "https")):
        raise ValueError("Leave user and password out of the address: it would stand in files.")
    if parts.query or parts.fragment or (parts.username or "").startswith("-"):
        raise ValueError(f"{text[:200]} is no address of a repository or archive.")
    if parts.scheme != "file" and not HOST.fullmatch(host):
        raise ValueError(f"{host[:100]!r} is no host name.")
    if parts.scheme == "file" and parts.netloc:
        raise ValueError("A file:// address has three slashes: it names no host.")
    return text


def _fetch_git(source: Source, target: Path) -> str:
    """The files of one commit, as a tar archive that git makes without checking anything out."""
    with tempfile.TemporaryDirectory(prefix="webui-git-") as place:
        repository, archive = Path(place) / "repository.git", Path(place) / "files.tar"
        _git(repository.parent, "init", "--quiet", "--bare", "--template=", str(repository))
        _git(repository, "fetch", "--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules", "--",
             source.address, source.ref or "HEAD")  # fmt: skip
        commit = _git(repository, "rev-parse", "--verify", "--end-of-options", "FETCH_HEAD^{commit}").strip()
        if not COMMIT.fullmatch(commit) or (COMMIT.fullmatch(source.ref) and commit != source.ref):
            raise ValueError("Git answered with another commit.")
        _git(repository, "archive", "--format=tar", f"--output={archive}", commit, bare=True)
        unpack(archive, target)
    return commit


def _git(folder: Path, *arguments: str, bare: bool = False) -> str:
    """What git prints. ValueError if it fails, takes too long or writes too much. bare: without the user's
    configuration, whose filters a repository could call; fetching needs its proxies and credentials."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": ":".join(sorted(SCHEMES)),
        "GIT_SSH_COMMAND": "ssh -oBatchMode=yes -oStrictHostKeyChecking=yes",
        "GIT_LFS_SKIP_SMUDGE": "1",
        "LC_ALL": "C",
    }
    if bare:
        environment |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_ATTR_NOSYSTEM": "1"}
    quiet = [
        word
        for value in (
            f"core.hooksPath={os.devnull}",
            "core.fsmonitor=false",
            "protocol.ext.allow=never",
            "gc.auto=0",
        )
        for word in ("-c", value)
    ]
    try:
        with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as wrong:
            process = subprocess.Popen(
                ["git", *quiet, *arguments], cwd=folder, stdin=subprocess.DEVNULL, stdout=said, stderr=wrong,
                env=environment,
            )  # fmt: skip
            _watch(process, folder)
            said.seek(0)
            wrong.seek(0)
            output, fault = said.read(1 << 20).decode("utf-8", "replace"), wrong.read(1 << 16)
    except FileNotFoundError:
        raise ValueError("Git is not installed; install it, or add an archive or a folder.") from None
    if process.returncode:
        lines = [line for line in fault.decode("utf-8", "replace").splitlines() if line.strip()]
        raise ValueError(f"Git: {lines[-1][:300] if lines else 'failed'}.")
    return output


def _watch(process: subprocess.Popen[bytes], folder: Path) -> None:
    """Waits for git. ValueError, and it is ended, if it takes too long or writes too much."""
    end = time.monotonic() + SECONDS
    while True:
        try:
            process.wait(POLL)
            return
        except subprocess.TimeoutExpired:
            slow, large = time.monotonic() > end, _size(folder) > 2 * MAX_BYTES
            if slow or large:
                process.kill()
                process.wait()
                reason = f"did not answer within {SECONDS:g} s" if slow else "sends too much"
                raise ValueError(f"The repository {reason}.") from None


def _size(folder: Path) -> int:
    """Bytes in a folder that another process writes."""
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(where, name)).st_size
            except OSError:  # it was renamed
                continue
    return total
