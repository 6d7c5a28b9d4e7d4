"""Soft prompts: trained words, models/embeddings/NAME.safetensors, that act where their trigger words stand
in a prompt; the text world's textual inversion."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING

from webui import Completion, Extension, Row, Typed, Underline

from .files import SoftPrompt, soft_prompts

if TYPE_CHECKING:
    from webui import Network, Result

FOLDER = "embeddings"  # of the models folder


class SoftPrompts(Extension):
    """The trigger words of a soft prompt stand for embeddings that were trained: the model gets these where
    it would get the words' own (Lester et al. 2021, arXiv:2104.08691; Gal et al. 2022, arXiv:2208.01618).

    Rows without the words are what they are without it, and share the forward passes.
    """

    title = "Soft prompts"
    about = "The trigger words of a file in models/embeddings stand for what was trained."
    explanations = MappingProxyType({"use": "Stands for the soft prompt {name}."})

    @classmethod
    def neutral(cls, row: Row) -> bool:
        return not cls._used(row)

    @classmethod
    def marks(cls, typed: Typed) -> Iterator[Underline]:
        if typed.mode == "off":
            return
        for name, one in _known(cls).items():
            start = typed.text.find(one.trigger)
            while start >= 0:
                end = start + len(one.trigger)
                yield Underline(start, end, "use", values={"name": name})
                start = typed.text.find(one.trigger, end)

    @classmethod
    def complete(cls, typed: Typed, cursor: int) -> Iterator[Completion]:
        if typed.mode == "off":
            return
        begun = typed.text[:cursor].rpartition(",")[2].lstrip()
        for name, one in _known(cls).items():
            if len(begun) > 1 and one.trigger.startswith(begun) and one.trigger != begun:
                yield Completion(cursor - len(begun), cursor, one.trigger, name)

    @classmethod
    def _used(cls, row: Row) -> dict[str, SoftPrompt]:
        """The soft prompts whose trigger words stand in a prompt of this row."""
        if row.request.syntax == "off":
            return {}
        texts = [prompt.text for prompt in row.prompts.values()]
        known = _known(cls)
        return {name: one for name, one in known.items() if any(one.trigger in text for text in texts)}

    @contextmanager
    def patch(self, network: Network) -> Iterator[None]:
        from .patch import Patch

        used = [{} if row is None else self._used(row) for row in self.rows]
        patch = Patch(network, used)
        try:
            patch.enter()
            yield
        finally:
            patch.leave()

    def finish(self, row: Row, result: Result) -> Mapping[str, str]:
        """The soft prompts that acted, each with its hash and what it was made for."""
        return {
            name: f"SHA-256 {one.hash}; made for {one.checkpoint}" for name, one in self._used(row).items()
        }


def _known(kind: type[SoftPrompts]) -> Mapping[str, SoftPrompt]:
    return soft_prompts(kind.models / FOLDER)
