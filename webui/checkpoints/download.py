"""Checkpoints from the Hugging Face Hub, or from a server that speaks its protocol: first what a repository
offers, then, once somebody has agreed to its size and licence, its files. Safetensors and text files only.

A download is made beside the checkpoints and renamed into place when it is whole; one that was interrupted
goes on where it was.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from webui.checkpoints.families import FAMILIES, identify
from webui.checkpoints.families.base import Family
from webui.checkpoints.files import MAX_CONFIG, printable, read_json
from webui.core.errors import Refusal

REPOSITORY = re.compile(r"(?:[\w.-]{1,96}/)?[\w.-]{1,96}", re.ASCII)
REVISION = re.compile(r"[\w./-]{1,200}", re.ASCII)
WANTED = re.compile(  # names at the top of a repository; a checkpoint is read from nothing else
    r"config\.json|generation_config\.json|tokenizer\.json|tokenizer_config\.json|special_tokens_map\.json"
    r"|added_tokens\.json|vocab\.(json|txt)|merges\.txt|chat_template\.jinja|profile\.json|lexicon\.txt"
    r"|README\.md|LICENSE(\.\w+)?|NOTICE(\.\w+)?|[\w.-]+\.safetensors(\.index\.json)?",
    re.ASCII,
)
MAX_TEXT = 64 << 20  # bytes of a file that is no safetensors file
PARTS = ".downloads"  # in the models folder: what is not whole yet
SPARE = 256 << 20  # bytes that stay free on the disk
CHUNK = 4 << 20


@dataclass(frozen=True)
class File:
    """A file of a repository; `sha256` where the server gives it, which it does for large ones."""

    name: str
    size: int
    sha256: str | None = None


@dataclass(frozen=True)
class Offer:
    """What a repository has for us, at one commit. `license` is what its card says.

    title      what the folder is called here, if not as the repository
    denoises   whether it writes texts as it is; an autoregressive one has to be adapted first
    """

    repository: str
    commit: str
    license: str
    family: str
    files: tuple[File, ...]
    title: str = ""
    denoises: bool = True

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)

    @property
    def name(self) -> str:
        """What the checkpoint is called here."""
        return self.title or self.repository.rpartition("/")[2]


def split(named: str) -> tuple[str, str]:
    """REPOSITORY[@REVISION] in parts; without a revision `main`. Refusal."""
    repository, _, revision = named.strip().partition("@")
    revision = revision or "main"
    parts = repository.split("/")
    if not REPOSITORY.fullmatch(repository) or ".." in repository or any(p.startswith(".") for p in parts):
        raise Refusal(f"{printable(named)[:100]!r} is no repository; write it as organisation/name@revision.")
    if not REVISION.fullmatch(revision) or ".." in revision:
        raise Refusal(f"{printable(revision)[:100]!r} is no revision; write a branch, a tag or a commit.")
    return repository, revision


def look(named: str, families: Sequence[Family] = FAMILIES) -> Offer:
    """What REPOSITORY[@REVISION] offers. Refusal if it cannot be reached, or if there is nothing here that
    could be run: no safetensors, an unknown family."""
    repository, revision = split(named)
    with _refused(repository):
        from huggingface_hub import HfApi

        info: Any = HfApi(endpoint=_endpoint()).model_info(repository, revision=revision, files_metadata=True)
        files = tuple(_chosen(repository, info.siblings or []))
        with tempfile.TemporaryDirectory() as folder:
            _fetch(repository, info.sha, "config.json", Path(folder))
            config = read_json(Path(folder) / "config.json", MAX_CONFIG)
    family = identify(config, Path(repository), families)
    family.check(config)
    return Offer(repository, str(info.sha), _license(info), family.name, files)


def fetch(
    offer: Offer, checkpoints: Path, report: Callable[[float], None] = lambda done: None, name: str = ""
) -> Path:
    """Downloads what was offered into the checkpoints folder; the new folder.

    report  gets the share of bytes that are there, 0 to 1; what it raises stops the download, which goes on
            from there when it is asked for again
    Refusal with one sentence, also if the folder is there already or the disk has too little room.
    """
    target = checkpoints / (name or offer.name)
    if not re.fullmatch(r"\w[\w .+-]{0,99}", target.name) or target.parent != checkpoints:
        raise Refusal(f"{printable(target.name)[:100]!r} cannot be the name of a checkpoint.")
    if target.exists():
        raise Refusal(f"There is a checkpoint {target.name} already; remove it or give another name.")
    part = checkpoints.parent / PARTS / f"{offer.repository.replace('/', '--')}@{offer.commit[:40]}"
    part.mkdir(parents=True, exist_ok=True)
    counted = _Counted(offer, report)
    _check_room(offer, part)
    for file in offer.files:
        if not _whole(part / file.name, file):
            with _refused(offer.repository):
                _fetch(offer.repository, offer.commit, file.name, part, counted.bar(file))
            if not _whole(part / file.name, file):
                (part / file.name).unlink(missing_ok=True)
                raise Refusal(f"{file.name} of {offer.repository} did not come as it was announced.")
        counted.done(file)
    shutil.rmtree(part / ".cache", ignore_errors=True)  # huggingface_hub's own notes
    checkpoints.mkdir(parents=True, exist_ok=True)
    os.replace(part, target)
    return target


def cached(named: str) -> Path | None:
    """The folder of REPOSITORY[@REVISION] in the cache of huggingface_hub on this machine, or None."""
    try:
        repository, revision = split(named)
    except Refusal:
        return None
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "huggingface"
    cache = Path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub").expanduser()
    there = cache / f"models--{repository.replace('/', '--')}"
    try:
        commit = (there / "refs" / revision).read_text("ascii").strip()
    except (OSError, ValueError):
        commit = revision
    folder = there / "snapshots" / commit
    return folder if Path(commit).name == commit and (folder / "config.json").is_file() else None


# -- inside --------------------------------------------------------------------------------------------------


class _Counted:
    """The share of an offer's bytes that are there."""

    def __init__(self, offer: Offer, report: Callable[[float], None]):
        self._total, self._report, self._whole, self._now = max(1, offer.size), report, 0, 0
        self._last = -1.0

    def bar(self, file: File) -> Any:
        """A class that huggingface_hub takes for the progress bar of this file."""
        from huggingface_hub.utils import tqdm

        counted = self
        self._now = 0

        class Bar(tqdm):
            def __init__(self, *arguments: Any, **keywords: Any):
                counted._now = int(keywords.get("initial") or 0)
                super().__init__(*arguments, **{**keywords, "disable": True})

            def update(self, n: float | None = 1) -> bool | None:
                counted._now = min(file.size, counted._now + int(n or 0))
                counted.tell()
                return None

        return Bar

    def done(self, file: File) -> None:
        self._whole, self._now = self._whole + file.size, 0
        self.tell()

    def tell(self) -> None:
        share = min(1.0, (self._whole + self._now) / self._total)
        if share - self._last >= 0.001 or share == 1.0 != self._last:
            self._last = share
            self._report(share)


def _fetch(repository: str, commit: str, name: str, folder: Path, bar: Any = None) -> None:
    from huggingface_hub import hf_hub_download

    hf_hub_download(
        repository, name, revision=commit, local_dir=folder, endpoint=_endpoint(), tqdm_class=bar or _silent()
    )


def _silent() -> Any:
    from huggingface_hub.utils import tqdm

    class Silent(tqdm):
        def __init__(self, *arguments: Any, **keywords: Any):
            super().__init__(*arguments, **{**keywords, "disable": True})

    return Silent


def _endpoint() -> str | None:
    """Another server than the Hub itself, from the variable that huggingface_hub has for it."""
    return os.environ.get("HF_ENDPOINT") or None


def _chosen(repository: str, siblings: Sequence[Any]) -> Iterator[File]:
    """The files of a repository that a checkpoint consists of. Refusal if it has none of them."""
    there = {str(one.rfilename): one for one in siblings if WANTED.fullmatch(str(one.rfilename))}
    weights = {name for name in there if name.endswith(".safetensors")}
    if any(re.fullmatch(r"model(-\d+-of-\d+)?\.safetensors", name) for name in weights):
        weights = {
            name for name in weights if name.startswith("model")
        }  # not the same again under other names
    if not weights:
        pickled = any(str(one.rfilename).endswith((".bin", ".pt", ".pth", ".ckpt")) for one in siblings)
        raise Refusal(
            f"{repository} has only pickled weights, which are not downloaded; fetch it by hand and run "
            "`python app.py convert FOLDER`."
            if pickled
            else f"{repository} has no weights as safetensors files at its top."
        )
    if "config.json" not in there:
        raise Refusal(f"{repository} has no config.json.")
    for name, one in sorted(there.items(), key=lambda pair: (pair[0] in weights, pair[0])):
        size = int(one.size or 0)
        if name.endswith(".safetensors") and name not in weights:
            continue
        if name not in weights and size > MAX_TEXT:
            raise Refusal(f"{repository}/{name} has {size} bytes, which no text file of a checkpoint has.")
        yield File(name, size, getattr(one.lfs, "sha256", None) if one.lfs else None)


def _license(info: Any) -> str:
    """What the card says: a name, or that of a licence of its own."""
    card = info.card_data
    named = getattr(card, "license", None) if card is not None else None
    if isinstance(named, list):
        named = ", ".join(map(str, named))
    if named in (None, "other") and getattr(card, "license_name", None):
        named = getattr(card, "license_name", None)
    tagged = [tag.removeprefix("license:") for tag in info.tags or () if tag.startswith("license:")]
    return printable(str(named or (tagged[0] if tagged else "not stated")))[:100]


def _check_room(offer: Offer, part: Path) -> None:
    there = sum(file.stat().st_size for file in part.rglob("*") if file.is_file())
    free, needed = shutil.disk_usage(part).free, offer.size - there + SPARE
    if needed > free:
        raise Refusal(
            f"{offer.repository} needs {gigabytes(needed)} more on the disk; it has {gigabytes(free)} free."
        )


def gigabytes(size: int) -> str:
    """A number of bytes for a sentence."""
    return f"{size / 1e9:.2f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"


def _whole(path: Path, file: File) -> bool:
    """Whether a file is there with the size and the hash that were announced."""
    if not path.is_file() or path.is_symlink() or path.stat().st_size != file.size:
        return False
    if file.sha256 is None:
        return True
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest() == file.sha256


@contextmanager
def _refused(repository: str) -> Iterator[None]:
    """The errors of huggingface_hub and of the network as one sentence."""
    from huggingface_hub import errors

    broken: Any = vars(errors)["HTTPError"]  # of the client library that it uses: a connection that failed
    try:
        yield
    except errors.GatedRepoError:
        raise Refusal(
            f"{repository} is given only to those who accepted its terms: accept them on its page, and set "
            "HF_TOKEN to a token of yours."
        ) from None
    except errors.RepositoryNotFoundError:
        raise Refusal(f"There is no repository {repository}, or it is private.") from None
    except errors.RevisionNotFoundError:
        raise Refusal(f"{repository} has no such revision.") from None
    except errors.EntryNotFoundError as error:
        raise Refusal(f"{repository} lacks a file: {_line(error)}") from None
    except (errors.HfHubHTTPError, broken, TimeoutError, ConnectionError) as error:
        raise Refusal(
            f"{repository} cannot be reached: {_line(error)} The next try goes on from what came."
        ) from None
    except errors.HFValidationError as error:
        raise Refusal(f"{repository} is no repository: {_line(error)}") from None


def _line(error: BaseException) -> str:
    line = " ".join((str(error) or type(error).__name__).split())[:200].rstrip(".")
    return f"{line}."
