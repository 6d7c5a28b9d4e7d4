"""The history over HTTP: search, whole results, favourites, delete and restore."""

from __future__ import annotations

import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from fastapi import Query as Parameters
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field, model_validator

from webui.core.errors import NotFound, Refusal
from webui.core.result import Result
from webui.http.api.dependencies import Program, attempt, body, refusals
from webui.http.replies import Reply
from webui.service.history.index import Query
from webui.service.history.store import bound

GONE = "There is no such result in the history."


class HistoryQuery(BaseModel):
    """A search in the history. Days are those of the server's clock; `until` is the last one."""

    model_config = ConfigDict(extra="forbid")
    search: str = Field(
        "", max_length=500, description="Every word must occur in prompt or text, whatever its case."
    )
    checkpoint: str | None = Field(None, description="Results of this checkpoint.")
    extension: str | None = Field(
        None, description="Results in which this extension's options were not at their defaults."
    )
    favourite: bool | None = Field(None, description="true: only favourites; false: only others.")
    since: datetime.date | None = Field(None, description="The first day, as YYYY-MM-DD.")
    until: datetime.date | None = Field(None, description="The last day, as YYYY-MM-DD.")
    before: str | None = Field(None, max_length=20, description="The last id of the page before.")
    limit: int = Field(50, ge=1, le=500, description="The most results of one page.")

    @model_validator(mode="before")
    @classmethod
    def _empty(cls, given: dict[str, Any]) -> dict[str, Any]:
        """An empty parameter is as one that is not there."""
        return {name: value for name, value in given.items() if value != ""}

    def query(self) -> Query:
        """The same with ids in place of days. The last possible day is no bound."""
        last = (
            self.until and self.until < datetime.date.max and bound(self.until + datetime.timedelta(days=1))
        )
        given = self.model_dump(exclude={"since", "until"})
        return Query(**given, first=bound(self.since) if self.since else None, last=last or None)


class HistoryItem(BaseModel):
    """A result in the list: the first 300 characters of text and prompt; `created` in ISO 8601; `seconds` of
    its batch."""

    id: str
    text: str
    prompt: str
    complete: bool
    error: str | None
    checkpoint: str
    seed: int
    job: str | None
    created: str | None
    favourite: bool
    extensions: list[str]
    tokens: int
    seconds: float


class HistoryPage(BaseModel):
    """Results, newest first. `total`: how many match; `all`: how many there are; `checkpoints`, `extensions`:
    how many of each."""

    items: list[HistoryItem]
    total: int
    all: int
    checkpoints: dict[str, int]
    extensions: dict[str, int]


class HistoryEntry(Result):
    """A stored result. `extensions`: those that it used; `unknown`: fields of its request that nothing here
    knows."""

    favourite: bool
    extensions: list[str]
    unknown: list[str]


class HistoryChange(BaseModel):
    """What can be changed of a stored result."""

    model_config = ConfigDict(extra="forbid")
    favourite: bool


class HistoryMark(HistoryChange):
    id: str


class Named(BaseModel):
    """The result that was changed."""

    id: str


class Deleted(BaseModel):
    """How many results were deleted."""

    deleted: int


class Restored(BaseModel):
    """How many results were restored."""

    restored: int


router = APIRouter(tags=["history"])


@router.get("/history", response_model=HistoryPage, responses=refusals(422))
async def find(app: Program, asked: Annotated[HistoryQuery, Parameters()]) -> Response:
    """Saved results that match, newest first, a page at a time."""
    return Reply(await run_in_threadpool(app.history.find, asked.query()))


@router.delete("/history", response_model=Deleted, responses=refusals(422))
async def delete_all(app: Program, confirm: str = "") -> Response:
    """Moves every result to the trash, if `confirm` is `all`."""
    if confirm != "all":
        raise Refusal("To delete every result, add ?confirm=all.")
    return Reply({"deleted": await attempt(app.history.delete_all)})


@router.post("/history/restore", response_model=Restored, responses=refusals(404))
async def restore_all(app: Program) -> Response:
    """Restores what the last `DELETE /history` deleted."""
    number = await attempt(app.history.restore_all)
    if not number:
        raise NotFound("There is nothing in the trash that was deleted all at once.")
    return Reply({"restored": number})


@router.delete("/history/trash", response_model=Deleted)
async def empty(app: Program) -> Response:
    """Deletes everything in the trash permanently."""
    return Reply({"deleted": await attempt(app.history.empty)})


@router.get("/history/{id}", response_model=HistoryEntry, responses=refusals(404, 422))
async def get(app: Program, id: str) -> Response:
    """A whole stored result, with its pieces and its trace."""

    def read() -> dict[str, Any]:
        entry = app.history.entry(id)
        if entry is None:
            raise NotFound(GONE)
        return {**entry[0].model_dump(mode="json"), **entry[1]}

    return Reply(await attempt(read))


@router.patch("/history/{id}", response_model=HistoryMark, responses=refusals(404))
async def mark(
    app: Program, id: str, change: Annotated[HistoryChange, Depends(body(HistoryChange))]
) -> Response:
    """Makes a stored result a favourite, or not."""
    if not await attempt(lambda: app.history.mark(id, change.favourite)):
        raise NotFound(GONE)
    return Reply({"id": id, "favourite": change.favourite})


@router.delete("/history/{id}", response_model=Named, responses=refusals(404))
async def delete(app: Program, id: str) -> Response:
    """Moves a result to the trash, from where it can be restored for seven days."""
    if not await attempt(lambda: app.history.delete(id)):
        raise NotFound(GONE)
    return Reply({"id": id})


@router.post("/history/{id}/restore", response_model=Named, responses=refusals(404))
async def restore(app: Program, id: str) -> Response:
    """Restores a deleted result."""
    if not await attempt(lambda: app.history.restore(id)):
        raise NotFound("There is no such result in the trash.")
    return Reply({"id": id})
