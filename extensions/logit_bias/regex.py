"""Regular expressions in a list, `/drag.*/`: each stands for the words that match it as a whole. No torch.

RE2 does the matching: it has no backtracking, so that its time is linear in the text whatever the
expression, and its memory is bounded. It refuses what it cannot do so (back references, looking around).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from webui import Refusal

WORD = re.compile(r"[^\W\d_][\w'’-]*")
MAX_MEMORY = 1 << 20  # bytes of a compiled expression
MAX_LENGTH = 200  # characters of one expression
# an expression at the start of an item; behind it a comma, a line end, or a colon and its strength
ITEM = re.compile(r"/((?:[^/\\\r\n]|\\[^\r\n])+)/[ \t]*(?=[,\r\n:]|\Z)")


class Expression(str):
    """A regular expression as it stands in a list, slashes included. Quoted text that looks like one
    is none."""

    __slots__ = ()


def checked(found: Expression) -> Expression:
    """The expression. ValueError with a sentence if it cannot be used."""
    if len(found) > MAX_LENGTH:
        raise Refusal(
            f"the expression {found[:30]}… has {len(found)} characters; at most {MAX_LENGTH} are possible."
        )
    _compiled(found)
    return found


def matching(found: Expression, vocabulary: Sequence[str], most: int) -> list[str]:
    """The words of a vocabulary (texts of tokens) that match as a whole, in any capitalisation. ValueError if
    they are more than `most`.

    Words are the tokens that begin with a blank, or, if there are none, those that are words.
    """
    expression = _compiled(found)
    some = [word for word in vocabulary if word[:1] == " "] or vocabulary
    words = dict.fromkeys(word.strip().casefold() for word in some)
    hits = [word for word in words if WORD.fullmatch(word) and expression.fullmatch(word)]
    if len(hits) > most:
        raise Refusal(
            f"{found[:40]} matches {len(hits)} words of this checkpoint; at most {most} are possible."
        )
    return hits


class Finder:
    """Finds words that match expressions in a text, besides what another pattern finds."""

    def __init__(self, expressions: Iterable[Expression], other: re.Pattern[str] | None):
        self._expressions = [_compiled(one) for one in expressions]
        self._other = other

    def finditer(self, text: str) -> Iterator[re.Match[str]]:
        """Matches in no particular order."""
        if self._other is not None:
            yield from self._other.finditer(text)
        for word in WORD.finditer(text):
            if any(one.fullmatch(word[0]) for one in self._expressions):
                yield word

    def search(self, text: str) -> re.Match[str] | None:
        """Some match, None if there is none."""
        return next(self.finditer(text), None)


def _compiled(found: Expression) -> Any:
    """The compiled expression between the slashes. ValueError if it is none."""
    try:
        import re2
    except ImportError as error:
        raise Refusal("regular expressions need the package google-re2, which is not installed.") from error
    options = re2.Options()
    options.case_sensitive, options.log_errors, options.max_mem = False, False, MAX_MEMORY
    try:
        return re2.compile(found[1:-1].replace("\\/", "/"), options)
    except re2.error as error:
        reason = error.args[0]
        text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        raise Refusal(f"{found[:40]} cannot be read as a regular expression: {text[:80]}.") from error
