"""Schedules: a prompt that changes while the text is written, `[from:to:when]` and `[a|b]`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from webui import Construct, Extension, Options, Prompt, Row, Scan, Typed, Underline, field

from . import timeline
from .timeline import BEGUN, ENDS, REFUSED, SYNTAX, Timeline

if TYPE_CHECKING:
    from torch import Tensor

    from webui import Canvas, Count, Link

NOTES = 3  # about what is text, of one prompt
SHOWN = 40  # characters of it in a sentence
Mode = Literal["safe", "full", "off"]


class PromptSchedule(Extension):
    """`[from:to:when]` in a prompt is `from` until that share of the answer is committed, then `to`; with a
    whole number (syntax full) until so many model calls were made. `[a|b]` (syntax full) takes turns.

    Works on every named prompt of a row: the text NAME has at first keeps the name, the others are prompts
    `NAME/at/1`, `NAME/at/2`, ... Lies nearest to the model but for emphasis, so that every branch has its own
    schedule: the negative prompt, the parts of AND.
    """

    title = "Prompt schedule"
    about = "[from:to:0.5] changes the prompt when half of the answer is committed."
    order = MappingProxyType({"prompt": 50, "denoise": 4})
    explanations = MappingProxyType(
        {
            "share": "The prompt changes here when the share {when} of the answer is committed.",
            "call": "The prompt changes here after {when} model calls.",
            "time": "Column {column}: {text} is text: a schedule ends in the share of the answer at which it "
            "changes, as in [day:night:0.5].",
            "unclosed": "Column {column}: this [ is never closed, so it is text.",
            "turns": "One of these for each model call, in turn.",
        }
    )

    class Options(Options):
        scope: Literal["run", "block"] = field(
            "run",
            label="Schedule within",
            help="What a share in a schedule is a share of: the whole answer, or the block being denoised.",
        )

    @classmethod
    def prompt(cls, row: Row) -> Row:
        found: dict[str, Timeline] = {}
        for name, prompt in tuple(row.prompts.items()):
            scan = prompt.scan(SYNTAX, row.request.syntax)
            for _, values in islice(cls._refused(prompt, row.request.syntax), NOTES):
                row = row.note(cls.explanations["time"].format_map(values))
            for at in cls._unclosed(scan, row.request.prompt, row.request.syntax) if name == "main" else ():
                row = row.note(cls.explanations["unclosed"].format(column=at + 1))
            if not scan.acts:
                row = row.with_prompt(name, Prompt(scan.literal))
                continue
            try:
                found[name], texts = timeline.times(timeline.read(scan.parts))
            except ValueError as error:
                first = next(part for part in scan.parts if isinstance(part, Construct))
                raise ValueError(f"column {(first.span or (0, 0))[0] + 1}: {error}") from error
            for number, text in enumerate(texts):
                row = row.with_prompt(_named(name, number), text)
        found = {name: times for name, times in found.items() if len(set(times.texts)) > 1}
        return row.with_own(cls.name, found) if found else row

    @classmethod
    def neutral(cls, row: Row) -> bool:
        return cls.name not in row.own

    @classmethod
    def marks(cls, typed: Typed) -> Iterator[Underline]:
        scan = typed.scan(SYNTAX)
        waiting = [part for part in scan.parts if isinstance(part, Construct)]
        for found in waiting:  # grows by what is nested
            waiting += [part for part in found.parts if isinstance(part, Construct)]
            if found.span is None or not timeline.acts(found):
                continue
            if found.name == "alternation":
                yield Underline(*found.span, "turns")
            else:
                when = typed.text[found.span[0] : found.span[1] - 1].rpartition(":")[2].strip()
                yield Underline(*found.span, "share" if "." in when else "call", values={"when": when})
        for at in cls._unclosed(scan, typed.text, typed.mode):
            yield Underline(at, at + 1, "unclosed", "literal", {"column": at + 1})
        for span, values in cls._refused(Prompt.of(typed.text), typed.mode):
            yield Underline(*span, "time", "literal", values)

    @staticmethod
    def _unclosed(scan: Scan, typed: str, mode: Mode) -> list[int]:
        """Where in a text as it was typed schedules were begun that are never closed; in the mode full
        emphasis says so of every bracket."""
        if mode != "safe":
            return []
        places = [at for at, reason in scan.literals if reason.endswith("never closed")]
        return [at for at in places[:NOTES] if BEGUN.match(typed, at)]

    @classmethod
    def _refused(cls, prompt: Prompt, mode: Mode) -> Iterator[tuple[tuple[int, int], dict[str, str | int]]]:
        """Where in what was typed something looks like a schedule and has no time, and the values of its
        explanation."""
        if not ENDS.search(prompt.text):
            return
        for part in prompt.scan(REFUSED, mode).parts:
            if isinstance(part, Construct) and part.span is not None:
                text = "".join(piece.text for piece in part.pieces)
                shown = text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
                yield part.span, {"column": part.span[0] + 1, "text": shown}

    def canvas(self, canvas: Canvas, model: Link) -> Canvas:
        names = {
            _named(name, number)
            for row in self.rows
            if row is not None
            for name, times in row.own[self.name].items()
            for number in times.texts
        }
        self._templates = {name: model.template(name) for name in sorted(names)}
        return canvas

    def denoise(self, canvas: Canvas, model: Link) -> Tensor:
        """The logits with the prompts that the rows have now. The host knows which: nothing is asked of the
        device."""
        groups: dict[str, list[int]] = {}
        for index, count in enumerate(canvas.counts):
            groups.setdefault(self._now(count), []).append(index)
        here = groups.pop("", [])
        if not groups:
            return model(canvas)
        order = [*here, *(index for group in groups.values() for index in group)]
        parts = [canvas.take(here)] if here else []
        for name, group in groups.items():
            part = canvas if len(group) == len(canvas.counts) else canvas.take(group)
            parts.append(part.with_prompt(self._templates[name], name[name.rindex("at/") :]))
        whole = parts[0].cat(*parts[1:])
        if order != sorted(order):
            whole = whole.take([order.index(index) for index in range(len(order))])
        return model(whole)

    def _now(self, count: Count) -> str:
        """Name of the prompt that a row of the canvas has to have now; "" if it has that."""
        row = self.rows[count.row]
        times = None if row is None else row.own[self.name].get(count.prompt)
        if row is None or times is None:
            return ""
        progress = count.block_progress if self.options(row).scope == "block" else count.progress
        name = _named(count.prompt, times.text(progress, count.step))
        return "" if name == count.prompt else name


def _named(name: str, number: int) -> str:
    """The name of a prompt's text number `number`."""
    return f"{name}/at/{number}" if number else name
