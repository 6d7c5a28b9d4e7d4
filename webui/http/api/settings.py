"""The settings over HTTP: read all, change what may be changed."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, ConfigDict, Field

from webui.application import App
from webui.core.errors import Forbidden, Refusal
from webui.http.api.dependencies import Program, attempt, body, refusals
from webui.http.guard import only_here
from webui.http.replies import Reply
from webui.settings import Settings


class SettingsInfo(BaseModel):
    """`schema`: JSON Schema with descriptions; `changeable`: those that can be changed here, the others only
    in `file`; `restart`: those of them that take effect after a restart; `outdated`: whether
    something waits for a restart; `soon`: whether the extensions change as soon as nothing runs;
    `restartable`: whether POST /restart works here."""

    values: dict[str, Any]
    schema_: dict[str, Any] = Field(alias="schema")
    changeable: list[str]
    restart: list[str]
    file: str
    outdated: bool
    soon: bool
    restartable: bool


class RestartBody(BaseModel):
    """`confirm`: true, so that nothing restarts by mistake."""

    model_config = ConfigDict(extra="forbid")
    confirm: Literal[True]


class RestartInfo(BaseModel):
    """`jobs`: those that were waiting or running, and are interrupted."""

    jobs: int


router = APIRouter(tags=["settings"])


@router.get("/settings", response_model=SettingsInfo)
async def get(app: Program) -> Response:
    """All settings as the next start will have them, and which of them can be changed here."""
    return _reply(app, app.written)


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

    reply = _reply(app, await attempt(apply))
    if app.reload is not None:
        app.reload()
    return reply


@router.post("/restart", response_model=RestartInfo, status_code=202, responses=refusals(403))
async def restart(app: Program, sent: Annotated[RestartBody, Depends(body(RestartBody))]) -> Response:
    """Starts the program anew, by the same command and on the same port: settings and extensions are as they
    were written. Jobs are interrupted; texts that are finished are saved, and experiments can go on."""
    if app.restart is None or not only_here(app.settings):
        raise Forbidden(
            "Restart this program where it was started: other machines can reach it, or it serves no page."
        )
    jobs = len([job for job in app.queue.all() if job.state in ("queued", "running")])
    app.restart()
    return Reply({"jobs": jobs}, status_code=202)


def _reply(app: App, settings: Settings) -> Response:
    return Reply(
        {
            "values": settings.model_dump(),
            "schema": Settings.model_json_schema(),
            "changeable": settings.that_act("now", "restart"),
            "restart": [
                name for name in settings.that_act("restart") if name != "disabled" or app.reload is None
            ],
            "file": str(settings.file),
            "outdated": app.outdated,
            "soon": app.soon,
            "restartable": app.restart is not None and only_here(app.settings),
        }
    )
