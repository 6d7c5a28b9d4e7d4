"""How an extension fails."""

from __future__ import annotations

from collections.abc import Sequence
from threading import current_thread, main_thread

from webui.core.errors import Abandoned, Code, message


class HookError(Exception):
    """A hook failed in a run; the message names the extensions at fault.

    extensions  their names; a checkpoint's name where it is at fault
    error       a ValueError's message is shown as it is, any other error with its type
    code        what kind of error it is: not `extension` where a checkpoint is at fault, or a hook refused
                the request
    """

    def __init__(
        self, extensions: str | Sequence[str], error: BaseException, code: Code = "extension"
    ) -> None:
        self.code: Code = code
        self.extensions = (extensions,) if isinstance(extensions, str) else tuple(extensions)
        self.error = error
        super().__init__(f"{' and '.join(self.extensions)}: {reason(error)}")


def is_of_hook(error: BaseException) -> bool:
    """Whether an error counts as the fault of the hook or library that was called. SystemExit and a panic do,
    though they are not Exceptions; that the job was abandoned, or Ctrl+C pressed, does not."""
    if isinstance(error, KeyboardInterrupt):
        return current_thread() is not main_thread()
    return not isinstance(error, Abandoned)


def reason(error: BaseException) -> str:
    """What an error says, in one line: the sentence of a ValueError, otherwise its type and message."""
    text = message(error)
    if isinstance(error, ValueError) and text:
        return text
    return f"{type(error).__name__}: {text}".removesuffix(": ")
