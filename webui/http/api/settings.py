"""The settings over HTTP: read all, change what may be changed."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, Field

from webui.core.errors import Refusal
from webui.http.api.dependencies import Program, attempt, body
from webui.http.replies import Reply
from webui.settings import Settings


class SettingsInfo(BaseModel):
    """`schema`: JSON Schema with descriptions; `changeable`: those that can be changed here, the others only
    in `file`; `restart`: those of them that take effect after a restart."""

    values: dict[str, Any]
    schema_: dict[str, Any] = Field(alias="schema")
    changeable: list[str]
    restart: list[str]
    file: str


router = APIRouter(tags=["settings"])


@router.get("/settings", response_model=SettingsInfo)
async def get(app: Program) -> Response:
    """All settings as the next start will have them, and which of them can be changed here."""
    return _reply(app.written)


@router.patch("/settings", response_model=SettingsInfo)
async def change(app: Program, sent: Annotated[bytes, Depends(body())]) -> Response:
    """Changes settings and writes them to the file. Folders, addresses and limits are refused: they can only
    be changed in the file."""

    def apply() -> Settings:
        try:
            changes = json.loads(sent)
        except (ValueError, RecursionError):
            changes = None
        if not isinstance(changes, dict):
            raise Refusal("Send the settings to change as a JSON object.")
        return app.change(changes)

    return _reply(await attempt(apply))


def _reply(settings: Settings) -> Response:
    return Reply(
        {
            "values": settings.model_dump(),
            "schema": Settings.model_json_schema(),
            "changeable": settings.that_act("now", "restart"),
            "restart": settings.that_act("restart"),
            "file": str(settings.file),
        }
    )
