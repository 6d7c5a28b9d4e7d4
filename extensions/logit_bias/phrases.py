"""Lists of phrases as typed, and the spellings in which a phrase may stand in a text. No torch."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from webui import Refusal

from . import regex

MAX_STRENGTH = 50.0  # of one phrase; a logit that large outweighs all others
MAX_PHRASES = 200  # of a list of raised or lowered ones; each costs time in every step
MAX_FORBIDDEN = 2000
MAX_LENGTH = 200  # characters of one phrase
MAX_BIASED = 2_000  # characters of a list of raised or lowered ones
MAX_LIST = 20_000  # ... of forbidden ones
NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|[+-]?(?:nan|inf|infinity)", re.IGNORECASE)
# 5e, 1_0, 0x5, 1.2.3, 50%: no number, but hardly text either
NEARLY = re.compile(r"[+\-−]*(?:0[xob]\w*|\.?\d[\d\s_.+\-−%/^*'’e]*)", re.IGNORECASE)
WORD = re.compile(r"\w")
# Thai and Lao, Burmese, Khmer: written without blanks between words
WITHOUT_BLANKS = ((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF))


def weighted(text: str, strength: float) -> dict[str, float]:
    """`dragon, "salt, pepper", golden ring:5`: the strength of each phrase, `strength` where none is given.

    A quoted phrase is text whatever it holds; a number may follow the closing quote: `"10:30":2`. `/drag.*/`
    is a `regex.Expression`, and stands for the words of a vocabulary that match it. ValueError for a list
    that cannot be read, and for a strength that is nearly a number, with a sentence.
    """
    found: dict[str, float] = {}
    for item, quoted, after in _items(text, MAX_BIASED):
        phrase, value = item, strength
        before, colon, number = after.partition(":") if quoted else item.rpartition(":")
        number = number.strip()
        if quoted and after and (before or not NUMBER.fullmatch(number)):
            raise Refusal(
                f"after the closing quote of {_short(item)} comes a comma, or a colon and a number."
            )
        given = colon and (quoted or before.strip())
        if given and not NUMBER.fullmatch(number) and NEARLY.fullmatch(number):
            raise Refusal(
                f"{_short(number)} after {_short(before.strip())} is not a number; write one like 5 or 2.5, "
                "or put the whole phrase in quotes if it is text."
            )
        if given and NUMBER.fullmatch(number):
            value = float(number)
            phrase = phrase if quoted else before
            if not math.isfinite(value) or abs(value) > MAX_STRENGTH:
                raise Refusal(
                    f"the strength of {_short(phrase)} is {number[:20]}; it must be a number from "
                    f"-{MAX_STRENGTH:g} to {MAX_STRENGTH:g}. A phrase that ends like this goes in quotes."
                )
        if phrase := _checked(phrase):
            found[phrase] = value
            _check_number(len(found), MAX_PHRASES)
    return found


def plain(text: str) -> tuple[str, ...]:
    """The phrases of a list without strengths: a colon and a number are text. Quotes protect commas.
    ValueError as `weighted`."""
    found: dict[str, None] = {}
    for item, quoted, after in _items(text, MAX_LIST):
        if quoted and after:
            raise Refusal(
                f"after the closing quote of {_short(item)} comes a comma; this list has no strengths."
            )
        if phrase := _checked(item):
            found[phrase] = None
            _check_number(len(found), MAX_FORBIDDEN)
    return tuple(found)


def _items(text: str, most: int) -> Iterator[tuple[str, bool, str]]:
    """(text, whether it was quoted, what follows the closing quote) of each item; separated by commas and
    line ends, quotes doubled inside quotes as in CSV. One pass."""
    at, end = 0, len(text)
    if end > most:
        raise Refusal(f"the list has {end} characters; at most {most} are possible.")
    while at < end:
        if text[at] in " \t,\r\n":
            at += 1
            continue
        if expression := regex.ITEM.match(text, at):
            stop = _next(text, expression.end())
            yield regex.Expression(f"/{expression[1]}/"), True, text[expression.end() : stop].strip()
            at = stop
            continue
        if text[at] != '"':
            stop = _next(text, at)
            yield text[at:stop].strip(), False, ""
            at = stop
            continue
        parts, begin = [], at + 1
        while True:
            close = text.find('"', begin)
            if close < 0:
                raise Refusal(
                    f"the list of words cannot be read: the quote at character {at + 1} is never closed."
                )
            parts.append(text[begin:close])
            if text[close + 1 : close + 2] != '"':
                break
            begin = close + 2
        stop = _next(text, close)
        yield '"'.join(parts), True, text[close + 1 : stop].strip()
        at = stop


SEPARATOR = re.compile(r"[,\r\n]")


def _next(text: str, at: int) -> int:
    """Where the next comma or line end is, or the end of the text."""
    found = SEPARATOR.search(text, at)
    return found.start() if found else len(text)


def _checked(phrase: str) -> str:
    """The phrase with single blanks between its words. ValueError if it is too long."""
    if isinstance(phrase, regex.Expression):
        return regex.checked(phrase)
    if len(phrase) > MAX_LENGTH:
        raise Refusal(
            f"the phrase {_short(phrase)} has {len(phrase)} characters; at most {MAX_LENGTH} are possible."
        )
    return " ".join(phrase.split())


def _check_number(number: int, most: int) -> None:
    if number > most:
        raise Refusal(f"the list has more than {most} phrases; shorten it.")


def _short(phrase: str) -> str:
    return repr(phrase if len(phrase) <= 30 else phrase[:30] + "…")


def spellings(phrase: str) -> list[str]:
    """The ways a phrase may stand in a text: as typed, lower, capitalised, all capitals; each also with a
    blank before."""
    forms = dict.fromkeys(
        (phrase, phrase.lower(), phrase[:1].upper() + phrase[1:], phrase.title(), phrase.upper())
    )
    return [blank + form for form in forms for blank in (" ", "")]


@lru_cache(maxsize=64)
def pattern(phrases: tuple[str, ...]) -> re.Pattern[str]:
    """Finds any of the phrases: as whole words where a script has blanks between words, in any
    capitalisation, with any blanks between the words of a phrase. Phrases with a common beginning share it,
    so that thousands are searched about as fast as one."""
    tree: dict = {}
    # "ß" upper-cased is "SS", which ignoring the case does not find
    for form in dict.fromkeys(form for p in phrases for form in (p, p.lower(), p.upper())):
        node = tree
        before = r"(?<!\w)" if spaced(form[0]) else ""
        after = r"(?!\w)" if spaced(form[-1]) else ""
        letters = [r"\s+" if character == " " else re.escape(character) for character in form]
        for part in (before, *letters, after):
            node = node.setdefault(part, {})
        node[None] = {}
    return re.compile(_expression(tree), re.IGNORECASE)


def _expression(tree: dict) -> str:
    """The regular expression of a prefix tree; chains without branches are not nested."""
    chain = ""
    while len(tree) == 1:
        ((part, tree),) = tree.items()
        if part is None:
            return chain
        chain += part
    branches = [part + _expression(below) for part, below in tree.items() if part is not None]
    if None in tree:
        branches.append("")
    return f"{chain}(?:{'|'.join(branches)})"


def spaced(character: str) -> bool:
    """Whether the character is a letter or digit of a script that writes blanks between words."""
    if unicodedata.east_asian_width(character) in "WF" or not WORD.match(character):
        return False
    return not any(first <= ord(character) <= last for first, last in WITHOUT_BLANKS)


def hits(forbidden: Iterable[str], phrase: str) -> bool:
    """Whether one of the forbidden phrases stands in this one."""
    some = tuple(forbidden)
    return bool(some) and not isinstance(phrase, regex.Expression) and finder(some).search(phrase) is not None


def finder(forbidden: tuple[str, ...]) -> re.Pattern[str] | regex.Finder:
    """Finds any of the phrases, those given as expressions too."""
    expressions = [one for one in forbidden if isinstance(one, regex.Expression)]
    if not expressions:
        return pattern(forbidden)
    plain_ones = tuple(one for one in forbidden if not isinstance(one, regex.Expression))
    return regex.Finder(expressions, pattern(plain_ones) if plain_ones else None)


def written_out(
    found: Iterable[str], words: Sequence[str], most: int, needed: bool = True
) -> Iterator[tuple[str, str]]:
    """(phrase, what it stands for): itself, or each word of the vocabulary that matches an expression.
    ValueError if that are more than `most` in all, or, where they are `needed`, none."""
    number = 0
    for phrase in found:
        some = [phrase]
        if isinstance(phrase, regex.Expression):
            some = regex.matching(phrase, words, most)
            if not some and needed:
                raise Refusal(f"{phrase[:40]} matches no word that this checkpoint has a token for.")
        number += len(some)
        if number > most:
            raise Refusal(f"the list stands for more than {most} words; shorten it.")
        yield from ((phrase, one) for one in some)
