"""AND: several prompts whose effects are added, each with a weight."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from webui import Cost, Extension, Options, Piece, Prompt, Request, Row, Typed, Underline, field

from .parts import LARGEST, MOST, SYNTAX, Part, split

if TYPE_CHECKING:
    from torch import Tensor

    from webui import Canvas, Count, Link

BASE = "negative"  # the prompt that others are held against; where a row has none, its empty branch
NEAR = 1e-9  # weights such as 0.7, 0.2 and 0.1 sum to 1 but for rounding
EMPTY = "empty"  # a name that no row has a prompt of
Source = tuple[int, str]  # row of the canvas, and the prompt put before its answer: "" is the one it has


class PromptAnd(Extension):
    """`a :1.2 AND b :-0.5` writes to both prompts at once: base + s * sum_i w_i * (logits_i - base), with the
    guidance scale s (1 without guidance) and weights w_i (1 where none is given), after Liu et al. 2022,
    arXiv:2206.01714, section 4. The base is guidance's: the negative prompt, else the empty branch.

    Works on every named prompt: NAME keeps the first part, the others are NAME/and/1, NAME/and/2, ... The
    base of the negative prompt's own parts is the empty branch. All parts and the base are rows of the same
    forward pass; those that guidance asks for are not computed twice.
    """

    title = "AND"
    about = "a castle :1.2 AND a dragon :0.8 adds what each prompt changes, as rows of one forward pass."
    order = MappingProxyType({"prompt": 40, "denoise": 6})
    explanations = MappingProxyType(
        {
            "and": "Separates prompts whose effects are added.",
            "weight": "The weight of this part: {weight}.",
            "empty": "Column {column}: there is no text beside this AND; write \\AND for the word.",
            "many": f"Column {{column}}: more than {MOST} parts.",
            "large": f"Column {{column}}: a weight is from {-LARGEST:g} to {LARGEST:g}.",
            "nearly": f"Column {{column}}: {{text}} is no number from {-LARGEST:g} to {LARGEST:g}, so it is "
            "text.",
        }
    )

    class Options(Options):
        enabled: bool = field(
            False,
            label="AND",
            help="AND in capitals separates prompts whose effects are added; :0.5 ends a part with a weight.",
        )

    @classmethod
    def prompt(cls, row: Row) -> Row:
        if not cls.options(row).enabled:
            return row
        weights: dict[str, tuple[float, ...]] = {}
        for name, prompt in tuple(row.prompts.items()):
            scan = prompt.scan(SYNTAX, row.request.syntax)
            if not scan.acts:
                row = row.with_prompt(name, Prompt(scan.literal))
                continue
            parts = split(scan.parts, row.request.syntax)
            for number, part in enumerate(parts):
                if part.refused:
                    explanation = cls.explanations[part.refused].format(column=part.start + 1)
                    raise ValueError(explanation[:1].lower() + explanation[1:])
                if part.nearly is not None:
                    row = row.note(cls.explanations["nearly"].format_map(_values(part.nearly)))
                row = row.with_prompt(_named(name, number), part.prompt)
            weights[name] = tuple(part.weight for part in parts)
        return row.with_own(cls.name, weights) if weights else row

    @classmethod
    def cost(cls, request: Request) -> Cost:
        """A row for each part, and one for a base where it does not cancel out and guidance has none."""
        if not cls.options(request).enabled:
            return Cost()
        guidance, against, share = getattr(request, "guidance", None), "", 0.0
        if guidance is not None and guidance.scale != 1.0:
            against = guidance.negative_prompt
            if guidance.scale is not None or against:
                share = max(0.0, guidance.end - guidance.start)  # of the steps, with guidance's base
        main, base = (_written(text, request) for text in (request.prompt, against))
        based = 1.0 if _has_base(main) else share
        return Cost(rows=len(main) + based - share + based * (len(base) - 1 + _has_base(base)))

    @classmethod
    def neutral(cls, row: Row) -> bool:
        return cls.name not in row.own

    @classmethod
    def marks(cls, typed: Typed) -> Iterator[Underline]:
        if not cls.options(typed.request).enabled:
            return
        scan = typed.scan(SYNTAX)
        parts: Sequence[Part] = split(scan.parts, typed.mode) if scan.acts else ()
        for part in parts:
            if part.refused and part.place is not None:
                yield Underline(*part.place, part.refused, "refused", {"column": part.start + 1})
            elif part.separator is not None:
                yield Underline(*part.separator, "and")
            if part.nearly is not None and part.nearly.span is not None:
                yield Underline(*part.nearly.span, "nearly", "literal", _values(part.nearly))
            if part.written is not None and not part.refused:
                yield Underline(*part.written, "weight", values={"weight": part.weight})

    def canvas(self, canvas: Canvas, model: Link) -> Canvas:
        names = {BASE, EMPTY}
        for row in self.rows:
            for name, weights in ({} if row is None else row.own[self.name]).items():
                names |= {_named(name, number) for number in range(1, len(weights))}
        self._templates = {name: model.template(name) for name in sorted(names)}
        return canvas

    def denoise(self, canvas: Canvas, model: Link) -> Tensor:
        """The logits of each row as a weighted sum over the rows and branches that it is made of."""
        import torch

        counts = canvas.counts
        bases = _only(counts)
        sums = [self._sum(index, count, bases) for index, count in enumerate(counts)]
        if all(len(terms) == 1 for terms in sums):
            return model(canvas)
        groups: dict[str, list[int]] = defaultdict(list)
        for terms in sums:
            for index, name in terms:
                if name and index not in groups[name]:
                    groups[name].append(index)
        branches = [self._branch(canvas, group, name) for name, group in groups.items() if group]
        made = torch.cat(model(canvas, *branches))
        sources: list[Source] = [(index, "") for index in range(len(counts))]
        sources += [(index, name) for name, group in groups.items() for index in group]
        lengths = [counts[index].active for index, _ in sources]
        logits = dict(zip(sources, made.split(lengths), strict=True))
        return torch.cat([_total(terms, logits) for terms in sums])

    def _sum(self, index: int, count: Count, bases: Mapping[int, int]) -> dict[Source, float]:
        """What the logits of a row are: a factor for each source. bases: the row of the canvas that has the
        base of a row of the batch."""
        weights = self._weights(count.row, count.prompt)
        if len(weights) == 1:
            return {(index, ""): 1.0}
        terms: dict[Source, float] = defaultdict(float)
        for number, weight in enumerate(weights):
            terms[index, _named(count.prompt, number) if number else ""] += weight
        rest = 1 - sum(weights)  # base + sum w (logits - base): where the weights sum to 1 it cancels out
        for source, factor in self._base(index, count, bases).items() if abs(rest) > NEAR else ():
            terms[source] += rest * factor
        return {source: factor for source, factor in terms.items() if factor}

    def _base(self, index: int, count: Count, bases: Mapping[int, int]) -> dict[Source, float]:
        """What the base of a row is, likewise."""
        if count.prompt == BASE:
            return {(index, EMPTY): 1.0}
        weights = self._weights(count.row, BASE)
        here = bases.get(count.row)
        first: Source = (index, BASE) if here is None else (here, "")
        terms: dict[Source, float] = {first: weights[0]}
        for number, weight in enumerate(weights[1:], 1):
            terms[index if here is None else here, _named(BASE, number)] = weight
        if len(weights) > 1:
            terms[index if here is None else here, EMPTY] = 1 - sum(weights)
        return terms

    def _weights(self, number: int, prompt: str) -> tuple[float, ...]:
        """The weights of the parts of one prompt of a row of the batch."""
        row = self.rows[number]
        return (1.0,) if row is None else row.own[self.name].get(prompt, (1.0,))

    def _branch(self, canvas: Canvas, rows: Sequence[int], name: str) -> Canvas:
        """These rows with the prompt of this name."""
        some = canvas if list(rows) == list(range(len(canvas.counts))) else canvas.take(rows)
        return some.with_prompt(self._templates[name], name.removeprefix("main/"))


def _values(nearly: Piece) -> dict[str, str | int]:
    """Of the explanation of what looks like a weight."""
    return {"column": nearly.span[0] + 1 if nearly.span else 1, "text": nearly.text}


def _written(text: str, request: Request) -> list[float]:
    """The weights of the parts of a text, as it was typed."""
    scan = Prompt.of(text).scan(SYNTAX, request.syntax) if "AND" in text else None
    return [part.weight for part in split(scan.parts, request.syntax)] if scan and scan.acts else [1.0]


def _has_base(weights: Sequence[float]) -> bool:
    """Whether the base does not cancel out of base + sum w (logits - base)."""
    return abs(1 - sum(weights)) > NEAR


def _named(name: str, number: int) -> str:
    """The name of part `number` of a prompt."""
    return f"{name}/and/{number}" if number else name


def _only(counts: Sequence[Count]) -> dict[int, int]:
    """For each row of the batch that stands once in the canvas with its own prompt and once with the base:
    where the base is. Rows that stand there more often may have different answers."""
    places: dict[int, list[int]] = defaultdict(list)
    for index, count in enumerate(counts):
        places[count.row].append(index)
    found = {}
    for number, here in places.items():
        base = [index for index in here if counts[index].prompt == BASE]
        if len(here) == 2 and len(base) == 1:
            found[number] = base[0]
    return found


def _total(terms: Mapping[Source, float], logits: Mapping[Source, Tensor]) -> Tensor:
    """The weighted sum."""
    first, *others = (
        logits[source] if factor == 1 else logits[source] * factor for source, factor in terms.items()
    )
    for other in others:
        first = first + other
    return first
