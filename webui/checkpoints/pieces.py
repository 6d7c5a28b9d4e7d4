"""The text of each token of a line, such that tokens side by side join to their text."""

from __future__ import annotations

from collections.abc import Callable, Sequence


def pieces(tokens: Sequence[int | None], decode: Callable[[Sequence[int]], str]) -> list[str | None]:
    """See Tokenizer.pieces; `decode` gives the text of a run of tokens."""
    found: list[str | None] = []
    run: list[int] = []
    shown = 0
    for token in (*tokens, None):
        if token is None:
            if run and shown < len(text := decode(run)):
                found[-1] = (found[-1] or "") + text[shown:]
            run, shown = [], 0
            found.append(None)
            continue
        run.append(token)
        text = decode(run)
        whole = not text.endswith("\ufffd")
        found.append(text[shown:] if whole else "")
        if whole:  # start a new run: decoding stays linear in the length
            run, shown = [token], len(decode([token]))
    return found[:-1]
