"""How an extension fails."""

from __future__ import annotations

from collections.abc import Sequence


class HookError(Exception):
    """A hook failed in a run; the message names the extensions at fault.

    extensions  their names; a checkpoint's name where it is at fault
    error       a ValueError has a sentence for people, anything else is told with its type
    """

    code = "extension"

    def __init__(self, extensions: str | Sequence[str], error: BaseException):
        self.extensions = (extensions,) if isinstance(extensions, str) else tuple(extensions)
        self.error = error
        super().__init__(f"{' and '.join(self.extensions)}: {reason(error)}")


def reason(error: BaseException) -> str:
    """What an error says: the sentence of a ValueError, otherwise its type and message."""
    if isinstance(error, ValueError) and str(error):
        return str(error)
    return f"{type(error).__name__}: {error}".removesuffix(": ")
