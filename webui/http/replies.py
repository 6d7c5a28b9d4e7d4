"""Replies as JSON, and the one shape that every error has."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from webui.core.errors import Busy, Code, Refusal, code_of
from webui.core.options import sentence

STATUS: Mapping[Code, int] = MappingProxyType(
    {
        "invalid": 422,
        "not_found": 404,
        "forbidden": 403,
        "busy": 429,
        "too_large": 413,
        "cancelled": 409,
        "abandoned": 500,
        "extension": 500,
        "internal": 500,
    }
)
LONGEST = 500  # characters of a message: names in it may be the caller's
RETRY = {"Retry-After": "5"}  # seconds


def encode(content: Any) -> bytes:
    """JSON in UTF-8. Half surrogate pairs, which file names can hold but UTF-8 cannot, become U+FFFD."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=str)
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


class Reply(JSONResponse):
    """A JSON response in this encoding."""

    def render(self, content: Any) -> bytes:
        return encode(content)


def failure(
    code: Code, message: str, status: int | None = None, headers: Mapping[str, str] | None = None
) -> Reply:
    """The one shape of every error; `message` is a sentence. The status follows from the code."""
    message = message if len(message) <= LONGEST else message[:LONGEST] + "..."
    content = {"error": {"code": code, "message": message}}
    return Reply(content, status or STATUS[code], dict(headers or {}))


def handle_errors(app: FastAPI) -> None:
    """Gives every error of `app` that shape."""
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _failed)


async def _refused(call: Request, error: Exception) -> Reply:
    return failure(code_of(error), str(error), headers=RETRY if isinstance(error, Busy) else None)


async def _http_error(call: Request, error: Exception) -> Reply:
    assert isinstance(error, HTTPException)
    message = error.detail
    if error.status_code == 404:
        message = f"There is nothing at {call.url.path}."
    elif error.status_code == 405:
        message = f"{call.method} is not possible at {call.url.path}."
    code: Code = "not_found" if error.status_code == 404 else "invalid"
    return failure(code, message, error.status_code, error.headers)


async def _invalid(call: Request, error: Exception) -> Reply:
    assert isinstance(error, RequestValidationError)
    return failure("invalid", " ".join(sentence(fault) for fault in error.errors()))


async def _failed(call: Request, error: Exception) -> Reply:
    # starlette raises the error again, and uvicorn prints it
    return failure("internal", "The program failed; the terminal it runs in shows where.")
