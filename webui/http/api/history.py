"""The history over HTTP: search, a whole result, favourites, delete and bring back."""

from __future__ import annotations

import datetime
from typing import Annotated, Any

from fastapi import Query as Parameters
from fastapi import Request as Call
from fastapi import Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.exceptions import HTTPException

from webui.application import App
from webui.core.result import Result
from webui.http.api.route import KNOWN, SENT, Endpoint, done, json_body, valid
from webui.http.server import Reply
from webui.service.history.index import Query
from webui.service.history.store import bound


class HistoryQuery(BaseModel):
    """What to look for in the history. Days are those of the server's clock; `until` is the last one."""

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
        """What is empty asks for nothing."""
        return {name: value for name, value in given.items() if value != ""}

    def query(self) -> Query:
        """The same in ids. A day that cannot be followed by another bounds nothing."""
        last = (
            self.until and self.until < datetime.date.max and bound(self.until + datetime.timedelta(days=1))
        )
        given = self.model_dump(exclude={"since", "until"})
        return Query(**given, first=bound(self.since) if self.since else None, last=last or None)


class HistoryItem(BaseModel):
    """A result in the list: the first 300 characters of text and prompt, `created` in ISO 8601, `seconds` of
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
    """Results, newest first. `total`: how many match; `all`: how many there are, by checkpoint and by
    extension below."""

    items: list[HistoryItem]
    total: int
    all: int
    checkpoints: dict[str, int]
    extensions: dict[str, int]


class HistoryEntry(Result):
    """A stored result. `extensions`: those that it used; `unknown`: fields of its request whose extensions
    are not here."""

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
    """The result that it was done to."""

    id: str


class Deleted(BaseModel):
    """How many results are deleted."""

    deleted: int


class Restored(BaseModel):
    """How many results came back."""

    restored: int


class HistoryRoutes:
    """The endpoints of the history, around one App."""

    def __init__(self, app: App):
        self.app = app

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint("GET", "/history", self.find, HistoryPage, (422,)),
            Endpoint("DELETE", "/history", self.delete_all, Deleted, (422,)),
            Endpoint("POST", "/history/restore", self.restore_all, Restored, KNOWN),
            Endpoint("DELETE", "/history/trash", self.empty, Deleted),
            Endpoint("GET", "/history/{id}", self.get, HistoryEntry, (404, 422)),
            Endpoint(
                "PATCH",
                "/history/{id}",
                self.mark,
                HistoryMark,
                (404, *SENT),
                HistoryChange.model_json_schema(),
            ),
            Endpoint("DELETE", "/history/{id}", self.delete, Named, KNOWN),
            Endpoint("POST", "/history/{id}/restore", self.restore, Named, KNOWN),
        ]

    async def find(self, asked: Annotated[HistoryQuery, Parameters()]) -> Response:
        """Saved results that match, newest first, a page at a time."""
        return Reply(await run_in_threadpool(self.app.history.find, asked.query()))

    async def get(self, id: str) -> Response:
        """A whole stored result, with its pieces and its trace."""

        def read() -> dict[str, Any] | None:
            entry = self.app.history.entry(id)
            return entry and {**entry[0].model_dump(mode="json"), **entry[1]}

        return Reply(await done(read) or _gone())

    async def mark(self, id: str, call: Call) -> Response:
        """Makes a stored result a favourite, or not."""
        change = valid(HistoryChange, await json_body(call))
        await done(lambda: self.app.history.mark(id, change.favourite) or _gone())
        return Reply({"id": id, "favourite": change.favourite})

    async def delete(self, id: str) -> Response:
        """Moves a result to the trash, from where it can be brought back for seven days."""
        await done(lambda: self.app.history.delete(id) or _gone())
        return Reply({"id": id})

    async def restore(self, id: str) -> Response:
        """Brings a deleted result back."""
        if not await done(lambda: self.app.history.restore(id)):
            raise HTTPException(404, "There is no such result in the trash.")
        return Reply({"id": id})

    async def delete_all(self, confirm: str = "") -> Response:
        """Moves every result to the trash, if `confirm` is `all`."""
        if confirm != "all":
            raise HTTPException(422, "To delete every result, add ?confirm=all.")
        return Reply({"deleted": await done(self.app.history.delete_all)})

    async def restore_all(self) -> Response:
        """Brings back what was last deleted all at once."""
        number = await done(self.app.history.restore_all)
        if not number:
            raise HTTPException(404, "There is nothing in the trash that was deleted all at once.")
        return Reply({"restored": number})

    async def empty(self) -> Response:
        """Removes what is in the trash, for good."""
        return Reply({"deleted": await done(self.app.history.empty)})


def _gone() -> None:
    raise HTTPException(404, "There is no such result in the history.")
