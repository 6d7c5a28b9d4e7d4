"""Loopback: each text is the start of the next one, in the prompt or, masked in part, on the canvas."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

from webui import (
    Cell,
    Cost,
    Event,
    Extension,
    Failed,
    Finished,
    Loop,
    Options,
    Piece,
    Prompt,
    Request,
    Result,
    Row,
    Start,
    field,
)

from .strengths import strength
from .template import OUTPUT, PLACES, parts

STRIDE = 1_000_003  # between the seeds of two passes: text k of a request has seed + k
SEEDS = 2**53


class Loopback(Extension):
    """Writes a text, and writes it again from what came out, as often as asked for.

    into canvas  a share of the positions, those the model was least sure of, is masked and written again
    into prompt  the text stands in the next prompt, by a template: draft, criticise, rewrite

    All texts of a job make each pass together. A text whose pass changes nothing leaves.
    """

    title = "Loopback"
    about = "Each text is written again from what came out: masked in part, or as part of the prompt."
    order = -100  # its prompt comes before every other extension looks at it

    class Options(Options):
        loops: int = field(
            0, ge=0, le=64, label="Loops", help="How often the text is written again; 0 is off."
        )
        into: Literal["canvas", "prompt"] = field(
            "canvas",
            label="Back into",
            help="canvas: a share of it is masked and written again; prompt: it stands in the next prompt.",
        )
        strength: float = field(
            0.5,
            ge=0,
            le=1,
            step=0.05,
            label="Strength",
            help="Share of the positions that the first loop masks again, the least certain first.",
        )
        final_strength: float | None = field(
            None, ge=0, le=1, label="Final strength", help="The share in the last loop; empty: the same."
        )
        curve: Literal["linear", "aggressive", "lazy"] = field(
            "linear", label="Curve", help="How the strength changes on the way: evenly, early, late."
        )
        template: str = field(
            "{input}\n\n{output}",
            label="Template",
            help="The next prompt: {input} is the prompt, {output} the text, {instruction} a line of the "
            "instructions.",
            widget="lines",
            max_length=20_000,
        )
        instructions: str = field(
            "",
            label="Instructions",
            help="One line for each loop, for {instruction}; the last one stays.",
            widget="lines",
            max_length=20_000,
        )
        output: str = field(
            "",
            label="Text before",
            help="What stands for {output}; set by each loop.",
            place="hidden",
            axis=False,
            max_length=1_000_000,
        )
        loop: int = field(0, ge=0, le=64, label="Loop", help="Which loop it is.", place="hidden", axis=False)

    @classmethod
    def run(
        cls, cells: Sequence[Cell], generate: Callable[[Sequence[Cell]], Iterator[Event]]
    ) -> Iterator[Event]:
        asked = {cell.id: cell for cell in cells}
        first: dict[str, Result] = {}  # of each cell, with its presets resolved
        before: dict[str, str] = {}
        sure: dict[
            str, dict[int, float]
        ] = {}  # confidence of what the model wrote, by column, over all passes
        passes = 1 + max(cls.options(cell.request).loops for cell in cells)
        for k in range(passes):
            yield Loop(k, passes)
            done: list[tuple[str, Result]] = []
            for event in generate(cells):
                if not isinstance(event, Finished) or event.cell is None:
                    yield event
                    continue
                name, result = event.cell, event.result
                first.setdefault(name, result)
                written = {c.column: c.confidence for c in result.trace if c.confidence is not None}
                sure.setdefault(name, {}).update(written)
                last = k >= cls.options(asked[name].request).loops
                if last or not result.complete or result.text == before.get(name):
                    yield Finished(_as_asked(result, first[name], k), name)
                else:
                    before[name] = result.text
                    done.append((name, result))
            cells = []
            for name, result in done:
                try:
                    cells.append(cls._next(name, first[name], result, sure[name], k))
                except ValueError as error:
                    yield Failed.of(name, error)
            if not cells:
                return

    @classmethod
    def cost(cls, request: Request) -> Cost:
        """Each loop has as many steps as the first text, or one for each position that it masks. A text that
        a loop leaves as it was is done earlier."""
        options = cls.options(request)
        if options.into == "prompt":
            return Cost(passes=1.0 + options.loops)
        most = (request.length or 1) / (request.steps or request.length or 1)  # positions masked at each step
        curve = (options.strength, options.final_strength, options.curve)
        shares = [strength(*curve, k, options.loops) for k in range(options.loops)]
        return Cost(passes=1.0 + sum(min(1.0, share * most) for share in shares))

    @classmethod
    def _next(cls, name: str, first: Result, result: Result, sure: Mapping[int, float], k: int) -> Cell:
        """The cell of loop k (from 0) over this text. ValueError."""
        request, options = first.request, cls.options(first.request)
        changes: dict[str, Any] = {"seed": (request.seed + (k + 1) * STRIDE) % SEEDS}
        if options.into == "prompt":
            own = options.replace(loops=0, output=result.text, loop=k + 1)
            return cls.cell(name, request, **changes, canvas=None, **{cls.name: own})
        share = strength(options.strength, options.final_strength, options.curve, k, options.loops)
        return cls.cell(name, request, **changes, canvas=_masked(result, sure, share))

    @classmethod
    def prompt(cls, row: Row) -> Row:
        """The prompt of a loop: what stands in the template, the text before locked."""
        options = cls.options(row)
        if options.loops and options.into == "prompt":
            parts(options.template)  # refused before the first text is written
        if not options.loop:
            return row
        lines = [line for line in options.instructions.splitlines() if line.strip()]
        line = lines[min(options.loop, len(lines)) - 1] if lines else ""
        texts = {"input": row.request.prompt, "instruction": line}
        pieces: list[Piece] = []
        for part in parts(options.template):
            if part == OUTPUT:
                pieces.append(Piece(options.output, locked=True))
            else:
                pieces.append(Piece(texts[PLACES[part]] if part in PLACES else part))
        prompt = Prompt(tuple(piece for piece in pieces if piece.text))
        return row.with_prompt("main", prompt)

    @classmethod
    def neutral(cls, row: Row) -> bool:
        return True  # nothing to do in a batch


def _as_asked(result: Result, first: Result, loops: int) -> Result:
    """The result under the request that makes it again, the first pass's."""
    note = f"Written again {loops} times." if loops > 1 else "Written again once."
    notes = (*result.notes, note) if loops else result.notes
    kept = {"request": first.request, "preset": first.preset, "notes": notes}
    return result.model_copy(update=kept)


def _masked(result: Result, sure: Mapping[int, float], share: float) -> Start:
    """The text with a share of what the model wrote masked: the positions with the lowest confidence, the
    leftmost of equal ones. Given text stays."""
    worst = sorted(sure, key=lambda column: (sure[column], column))
    masked = set(worst[: round(share * len(worst))])
    return Start(tokens=tuple(None if i in masked else token for i, token in enumerate(result.tokens)))
