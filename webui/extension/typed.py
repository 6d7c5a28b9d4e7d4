"""What extensions see of a text while someone types it, and what they say about it. Pure text, no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, get_args

from webui.core.prompt import Prompt, Scan
from webui.core.request import Request
from webui.core.syntax import Mode, Syntax

Effect = Literal["acts", "literal", "refused"]
EFFECTS: tuple[str, ...] = get_args(Effect)
MAX_MARKS = 2000  # of one text
MAX_COMPLETIONS = 50
NO_VALUES: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Typed:
    """A text in a prompt field, while someone types it.

    text     as typed
    request  what the other fields hold; those with values that cannot be used have their defaults
    field    the field that is typed in: "prompt", or "extension.option" such as a negative prompt
    """

    text: str
    request: Request
    field: str = "prompt"

    @property
    def main(self) -> bool:
        """Whether it is the prompt itself, not a negative one or another text."""
        return self.field == "prompt"

    @property
    def mode(self) -> Mode:
        """Which syntax acts: safe, full, off."""
        return self.request.syntax

    def scan(self, syntax: Syntax) -> Scan:
        """The text with the constructs of a syntax taken out, as `prompt` sees it."""
        return Prompt.of(self.text).scan(syntax, self.mode)


@dataclass(frozen=True)
class Underline:
    """Something to underline at text[start:end], in characters (code points).

    construct  its name in the extension's `explanations`
    effect     acts; literal: it is taken as text, though it looks like a construct; refused: a request with
               it fails
    values     what the placeholders of the explanation stand for
    without    what is left of text[start:end] if the construct is taken out; None: it cannot be taken out
    """

    start: int
    end: int
    construct: str
    effect: Effect = "acts"
    values: Mapping[str, str | int | float] = field(default_factory=lambda: NO_VALUES)
    without: str | None = None


@dataclass(frozen=True)
class Completion:
    """A text that may replace text[start:end], in characters (code points); `about` says in a few words what
    it is."""

    start: int
    end: int
    text: str
    about: str = ""


@dataclass(frozen=True)
class Explained:
    """An underline, the extension it is of ("" for the core), and its explanation in English: one sentence
    that begins with the column if the construct does not act."""

    extension: str
    underline: Underline
    about: str


def still_open(text: str, at: int) -> bool:
    """Whether before character `at` a brace or square bracket opens that the text does not close: somebody is
    typing what belongs into it."""
    opened: list[int] = []
    escaped = False
    for i, sign in enumerate(text):
        if escaped:
            escaped = False
        elif sign == "\\":
            escaped = True
        elif sign in "{[":
            opened.append(i)
        elif opened and sign == {"{": "}", "[": "]"}[text[opened[-1]]]:
            opened.pop()
    return bool(opened) and opened[0] < at


@dataclass(frozen=True)
class Off:
    """A construct that is taken as text because the option at `path` ("extension.option") is off."""

    path: str
    text: str


def explained(
    extension: str, explanations: Mapping[str, str], found: Iterable[object], length: int
) -> list[Explained]:
    """The underlines that an extension gave for a text of `length` characters, with their sentences.
    ValueError if one of them cannot be used."""
    made: list[Explained] = []
    for one in found:
        if not isinstance(one, Underline):
            raise ValueError(f"gave {type(one).__name__} instead of an Underline.")
        if not 0 <= one.start < one.end <= length or one.effect not in EFFECTS:
            raise ValueError(f"gave an underline that is not in the text: {one.start} to {one.end}.")
        if one.construct not in explanations:
            raise ValueError(f"underlines {one.construct!r}, which its explanations do not name.")
        about = explanations[one.construct].format_map(one.values)
        made.append(Explained(extension, one, about))
        if len(made) >= MAX_MARKS:
            break
    return made


def completed(found: Iterable[object], length: int) -> list[Completion]:
    """The completions that an extension gave, at most MAX_COMPLETIONS. ValueError if one cannot be used."""
    made: list[Completion] = []
    for one in found:
        if not isinstance(one, Completion):
            raise ValueError(f"gave {type(one).__name__} instead of a Completion.")
        if not 0 <= one.start <= one.end <= length:
            raise ValueError(f"gave a completion that is not in the text: {one.start} to {one.end}.")
        made.append(one)
        if len(made) >= MAX_COMPLETIONS:
            break
    return made
