"""Checkpoints from the Hugging Face Hub over HTTP: what a repository offers, and downloading it once that was
agreed to."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, ConfigDict, Field

from webui.http.api.dependencies import Program, TypingTurns, attempt, body, refusals
from webui.http.api.schemas import DownloadInfo
from webui.http.replies import Reply
from webui.service.downloads import Download

router = APIRouter(tags=["checkpoints"])


class RepositoryBody(BaseModel):
    """`repository`: organisation/name, with @ and a branch, tag or commit."""

    model_config = ConfigDict(extra="forbid")
    repository: str = Field(min_length=1, max_length=400)


class AgreedBody(RepositoryBody):
    """What was offered and agreed to."""

    commit: str = Field(max_length=100)
    size: int = Field(ge=0)


class OfferInfo(BaseModel):
    """What would be downloaded: `size` in bytes, `license` as the repository's card states it."""

    repository: str
    commit: str
    license: str
    family: str
    size: int
    files: list[str]


@router.post("/downloads/offer", response_model=OfferInfo, responses=refusals(403, 422))
async def offer(
    app: Program, turns: TypingTurns, sent: Annotated[RepositoryBody, Depends(body(RepositoryBody))]
) -> Response:
    """Asks the Hub what a repository offers; nothing large is read."""
    found = await turns.attempt(lambda: app.downloads.offer(sent.repository))
    names = [file.name for file in found.files]
    facts = {name: getattr(found, name) for name in ("repository", "commit", "license", "family", "size")}
    return Reply({**facts, "files": names})


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
