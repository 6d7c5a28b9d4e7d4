"""Whether a request fits its checkpoint, known without reading weights; light until something is in doubt."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from webui.checkpoints.loading import Checkpoints
from webui.core.options import Options
from webui.core.prompt import Prompt
from webui.core.request import Cell, Request
from webui.extension.registry import Registry
from webui.extension.row import Row

FRAME = 48  # tokens that a chat template is expected to take at most
CHECKED = 4  # cells that are tokenized, those with the least text
NUMBER = re.compile(r"(\d{1,4})[\])}]")  # in brackets: what a text may ask for, such as the tokens of a gap


def refuse_unable(cells: Sequence[Cell], checks: Mapping[str | None, Callable[[Request], None]]) -> None:
    """ValueError if of all these cells each asks for what its checkpoint cannot do. checks: by checkpoint,
    what raises it for a request. A cell that cannot work beside others that can fails by itself later."""
    unable: ValueError | None = None
    for cell in cells:
        try:
            checks[cell.request.model](cell.request)
            return
        except ValueError as error:
            unable = unable or error
    if unable is not None:
        raise unable


def refuse_unfit(cells: Sequence[Cell], checkpoints: Checkpoints, registry: Registry) -> None:
    """ValueError if of all these cells none fits its checkpoint: prompt and answer, and every other prompt
    and answer, such as the negative one. A cell that does not fit beside others that do fails by itself
    later. Of many different cells those with the least text stand for all."""
    unfit: ValueError | None = None
    different: dict[tuple, Cell] = {}
    for cell in cells:
        if _surely_fits(cell.request, checkpoints):
            return
        texts = tuple(_texts(cell.request))
        different.setdefault(
            (cell.request.model, cell.request.length, cell.request.canvas is None, texts), cell
        )
    for cell in sorted(different.values(), key=lambda cell: _bytes(cell.request))[:CHECKED]:
        try:
            _check(cell, checkpoints, registry)
            return
        except ValueError as error:
            unfit = unfit or error
    if unfit is not None:
        raise unfit


def _surely_fits(request: Request, checkpoints: Checkpoints) -> bool:
    """Whether it fits even if every byte of every text in the request is a token, and every number in
    brackets stands for that many. A length that comes from the preset gives way to the prompt, but not to
    other prompts."""
    limit, texts = checkpoints.max_length(request.model), _bytes(request)
    length = request.length or checkpoints.profile(request.model)["preset"].get("length") or 128
    if request.length is None and texts == len(request.prompt.encode()) + len(request.system.encode()):
        length = 1
    if request.canvas is not None:
        length = max(length, len(request.canvas.tokens))
    if FRAME + length + texts > limit:
        return False
    return FRAME + length + texts + sum(_numbers(request)) <= limit


def _bytes(request: Request) -> int:
    return sum(len(text.encode()) for text in _texts(request))


def _texts(options: Options) -> Iterator[str]:
    """Every text in the options and in those of extensions that are not all at their defaults."""
    for name, value in options:
        if isinstance(value, str) and type(options).model_fields[name].annotation is str:  # no choices
            yield value
        elif isinstance(value, Options) and not value.defaults():
            yield from _texts(value)


def _numbers(request: Request) -> Iterator[int]:
    """The numbers in brackets in all texts, and those that are set in options of extensions."""
    for text in _texts(request):
        yield from map(int, NUMBER.findall(text))
    for _, options in request:
        if isinstance(options, Options) and not options.defaults():
            yield from (value for _, value in options if isinstance(value, int))


def _check(cell: Cell, checkpoints: Checkpoints, registry: Registry) -> None:
    """ValueError if the cell does not fit. What else is wrong with it is for the run to say."""
    from webui.denoising import packing
    from webui.denoising.sampler_registry import SamplerRegistry

    table = SamplerRegistry.of(registry).table
    entry, profile = checkpoints.entry(cell.request.model), checkpoints.profile(cell.request.model)
    try:
        request, names = packing.resolve(cell.request.replace(model=entry.name), profile["preset"], table)
        row = registry.prepare(
            Row(cell, request, {"main": Prompt.of(request.prompt)}, encode=checkpoints.encoder(request.model))
        )
        tokenizer: Any = checkpoints.tokenizer(entry.name)
    except ValueError:
        return
    limit, prefix = checkpoints.max_length(entry.name), profile.get("answer_prefix", "")
    try:
        packing.tokenize(row, names, tokenizer, packing.NO_MASK, limit, prefix, table)
    except packing.Unfit:
        raise
    except ValueError:
        return
