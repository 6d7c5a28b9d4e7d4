"""Prompts over HTTP while they are typed: what acts in them, completions, a preview of the expanded ones."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Response
from fastapi import Request as Call
from pydantic import BaseModel, ConfigDict, Field

from webui.application import App
from webui.core.options import validate
from webui.extension.typed import Effect
from webui.http.api.dependencies import Program, Turns, TypingTurns, body, refusals
from webui.http.replies import Reply
from webui.service.attempt import Attempt

SECONDS = 5.0  # that hooks may take for a text that is being typed
PREVIEW_SECONDS = 20.0
LOOK = 0.1  # seconds between two looks whether the caller still waits
T = TypeVar("T")


class TypedBody(BaseModel):
    """`request`: what the fields hold, as in a request; fields that cannot be used have their defaults here.
    `field`: the one that is looked at, `prompt` or `extension.option`."""

    model_config = ConfigDict(extra="forbid")
    request: dict[str, Any]
    field: str = Field("prompt", max_length=200)


class CursorBody(TypedBody):
    """`cursor`: the number of characters (code points) before it."""

    cursor: int = Field(ge=0)


class MarkInfo(BaseModel):
    """text[start:end] in characters (code points). `effect`: `acts`, `literal` (taken as text, though it
    looks like a construct) or `refused`. `about`: the explanation in English, which `extension` (empty for
    the core), `construct` and `values` identify."""

    start: int
    end: int
    effect: Effect
    extension: str
    named: str = Field(alias="construct")  # pydantic's BaseModel has a `construct` of its own
    about: str
    values: dict[str, str | int | float]


class Marks(BaseModel):
    """`failed`: a sentence for each extension that failed, by its name."""

    marks: list[MarkInfo]
    failed: dict[str, str]


class CompletionInfo(BaseModel):
    """`text` may replace text[start:end]."""

    start: int
    end: int
    text: str
    about: str


class Completions(BaseModel):
    completions: list[CompletionInfo]
    failed: dict[str, str]


class PreviewedText(BaseModel):
    """What the model is given for one text. `prompts`: by name, `main` first; `answer`: what the answer
    starts from, … for each gap; null if all of it is masked; `answer_from`: the extension whose it is.
    `error`: why this text cannot be made."""

    axes: list[str]
    seed: int
    prompts: dict[str, str]
    answer: str | None
    answer_from: str
    notes: list[str]
    error: str | None


class Preview(BaseModel):
    """`texts`: how many the request asks for; `shown`: the first of them."""

    texts: int
    shown: list[PreviewedText]


router = APIRouter(tags=["prompts"])


@router.post("/prompts/marks", response_model=Marks, responses=refusals(409, 429))
async def marks(
    app: Program, turns: TypingTurns, call: Call, sent: Annotated[TypedBody, Depends(body(TypedBody))]
) -> Response:
    """What acts in a prompt, what is taken as text though it looks like a construct, what is refused and why.
    Hanging up cancels."""
    found, failed = await while_wanted(app, call, turns, partial(app.prompts.marks, sent.request, sent.field))
    made = [
        {
            "start": one.underline.start,
            "end": one.underline.end,
            "effect": one.underline.effect,
            "extension": one.extension,
            "construct": one.underline.construct,
            "about": one.about,
            "values": dict(one.underline.values),
        }
        for one in found
    ]
    return Reply({"marks": made, "failed": failed})


@router.post("/prompts/complete", response_model=Completions, responses=refusals(409, 429))
async def complete(
    app: Program, turns: TypingTurns, call: Call, sent: Annotated[CursorBody, Depends(body(CursorBody))]
) -> Response:
    """What may stand at the cursor, the likeliest first. Hanging up cancels."""
    work = partial(app.prompts.complete, sent.request, sent.field, sent.cursor)
    found, failed = await while_wanted(app, call, turns, work)
    return Reply({"completions": [vars(one) for one in found], "failed": failed})


@router.post("/prompts/preview", response_model=Preview, responses=refusals(409, 429))
async def preview(
    app: Program, turns: TypingTurns, call: Call, sent: Annotated[bytes, Depends(body("Request"))]
) -> Response:
    """How many texts a request asks for, and the prompts of the first of them as the model gets them. No text
    is made. Hanging up cancels."""

    def work() -> dict[str, Any]:
        return app.prompts.preview(validate(app.Request, sent, strict=True))

    return Reply(await while_wanted(app, call, turns, work, PREVIEW_SECONDS))


async def while_wanted(
    app: App, call: Call, turns: Turns, work: Callable[[], T], seconds: float = SECONDS
) -> T:
    """What `work` returns, which hooks of extensions do. It is given up when the caller hangs up, or after so
    many seconds: Cancelled, Unanswered."""
    started: list[Attempt[T]] = []

    def wait() -> T:
        started.append(Attempt(work))
        try:
            return started[0].wait(seconds)
        finally:
            app.queue.retire(started[0])

    task = asyncio.ensure_future(turns.attempt(wait))
    while not (await asyncio.wait({task}, timeout=LOOK))[0]:
        if await call.is_disconnected():
            for attempt in started:
                attempt.give_up()
    return task.result()
