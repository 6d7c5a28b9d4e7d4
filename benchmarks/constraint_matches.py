"""Whether every text matches: `python -m benchmarks.constraint_matches [--texts 20] [--length 40] [--model M] [--only RULE]`.

25 rules, each over `texts` texts: half of them at temperature 0 and half at 1, at 1, 2, 4 and 8 tokens per forward pass, with guidance and
emphasis on. By default on the default checkpoint and on a tiny random one whose byte-level BPE splits characters. A text is checked by `re`, `json`
and `jsonschema`, or Lark's parser, never by the program's own automata. The claim: all match. Exit status 1 if one does not.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import lark

from extensions.constraints.rules import PRESETS
from tests.tiny_checkpoints import llada
from webui.application import App
from webui.settings import Settings

SCHEMAS = {
    "schema: person": {
        "type": "object",
        "properties": {"name": {"type": "string", "maxLength": 8}, "age": {"type": "integer"}},
        "required": ["name", "age"],
    },
    "schema: enumeration": {"enum": ["red", "green", 7, None, True]},
    "schema: array": {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 4},
    "schema: any of": {"anyOf": [{"type": "boolean"}, {"type": "string", "pattern": "^[a-c]{2,6}$"}]},
    "schema: nested": {
        "type": "object",
        "properties": {
            "at": {
                "type": "object",
                "properties": {"x": {"type": "number"}, "y": {"type": "number"}},
                "required": ["x", "y"],
            },
        },
        "required": ["at"],
    },
    "schema: date": {"type": "string", "format": "date"},
}
REGEXES = {
    "sentence": r"[A-Z][a-z]+( [a-z]+)*[.]",
    "IPv4 address": r"((25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)\.){3}(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)".replace(
        r"\d", "[0-9]"
    ),
    "UUID": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "time": r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?",
    "telephone": r"\([0-9]{3}\) [0-9]{3}-[0-9]{4}",
    "colour": r"#([0-9a-f]{3}|[0-9a-f]{6})",
    "version": r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*)){2}(-[a-z]+(\.[a-z0-9]+)*)?",
    "letters of several bytes": r"[äöüß猫é ]{4,12}",
    "XML element": r"<a>[^<>&\x00-\x1f\x7f]*</a>",
    "hostile": r"(a+)+b?",
}
GRAMMARS = {
    "grammar: arithmetic": """
        start: sum
        sum: product | sum "+" product | sum "-" product
        product: atom | product "*" atom | product "/" atom
        atom: /[0-9]+/ | "-" atom | "(" sum ")"
        """,
    "grammar: brackets": 'start: pair+\npair: "(" pair* ")" | "[" pair* "]"',
    "grammar: JSON": """
        start: value
        value: object | array | ESCAPED_STRING | SIGNED_NUMBER | "true" | "false" | "null"
        object: "{" [pair ("," pair)*] "}"
        pair: ESCAPED_STRING ":" value
        array: "[" [value ("," value)*] "]"
        %import common.ESCAPED_STRING
        %import common.SIGNED_NUMBER
        %import common.WS
        %ignore WS
        """,
    "grammar: S-expressions": """
        start: list
        list: "(" (WORD | list)* ")"
        %import common.WORD
        %ignore " "
        """,
}
CHOICES = ("yes", "no", "maybe not now", "on the other hand, yes")
NESTED = 'root ::= "[" (item ("," item)*)? "]"\nitem ::= [0-9] | "true" | root\n'


def rules() -> Iterator[tuple[str, dict[str, Any], Callable[[str], bool]]]:
    """Name, options, and what says whether a text matches."""
    for name in ("date", "number", "email"):
        yield f"preset: {name}", {"preset": name}, _regex(PRESETS[name])
    for name, pattern in REGEXES.items():
        yield name, {"regex": pattern}, _regex(pattern)
    yield "choices", {"choices": "\n".join(CHOICES)}, lambda text: text in CHOICES
    for name, schema in SCHEMAS.items():
        yield name, {"json_schema": json.dumps(schema)}, _schema(schema)
    for name, grammar in GRAMMARS.items():
        yield name, {"grammar": grammar}, _lark(grammar)
    yield "grammar: GBNF", {"grammar": NESTED}, lambda text: isinstance(_json(text), list)


def _regex(pattern: str) -> Callable[[str], bool]:
    return lambda text: re.fullmatch(pattern, text) is not None


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return ValueError


def _schema(schema: dict) -> Callable[[str], bool]:
    checker = jsonschema.Draft202012Validator(schema)  # where a format says nothing, so:
    date = re.compile('"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"')

    def fine(text: str) -> bool:
        if schema.get("format") == "date" and not date.fullmatch(text):
            return False
        return _json(text) is not ValueError and checker.is_valid(_json(text))

    return fine


def _lark(grammar: str) -> Callable[[str], bool]:
    parser = lark.Lark(grammar, parser="earley", lexer="dynamic_complete")

    def reads(text: str) -> bool:
        try:
            parser.parse(text)
        except lark.UnexpectedInput:
            return False
        return True

    return reads


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.constraint_matches", description=__doc__)
    parser.add_argument("--texts", type=int, default=20, help="of each rule")
    parser.add_argument("--length", type=int, default=40)
    parser.add_argument("--model", help="one checkpoint only")
    parser.add_argument("--only", help="rules with this in their name")
    args = parser.parse_args()
    good, every, began = Counter(), Counter(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        tiny = Path(folder) / "models"
        llada(tiny / "checkpoints" / "tiny")
        models = [(args.model or "storyteller", Settings(keep_history=False))]
        if not args.model:
            models.append(("tiny", Settings(models=tiny, model="tiny", keep_history=False)))
        for model, settings in models:
            app = App(settings)
            try:
                for name, options, matches in rules():
                    if not args.only or args.only in name:
                        _texts(app, model, args, name, options, matches, good, every)
            finally:
                app.close()
    for key in every:
        print(
            f"{key[0]}, {key[1]} tokens per forward pass, temperature {key[2]}: {good[key]} of {every[key]}"
        )
    print(
        f"{good.total()} of {every.total()} texts match, {time.process_time() - began:.0f} s of processor time"
    )
    return 0 if good == every else 1


def _texts(app, model: str, args, name: str, options: dict, matches, good: Counter, every: Counter) -> None:
    cases = [(together, temperature) for together in (1, 2, 4, 8) for temperature in (0.0, 1.0)]
    for number, (together, temperature) in enumerate(cases):
        count = args.texts // len(cases) + (number < args.texts % len(cases))
        if not count:
            continue
        job = app.queue.submit(
            app.Request(
                model=model,
                prompt="a (dragon:1.3) and a cat",
                length=args.length,
                steps=args.length // together,
                temperature=temperature,
                count=count,
                seed=number + 1,
                guidance={"scale": 1.5, "negative_prompt": "rain"},
                constraints=options,
            )
        )
        job.wait()
        for part in (job.result.parts or (job.result,)) if job.result else ():
            every[model, together, temperature] += 1
            fine = part.error is None and matches(part.text)
            good[model, together, temperature] += fine
            if not fine:
                print(
                    f"{model}, {name}, {together}, {temperature}: {part.text!r} {part.error or ''}",
                    flush=True,
                )
        if not job.result:
            every[model, together, temperature] += count
            print(f"{model}, {name}: {job.error}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
