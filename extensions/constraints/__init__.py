"""Constraints: the answer, or gaps of it, match a rule, whatever order the positions are committed in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from webui import Extension, Gap, Options, Refusal, Row, field

from . import rules
from .automaton import Patience

if TYPE_CHECKING:
    from torch import Tensor

    from webui import Canvas, Choice, Link, Result

    from .answers import Group


class Constraints(Extension):
    """The answer, or gaps of it, match a rule: a regular expression, choices, a JSON Schema or a grammar."""

    title = "Constraints"
    order = 60  # `prompt` after infill, which makes the gaps; `pick` after those that choose other tokens

    class Options(Options):
        preset: Literal["none", "date", "number", "list", "email", "json", "python", "haiku"] = field(
            "none",
            label="Form",
            help="A ready-made rule: date, number, list with hyphens, e-mail address, JSON object, header of "
            "a Python function, haiku (5, 7 and 5 syllables).",
        )
        regex: str = field(
            "",
            label="Regular expression",
            help="The whole answer matches it: [A-Z][a-z]+( [a-z]+)*[.]",
            max_length=100_000,
        )
        choices: str = field(
            "",
            label="Choices",
            help="The answer is one of these texts, one a line.",
            widget="lines",
            max_length=100_000,
        )
        json_schema: str = field(
            "",
            label="JSON Schema",
            help="The answer is a JSON text that the schema describes.",
            widget="lines",
            max_length=100_000,
        )
        grammar: str = field(
            "",
            label="Grammar",
            help="The answer is a text of this grammar, in Lark's notation or in GBNF.",
            widget="lines",
            max_length=100_000,
        )
        depth: int = field(
            0,
            ge=0,
            le=64,
            label="Nesting",
            help="How deep the grammar's recursion nests at most; 0: as deep as the automaton may grow.",
        )
        gaps: str = field(
            "",
            label="Rules for gaps",
            help="Lines such as when = [0-9]{4} or price = @number for the gaps [[when:...4]] and "
            "[[price:...3]] of the prompt.",
            widget="lines",
            max_length=100_000,
        )

    @classmethod
    def assets(cls) -> tuple[str, ...]:
        return ("constraints.js", "constraints.css")

    @classmethod
    def routes(cls) -> Mapping[str, Any]:
        return {"check": cls._check, "parts": cls._parts}

    @classmethod
    def _check(cls, app: Any, sent: Mapping[str, Any]) -> dict[str, Any]:
        from . import page

        return {"rules": page.checked(page.taken(cls.Options, sent))}

    @classmethod
    def _parts(cls, app: Any, sent: Mapping[str, Any]) -> dict[str, Any]:
        from . import page

        text = sent.get("text")
        if not isinstance(text, str):
            raise ValueError("Send a text.")
        return {"parts": page.parts(page.taken(cls.Options, sent), text, page.gaps_of(sent, text))}

    @classmethod
    def neutral(cls, row: Row) -> bool:
        options = cls.options(row)
        return options.model_copy(update={"depth": 0}).defaults()

    @classmethod
    def prompt(cls, row: Row) -> Row:
        if cls.neutral(row):
            return row
        _, gaps = _rules(cls.options(row))
        named = {gap.name for gap in row.draft.gaps} if row.draft is not None else set()
        if missing := [name for name in gaps if name not in named]:
            raise ValueError(
                f"the prompt has no gap {missing[0]}; write it as [[{missing[0]}:...8]], 8 tokens long."
            )
        return row

    _segments: Sequence[Segment] = ()  # none while the rules are compiled

    def canvas(self, canvas: Canvas, model: Link) -> Canvas:
        import torch

        from .answers import groups

        ruled = torch.tensor([row is not None for row in self.rows], device=canvas.row.device)
        if canvas.nothing >= 0 and bool((canvas.absent.any(1) & ruled[canvas.row]).any()):
            raise Refusal(
                "a rule is for an answer that keeps its length: take another sampler than dreamon or daedal."
            )
        self._segments = [
            segment
            for number, row in enumerate(self.rows)
            if row is not None
            for segment in _segments(number, row, _rules(self.options(row)), model)
        ]
        self._groups: list[Group] = groups(self._segments, model)
        for group in self._groups:
            group.refuse_impossible(model)
        return canvas

    def ban(self, canvas: Canvas, model: Link) -> Tensor | None:
        import torch

        bans = torch.zeros(canvas.at[0].numel(), model.vocabulary, dtype=torch.bool, device=model.device)
        host = model.on_host(canvas)
        for group in self._groups:
            group.ban(host, model, bans)
        return bans

    def pick(self, canvas: Canvas, model: Link, logits: Tensor, choice: Choice) -> Choice:
        host, before = model.on_host(canvas), _read(choice)
        after = before
        for group in self._groups:
            after = group.pick(host, model, logits, after)
        return choice if after is before else _moved(after, canvas.tokens.device)

    def finish(self, row: Row, result: Result) -> Mapping[str, bool | int]:
        mine = [segment for segment in self._segments if self.rows[segment.row] is row]
        valid = bool(mine) and all(segment.valid(result) for segment in mine)
        found: dict[str, bool | int] = {"valid": valid}
        if (depth := max((segment.rule.depth for segment in mine), default=-1)) >= 0:
            found["depth"] = depth
        return found


@dataclass(frozen=True)
class Segment:
    """A stretch of a row's answer under a rule.

    row         number of the row in its batch
    span        (start, end) positions of the answer
    rule        automaton over bytes, of the text alone
    strips      what is taken off the beginning of the written text before the rule is asked
    ends        whether the text may end by an end-of-text token before the stretch does
    first       whether it begins the answer, where tokens may read differently
    restricted  (position, OPENS, LEADS or CLOSES) of tokens that the text around a gap restricts
    name        of the gap; "": the whole answer
    """

    row: int
    span: tuple[int, int]
    rule: Any
    strips: tuple[str, ...]
    ends: bool
    first: bool
    restricted: tuple[tuple[int, int], ...]
    name: str = ""

    def valid(self, result: Result) -> bool:
        """Whether the text of a finished row matches, or what was written in the gaps of this name."""
        if not result.complete:
            return False
        if not self.name:
            return self.rule.accepts(result.text)
        written = [result.text[start:end] for name, start, end in result.gaps if name == self.name]
        return all(self.rule.accepts(text) for text in written)


def _read(choice: Choice) -> Choice:
    """The choice on the host, in one transfer."""
    import torch

    if choice.token.device.type == "cpu":
        return choice
    numbers = [
        choice.token,
        choice.commit.long(),
        choice.confidence.double().view(torch.long),
        choice.probability.double().view(torch.long),
        *([] if choice.remask is None else [choice.remask.flatten().long()]),
    ]
    read = torch.cat(numbers).cpu()
    token, commit, confidence, probability = read[: 4 * len(choice.token)].chunk(4)
    remask = None if choice.remask is None else read[4 * len(token) :].view(choice.remask.shape).bool()
    return replace(
        choice,
        token=token,
        commit=commit.bool(),
        confidence=confidence.view(torch.double).to(choice.confidence.dtype),
        probability=probability.view(torch.double).to(choice.probability.dtype),
        remask=remask,
    )


def _moved(choice: Choice, device: Any) -> Choice:
    """The choice on a device."""
    remask = None if choice.remask is None else choice.remask.to(device)
    token, confidence = choice.token.to(device), choice.confidence.to(device)
    commit, probability = choice.commit.to(device), choice.probability.to(device)
    return replace(
        choice,
        token=token,
        confidence=confidence,
        commit=commit,
        probability=probability,
        remask=remask,
    )


def _rules(options: Any) -> tuple[rules.Rule | None, dict[str, rules.Rule]]:
    """The rule of the whole answer, or None, and those of gaps. ValueError."""
    whole, gaps = rules.whole(options), rules.of_gaps(options.gaps)
    if whole is not None and gaps:
        raise Refusal(rules.BOTH)
    return whole, gaps


def _segments(
    number: int, row: Row, read: tuple[rules.Rule | None, dict[str, rules.Rule]], model: Link
) -> Sequence[Segment]:
    """What of a row's answer stands under which rule. ValueError."""
    rule, of_gaps = read
    patience = Patience(model.cancelled, model.report)
    whole = None if rule is None else _deepest(rule.automata(patience), model)
    gaps = {name: one.automata(patience)[0] for name, one in of_gaps.items()}
    length, draft = len(model.answer(number)), row.draft
    spans = model.spans(number)
    if draft is None:
        assert whole is not None  # rules for gaps need gaps
        prefix = "" if row.request.template == "raw" else model.prefix
        ends = row.request.end_of_text != "ban" and bool(model.ends)
        return [Segment(number, (0, length), whole, (prefix,), ends, True, ())]
    places = iter(spans)
    bounded = [
        (part, next(places), after)
        for part, after in zip(draft.parts, (*draft.parts[1:], None), strict=True)
        if isinstance(part, Gap)
    ]
    if whole is not None:
        begins = draft.parts[0]
        literal = not isinstance(begins, Gap) and begins.text.startswith(model.prefix or "\0")
        restricted = [asked for gap in bounded for asked in _restricted(*gap, 0)]
        strips = ("",) if literal else (model.prefix,)
        return [Segment(number, (0, length), whole, strips, False, True, tuple(restricted))]
    return [
        Segment(
            number,
            span,
            gaps[part.name],
            (model.prefix if span[0] == 0 else "", part.lead),
            False,
            span[0] == 0,
            tuple(_restricted(part, span, after, span[0])),
            part.name,
        )
        for part, span, after in bounded
        if part.name in gaps
    ]


def _deepest(automata: Sequence[Any], model: Link) -> Any:
    """The deepest automaton that the vocabulary leaves room for; else the first one, which is refused."""
    from .tokens import most_states

    if len(automata) == 1:
        return automata[0]
    most = most_states(model.vocabulary) - len(model.prefix.encode()) - 1
    return [automata[0], *(one for one in automata if len(one.final) <= most)][-1]


def _restricted(gap: Gap, span: tuple[int, int], after: Any, origin: int) -> list[tuple[int, int]]:
    """What infill asks of the tokens at both ends of a gap, so that no blank is doubled or lost."""
    from .tokens import CLOSES, LEADS, OPENS

    found = [(span[0] - origin, LEADS if gap.name else OPENS)] if gap.lead else []
    if after is not None and (after.lead if isinstance(after, Gap) else after.text.startswith(" ")):
        found.append((span[1] - 1 - origin, CLOSES))
    return found
