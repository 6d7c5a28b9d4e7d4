"""What endpoints depend on: the App, the caller's name, the JSON body, and threads for what may take long."""

from __future__ import annotations

import asyncio
import codecs
import re
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Any, TypeVar

from fastapi import Depends
from fastapi import Request as Call
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from webui.application import App
from webui.core.errors import Busy, DiskFault, Refusal
from webui.core.options import validate
from webui.http.api.schemas import Failure

ROOT = "/api/v1"
SENT = (413, 415, 422)  # how a call with a body may be refused
SUBMITS = 4  # requests that are expanded at the same time: extensions do that, and it may take long
PATIENCE = 10.0  # seconds that a request waits for its turn there
CLIENT = re.compile(r"[A-Za-z0-9-]{1,64}")
T = TypeVar("T")


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Statuses of an endpoint's own refusals, for its `responses`; every endpoint may answer 403 and 500."""
    return {status: {"model": Failure} for status in (*statuses, 403, 500, "default")}


async def _app(call: Call) -> App:
    return call.app.state.program


async def _client(call: Call) -> str | None:
    name = call.headers.get("x-tdw-client", call.query_params.get("client"))
    if name is not None and not CLIENT.fullmatch(name):
        raise Refusal("A client's name is 1 to 64 of the characters A-Z, a-z, 0-9 and -.")
    return name


Program = Annotated[App, Depends(_app)]
# How the caller names itself, in the header X-TDW-Client or, where a browser cannot send one, in ?client=.
Client = Annotated[str | None, Depends(_client)]


def body(model: type[BaseModel] | str = "object") -> Callable[..., Awaitable[Any]]:
    """A dependency: the JSON body of a call, as `model`, strictly; with the name of a schema, or "object",
    its bytes, not parsed.

    415 if the caller says that it sends something else: a form on a page elsewhere cannot send this type
    without being asked first. 422 with a sentence if it is not valid.
    """

    parsed = None if isinstance(model, str) else model

    async def read(call: Call) -> Any:
        kind = call.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json" or "content-encoding" in call.headers:
            raise HTTPException(415, "Send the request as application/json, not compressed.")
        sent = (await call.body()).removeprefix(codecs.BOM_UTF8)
        return sent if parsed is None else await attempt(partial(validate, parsed, sent, strict=True))

    vars(read)["model"] = model
    return read


async def attempt(work: Callable[[], T]) -> T:
    """What `work` returns, from a thread. Refusal for a ValueError, DiskFault for an OSError."""
    try:
        return await run_in_threadpool(work)
    except Refusal:
        raise
    except ValueError as error:
        raise Refusal(str(error)) from error
    except OSError as error:
        raise DiskFault(f"The disk refuses: {error.strerror or error}.") from error


class Turns:
    """Few threads for work of unknown length, so that it never takes all there are from other calls."""

    def __init__(self, count: int = SUBMITS):
        self._free = asyncio.Semaphore(count)

    async def attempt(self, work: Callable[[], T]) -> T:
        """As `attempt`. Busy if there is no turn for PATIENCE seconds."""
        try:
            async with asyncio.timeout(PATIENCE):
                await self._free.acquire()
        except TimeoutError:
            raise Busy("Other requests are still being read; try again.") from None
        task = asyncio.ensure_future(attempt(work))
        # A caller who hangs up does not end the thread: the turn is free when that is.
        task.add_done_callback(lambda _: self._free.release())
        return await asyncio.shield(task)


async def _turns(call: Call) -> Turns:
    return call.app.state.turns


async def _typing_turns(call: Call) -> Turns:
    return call.app.state.typing_turns


SubmitTurns = Annotated[Turns, Depends(_turns)]
TypingTurns = Annotated[Turns, Depends(_typing_turns)]  # typing never takes the turns of submitted requests


def dump(model: BaseModel | None) -> Any:
    """A model as what JSON can hold."""
    return None if model is None else model.model_dump(mode="json")
