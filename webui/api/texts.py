"""Texts from elsewhere over HTTP: a file or a paste that holds a request, and Markdown."""

from __future__ import annotations

from typing import Any

from fastapi import Request as Call
from fastapi import Response
from pydantic import BaseModel, SerializeAsAny

from webui.api.route import SENT, Endpoint, done, json_body
from webui.application import App
from webui.request import Request
from webui.server import Reply

MOST = 5  # unknown fields that are named one by one
LONGEST = 100  # characters of what is named


class Read(BaseModel):
    """A request from a file. `unknown`: what no extension here knows, kept in the request too; `notes`: sentences to show."""

    request: SerializeAsAny[Request]
    unknown: dict[str, Any]
    notes: list[str]


class TextRoutes:
    """The endpoints of texts, around one App."""

    def __init__(self, app: App):
        self.app = app

    def endpoints(self) -> list[Endpoint]:
        return [Endpoint("POST", "/restore", self.read, Read, SENT, {"type": "object"})]

    async def read(self, call: Call) -> Response:
        """The whole request in a saved result, a request or a preset, with what has to be told about it."""
        body = await json_body(call)
        return Reply(await done(lambda: read_file(self.app, body)))


def read_file(app: App, stored: bytes) -> dict[str, Any]:
    """A file's request, what is unknown in it, and a sentence about all that is not here. ValueError with a sentence."""
    request, unknown = app.Request.read(stored)
    known, notes = app.Request.model_fields, []
    for name, value in list(unknown.items())[:MOST]:
        what = f"{name}: {', '.join(map(str, value))}"[:LONGEST] if name in known else name[:LONGEST]
        notes.append(f"There is nothing here that knows {what}; it is kept.")
    if len(unknown) > MOST:
        notes.append(f"There are {len(unknown) - MOST} more of these.")
    for field, there in (
        ("model", app.checkpoints.names()), ("sampler", app.samplers()),
        ("schedule", app.schedules()), ("confidence", app.confidences()),
    ):  # fmt: skip
        value = getattr(request, field)
        if value is not None and value not in there:
            label = known[field].title or field
            notes.append(f"{label}: there is no {value[:LONGEST]!r} here; choose another.")
    return {"request": request.model_dump(mode="json"), "unknown": unknown, "notes": notes}
