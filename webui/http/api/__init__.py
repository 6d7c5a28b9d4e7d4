"""The HTTP API under /api/v1: it parses and hands over; no logic. One module for each area, put together
here."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.routing import Route

from webui.application import App
from webui.http.api.checkpoints import CheckpointRoutes
from webui.http.api.history import HistoryRoutes
from webui.http.api.jobs import JobRoutes
from webui.http.api.presets import PresetRoutes
from webui.http.api.route import REFS, ROOT
from webui.http.api.schemas import Failure
from webui.http.api.settings import SettingsRoutes
from webui.http.api.texts import TextRoutes
from webui.http.server import Guard, explain

AREAS = (JobRoutes, CheckpointRoutes, HistoryRoutes, PresetRoutes, SettingsRoutes, TextRoutes)
STREAMS = ("/jobs/events", "/jobs/{id}/events")  # what answers with server-sent events


def build(app: App) -> FastAPI:
    """The program on HTTP: the API at /api/v1, guarded; a page may be mounted beside it."""
    # An application of its own, so that a page mounted at / never answers for a path or a method the API does
    # not have.
    api = FastAPI(docs_url=None, redoc_url=None, openapi_url="/openapi.json", redirect_slashes=False)
    for endpoint in (endpoint for area in AREAS for endpoint in area(app).endpoints()):
        failures = {error: {"model": Failure} for error in (*endpoint.errors, 403, 500, "default")}
        api.add_api_route(
            endpoint.path,
            endpoint.call,
            methods=[endpoint.method],
            status_code=endpoint.status,
            response_model=endpoint.model,
            responses=failures,
            openapi_extra=endpoint.extra(),
        )
    api.openapi = lambda: describe(app, api)
    outer = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    outer.mount(ROOT, api)
    outer.router.routes.append(Route(ROOT, api))  # its root without the slash
    outer.add_middleware(Guard, settings=app.settings)
    explain(api)
    explain(outer)
    return outer


def describe(app: App, api: FastAPI) -> dict[str, Any]:
    """The OpenAPI document: FastAPI's, with the composed request in the place of the bare one, and full
    paths."""
    if api.openapi_schema is None:
        schema = get_openapi(
            title="Text Diffusion WebUI", version="1", routes=api.routes, separate_input_output_schemas=False
        )
        request = app.Request.model_json_schema(ref_template=REFS)
        schema["components"]["schemas"] |= request.pop("$defs", {}) | {"Request": request}
        for path in STREAMS:
            stream = schema["paths"][path]["get"]["responses"]["200"]
            stream["content"] = {"text/event-stream": stream["content"]["application/json"]}
        schema["paths"] = {ROOT + path: operations for path, operations in schema["paths"].items()}
        api.openapi_schema = schema
    return api.openapi_schema
