"""From cells to batches: presets resolved, prompts tokenized, rows packed. No tensor is touched here."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from webui.checkpoints.capabilities import KEEPS_LENGTH
from webui.checkpoints.tokenizer import Encoded, Tokenizer
from webui.core.options import Options
from webui.core.prompt import Draft, Gap, Passage, Piece
from webui.core.renamed import current
from webui.core.request import Request
from webui.denoising.replay import check
from webui.denoising.samplers import BUILT_IN, SamplerOptions, SamplerTable
from webui.extension.row import Row

Span = tuple[int, int]

NO_MASK = -1  # stands for the mask token where only numbers of tokens matter

FALLBACK: dict[str, Any] = {
    "sampler": "low_confidence",
    "length": 128,
    "temperature": 0.0,
    "top_k": 0,
    "top_p": 1.0,
    "min_p": 0.0,
    "threshold": 0.9,
    "edit_threshold": 0.9,
    "end_of_text": "stop",
    "cache": "exact",
}


class Unfit(ValueError):
    """Prompt and answer take more tokens than the checkpoint has room for."""


class Growth(NamedTuple):
    """How gaps grow: masked positions they begin with unless they say a number, positions they can grow to,
    and the token that keeps the room."""

    begin: int
    most: int
    token: int


@dataclass(frozen=True)
class PackedRow:
    """A row ready for a canvas, in tokens.

    weights  the log-weights of the prompt's tokens as attention keys; None if all are 0
    answer   what it starts from; `mask` where it is masked
    given    its positions that are never changed
    preset   fields of the request that came from the preset
    options  what the samplers need to know
    spans    (start, end) in the answer of each gap, in the draft's order; of the whole answer without a draft
    parts    the same of each part of the draft
    room     positions at the end of the answer that are not there at first
    """

    row: Row
    prompt: Encoded
    answer: tuple[int, ...]
    given: tuple[bool, ...]
    preset: tuple[str, ...]
    options: SamplerOptions
    spans: tuple[Span, ...] = ()
    parts: tuple[Span, ...] = ()
    weights: tuple[float, ...] | None = None
    room: int = 0

    @property
    def width(self) -> int:
        return len(self.prompt.tokens) + len(self.answer)


def resolve(
    request: Request, preset: Mapping[str, Any], table: SamplerTable = BUILT_IN
) -> tuple[Request, tuple[str, ...]]:
    """The request with every None replaced by the preset's value, or else by the fallback's, and the names of
    these fields.

    Extensions' options are resolved alike: `{"guidance": {"scale": 2.5}}`. ValueError if the preset
    does not fit.
    """
    preset = current(preset, request.renamed)
    changes: dict[str, Any] = {}
    names: list[str] = []
    for name, value in request:
        default = preset.get(name, FALLBACK.get(name))
        if isinstance(value, Options) and isinstance(default, Mapping):
            inner = {key: default[key] for key, given in value if given is None and key in default}
            if inner:
                changes[name] = value.replace(**inner)
                names += [f"{name}.{key}" for key in inner]
        elif value is None and default is not None:
            changes[name] = default
            names.append(name)
    resolved = request.replace(**changes)
    for part in names:
        if part in ("sampler", "schedule", "confidence"):
            try:
                table.known(part, changes[part])
            except ValueError as error:
                raise ValueError(f"{resolved.model}/profile.json: preset.{error}") from error
    sampler = table.known("sampler", resolved.sampler)
    own = {
        part: getattr(sampler, part) for part in ("schedule", "confidence") if getattr(resolved, part) is None
    }
    for part in ("schedule", "confidence"):
        table.known(part, own.get(part, getattr(resolved, part)))
    return resolved.replace(**own), (*names, *own)


def tokenize(
    row: Row,
    preset: tuple[str, ...],
    tokenizer: Tokenizer,
    mask: int,
    max_length: int,
    prefix: str = "",
    table: SamplerTable = BUILT_IN,
    vocabulary: int = 0,
    block: int = 0,
    ratios: bool = False,
    expand: int | None = None,
    ends: Sequence[int] = (),
) -> PackedRow:
    """The row in tokens, steps and length settled. Unfit if it does not fit the model's
    `max_length`, ValueError if something else is wrong with it.

    prefix: what the checkpoint writes between its frame and an answer (often a space); a given beginning gets
    it too.
    vocabulary: the model's number of tokens, if it is not the tokenizer's; embeddings may have more rows.
    block: columns of a block of the model's attention (0: none); the sampler's blocks begin with those.
    ratios: the model's logits are logs of probabilities that need not sum to 1.
    expand: the token that stands for two masked positions, which also fills the room that gaps have to grow.
    ends: the tokens that end a text.
    """
    request, start = row.request, row.request.canvas
    prompt = encode(row, "main", tokenizer, mask)
    grows = None
    if table.known("sampler", request.sampler).resize is not None and mask != NO_MASK:
        if expand is None:
            row = row.note(KEEPS_LENGTH)
        elif request.cache != "exact":
            raise ValueError(
                f"The sampler {request.sampler} moves positions, and no cache follows: take the cache exact."
            )
        elif request.draft_steps > 1:
            raise ValueError(
                f"The sampler {request.sampler} moves positions, and no draft follows: set draft_steps to 1."
            )
        else:
            grows = Growth(request.dreamon.begin, request.dreamon.most, expand)
    room = max_length - len(prompt.tokens)
    if room < 1:
        raise Unfit(
            f"The prompt takes {len(prompt.tokens)} tokens; this checkpoint has room for {max_length} in all."
        )
    if row.draft is not None:
        gaps = sum(gap.tokens or 1 for gap in row.draft.gaps)
        if gaps > room:  # known before anything of that size is made
            raise Unfit(f"The gaps take {gaps} tokens; beside the prompt there is room for {room}.")
        length = request.length or 0
        length = min(length, room) if "length" in preset else length
        answer, given, parts = _draft(row.draft, tokenizer, mask, prefix, length, grows)
        spans = tuple(
            span for part, span in zip(row.draft.parts, parts, strict=True) if isinstance(part, Gap)
        )
        if len(answer) > room:
            raise Unfit(
                f"Text and gaps take {len(answer)} tokens; beside the prompt there is room for {room}."
            )
        request = request.replace(length=len(answer))
    else:
        known = len(start.tokens) if start is not None else 0
        length = known or request.length or 0
        if length > room and "length" in preset and not known:
            length = room
            row = row.note(
                f"The length is {room}, what the prompt leaves of the checkpoint's {max_length} tokens."
            )
        if length > room:
            raise Unfit(
                f"The prompt takes {len(prompt.tokens)} tokens: the length can be at most {room}, not "
                f"{length}."
            )
        request = request.replace(length=length)
        answer, given = (mask,) * length, (False,) * length
        if grows is not None:
            first = min(grows.begin, length)
            answer = (mask,) * first + (grows.token,) * (length - first)
        spans, parts = ((0, length),), ()
    for name in row.prompts.keys() - {"main"}:
        taken, left = len(encode(row, name, tokenizer, mask).tokens), max_length - len(answer)
        if taken > left:
            raise Unfit(
                f"The {name} prompt takes {taken} tokens; beside the answer there is room for {left}."
            )
    row = _noted(row, block, table)
    sampler = table.known("sampler", request.sampler)
    room = 0
    if sampler.grow is not None and mask != NO_MASK:
        row, room = _room(row, len(answer), ends)
    if request.confidence_dtype == "reference" and request.cache != "exact":
        raise ValueError(
            f"confidence_dtype: the published program has no cache {request.cache}; set cache to exact, or "
            "confidence_dtype to float32."
        )
    if request.draft_steps > 1 and request.cache != "exact":
        raise ValueError(
            f"draft_steps: drafts need the cache exact, not {request.cache}; set it to exact, or "
            "the draft steps to 1."
        )
    if start is not None:
        free = (mask,) if grows is None else (mask, grows.token)
        check(start, answer, free, mask, vocabulary or len(tokenizer))
        answer = _laid_over(answer, given, start.tokens, mask)
    steps = answer.count(mask)
    if grows is not None:  # what is doubled is committed twice, or deleted
        steps += 2 * grows.most
    block_length = request.block_length or min(sampler.block_length, len(answer)) or len(answer)
    if room:  # steps that make it longer, and one to spare for each block
        steps += -(-room // request.daedal.factor) - (-len(answer) // block_length) + 2
    settled = {"steps": min(steps, 4096) or 1} if request.steps is None else {}
    settled |= {"block_length": block_length} if request.block_length is None else {}
    request = request.replace(**settled)
    options = SamplerOptions.of(request, table)
    if block:
        options = replace(options, lead=len(prompt.tokens) % options.block_length)
    if ratios:
        options = replace(options, own={**options.own, "ratios": 1.0})
    names = (*preset, *settled)
    weights = log_weights(row, "main", prompt)
    return PackedRow(
        row.replace(request=request), prompt, answer, given, names, options, spans, parts, weights, room
    )


def _room(row: Row, length: int, ends: Sequence[int]) -> tuple[Row, int]:
    """How many of the answer's positions are not there at first, because its sampler makes it longer; with a
    note if it does not. ValueError for what cannot be combined with it."""
    request = row.request
    sentence = ""
    if row.draft is not None:
        sentence = "An answer with given text and gaps keeps its length."
    elif not ends:
        sentence = "This checkpoint has no token that ends a text: the answer keeps its length."
    elif request.canvas is not None and request.canvas.tokens:
        sentence = "An answer that starts from tokens keeps its length."
    if sentence:
        return row.note(sentence), 0
    if (room := length - request.daedal.begin) < 1:
        return row, 0
    for name, value, fits in (
        ("cache", request.cache, ("exact",)),
        ("draft_steps", request.draft_steps, (1,)),
        ("end_of_text", request.end_of_text, ("stop", "late", "keep")),
    ):
        if value not in fits:
            raise ValueError(
                f"The sampler {request.sampler} looks at all positions for the end of the text, and moves "
                f"them: set {name} to {' or '.join(map(str, fits))}, not {value}."
            )
    return row, room


def _noted(row: Row, block: int, table: SamplerTable) -> Row:
    """The row with a note where its cache is not what it seems, or its sampler has forgotten something."""
    mode, start = row.request.cache, row.request.canvas
    sampler = table.known("sampler", row.request.sampler)
    if sampler.observe is not None and start is not None and start.steps:
        row = row.note(
            f"The sampler {row.request.sampler} remembers the last steps, which a trace does not hold: the "
            "text can differ from one that was never interrupted."
        )
    if block and mode == "dual":
        return row.note("The cache dual is prefix here: this checkpoint never sees what comes after a block.")
    if not block and mode in ("prefix", "dual") and start is not None and start.steps:
        return row.note(
            f"With the cache {mode} a text that goes on from within a block can differ from one that was "
            "never interrupted."
        )
    return row


def encode(row: Row, name: str, tokenizer: Tokenizer, mask: int) -> Encoded:
    """The row's prompt of this name in its template; it may be an empty text. Without one: the main prompt
    with its content masked, the empty branch."""
    request = row.request
    if name in row.prompts:
        return tokenizer.prompt(row.prompts[name].text, request.system, request.template)
    return tokenizer.prompt(row.prompts["main"].text, request.system, request.template).masked(mask)


def log_weights(row: Row, name: str, encoded: Encoded) -> tuple[float, ...] | None:
    """The log-weights, as attention keys, of the tokens of the row's prompt of this name, encoded: each has
    the weight of the piece with its first character that is no blank. None if no piece has a weight other
    than 1; so has the empty branch. ValueError for a weight below 0."""
    prompt = row.prompts.get(name)
    if prompt is None or not prompt.weighted:
        return None
    weights = [prompt.weight_at(place) for place in encoded.places]
    if any(weight < 0 for weight in weights):
        raise ValueError("a weight in attention is not below 0.")
    return tuple(math.log(weight) if weight else -math.inf for weight in weights)


def batches(
    rows: Sequence[PackedRow], limit: int, apart: Callable[[Row], Hashable] = lambda row: None
) -> list[list[PackedRow]]:
    """Rows in batches of at most `limit`, of one cache mode, one way to compute confidence and to draft, and
    similar width so that little is padding.
    Rows for which `apart` differs are in different batches."""
    groups: dict[Hashable, list[PackedRow]] = {}
    for packed in rows:
        request = packed.row.request
        skip = request.draft_skip if request.draft_steps > 1 else 0.0
        key = (request.cache, request.confidence_dtype, skip, apart(packed.row))
        groups.setdefault(key, []).append(packed)
    found: list[list[PackedRow]] = []
    for mine in groups.values():
        ordered = sorted(mine, key=lambda packed: packed.width)
        found += [ordered[i : i + limit] for i in range(0, len(ordered), limit)]
    return found


def _draft(
    draft: Draft, tokenizer: Tokenizer, mask: int, prefix: str, length: int, grows: Growth | None = None
) -> tuple[tuple[int, ...], tuple[bool, ...], tuple[Span, ...]]:
    """The draft in tokens, which of them are given, and the span of each part in them. A gap without a number
    of tokens gets what is left of `length`, and one that can grow has room for it behind. ValueError if that
    is nothing."""
    pieces = _in_tokens(draft, tokenizer, mask, prefix)
    if grows is not None:
        for i, part in enumerate(draft.parts):
            if isinstance(part, Gap):
                begin = [mask] * (part.tokens or grows.begin)
                pieces[i] = begin + [grows.token] * max(0, grows.most - len(begin))
    taken = sum(len(more) for more in pieces if more is not None)
    if None in pieces and taken >= length:
        raise ValueError(
            f"The given text takes {taken} tokens, all of the length of {length}; make it longer."
        )
    tokens: list[int] = []
    given: list[bool] = []
    spans: list[Span] = []
    for part, piece in zip(draft.parts, pieces, strict=True):
        more = [mask] * (length - taken) if piece is None else piece
        spans.append((len(tokens), len(tokens) + len(more)))
        tokens += more
        given += [isinstance(part, Piece) or (isinstance(part, Passage) and part.locked)] * len(more)
    return tuple(tokens), tuple(given), tuple(spans)


def _in_tokens(draft: Draft, tokenizer: Tokenizer, mask: int, prefix: str) -> list[list[int] | None]:
    """Each part of the draft in tokens; None for a gap of what is left."""
    found: list[list[int] | None] = []
    for i, part in enumerate(draft.parts):
        if isinstance(part, Gap):
            more = None if part.tokens is None else [mask] * part.tokens
        elif isinstance(part, Passage) and part.tokens:
            more = list(part.tokens)
            if wrong := [token for token in more if token == mask or not 0 <= token < len(tokenizer)]:
                raise ValueError(
                    f"The draft has a passage with token {wrong[0]}, which this checkpoint does not have."
                )
        else:
            lead = prefix if i == 0 and not part.text.startswith(prefix) else ""
            more = tokenizer.encode(lead + part.text)
        found.append(more)
    return found


def _laid_over(
    answer: tuple[int, ...], given: Sequence[bool], tokens: Sequence[int | None], mask: int
) -> tuple[int, ...]:
    """The answer with these tokens where nothing is given. ValueError if there are more or fewer."""
    if not tokens:
        return answer
    if len(tokens) != len(answer):
        raise ValueError(f"canvas: {len(tokens)} tokens for an answer of {len(answer)}.")
    return tuple(
        old if fixed else mask if new is None else new
        for old, fixed, new in zip(answer, given, tokens, strict=True)
    )
