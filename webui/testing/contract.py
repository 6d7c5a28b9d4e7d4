"""What every extension owes to those beside it, tried on one: `check`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any

from webui.application import App
from webui.core.flags import leaves
from webui.core.options import Options, validate
from webui.core.result import Result
from webui.testing.whole import cells, load, program, write

WARM = MappingProxyType({"prompt": "a cat", "temperature": 0.9, "steps": 5, "length": 10, "seed": 3})
BATCHES = (2, 5)  # rows beside each other
INFILL = MappingProxyType({"prompt": "a ____ cat\n[[...4]] sat."})
# What stands beside it, by name: built-in extensions that change what a row, a prompt or a model call is.
BESIDE: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "guidance": {"guidance": {"negative_prompt": "rain", "scale": 2.0}},
        "infill": INFILL,
        "matrix": {"prompt": "a cat | in rain", "prompt_matrix": {"enabled": True}},
    }
)


def check(
    folder: Path, *, refuses: Sequence[str] = (), extensions: Sequence[Path] = (), **fields: Any
) -> None:
    """The contract of the extension in `folder`, in seconds, on a tiny checkpoint. AssertionError says which
    part of it does not hold, and for which case.

    fields      what makes the extension act: fields of a request, such as quiet={"strength": 3}. By default
                each option gets another value than its default, and whether it acts is not asked
    refuses     names of cases that the extension refuses with a sentence, as it may: "infill" ...
    extensions  folders of others that it needs

    With its options at their defaults a text is what it is without the extension. With them, alone and
    beside guidance, infill and the prompt matrix: the same request gives the same text; a text alone is the
    text in a batch of 2 and of 5; what was saved makes it again; text around gaps stays. For every sampler a
    text alone is that in a batch of 2.
    """
    kind = load(folder)
    acting = fields or _other_values(kind.name, kind.Options)
    with TemporaryDirectory() as place:
        with program(Path(place), extensions) as app:
            plain = _texts(write(app, **WARM))
            cases = {"alone": {}} | {name: {"sampler": name} for name in app.samplers()}
            cases |= {case: asked for case, asked in BESIDE.items() if _there(app, case, asked)}
        unknown = set(refuses) - set(cases)
        assert not unknown, f"There is no case {sorted(unknown)}. There are: {', '.join(cases)}."
        with program(Path(place), [*extensions, folder]) as app:
            if kind.Options.model_fields:
                assert _texts(write(app, **WARM)) == plain, (
                    f"{kind.name} changes a text though its options have their defaults."
                )
            if fields and "alone" not in refuses:
                made = write(app, **{**WARM, **acting})
                acts = _texts(made) != plain or any(kind.name in part.extras for part in cells(made))
                assert acts, f"{kind.name} does nothing with {fields}."
            for case, asked in cases.items():
                together = {**WARM, **asked, **_joined(acting, asked)}
                _case(app, kind.name, case, together, case in refuses, brief="sampler" in asked)


def _there(app: App, case: str, asked: Mapping[str, Any]) -> bool:
    """Whether the extensions of a case are installed: those that are named as it, or have fields in it."""
    known = app.Request.model_fields
    return all(name in known for name in asked) and (case != "infill" or case in known)


def _case(
    app: App, name: str, case: str, fields: Mapping[str, Any], refused: bool, brief: bool = False
) -> None:
    """One case. brief: the text alone and in a batch of 2, and no more."""
    try:
        first = write(app, **fields)
    except (AssertionError, ValueError) as error:
        by_name = str(error).startswith(f"{name}: ") and "Error: " not in str(error)
        assert refused and by_name, f"{case}: {error}"
        return
    assert not refused, f"{case}: it is named in `refuses` and was not refused."
    if not brief:
        assert _texts(write(app, **fields)) == _texts(first), f"{case}: the same request gave another text."
    if fields["prompt"] == INFILL["prompt"]:
        text = first.text
        kept = text.startswith("a ") and " cat\n" in text and text.endswith(" sat.")
        assert kept, f"{case}: text around gaps changed: {text!r}."
    if len(cells(first)) == 1:
        for count in BATCHES[:1] if brief else BATCHES:
            beside = _texts(write(app, **fields, count=count))[0]
            assert beside == first.text, f"{case}: alone {first.text!r}, in a batch of {count} {beside!r}."
    for part in () if brief else cells(first):
        again, unknown = app.Request.read(part.model_dump_json())
        assert not unknown, f"{case}: the saved file has fields that nothing knows: {unknown}."
        (made,) = _texts(write(app, **dict(again)))
        assert made == part.text, f"{case}: what was saved gives {made!r}, not {part.text!r}."


def _joined(acting: Mapping[str, Any], beside: Mapping[str, Any]) -> dict[str, Any]:
    """What makes the extension act; where a case has a prompt of its own, in front of that."""
    if "prompt" not in acting or "prompt" not in beside:
        return dict(acting)
    return {**acting, "prompt": f"{acting['prompt']} {beside['prompt']}"}


def _texts(result: Result) -> list[str]:
    return [part.text for part in cells(result)]


def _other_values(name: str, options: type[Options]) -> dict[str, Any]:
    """Options that are not at their defaults, as far as another value can be guessed from the declaration."""
    found: dict[str, Any] = {}
    for option, info in options.model_fields.items():
        for value in _guesses(info.annotation, info.default):
            if value != info.default and _valid(options, option, value):
                found[option] = value
                break
    return {name: found} if found else {}


def _guesses(kind: Any, default: Any) -> Iterator[Any]:
    values = leaves(kind)
    if values == [bool]:
        yield not default
    elif values and all(isinstance(value, str) for value in values):  # a Literal
        yield from values
    elif values and set(values) <= {int, float}:
        base, make = default or 0, float if float in values else int
        yield from (make(base + step) for step in (1, 0.5, 0.1, -0.1, -0.5, -1, 10, 100))
    elif values == [str]:
        yield from ("a", "1")
    elif values == [tuple]:
        yield from (("a",), (1,))


def _valid(options: type[Options], option: str, value: Any) -> bool:
    try:
        validate(options, {option: value})
    except ValueError:
        return False
    return True
