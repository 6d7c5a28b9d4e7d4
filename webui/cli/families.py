"""The command `families`: every family of checkpoints, how it is loaded and what is proven of it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

from webui.application import App
from webui.checkpoints.families import FAMILIES, REFUSED
from webui.checkpoints.families.base import Family

HELP = "the families of checkpoints, how each is loaded, and what is proven of it, as a table in Markdown"
HEAD = ("family", "checkpoints", "loaded as", "attention", "proof", "licence", "")
OWN = "a class of our own"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command has no flags."""


def families(app: App, parsed: argparse.Namespace) -> int:
    """Prints the table, and the families that are refused by name."""
    print("\n".join(table(FAMILIES)))
    print()
    for name, reason in sorted(set(REFUSED.values())):
        print(f"Refused: {name}, {reason}.")
    return 0


def table(known: Sequence[Family]) -> Iterator[str]:
    """The lines of the table in Markdown, as the README carries it."""
    yield _line(HEAD)
    yield _line("---" for _ in HEAD)
    for family in known:
        native = family.model_class if isinstance(family.model_class, str) else OWN
        shift = ", shift" if family.shift else ""
        cells = (family.name, family.covers, native, f"{family.attention}{shift}", " ".join(family.proof))
        yield _line((*cells, family.license, family.about))


def _line(cells) -> str:
    return f"| {' | '.join(cells)} |"
