"""What a prompt means, without writing a text: what acts in it, how it can go on, what it expands to."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from webui.checkpoints.loading import Checkpoints
from webui.core.prompt import Piece, Prompt
from webui.core.renamed import current
from webui.core.request import MAX_TEXT, Cell, Request
from webui.extension.registry import Registry
from webui.extension.row import Row
from webui.extension.typed import MAX_COMPLETIONS, Completion, Explained, Off, Typed

WORD = re.compile(r"[^\W\d_][\w'-]{1,40}\Z")  # at the cursor, from its second letter on
LONGEST_WORD = 50  # characters before the cursor that are looked at
PREVIEWED = 32  # texts that a preview shows


class Prompts:
    """Answers about prompts. Values of fields come as JSON has them; extensions' hooks are called, so every
    method may take long."""

    def __init__(self, registry: Registry, checkpoints: Checkpoints):
        self._registry, self._checkpoints = registry, checkpoints

    def marks(self, values: Mapping[str, Any], field: str) -> tuple[list[Explained], dict[str, str]]:
        """What is to be underlined in a field's text, and a sentence for each extension that failed.
        ValueError if there is no such text."""
        return self._registry.marks(self._typed(values, field))

    def complete(
        self, values: Mapping[str, Any], field: str, cursor: int
    ) -> tuple[list[Completion], dict[str, str]]:
        """What may stand at the cursor of a field's text: what extensions offer, else words that the
        checkpoint knows. ValueError if there is no such text or place."""
        typed = self._typed(values, field)
        if not 0 <= cursor <= len(typed.text):
            raise ValueError(f"cursor: the text has {len(typed.text)} characters.")
        found, failed = self._registry.complete(typed, cursor)
        return found or list(self._words(typed, cursor)), failed

    def off(self, request: Request) -> list[Off]:
        """The constructs in the request's prompts that would act if an option were on, one for each."""
        texts = {"prompt": request.prompt}
        for name, kind in self._registry.extensions.items():
            for option, info in kind.Options.model_fields.items():
                extra = info.json_schema_extra
                if isinstance(extra, dict) and extra.get("place") == "prompt":
                    texts[f"{name}.{option}"] = str(getattr(getattr(request, name), option) or "")
        found: dict[str, Off] = {}
        for field, text in texts.items():
            for one in self._registry.off(Typed(text, request, field)) if text else ():
                found.setdefault(one.path, one)
        return list(found.values())

    def preview(self, request: Request) -> dict[str, Any]:
        """How many texts a request asks for, and of the first PREVIEWED what the model is given: "axes",
        "prompts" by name, "answer" (what it starts from, … for a gap; None if it is all masked),
        "answer_from" (the extension whose it is), "notes"; for one that is refused its "error". ValueError if
        no text can be made of it.

        A request without a seed is drawn one, as when it is run: then choices come out otherwise next time.
        """
        if request.seed == -1:
            request = request.replace(seed=secrets.randbelow(2**32))
        cells = self._registry.expand(request)
        return {"texts": len(cells), "shown": [self._previewed(cell) for cell in cells[:PREVIEWED]]}

    def _previewed(self, cell: Cell) -> dict[str, Any]:
        shown: dict[str, Any] = {"axes": [label for _, _, label in cell.axes], "seed": cell.request.seed}
        try:
            row = self._row(cell)
        except ValueError as error:
            return {
                **shown,
                "prompts": {},
                "answer": None,
                "answer_from": "",
                "notes": [],
                "error": str(error),
            }
        draft = row.draft
        fillings = () if draft is None else [part for part in draft.parts if not isinstance(part, Piece)]
        answer = None if draft is None else draft.filled(["…"] * len(fillings))
        prompts = {name: prompt.text for name, prompt in row.prompts.items()}
        return {
            **shown,
            "prompts": prompts,
            "answer": answer,
            "answer_from": row.source,
            "notes": list(row.notes),
            "error": None,
        }

    def _row(self, cell: Cell) -> Row:
        """The cell as a run prepares it. ValueError."""
        from webui.denoising import packing
        from webui.denoising.sampler_registry import SamplerRegistry

        name = self._checkpoints.entry(cell.request.model).name
        preset = self._checkpoints.profile(name)["preset"]
        table = SamplerRegistry.of(self._registry).table
        request, _ = packing.resolve(cell.request.replace(model=name), preset, table)
        prompts = {"main": Prompt.of(request.prompt)}
        return self._registry.prepare(Row(cell, request, prompts, encode=self._checkpoints.encoder(name)))

    def _typed(self, values: Mapping[str, Any], field: str) -> Typed:
        """The text of a field, and the request around it. ValueError."""
        value: Any = values
        for name in field.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
        if not isinstance(value, str):
            raise ValueError(f"{field[:100]}: there is no text in this field.")
        if len(value) > MAX_TEXT:
            raise ValueError(f"{field[:100]}: at most {MAX_TEXT} characters.")
        return Typed(value, lenient(self._registry.Request, values), field)

    def _words(self, typed: Typed, cursor: int) -> Iterator[Completion]:
        """Words of the checkpoint's lexicon that begin like the word at the cursor, the shortest first."""
        if typed.text[cursor : cursor + 1].isalnum():
            return
        begun = WORD.search(typed.text, max(0, cursor - LONGEST_WORD), cursor)
        if begun is None:
            return
        try:
            lexicon = self._checkpoints.lexicon(typed.request.model)
        except ValueError:  # a checkpoint that is not here has no words
            return
        written = begun[0].lower()
        like = [word for word in lexicon or () if word.startswith(written) and word != written]
        for word in sorted(like, key=lambda word: (len(word), word))[:MAX_COMPLETIONS]:
            yield Completion(begun.start(), cursor, begun[0] + word[len(written) :])


def lenient(model: type[Request], values: Mapping[str, Any]) -> Request:
    """A request with those of the values that can be used; the other fields have their defaults."""
    given = dict(current(values, model.renamed))
    for _ in range(2):
        try:
            return model.model_validate(given)
        except ValidationError as error:
            wrong = {str(fault["loc"][0]) for fault in error.errors(include_url=False, include_input=False)}
            given = {name: value for name, value in given.items() if name not in wrong}
    syntax = given.get("syntax")
    return model.model_validate({"syntax": syntax} if syntax in ("safe", "full", "off") else {})
