"""Named presets over HTTP."""

from __future__ import annotations

from typing import Any

from fastapi import Request as Call
from fastapi import Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException

from webui.application import App
from webui.http.api.route import KNOWN, SENT, Endpoint, done, json_body, valid
from webui.http.server import Reply


class PresetBody(BaseModel):
    """`request`: the fields that the preset sets, as in a request; others are left as they are when it is
    used."""

    model_config = ConfigDict(extra="forbid")
    request: dict[str, Any]


class Preset(PresetBody):
    name: str


class PresetName(BaseModel):
    """The preset that it was done to."""

    name: str


class PresetRoutes:
    """The endpoints of presets, around one App."""

    def __init__(self, app: App):
        self.app = app

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint("GET", "/presets", self.list, list[Preset]),
            Endpoint("PUT", "/presets/{name:path}", self.put, Preset, SENT, PresetBody.model_json_schema()),
            Endpoint("DELETE", "/presets/{name:path}", self.delete, PresetName, KNOWN),
        ]

    async def list(self) -> Response:
        """The presets that were saved under a name, by name."""
        return Reply(await run_in_threadpool(self.app.presets.all))

    async def put(self, name: str, call: Call) -> Response:
        """Saves a preset under this name; one that has it already is replaced."""
        body = valid(PresetBody, await json_body(call))
        return Reply(await done(lambda: self.app.presets.put(name, body.request)))

    async def delete(self, name: str) -> Response:
        """Deletes a preset, for good."""
        if not await done(lambda: self.app.presets.delete(name)):
            raise HTTPException(404, "There is no such preset.")
        return Reply({"name": name})
