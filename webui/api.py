"""The HTTP API under /api/v1: jobs, their events, and what can be asked for. It parses and hands over; no logic."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Literal

from fastapi import FastAPI, Response
from fastapi import Request as Call
from fastapi.concurrency import run_in_threadpool
from fastapi.openapi.utils import get_openapi
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, SerializeAsAny
from starlette.exceptions import HTTPException
from starlette.routing import Route

from webui.application import App
from webui.jobs import BROKEN, ENDED, Job, State
from webui.request import Request, Result, validate
from webui.server import Guard, Reply, encode, explain

ROOT = "/api/v1"
POLL = 0.05  # seconds between two looks at a job: the most a watcher lags
HEARTBEAT = 15.0  # seconds of silence after which a comment tells proxies and browsers that the stream lives
REFS = "#/components/schemas/{model}"


class Error(BaseModel):
    """`message` is one sentence that says what to do."""

    code: Literal["invalid", "not_found", "forbidden", "busy", "too_large", "internal"]
    message: str


class Failure(BaseModel):
    """The shape of every error."""

    error: Error


class CellInfo(BaseModel):
    id: str
    axes: list[tuple[str, Any, str]]  # name, value, label


class JobLine(BaseModel):
    """A job in the list. `position`: how many come before it; `progress`: 0 to 1; `created`: seconds since 1970."""

    id: str
    state: State
    position: int
    error: str | None
    created: float
    seconds: float
    progress: float


class JobInfo(JobLine):
    cells: list[CellInfo]
    request: SerializeAsAny[Request]


class JobDetails(JobInfo):
    result: Result | None


class CellUpdate(BaseModel):
    """A change is [column, text or null while open, confidence or null for given text, step]."""

    axes: list[tuple[str, Any, str]]
    state: State
    length: int
    steps: int
    step: int
    changes: list[tuple[int, str | None, float | None, int]]
    result: Result | None
    error: str | None


class Update(BaseModel):
    """What changed since the last event; the first is everything. A cell's result comes without trace and pieces."""

    id: str
    version: int
    state: State
    position: int
    error: str | None
    seconds: float
    progress: float
    cells: dict[str, CellUpdate]


class CheckpointInfo(BaseModel):
    """`default`: used when a request names none; `size` in bytes; `error`: why it cannot be used."""

    name: str
    default: bool
    family: str | None
    size: int
    license: str | None
    profile: dict[str, Any]
    error: str | None


class Samplers(BaseModel):
    """Names and what they do, in a line each."""

    samplers: dict[str, str]
    schedules: dict[str, str]
    confidences: dict[str, str]


class ExtensionInfo(BaseModel):
    """`error`: the traceback of an extension that was left out because it did not load."""

    name: str
    title: str
    about: str
    error: str | None


class SchemaInfo(BaseModel):
    """JSON Schema of a request, and the extensions it is composed of."""

    request: dict[str, Any]
    extensions: list[ExtensionInfo]


async def events(app: App, job: Job) -> AsyncIterator[bytes]:
    """A job as server-sent events: a snapshot, then merged differences, until its end.

    However slowly they are taken, they make no backlog, and no thread waits for them.
    """
    watcher, version, position, silent = job.watch(), 0, -1, 0.0
    while True:
        ahead = app.jobs.position(job)
        if job.version > version or ahead != position:
            update = await run_in_threadpool(watcher.read)  # a snapshot of a thousand cells takes a while
            if update is None:
                update = {**job.since(job.version - 1), "cells": {}}
            position, version, silent = ahead, update["version"], 0.0
            data = await run_in_threadpool(encode, {**update, "position": position})
            yield b"event: update\nid: %d\ndata: %b\n\n" % (version, data)
            if update["state"] in ENDED:
                return
        elif silent >= HEARTBEAT:
            silent = 0.0
            yield b": still here\n\n"
        await asyncio.sleep(POLL)
        silent += POLL


class Routes:
    """The endpoints, around one App."""

    def __init__(self, app: App):
        self.app = app

    async def create(self, call: Call) -> Response:
        """Queues a request. Its texts are made when the jobs before it are done."""
        job = await self._submit(call)
        return Reply(self._info(job), 201, {"Location": f"{ROOT}/jobs/{job.id}"})

    async def list(self) -> Response:
        """The jobs that are known, oldest first. Older results are in the data folder."""
        return Reply([self._line(job) for job in self.app.jobs.all()])

    async def get(self, id: str) -> Response:
        """A job, with its result once there is one."""
        job = self._job(id)
        info = await run_in_threadpool(lambda: {**self._info(job), "result": _dump(job.result)})
        return Reply(info)

    async def cancel(self, id: str) -> Response:
        """Stops a job before its next model call. What was decided by then is its result, `complete` false."""
        job = self._job(id)
        await run_in_threadpool(job.cancel)
        return Reply(self._line(job))

    async def events(self, id: str) -> Response:
        """Server-sent events of the type `update`, each with an Update as its data, until the job has ended."""
        stream = events(self.app, self._job(id))
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(stream, media_type="text/event-stream", headers=headers)

    async def txt2txt(self, call: Call) -> Response:
        """Queues a request and answers with its result. Hanging up cancels it."""
        job = await self._submit(call)
        try:
            while job.state not in ENDED:
                if await call.is_disconnected():
                    break
                await asyncio.sleep(POLL)
        finally:
            job.cancel()  # does nothing to a job that has ended
        if job.result is not None and job.state != "failed":
            return Reply(await run_in_threadpool(_dump, job.result))
        error = job.error or "The job was cancelled before it began."
        raise HTTPException(409 if job.state != "failed" else 500 if error.startswith(BROKEN) else 422, error)

    def checkpoints(self) -> Response:
        """The checkpoints in the models folder."""
        default, entries = self.app.settings.model, self.app.checkpoints.list()
        names = [name for name in CheckpointInfo.model_fields if name != "default"]
        return Reply([{**{name: getattr(e, name) for name in names}, "default": e.name == default} for e in entries])

    def samplers(self) -> Response:
        """The samplers, schedules and confidences a request may name."""
        app = self.app
        return Reply({"samplers": app.samplers(), "schedules": app.schedules(), "confidences": app.confidences()})

    def schema(self) -> Response:
        """What a request may hold, and the extensions it comes from."""
        registry = self.app.registry
        loaded = [
            {"name": name, "title": extension.title, "about": extension.about, "error": None}
            for name, extension in registry.extensions.items()
        ]
        failed = [{"name": name, "title": name, "about": "", "error": error} for name, error in registry.failed.items()]
        return Reply({"request": self.app.Request.model_json_schema(), "extensions": loaded + failed})

    async def _submit(self, call: Call) -> Job:
        kind = call.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json" or "content-encoding" in call.headers:
            raise HTTPException(415, "Send the request as application/json, not compressed.")
        body = await call.body()
        try:
            return await run_in_threadpool(lambda: self.app.jobs.submit(validate(self.app.Request, body, strict=True)))
        except ValueError as error:
            raise HTTPException(422, str(error)) from error
        except OverflowError as error:
            raise HTTPException(429, str(error), {"Retry-After": "5"}) from error

    def _job(self, id: str) -> Job:
        job = self.app.jobs.get(id)
        if job is None:
            raise HTTPException(404, "There is no such job; results of earlier ones are in the data folder.")
        return job

    def _line(self, job: Job) -> dict[str, Any]:
        latest = job.since(job.version - 1)
        kept = {name: latest[name] for name in ("id", "state", "error", "seconds", "progress")}
        return {**kept, "position": self.app.jobs.position(job), "created": job.created}

    def _info(self, job: Job) -> dict[str, Any]:
        cells = [{"id": cell.id, "axes": cell.axes} for cell in job.cells]
        return {**self._line(job), "cells": cells, "request": _dump(job.request)}


def _dump(model: BaseModel | None) -> Any:
    return None if model is None else model.model_dump(mode="json")


def build(app: App) -> FastAPI:
    """The program on HTTP: the API at /api/v1, guarded; a page may be mounted beside it."""
    routes = Routes(app)
    # An application of its own, so that a page mounted at / never answers for a path or a method the API does not have.
    api = FastAPI(docs_url=None, redoc_url=None, openapi_url="/openapi.json", redirect_slashes=False)
    content = {"application/json": {"schema": {"$ref": REFS.format(model="Request")}}}
    body = {"requestBody": {"required": True, "content": content}}
    sent, known = (413, 415, 422, 429), (404,)
    for method, path, endpoint, status, model, errors, extra in (
        ("POST", "/jobs", routes.create, 201, JobInfo, sent, body),
        ("GET", "/jobs", routes.list, 200, list[JobLine], (), None),
        ("GET", "/jobs/{id}", routes.get, 200, JobDetails, known, None),
        ("DELETE", "/jobs/{id}", routes.cancel, 200, JobLine, known, None),
        ("GET", "/jobs/{id}/events", routes.events, 200, Update, known, None),
        ("POST", "/txt2txt", routes.txt2txt, 200, Result, (*sent, 409), body),
        ("GET", "/checkpoints", routes.checkpoints, 200, list[CheckpointInfo], (), None),
        ("GET", "/samplers", routes.samplers, 200, Samplers, (), None),
        ("GET", "/schema", routes.schema, 200, SchemaInfo, (), None),
    ):
        failures = {error: {"model": Failure} for error in (*errors, 403, 500, "default")}
        api.add_api_route(
            path, endpoint, methods=[method], status_code=status, response_model=model, responses=failures,
            openapi_extra=extra,
        )  # fmt: skip
    api.openapi = lambda: describe(app, api)
    outer = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    outer.mount(ROOT, api)
    outer.router.routes.append(Route(ROOT, api))  # its root without the slash
    outer.add_middleware(Guard, settings=app.settings)
    explain(api)
    explain(outer)
    return outer


def describe(app: App, api: FastAPI) -> dict[str, Any]:
    """The OpenAPI document: FastAPI's, with the composed request in the place of the bare one, and full paths."""
    if api.openapi_schema is None:
        schema = get_openapi(title="Text Diffusion WebUI", version="1", routes=api.routes, separate_input_output_schemas=False)
        request = app.Request.model_json_schema(ref_template=REFS)
        schema["components"]["schemas"] |= request.pop("$defs", {}) | {"Request": request}
        stream = schema["paths"]["/jobs/{id}/events"]["get"]["responses"]["200"]
        stream["content"] = {"text/event-stream": stream["content"]["application/json"]}
        schema["paths"] = {ROOT + path: operations for path, operations in schema["paths"].items()}
        api.openapi_schema = schema
    return api.openapi_schema
