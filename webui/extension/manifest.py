"""`extension.toml`: what an extension says about itself before any of its code runs."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from types import MappingProxyType

from pydantic import Field

from webui.core.atomic import read
from webui.core.options import Options, validate
from webui.extension.finding import MANIFEST

MAX_MANIFEST = 64 * 1024  # characters
MAX_DOTS = 1000  # a key of very many parts takes the reader minutes
PROGRAM = "webui"
# Package names with versions, as in PEP 508, without addresses, paths and options: those could run anything.
REQUIREMENT = re.compile(
    r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?(?:\[[A-Za-z0-9,._ -]{1,100}\])?"
    r"(?: ?(?:==|!=|<=|>=|~=|<|>) ?[A-Za-z0-9.*+!_-]{1,50}"
    r"(?: ?, ?(?:==|!=|<=|>=|~=|<|>) ?[A-Za-z0-9.*+!_-]{1,50}){0,9})?"
)
PART = re.compile(r"(==|!=|<=|>=|~=|<|>) ?(\d{1,9}(?:\.\d{1,9}){0,4})")
MAX_PICTURE = 2 << 20  # bytes
PICTURES = MappingProxyType(  # what a picture's file begins with, by its name's end
    {".png": b"\x89PNG\r\n\x1a\n", ".jpg": b"\xff\xd8\xff", ".jpeg": b"\xff\xd8\xff", ".webp": b"RIFF"}
)
REVERSED = r"[\u202a-\u202e\u2066-\u2069]"


class Manifest(Options):
    """The fields of `extension.toml`.

    name           the extension's name: an identifier, that of its folder
    needs          the versions of the program it works with: "webui>=0.1,<0.2"
    requirements   packages of the same environment: names with versions
    licence        an SPDX expression, or a name
    screenshots    pictures of its folder: .png, .jpg or .webp, at most 2 MB each
    restart        whether it comes and goes only with a restart of the program: one that changes something
                   outside of its hooks, such as another module
    """

    name: str = Field("", max_length=60)
    version: str = Field("0", max_length=40, pattern=r"^[0-9A-Za-z.+_-]+$")
    needs: str = Field("", max_length=100)
    requirements: tuple[str, ...] = Field((), max_length=50)
    licence: str = Field("", max_length=100)
    home: str = Field("", max_length=300, pattern=r"^(https?://[^\s<>\"']+)?$")
    description: str = Field("", max_length=500)
    screenshots: tuple[str, ...] = Field((), max_length=10)
    restart: bool = False

    @classmethod
    def read(cls, folder: Path) -> Manifest | None:
        """The manifest of a folder; None if there is none. ValueError with one sentence."""
        path = folder / MANIFEST
        if not path.is_file():
            return None
        try:
            text = read(path) if path.stat().st_size <= MAX_MANIFEST else ""
        except ValueError:  # which names the whole path
            raise ValueError(f"{MANIFEST} is not text in UTF-8.") from None
        if not text:
            raise ValueError(f"{MANIFEST} is empty or longer than {MAX_MANIFEST} characters.")
        try:
            if text.count(".") > MAX_DOTS:
                raise RecursionError
            manifest = validate(cls, tomllib.loads(text))
        except RecursionError:
            raise ValueError(f"{MANIFEST} is nested too deeply.") from None
        except tomllib.TOMLDecodeError as error:
            raise ValueError(f"{MANIFEST} is not valid TOML: {error}.") from None
        except ValueError as error:
            raise ValueError(f"{MANIFEST}: {error}") from None
        manifest._check()
        return manifest

    def _check(self) -> None:
        for requirement in self.requirements:
            if not REQUIREMENT.fullmatch(requirement):
                raise ValueError(
                    f"{MANIFEST}: requirements: {requirement!r} is no package name with versions, such as "
                    '"pronouncing>=0.2".'
                )
        for text in (self.licence, self.description, self.name, *self.screenshots):
            if not text.isprintable() or re.search(REVERSED, text):
                raise ValueError(f"{MANIFEST}: a text has characters that cannot be shown.")
        _parts(self.needs)

    def pictures(self, folder: Path) -> tuple[list[Path], list[str]]:
        """The screenshots that are pictures of this folder, and a sentence for each that is not."""
        found, wrong = [], []
        for name in self.screenshots:
            file = (folder / name).resolve()
            if _is_picture(file) and file.is_relative_to(folder.resolve()):
                found.append(file)
            else:
                wrong.append(
                    f"Its screenshot {name[:100]!r} is no {', '.join(PICTURES)} file of its folder with "
                    f"at most {MAX_PICTURE >> 20} MB."
                )
        return found, wrong

    def refusal(self, program: str) -> str:
        """Why it cannot run with this version of the program, in a sentence, or ""."""
        if all(_holds(program, operator, version) for operator, version in _parts(self.needs)):
            return ""
        return f"It needs {self.needs}, and this is {PROGRAM} {program}."


def _is_picture(file: Path) -> bool:
    begin = PICTURES.get(file.suffix.lower())
    try:
        if begin is None or not file.is_file() or file.stat().st_size > MAX_PICTURE:
            return False
        with file.open("rb") as opened:
            return opened.read(len(begin)) == begin
    except (OSError, ValueError):  # ValueError: a name with NUL
        return False


def _parts(needs: str) -> list[tuple[str, str]]:
    """The conditions of `needs`. ValueError if it is not "webui" with versions."""
    if not needs:
        return []
    rest = needs.strip().removeprefix(PROGRAM).strip()
    parts = [PART.fullmatch(part.strip()) for part in rest.split(",")]
    if not needs.strip().startswith(PROGRAM) or not all(parts):
        raise ValueError(f'{MANIFEST}: needs: {needs!r} is not of the form "{PROGRAM}>=0.1,<0.2".')
    return [(part[1], part[2]) for part in parts if part]


def _holds(program: str, operator: str, version: str) -> bool:
    wanted = _numbers(version)
    given = _numbers(program)
    width = max(len(wanted), len(given))
    a, b = (numbers + (0,) * (width - len(numbers)) for numbers in (given, wanted))
    if operator == "~=":
        return a >= b and given[: len(wanted) - 1] == wanted[:-1]
    return {"==": a == b, "!=": a != b, "<=": a <= b, ">=": a >= b, "<": a < b, ">": a > b}[operator]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d{1,9}", version.partition("+")[0])[:5])


def restarts(folder: Path) -> bool:
    """Whether the extension in a folder comes and goes only with a restart."""
    try:
        manifest = Manifest.read(folder)
    except (OSError, ValueError):  # it does not load
        return False
    return manifest is not None and manifest.restart
