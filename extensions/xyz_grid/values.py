"""The values of an axis, as they are typed: `1-5`, `0-1[5]`, `cat, "dog, big", cow`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

UNSIGNED = r"(?:\d+\.?\d*|\.\d+)"
NUMBER = rf"[+-]?{UNSIGNED}"
RANGE = re.compile(rf"({NUMBER})\s*-\s*({NUMBER})\s*(?:\(\s*([+-]{UNSIGNED})\s*\)|\[\s*(\d+)\s*\])?")
ITEM = re.compile(r'[^\S\n]*(?:"((?:[^"]|"")*)"[^\S\n]*|([^,\n]*))([,\n]|\Z)')
MOST_VALUES = 10_000  # of one axis
DIGITS = 20  # of a number in a range


@dataclass(frozen=True)
class Item:
    """One value as it was typed. A quoted one is a text and nothing else: no range, no word of its own."""

    text: str
    quoted: bool = False


def items(typed: str) -> list[Item]:
    """The values between commas and line breaks, without blanks around them; quotes as in CSV. ValueError for
    a blank one, or a quote that is not closed."""
    found: list[Item] = []
    text, at = typed.strip().replace("\r\n", "\n").replace("\r", "\n"), 0
    while True:
        match = ITEM.match(text, at)
        if match is None or (match[2] or "").startswith('"'):
            raise ValueError(
                f"value {len(found) + 1} has a quote that does not enclose it; a quote in a quoted value is "
                'written "".'
            )
        quoted = match[1] is not None
        item = Item(match[1].replace('""', '"') if quoted else match[2].strip(), quoted)
        if not quoted and not item.text:
            raise ValueError(
                f'value {len(found) + 1} is blank; remove its comma, or write "" for an empty text.'
            )
        found.append(item)
        if len(found) > MOST_VALUES:
            raise ValueError(f"more than {MOST_VALUES} values.")
        if not match[3]:
            return found
        at = match.end()


def numbers(text: str, whole: bool) -> list[int | float] | None:
    """The numbers of a range, or None if the text is none: `a-b`, `a-b(+step)`, `a-b(-step)`, `a-b[count]`.

    whole: whether they are for a field of whole numbers; evenly spaced ones are truncated toward zero then.
    ValueError if the step leads away from b or there are too many.
    """
    match = RANGE.fullmatch(text)
    if match is None:
        return None
    if len(text) > 4 * DIGITS:
        raise ValueError(f"{text[:DIGITS]}... has too many digits.")
    first, last = Fraction(Decimal(match[1])), Fraction(Decimal(match[2]))
    if match[4] is not None:
        count = int(match[4])
        if not 1 <= count <= MOST_VALUES:
            raise ValueError(f"{text} has {count} values; 1 to {MOST_VALUES} are possible.")
        apart = (last - first) / (count - 1) if count > 1 else Fraction(0)
        spaced = [first + k * apart for k in range(count)]
        return [int(value) for value in spaced] if whole else [_number(value) for value in spaced]
    step = Fraction(Decimal(match[3])) if match[3] else Fraction(1 if last >= first else -1)
    if step == 0 or (last - first) * step < 0:
        raise ValueError(f"{text} never reaches {match[2]} in steps of {match[3]}.")
    count = int((last - first) / step) + 1
    if count > MOST_VALUES:
        raise ValueError(f"{text} has {count} values; at most {MOST_VALUES} are possible.")
    return [_number(first + k * step) for k in range(count)]


def _number(value: Fraction) -> int | float:
    return int(value) if value.denominator == 1 else float(value)
