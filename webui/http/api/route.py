"""What every area of the API is made of: its endpoints, and how a body is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from fastapi import Request as Call
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from webui.core.options import validate

ROOT = "/api/v1"
REFS = "#/components/schemas/{model}"
SENT = (413, 415, 422)  # how a call with a body may be refused
KNOWN = (404,)


class Endpoint(NamedTuple):
    """One method of one path below ROOT.

    model   what it answers with, for the OpenAPI document
    errors  the refusals that are its own; every endpoint may answer 403 and 500
    body    the name of the schema of its JSON body, or a schema itself
    """

    method: str
    path: str
    call: Callable[..., Any]
    model: Any
    errors: tuple[int, ...] = ()
    body: str | dict[str, Any] | None = None
    status: int = 200

    def extra(self) -> dict[str, Any] | None:
        """The part of the OpenAPI document that tells what is sent."""
        if self.body is None:
            return None
        schema = {"$ref": REFS.format(model=self.body)} if isinstance(self.body, str) else self.body
        return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


async def json_body(call: Call) -> bytes:
    """The body of a call that must send JSON; not parsed. HTTPException 415 if it says that it is something
    else.

    A form of a foreign page cannot send this type without being asked first.
    """
    kind = call.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" or "content-encoding" in call.headers:
        raise HTTPException(415, "Send the request as application/json, not compressed.")
    return await call.body()


def valid(model: type[BaseModel], body: bytes) -> Any:
    """The body as this model, strictly. HTTPException 422 with a sentence."""
    try:
        return validate(model, body, strict=True)
    except ValueError as error:
        raise HTTPException(422, str(error)) from error


async def done(work: Callable[[], Any]) -> Any:
    """What `work` returns, in a thread of its own; a ValueError or OSError of it as an HTTPException with its
    sentence."""
    try:
        return await run_in_threadpool(work)
    except ValueError as error:
        raise HTTPException(422, str(error)) from error
    except OSError as error:
        raise HTTPException(500, f"The disk refuses: {error.strerror or error}.") from error


def dump(model: BaseModel | None) -> Any:
    """A model as what JSON can hold."""
    return None if model is None else model.model_dump(mode="json")
