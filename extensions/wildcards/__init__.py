"""Choices and wildcards: parts of a prompt that are drawn."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from webui import (
    Cell,
    Completion,
    Construct,
    Extension,
    Options,
    Prompt,
    Request,
    Row,
    Scan,
    Typed,
    Underline,
    counted,
    field,
)

from .drawing import MANY, MAX_DRAWS, Drawing, Drawn, Seeded, column_of, every, number_of
from .files import Files, Missing
from .syntax import SYNTAX, options_of, too_deep, unclosed

FOLDER = "wildcards"  # within the models folder
BEGUN = re.compile(r"(?<!\w)__([\w./-]*)\Z")  # a wildcard up to the cursor
LONGEST = 102  # characters of one
ENDED = re.compile(r"[\w./-]{0,100}__(?!\w)")  # what is left of it behind the cursor
SHOWN = 3  # lines in the explanation of a wildcard
SHOWN_LETTERS = 40  # of each of them
MAX_LABEL = 200  # characters of what tells a combination from others
NO_SEED = -1
NEGATIVE = ("guidance", "negative_prompt")  # extension and option; without it there is only the prompt
MINUS = "−"  # before what was drawn for the negative prompt, in the label of a combination


class Wildcards(Extension):
    """{red|blue} draws one of these words, __animal__ a line of models/wildcards/animal.txt.

    The request's seed draws, so text k of a request draws anew. What was drawn is kept in the saved request,
    which gives the same text when the files have changed. Works on every named prompt; `combinatorial`
    concerns the prompt and the negative prompt.
    """

    order = MappingProxyType({"expand": 30, "prompt": -30})
    explanations = MappingProxyType(
        {
            "choice": "One of these {count} is drawn by the seed.",
            "every choice": "A text is written for each of these {count}.",
            "wildcard": "One of the {count} lines of the wildcard {name} is drawn by the seed: {lines}",
            "every wildcard": "A text is written for each of the {count} lines of the wildcard {name}: "
            "{lines}",
            "missing": "Column {column}: {reason} So it is text.",
            "unusable": "Column {column}: {reason}",
            "many": f"Column {{column}}: more than {MAX_DRAWS} choices and wildcards.",
            "deep": "Column {column}: choices are nested too deeply.",
            "unclosed": "Column {column}: this {{ is never closed, so it is text.",
        }
    )

    class Options(Options):
        combinatorial: bool = field(
            False,
            label="Combinatorial",
            help="A text for every combination of the choices and wildcards in prompt and negative prompt "
            "instead of a drawn one.",
            axis=False,
        )
        drawn: dict[str, tuple[tuple[str, str], ...]] = field(
            {},
            label="Drawn",
            help="What was drawn when the text was made, for each prompt: what from, and the line or the "
            "number of the choice.",
            place="hidden",
            axis=False,
        )
        drawn_seed: int = field(
            NO_SEED,
            ge=NO_SEED,
            label="Drawn with seed",
            help="With another seed it is drawn anew; -1 holds for any seed.",
            place="hidden",
            axis=False,
        )

    @classmethod
    def expand(cls, request: Request) -> Iterator[Cell] | None:
        if not cls.options(request).combinatorial:
            return None
        if request.syntax == "off":
            raise ValueError(
                "with the prompt syntax off, choices and wildcards are text; set the syntax to safe or turn "
                "combinatorial off."
            )
        prompts = {name: Prompt.of(text) for name, text in _texts(request).items()}
        scans = {name: one.scan(SYNTAX, request.syntax) for name, one in prompts.items()}
        for scan in scans.values():
            _check_depth(scan)
        acting = [name for name, scan in scans.items() if scan.acts]
        if not acting:
            raise ValueError(
                "the prompt has no choice and no wildcard; write {red|blue}, or turn combinatorial off."
            )
        files = Files(cls.models / FOLDER)

        def combinations(names: Sequence[str]) -> Iterator[dict[str, Drawing]]:
            """Every combination of these prompts', the last one's fastest."""
            if not names:
                yield {}
                return
            for drawing in every(prompts[names[0]], files, request.syntax):
                for others in combinations(names[1:]):
                    yield {names[0]: drawing, **others}

        cells = (cls._cell(i, request, drawings) for i, drawings in enumerate(combinations(acting)))
        numbers = [number_of(prompts[name], files, request.syntax) for name in acting]
        if None in numbers:  # which of them cannot be drawn from is said where it is drawn
            return cells
        return counted(min(MANY, math.prod(number for number in numbers if number)), cells)

    @classmethod
    def prompt(cls, row: Row) -> Row:
        options, request = cls.options(row), row.request
        recorded = options.drawn if options.drawn_seed in (NO_SEED, request.seed) else {}
        files = Files(cls.models / FOLDER)
        drawn: dict[str, tuple[Drawn, ...]] = {}
        for name, prompt in tuple(row.prompts.items()):
            scan = prompt.scan(SYNTAX, request.syntax)
            _check_depth(scan)
            for place in unclosed(scan, prompt.text):
                row = row.note(cls.explanations["unclosed"].format(column=place + 1))
            if not scan.acts:
                row = row.with_prompt(name, Prompt(scan.literal))
                continue
            drawing = Drawing(files, request.syntax, Seeded(request.seed, name, recorded.get(name, ())))
            row = row.with_prompt(name, drawing.prompt(scan.parts))
            for warning in drawing.warnings:
                row = row.note(warning)
            if drawing.drawn:
                drawn[name] = tuple(drawing.drawn)
                row = row.note(f"Drawn for the {_titled(name)}: {', '.join(drawing.texts)}")
        if not drawn and not options.drawn:
            return row
        own = cls.Options(drawn=drawn, drawn_seed=request.seed if drawn else NO_SEED)
        return row.replace(request=request.replace(**{cls.name: own}))

    @classmethod
    def neutral(cls, row: Row) -> bool:
        return True

    @classmethod
    def marks(cls, typed: Typed) -> Iterator[Underline]:
        files = Files(cls.models / FOLDER)
        scan = typed.scan(SYNTAX)
        if (place := too_deep(scan)) is not None:
            yield Underline(place, place + 1, "deep", "refused", {"column": place + 1})
            return
        all_drawn = cls.options(typed.request).combinatorial and typed.field in ("prompt", ".".join(NEGATIVE))
        every_ = "every " if all_drawn else ""
        waiting = [part for part in scan.parts if isinstance(part, Construct)]
        acting = 0
        for part in waiting:  # grows by what is nested
            waiting += [inner for inner in part.parts if isinstance(inner, Construct)]
            if part.span is None:
                continue
            mark = _choice(part, every_) if not part.groups else _wildcard(part, files, every_)
            acting += mark.effect == "acts"
            if acting > MAX_DRAWS and mark.effect == "acts":
                yield Underline(*part.span, "many", "refused", {"column": column_of(part)})
                return
            yield mark
        for place in unclosed(scan, typed.text):
            yield Underline(place, place + 1, "unclosed", "literal", {"column": place + 1})

    @classmethod
    def complete(cls, typed: Typed, cursor: int) -> Iterator[Completion]:
        begun = BEGUN.search(typed.text, max(0, cursor - LONGEST), cursor)
        if begun is None or typed.mode == "off":
            return
        rest = ENDED.match(typed.text, cursor)
        files = Files(cls.models / FOLDER)
        for name in files.names():
            if name.casefold().startswith(begun[1].casefold()):
                yield Completion(
                    begun.start(), rest.end() if rest else cursor, f"__{name}__", _about(files, name)
                )

    @classmethod
    def _cell(cls, index: int, request: Request, drawings: Mapping[str, Drawing]) -> Cell:
        own = cls.Options(drawn={name: tuple(drawing.drawn) for name, drawing in drawings.items()})
        told = [
            text if name == "main" else f"{MINUS} {text}"
            for name in drawings
            for text in drawings[name].texts
        ]
        label = ", ".join(told)[:MAX_LABEL]
        made = request.model_copy(update={cls.name: own})  # valid, as both are; there may be thousands
        return Cell(str(index), made, (("wildcards", label, label),))


def _check_depth(scan: Scan) -> None:
    """ValueError for choices that are nested deeper than is looked into."""
    if (place := too_deep(scan)) is not None:
        raise ValueError(f"column {place + 1}: choices are nested too deeply.")


def _texts(request: Request) -> dict[str, str]:
    """The texts that combinations are made of, by the name of their prompt."""
    extension, option = NEGATIVE
    negative = getattr(getattr(request, extension, None), option, "")
    return {"main": request.prompt, **({"negative": negative} if negative else {})}


def _choice(part: Construct, every: str) -> Underline:
    return Underline(*_span(part), f"{every}choice", values={"count": len(options_of(part))})


def _wildcard(part: Construct, files: Files, every: str) -> Underline:
    name, column = part.groups[0] or "", column_of(part)
    try:
        lines = files.lines(name)
        files.check(name)
    except Missing as error:
        return Underline(*_span(part), "missing", "literal", {"column": column, "reason": str(error)})
    except ValueError as error:
        return Underline(*_span(part), "unusable", "refused", {"column": column, "reason": str(error)})
    first = [line[:SHOWN_LETTERS] for line in lines[:SHOWN]]
    shown = ", ".join(first) + (", …" if len(lines) > SHOWN else "")
    return Underline(
        *_span(part), f"{every}wildcard", values={"count": len(lines), "name": name, "lines": shown}
    )


def _span(part: Construct) -> tuple[int, int]:
    assert part.span is not None  # the text was typed
    return part.span


def _about(files: Files, name: str) -> str:
    try:
        return f"wildcard, {len(files.lines(name))} lines"
    except ValueError:
        return "wildcard"


def _titled(name: str) -> str:
    """A prompt's name in a sentence."""
    return {"main": "prompt", "negative": "negative prompt"}.get(name, f"prompt {name}")
