"""Calls that extensions answer themselves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from fastapi import Request as Call

from webui.http.api.dependencies import Program, TypingTurns, body, refusals
from webui.http.api.prompts import while_wanted
from webui.http.replies import Reply

SECONDS = 60.0  # that an extension may take

router = APIRouter(tags=["extensions"])


@router.post("/extensions/{name}/{route}", response_model=dict[str, Any], responses=refusals(404, 409, 429))
async def call(
    app: Program,
    turns: TypingTurns,
    call: Call,
    name: str,
    route: str,
    sent: Annotated[bytes, Depends(body("object"))],
) -> Response:
    """A call that an extension has; its own documentation says what it takes and answers. Hanging up
    cancels."""
    work = partial(_answer, app, name, route, sent)
    return Reply(await while_wanted(app, call, turns, work, SECONDS))


def _answer(app: Any, name: str, route: str, sent: bytes) -> Mapping[str, Any]:
    try:
        values = json.loads(sent)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"This is not JSON: {error}.") from None
    if not isinstance(values, dict):
        raise ValueError("A JSON object is expected.")
    return app.registry.call(name, route, app, values)
