"""From the tokens of a row to its text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from webui.checkpoints.model import Model
from webui.core.prompt import Draft, Gap, Passage, Piece
from webui.denoising.packing import PackedRow

MASKED = "…"  # stands for masked positions in the text of a row that was stopped


@dataclass(frozen=True)
class Decoded:
    """What a row's answer reads like.

    text      the whole text, each run of masked positions as one ellipsis
    pieces    the text of each token, None where a position is masked; joined they are the answer
    complete  whether no position is masked that belongs to the text
    gaps      (name, start, end) of each gap with a name: the characters of the text that were written there
    """

    text: str
    pieces: tuple[str | None, ...]
    complete: bool
    gaps: tuple[tuple[str, int, int], ...] = ()


def decode(model: Model, packed: PackedRow, tokens: Sequence[int]) -> Decoded:
    """The answer `tokens` of a packed row as text. A text ends before its first end-of-text token, a draft
    where its last part does."""
    expand = model.description.expand  # in an answer: a position that is not there
    there = [i for i, token in enumerate(tokens) if token != expand]
    read = model.tokenizer.pieces([None if tokens[i] == model.mask else tokens[i] for i in there])
    pieces: list[str | None] = [""] * len(tokens)
    for i, piece in zip(there, read, strict=True):
        pieces[i] = piece
    prefix = model.description.prefix
    draft = packed.row.draft
    if draft is not None:
        fillings = _fillings(draft, packed, pieces, prefix)
        complete = model.mask not in tokens
        return Decoded(draft.filled(fillings), tuple(pieces), complete, _gaps(draft, fillings))
    end = next((i for i, token in enumerate(tokens) if token in model.ends), len(tokens))
    text = _join(pieces[:end])
    if packed.row.request.template != "raw":
        text = text.removeprefix(prefix)
    return Decoded(text, tuple(pieces), None not in pieces[:end])


def _fillings(draft: Draft, packed: PackedRow, pieces: Sequence[str | None], prefix: str) -> Sequence[str]:
    """What the model wrote in the gaps and passages of a draft, in order."""
    written = [
        span for part, span in zip(draft.parts, packed.parts, strict=True) if isinstance(part, Gap | Passage)
    ]
    fillings = [_join(pieces[start:end]) for start, end in written]
    if written and written[0][0] == 0:
        fillings[0] = fillings[0].removeprefix(prefix)
    return fillings


def _gaps(draft: Draft, fillings: Sequence[str]) -> tuple[tuple[str, int, int], ...]:
    """See `Decoded.gaps`."""
    found: list[tuple[str, int, int]] = []
    fills, at = iter(fillings), 0
    for part in draft.parts:
        text = part.text if isinstance(part, Piece) else next(fills)
        if isinstance(part, Gap):
            at, text = at + len(part.lead), text.removeprefix(part.lead)
            if part.name:
                found.append((part.name, at, at + len(text)))
        at += len(text)
    return tuple(found)


def _join(pieces: Sequence[str | None]) -> str:
    """The text of pieces, each run of masked positions as one ellipsis."""
    runs = groupby(pieces, key=lambda piece: piece is None)
    return "".join(MASKED if masked else "".join(piece or "" for piece in run) for masked, run in runs)
