"""The settings over HTTP: read all, change what may be changed."""

from __future__ import annotations

import json
from typing import Any

from fastapi import Request as Call
from fastapi import Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from webui.application import App
from webui.http.api.route import SENT, Endpoint, done, json_body
from webui.http.server import Reply
from webui.settings import OnlyInFile, Settings


class SettingsInfo(BaseModel):
    """`schema`: JSON Schema with descriptions; `changeable`: here, the others in `file`; of these, `restart`
    act after one."""

    values: dict[str, Any]
    schema_: dict[str, Any] = Field(alias="schema")
    changeable: list[str]
    restart: list[str]
    file: str


class SettingsRoutes:
    """The endpoints of the settings, around one App."""

    def __init__(self, app: App):
        self.app = app

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint("GET", "/settings", self.get, SettingsInfo),
            Endpoint("PATCH", "/settings", self.change, SettingsInfo, SENT, {"type": "object"}),
        ]

    def get(self) -> Response:
        """Every setting as the next start will have it, and which of them can be changed."""
        return self._told(self.app.written)

    async def change(self, call: Call) -> Response:
        """Changes settings and writes them to the file. Folders, addresses and limits are refused: they are
        the file's."""
        body = await json_body(call)
        try:
            changes = json.loads(body)
        except (ValueError, RecursionError):
            raise HTTPException(422, "Send the settings to change as a JSON object.") from None
        if not isinstance(changes, dict):
            raise HTTPException(422, "Send the settings to change as a JSON object.")
        try:
            return self._told(await done(lambda: self.app.change(changes)))
        except OnlyInFile as error:
            raise HTTPException(403, str(error)) from error

    def _told(self, settings: Settings) -> Response:
        return Reply(
            {
                "values": settings.model_dump(),
                "schema": Settings.model_json_schema(),
                "changeable": settings.that_act("now", "restart"),
                "restart": settings.that_act("restart"),
                "file": str(settings.file),
            }
        )
