"""How likely finished texts are under the checkpoint that wrote them: the bound of each, in bits per byte."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from webui.checkpoints.likelihood import bounds
from webui.checkpoints.model import Model
from webui.core.result import Result
from webui.denoising.packing import PackedRow

DRAWS = 32  # of masks for each text: with 8 the bound of a text of 100 tokens varies by 7 to 17 % over them


@dataclass(frozen=True)
class Text:
    """A finished text in tokens: the prompt as its first model call saw it, the answer up to its end-of-text
    token, and the positions of the answer that the model wrote. `bytes`: of their text."""

    prompt: Sequence[int]
    weights: Sequence[float] | None
    answer: Sequence[int]
    scored: Sequence[int]
    bytes: int


def text_of(result: Result, packed: PackedRow, model: Model) -> Text | None:
    """The text of a result, whose row is `packed`; None if the model wrote nothing that can be scored."""
    tokens, given = result.tokens, packed.given
    if len(given) != len(tokens):
        given = (False,) * len(tokens)
    if not any(given):  # a text ends with its first end-of-text token; what follows may still be masked
        end = next((i for i, token in enumerate(tokens) if token in model.ends), len(tokens))
        tokens = tokens[: end + 1]
    answer = [token for token in tokens if token is not None]
    if len(answer) < len(tokens):
        return None  # it was stopped
    scored = [i for i in range(len(answer)) if not given[i]]
    written = model.tokenizer.decode([answer[i] for i in scored if answer[i] not in model.ends])
    size = len(written.removeprefix(model.description.prefix).encode())
    return Text(packed.prompt.tokens, packed.weights, answer, scored, size) if size else None


def bits_per_byte(
    model: Model,
    rows: Mapping[str, tuple[Result, PackedRow]],
    progress: Callable[[float], None] = lambda share: None,
) -> dict[str, float]:
    """The bound of each text under the model, without guidance, by the keys of `rows`; texts of which there
    is nothing to score are left out. All are scored together, and as they would be alone."""
    texts = {name: text_of(result, packed, model) for name, (result, packed) in rows.items()}
    found = {name: text for name, text in texts.items() if text is not None}
    nats = bounds(model, list(found.values()), draws=DRAWS, progress=progress, alike=True)
    return {
        name: total / math.log(2) / text.bytes
        for (name, text), total in zip(found.items(), nats, strict=True)
    }
