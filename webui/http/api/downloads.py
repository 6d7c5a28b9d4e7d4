"""Checkpoints from the Hugging Face Hub over HTTP: what a repository offers, and downloading it once that was
agreed to."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, ConfigDict, Field

from webui.checkpoints.sources import SOURCES
from webui.http.api.dependencies import Program, TypingTurns, attempt, body, refusals
from webui.http.api.schemas import DownloadInfo
from webui.http.replies import Reply
from webui.service.downloads import Download

router = APIRouter(tags=["checkpoints"])


class RepositoryBody(BaseModel):
    """`repository`: organisation/name, with @ and a branch, tag or commit; or the name of a source."""

    model_config = ConfigDict(extra="forbid")
    repository: str = Field(min_length=1, max_length=400)


class AgreedBody(RepositoryBody):
    """What was offered and agreed to."""

    commit: str = Field(max_length=100)
    size: int = Field(ge=0)


class SourceInfo(BaseModel):
    """An autoregressive checkpoint that a Python package ships; `name` is what is asked for, `size` in
    bytes."""

    name: str
    title: str
    license: str
    size: int


class OfferInfo(BaseModel):
    """What would be downloaded: `name` is what it will be called here, `size` in bytes, `license` as the
    repository's card states it; `denoises`: whether it writes texts as it is (an autoregressive one has to be
    adapted)."""

    repository: str
    name: str
    denoises: bool
    commit: str
    license: str
    family: str
    size: int
    files: list[str]


@router.post("/downloads/offer", response_model=OfferInfo, responses=refusals(403, 422))
async def offer(
    app: Program, turns: TypingTurns, sent: Annotated[RepositoryBody, Depends(body(RepositoryBody))]
) -> Response:
    """What a repository offers, asked from the Hub, or a named source; nothing large is read."""
    found = await turns.attempt(lambda: app.downloads.offer(sent.repository))
    names = [file.name for file in found.files]
    facts = {name: getattr(found, name) for name in OfferInfo.model_fields if name != "files"}
    return Reply({**facts, "files": names})


@router.get("/downloads/sources", response_model=list[SourceInfo])
def sources() -> Response:
    """The named sources: what can be asked for besides repositories."""
    return Reply([{name: getattr(one, name) for name in SourceInfo.model_fields} for one in SOURCES.values()])


@router.post("/downloads", status_code=202, response_model=DownloadInfo, responses=refusals(403, 422, 429))
async def start(
    app: Program, turns: TypingTurns, sent: Annotated[AgreedBody, Depends(body(AgreedBody))]
) -> Response:
    """Starts a download. How far it is, is in GET /jobs/events."""
    return Reply(
        shown(await turns.attempt(lambda: app.downloads.start(sent.repository, sent.commit, sent.size))), 202
    )


@router.get("/downloads", response_model=list[DownloadInfo])
def downloads(app: Program) -> Response:
    """The downloads that run, and the last ones that ended."""
    return Reply([shown(one) for one in app.downloads.all()])


@router.delete("/downloads/{id}", response_model=DownloadInfo, responses=refusals(404, 422))
async def stop(app: Program, id: int) -> Response:
    """Stops a download; asked for again, it goes on from there."""
    return Reply(shown(await attempt(lambda: app.downloads.stop(id))))


def shown(one: Download) -> dict[str, Any]:
    """A download as the API gives it."""
    return {**asdict(one), "done": round(one.done, 3)}
