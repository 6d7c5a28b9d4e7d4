"""Errors for people, by type: the message is a sentence that says what to do, the code says what kind it is.

A plain ValueError counts as `invalid`, anything that is not named here as `internal`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal, get_args

Code = Literal[
    "invalid",  # the input cannot be used as it is
    "not_found",
    "forbidden",
    "busy",  # the same may work later
    "too_large",
    "cancelled",  # someone stopped it before there was a text
    "abandoned",  # someone gave up on a hook or library call that did not return
    "extension",  # an extension is at fault
    "internal",  # the program is at fault
]
CODES: tuple[str, ...] = get_args(Code)
MAX_MESSAGE = 500  # characters of a message that comes from a hook or a library


class Refusal(ValueError):
    """Base of the errors that are shown as they are."""

    code: ClassVar[Code] = "invalid"


class NotFound(Refusal):
    """What the caller names does not exist."""

    code = "not_found"


class Forbidden(Refusal):
    """The caller may not do this."""

    code = "forbidden"


class Busy(Refusal):
    """There is no room now; the same request may be accepted later."""

    code = "busy"


class Cancelled(Refusal):
    """Someone stopped it."""

    code = "cancelled"


class DiskFault(Refusal):
    """The disk refused to read or write."""

    code = "internal"


class ExtensionFault(Refusal):
    """An extension raised something that is no refusal; the message begins with its name."""

    code = "extension"

    def __init__(self, extension: str, error: BaseException, clean: Callable[[str], str] = str):
        """`clean` takes secrets out of the message."""
        super().__init__(clean(f"{extension}: {type(error).__name__}: {message(error)}".removesuffix(": ")))


def message(error: BaseException) -> str:
    """The message of an error that was not made for people, as `one_line`; "" if it has none."""
    try:
        return one_line(str(error))
    except Exception:  # a __str__ that fails
        return ""


def one_line(text: str) -> str:
    """A text as one line of at most MAX_MESSAGE characters, which any encoding can carry."""
    start = text[: 4 * MAX_MESSAGE]
    line = " ".join(filter(None, (part.strip() for part in start.splitlines())))
    line = line.encode("utf-8", "replace").decode()
    return line if len(line) <= MAX_MESSAGE and len(text) == len(start) else line[: MAX_MESSAGE - 1] + "…"


class Unanswered(Refusal):
    """A hook of an extension did not return while a request was read."""

    code = "extension"

    def __init__(self, extension: str, seconds: float):
        super().__init__(f"{extension}: did not return within {seconds:g} s, and the request was given up.")


class Abandoned(BaseException):
    """Raised in the thread of an abandoned job, as soon as that thread asks or runs Python code again.

    Not an Exception: no hook and no library may take it for an error of its own.
    """


def code_of(error: BaseException) -> Code:
    """The code of an error; of one that was not made for people, by what it is a kind of."""
    code = getattr(error, "code", None)  # SystemExit has a number there
    if isinstance(code, str) and code in CODES:
        return code  # type: ignore[return-value]
    return "invalid" if isinstance(error, ValueError) else "internal"
