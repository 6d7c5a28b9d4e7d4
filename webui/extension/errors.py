"""How an extension fails."""

from __future__ import annotations


class HookError(Exception):
    """An extension failed in a run; the message names it. `extension` is its name."""

    code = "extension"

    def __init__(self, extension: str, error: Exception):
        reason = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        super().__init__(f"{extension}: {reason}")
        self.extension = extension
