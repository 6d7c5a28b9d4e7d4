"""Named presets over HTTP."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict

from webui.core.errors import NotFound
from webui.http.api.dependencies import Program, attempt, body, refusals
from webui.http.replies import Reply


class PresetBody(BaseModel):
    """`request`: the fields that the preset sets, as in a request; using it changes no others."""

    model_config = ConfigDict(extra="forbid")
    request: dict[str, Any]


class Preset(PresetBody):
    name: str


class PresetName(BaseModel):
    """The preset that was deleted."""

    name: str


router = APIRouter(tags=["presets"])


@router.get("/presets", response_model=list[Preset])
async def all_presets(app: Program) -> Response:
    """The presets that were saved under a name, by name."""
    return Reply(await run_in_threadpool(app.presets.all))


@router.put("/presets/{name:path}", response_model=Preset)
async def put(app: Program, name: str, preset: Annotated[PresetBody, Depends(body(PresetBody))]) -> Response:
    """Saves a preset under this name; an existing one is replaced."""
    return Reply(await attempt(lambda: app.presets.put(name, preset.request)))


@router.delete("/presets/{name:path}", response_model=PresetName, responses=refusals(404))
async def delete(app: Program, name: str) -> Response:
    """Deletes a preset permanently."""
    if not await attempt(lambda: app.presets.delete(name)):
        raise NotFound("There is no such preset.")
    return Reply({"name": name})
