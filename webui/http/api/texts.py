"""Reading requests from files, and rendering Markdown, over HTTP."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny

from webui.application import App
from webui.core.request import MAX_TEXT, Request
from webui.http.api.dependencies import Program, attempt, body
from webui.http.replies import Reply

MOST = 5  # unknown fields that are named one by one
LONGEST = 100  # characters of what is named


class Read(BaseModel):
    """A request from a file. `unknown`: fields that nothing here knows, which stay in the request; `missing`:
    fields that name a checkpoint or sampler that is not here; `notes`: the same as sentences.
    """

    request: SerializeAsAny[Request]
    unknown: dict[str, Any]
    missing: dict[str, str]
    notes: list[str]


class MarkdownBody(BaseModel):
    """The text to show."""

    model_config = ConfigDict(extra="forbid")
    text: str = Field(max_length=MAX_TEXT)


class Html(BaseModel):
    """HTML without scripts, style sheets, images and relative links."""

    html: str


router = APIRouter(tags=["texts"])


@router.post("/restore", response_model=Read)
async def restore(app: Program, sent: Annotated[bytes, Depends(body())]) -> Response:
    """The whole request in a saved result, a request or a preset, and what cannot be used of it here."""
    return Reply(await attempt(lambda: read_file(app, sent)))


@router.post("/markdown", response_model=Html)
async def markdown(text: Annotated[MarkdownBody, Depends(body(MarkdownBody))]) -> Response:
    """A text in Markdown as HTML that can do nothing but be read. HTML in the text is shown as text."""
    from webui.http.markdown import render  # its parser is not needed to start

    return Reply({"html": await run_in_threadpool(render, text.text)})


def read_file(app: App, stored: bytes) -> dict[str, Any]:
    """The request in a file, what is unknown in it, and a sentence about everything that is not here.
    ValueError with one sentence."""
    request, unknown = app.Request.read(stored)
    known, notes, missing = app.Request.model_fields, [], {}
    for name, value in list(unknown.items())[:MOST]:
        what = f"{name}: {', '.join(map(str, value))}"[:LONGEST] if name in known else name[:LONGEST]
        notes.append(f"Unknown here, but kept: {what}.")
    if len(unknown) > MOST:
        notes.append(f"{len(unknown) - MOST} more fields are unknown here.")
    for field, there in (
        ("model", app.checkpoints.names()),
        ("sampler", app.samplers()),
        ("schedule", app.schedules()),
        ("confidence", app.confidences()),
    ):
        value = getattr(request, field)
        if value is not None and value not in there:
            missing[field] = value[:LONGEST]
            label = known[field].title or field
            notes.append(f"{label}: {value[:LONGEST]!r} is not available here; choose another.")
    return {
        "request": request.model_dump(mode="json"),
        "unknown": unknown,
        "missing": missing,
        "notes": notes,
    }
