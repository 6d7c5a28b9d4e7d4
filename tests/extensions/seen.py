"""What the model is given: the prompts and the number of rows of every forward pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from tests.contract.program import write


@contextmanager
def watched(app, model: str | None = None) -> Iterator[list[list[tuple[str, str]]]]:
    """A list that grows by one entry for each forward pass: (branch, text of the prompt) of every row. Raw
    templates make the texts readable."""
    network = app.checkpoints.load(model)
    calls: list[list[tuple[str, str]]] = []

    def note(*_) -> None:
        canvas = network.running
        rows = zip(
            canvas.tokens.tolist(),
            canvas.start.tolist(),
            canvas.answer.tolist(),
            canvas.branch.tolist(),
            strict=True,
        )
        calls.append(
            [
                (canvas.branches[branch], network.tokenizer.decode(tokens[start:answer]))
                for tokens, start, answer, branch in rows
            ]
        )

    hook = network.body.register_forward_pre_hook(note)
    try:
        yield calls
    finally:
        hook.remove()


def prompts_per_call(app, prompt: str, **fields) -> list[str]:
    """The text of the prompt in each of the 10 even steps of a 10-token answer."""
    return [call[0][1] for call in calls_of(app, prompt, **fields)]


def calls_of(app, prompt: str, **fields) -> list[list[tuple[str, str]]]:
    """All rows of each of these steps."""
    whole = {"length": 10, "steps": 10, "block_length": 10, "template": "raw", "end_of_text": "keep"}
    with watched(app) as calls:
        write(app, **{"prompt": prompt, "syntax": "full", **whole, **fields})
    return calls


def alone_as_together(app, requests: list) -> None:
    """Asserts that rows of one batch are what each is alone."""
    found = (cell for request in requests for cell in app.expand(request))
    made = [replace(cell, id=str(i)) for i, cell in enumerate(found)]

    def texts(some) -> dict:
        events = app.engine.generate(some, "job", lambda: False)
        return {event.cell: event.result.text for event in events if hasattr(event, "result")}

    together = texts(made)
    assert len(together) == len(made)
    for cell in made:
        assert texts([cell]) == {cell.id: together[cell.id]}
