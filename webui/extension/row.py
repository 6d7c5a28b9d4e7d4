"""Row: a cell with its preset resolved and its prompts prepared by extensions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from webui.core.prompt import MAX_GAP, Draft, Gap, Passage, Piece, Prompt
from webui.core.request import Cell, Request

MAX_NOTE = 2000  # characters


@dataclass(frozen=True)
class Row:
    """A cell with its preset resolved: its named prompts ("main", "negative", ...), and the draft that its
    answer starts from.

    request   the cell's request, presets resolved
    prompts   what the model is conditioned on; an extension may rewrite these and add its own
    draft     None: the answer is `request.length` masked positions. Otherwise text, tokens and gaps
    notes     sentences the user should read beside the result
    source    the name of the extension whose draft it is; "" without a draft. The registry sets it
    own       what an extension's `prompt` found out for its object of the batch, by the extension's name
    """

    cell: Cell
    request: Request
    prompts: Mapping[str, Prompt] = field(default_factory=dict)
    draft: Draft | None = None
    notes: tuple[str, ...] = ()
    own: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""
    encode: Callable[[str], Sequence[int]] | None = field(default=None, repr=False, compare=False)

    def replace(self, **changes: Any) -> Row:
        return replace(self, **changes)

    def with_prompt(self, name: str, prompt: Prompt) -> Row:
        """This row with the named prompt set."""
        return replace(self, prompts={**self.prompts, name: prompt})

    def with_own(self, extension: str, value: Any) -> Row:
        """This row with `own[extension]` set: `neutral` and the hooks in the batch find it in their rows."""
        return replace(self, own={**self.own, extension: value})

    def tokens(self, text: str) -> int:
        """How many tokens a text by itself has in this row's checkpoint. It asks the tokenizer's process, so
        ask only where there is something to do. ValueError if the text cannot be tokenized."""
        if self.encode is None:
            raise ValueError("this row has no checkpoint, so its tokens cannot be counted.")
        return len(self.encode(text))

    def note(self, sentence: str) -> Row:
        """This row with one more note, cut at MAX_NOTE characters. ValueError if it is no text."""
        if not is_whole(sentence):
            raise ValueError("gave a note that is not a text.")
        short = sentence if len(sentence) <= MAX_NOTE else sentence[: MAX_NOTE - 1] + "…"
        return replace(self, notes=(*self.notes, short))


def checked_row(row: object, before: Row) -> Row:
    """What a `prompt` hook made of the row `before`. ValueError says what is wrong with it."""
    if not isinstance(row, Row):
        raise ValueError(f"gave {type(row).__name__} instead of a row.")
    if row.cell is not before.cell or type(row.request) is not type(before.request):
        raise ValueError("gave a row of another cell.")
    if not isinstance(row.prompts, Mapping) or "main" not in row.prompts:
        raise ValueError('gave a row without the prompt "main".')
    for name, prompt in row.prompts.items():
        if not is_whole(name) or not isinstance(prompt, Prompt):
            raise ValueError(f"gave {type(prompt).__name__} instead of a prompt.")
        if prompt is not before.prompts.get(name) and not is_whole(prompt.text):
            raise ValueError("gave a prompt with half of a surrogate pair, which is not a character.")
    if row.draft is not None and row.draft is not before.draft:
        _check_draft(row.draft)
    if not isinstance(row.own, Mapping):
        raise ValueError(f"gave a row whose own values are {type(row.own).__name__}, not a mapping.")
    if not isinstance(row.notes, tuple) or not all(is_whole(note) for note in row.notes):
        raise ValueError("gave a note that is not a text.")
    return row


def _check_draft(draft: object) -> None:
    if not isinstance(draft, Draft) or not draft.parts:
        raise ValueError(f"gave {type(draft).__name__} instead of a draft with parts.")
    for part in draft.parts:
        if isinstance(part, Gap):
            good = part.tokens is None or (isinstance(part.tokens, int) and 1 <= part.tokens <= MAX_GAP)
            good = good and is_whole(part.lead) and is_whole(part.name)
        elif isinstance(part, Passage):
            good = is_whole(part.text) and all(isinstance(token, int) for token in part.tokens)
        else:
            good = isinstance(part, Piece) and is_whole(part.text)
        if not good:
            raise ValueError(f"gave a draft with a part that cannot be used: {type(part).__name__}.")
    if sum(gap.tokens is None for gap in draft.gaps) > 1:
        raise ValueError("gave a draft with two gaps of what is left of the length.")


def is_whole(text: object) -> bool:
    """Whether it is a text without half surrogate pairs, which no encoding can carry."""
    if not isinstance(text, str):
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
