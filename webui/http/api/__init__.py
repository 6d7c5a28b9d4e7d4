"""The HTTP API under /api/v1: it parses and hands over; no logic. One router for each area, put together
here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.routing import Route

from webui.application import App
from webui.http.api import (
    checkpoints,
    downloads,
    experiments,
    extensions,
    history,
    installed,
    jobs,
    presets,
    prompts,
    settings,
    texts,
)
from webui.http.api.dependencies import ROOT, SENT, Turns, refusals
from webui.http.guard import Guard
from webui.http.replies import handle_errors

AREAS = (
    jobs,
    experiments,
    prompts,
    installed,
    extensions,
    checkpoints,
    downloads,
    history,
    presets,
    settings,
    texts,
)
STREAMS = ("/jobs/events", "/jobs/{id}/events")  # what answers with server-sent events
REFS = "#/components/schemas/{model}"


def build(app: App) -> FastAPI:
    """The program on HTTP: the API at /api/v1, guarded; a page may be mounted beside it."""
    # An application of its own, so that a page mounted at / never answers for a path or a method the API does
    # not have.
    api = FastAPI(docs_url=None, redoc_url=None, openapi_url="/openapi.json", redirect_slashes=False)
    api.state.program, api.state.turns, api.state.typing_turns = app, Turns(), Turns()
    for area in AREAS:
        api.include_router(area.router, responses=refusals())
    api.openapi = lambda: describe(app, api)  # type: ignore[method-assign]
    outer = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    outer.mount(ROOT, api)
    outer.router.routes.append(Route(ROOT, api))  # its root without the slash
    outer.add_middleware(Guard, settings=app.settings)
    handle_errors(api)
    handle_errors(outer)
    return outer


def describe(app: App, api: FastAPI) -> dict[str, Any]:
    """The OpenAPI document: FastAPI's, with the bodies that our dependency reads, the composed request in the
    place of the bare one, and full paths."""
    if api.openapi_schema is None:
        schema = get_openapi(
            title="Text Diffusion WebUI", version="1", routes=api.routes, separate_input_output_schemas=False
        )
        models = schema["components"]["schemas"]
        models |= _schemas(app.Request, "Request")
        for route in (route for area in AREAS for route in area.router.routes):
            for model in _bodies(route):
                name = model if isinstance(model, str) else model.__name__
                if not isinstance(model, str):
                    models |= _schemas(model, name)
                content = {"type": "object"} if name == "object" else {"$ref": REFS.format(model=name)}
                assert isinstance(route, APIRoute)
                for method in route.methods or ():
                    operation = schema["paths"][route.path_format][method.lower()]
                    operation["requestBody"] = {
                        "required": True,
                        "content": {"application/json": {"schema": content}},
                    }
                    refused = operation["responses"]["default"]
                    operation["responses"] |= {
                        str(status): {**refused, "description": "Refused"} for status in SENT
                    }
        for path in STREAMS:
            stream = schema["paths"][path]["get"]["responses"]["200"]
            stream["content"] = {"text/event-stream": stream["content"]["application/json"]}
        schema["paths"] = {ROOT + path: operations for path, operations in schema["paths"].items()}
        api.openapi_schema = schema
    return api.openapi_schema


def _bodies(route: Any) -> Iterator[type[BaseModel] | str]:
    """The models, or names of schemas, of the JSON bodies that a route's dependencies read."""
    waiting: list[Dependant] = [route.dependant] if isinstance(route, APIRoute) else []
    while waiting:
        dependant = waiting.pop()
        waiting += dependant.dependencies
        if "model" in getattr(dependant.call, "__dict__", {}):
            yield vars(dependant.call)["model"]


def _schemas(model: type[BaseModel], name: str) -> dict[str, Any]:
    """The JSON Schema of a model, and of those in it, by name."""
    schema = model.model_json_schema(ref_template=REFS)
    return {**schema.pop("$defs", {}), name: schema}
