"""Jobs over HTTP: queue one, follow it by server-sent events, stop it, or wait for its text."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

from fastapi import Request as Call
from fastapi import Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from starlette.exceptions import HTTPException

from webui.application import App
from webui.core.options import validate
from webui.core.result import Result
from webui.http.api.route import KNOWN, ROOT, SENT, Endpoint, dump, json_body
from webui.http.api.schemas import JobDetails, JobInfo, JobLine, QueueUpdate, Update
from webui.http.server import Reply, encode
from webui.service.job import ENDED, Job
from webui.service.queue import BROKEN

POLL = 0.05  # seconds between two looks at a job: the most a subscription lags
LIST_POLL = 0.25  # ... at all jobs
CLIENT = re.compile(r"[A-Za-z0-9-]{1,64}")
FEW = 16  # cells whose differences are read and written faster than another thread is asked to
PROMPT = 120  # characters of a prompt in the list
HEARTBEAT = 15.0  # seconds of silence after which a comment tells proxies and browsers that the stream lives


def caller(call: Call) -> str | None:
    """How the caller names itself, by header or, where a browser can send none, by ?client=. HTTPException
    422."""
    name = call.headers.get("x-tdw-client", call.query_params.get("client"))
    if name is not None and not CLIENT.fullmatch(name):
        raise HTTPException(422, "A client's name is 1 to 64 of the characters A-Z, a-z, 0-9 and -.")
    return name


async def events(app: App, job: Job, client: str | None = None) -> AsyncIterator[bytes]:
    """A job as server-sent events: a snapshot, then merged differences, until its end.

    However slowly they are taken, they make no backlog, and no thread waits for them.
    """
    subscription, version, position, silent = job.subscribe(), 0, -1, 0.0
    aside = (
        run_in_threadpool if len(job.cells) > FEW else _at_once
    )  # a snapshot of a thousand cells takes a while
    with app.queue.watched(client):
        while True:
            ahead = app.queue.position(job)
            if job.version > version or ahead != position:
                update = await aside(subscription.read)
                if update is None:
                    update = {**job.since(job.version - 1), "cells": {}}
                position, version, silent = ahead, update["version"], 0.0
                data = await aside(encode, {**update, "position": position})
                yield b"event: update\nid: %d\ndata: %b\n\n" % (version, data)
                if update["state"] in ENDED:
                    return
            elif silent >= HEARTBEAT:
                silent = 0.0
                yield b": still here\n\n"
            await asyncio.sleep(POLL)
            silent += POLL


async def queue_events(app: App, client: str | None) -> AsyncIterator[bytes]:
    """All jobs as server-sent events: a snapshot, then what changed since the last event, at most every
    LIST_POLL seconds.

    Each connection remembers only what it told, so that a reader however slow gets one merged difference.
    """
    told: dict[str, tuple] = {}
    before: dict[str, Any] | None = None
    silent = 0.0
    with app.queue.watched(client):
        while True:
            positions, known = app.queue.positions(), {job.id: job for job in app.queue.all()}
            marks = {id: (job.version, positions.get(id, 0)) for id, job in known.items()}
            changed = [known[id] for id, mark in marks.items() if told.get(id) != mark]
            gone = [id for id in told if id not in known]
            memory = {**memory_of(app), "checkpoints": app.checkpoints.version}
            if changed or gone or memory != before:
                told, before, silent = marks, memory, 0.0
                update = {
                    "jobs": [line(app, job, client, positions.get(job.id, 0)) for job in changed],
                    "gone": gone,
                    **memory,
                }
                yield b"event: queue\ndata: %b\n\n" % await run_in_threadpool(encode, update)
            elif silent >= HEARTBEAT:
                silent = 0.0
                yield b": still here\n\n"
            await asyncio.sleep(LIST_POLL)
            silent += LIST_POLL


def memory_of(app: App) -> dict[str, Any]:
    """What is loaded, being read, and waiting to be."""
    loading = app.queue.loading
    told = loading and {"checkpoint": loading.checkpoint, "done": round(loading.done, 3)}
    return {"loaded": app.checkpoints.loaded, "loading": told, "wanted": app.queue.wanted}


def line(app: App, job: Job, client: str | None, position: int) -> dict[str, Any]:
    """A job in the list, as this client sees it."""
    models = dict.fromkeys(cell.request.model or app.settings.model for cell in job.cells)
    prompt = job.request.prompt.strip()
    return {
        **job.line(),
        "position": position,
        "created": job.created,
        "texts": len(job.cells),
        "checkpoint": ", ".join(models),
        "prompt": prompt if len(prompt) <= PROMPT else prompt[:PROMPT] + "…",
        "client_is_you": client is not None and job.client == client,
    }


class JobRoutes:
    """The endpoints of jobs, around one App."""

    def __init__(self, app: App):
        self.app = app

    def endpoints(self) -> list[Endpoint]:
        sent = (*SENT, 429)
        return [
            Endpoint("POST", "/jobs", self.create, JobInfo, sent, "Request", 201),
            Endpoint("GET", "/jobs", self.list, list[JobLine], (422,)),
            Endpoint("GET", "/jobs/events", self.all_events, QueueUpdate, (422,)),
            Endpoint("GET", "/jobs/{id}", self.get, JobDetails, (*KNOWN, 422)),
            Endpoint("DELETE", "/jobs/{id}", self.cancel, JobLine, (*KNOWN, 422)),
            Endpoint("POST", "/jobs/{id}/retry", self.retry, JobInfo, (*KNOWN, 422, 429), None, 201),
            Endpoint("GET", "/jobs/{id}/events", self.events, Update, (*KNOWN, 422)),
            Endpoint("POST", "/txt2txt", self.txt2txt, Result, (*sent, 409), "Request"),
        ]

    async def create(self, call: Call) -> Response:
        """Queues a request. Its texts are made when the jobs before it are done. The header X-TDW-Client says
        whose job it is."""
        return self._made(await self._submit(call), call)

    async def retry(self, call: Call, id: str) -> Response:
        """Queues the request of a job once more, as a new job of the caller; a seed that was drawn is drawn
        anew."""
        request, client = self._job(id).request, caller(call)
        return self._made(await self._queued(lambda: self.app.queue.submit(request, client)), call)

    async def list(self, call: Call) -> Response:
        """The jobs that are known, oldest first. Older results are in the data folder."""
        return Reply([self._line(job, call) for job in self.app.queue.all()])

    async def all_events(self, call: Call) -> Response:
        """Server-sent events of the type `queue`, each with a QueueUpdate as its data, as long as the caller
        listens."""
        return _stream(queue_events(self.app, caller(call)))

    async def get(self, call: Call, id: str) -> Response:
        """A job, with its result once there is one."""
        job = self._job(id)
        info = await run_in_threadpool(lambda: {**self._info(job, call), "result": dump(job.result)})
        return Reply(info)

    async def cancel(self, call: Call, id: str) -> Response:
        """Stops a job before its next model call. What was decided by then is its result, `complete`
        false."""
        job = self._job(id)
        await run_in_threadpool(job.cancel)
        return Reply(self._line(job, call))

    async def events(self, call: Call, id: str) -> Response:
        """Server-sent events of the type `update`, each with an Update as its data, until the job has
        ended."""
        return _stream(events(self.app, self._job(id), caller(call)))

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
            return Reply(await run_in_threadpool(dump, job.result))
        error = job.error or "The job was cancelled before it began."
        raise HTTPException(409 if job.state != "failed" else 500 if error.startswith(BROKEN) else 422, error)

    async def _submit(self, call: Call) -> Job:
        body, client = await json_body(call), caller(call)
        return await self._queued(
            lambda: self.app.queue.submit(validate(self.app.Request, body, strict=True), client)
        )

    async def _queued(self, submit: Callable[[], Job]) -> Job:
        try:
            return await run_in_threadpool(submit)
        except ValueError as error:
            raise HTTPException(422, str(error)) from error
        except OverflowError as error:
            raise HTTPException(429, str(error), {"Retry-After": "5"}) from error

    def _made(self, job: Job, call: Call) -> Response:
        return Reply(self._info(job, call), 201, {"Location": f"{ROOT}/jobs/{job.id}"})

    def _job(self, id: str) -> Job:
        job = self.app.queue.get(id)
        if job is None:
            raise HTTPException(404, "There is no such job; results of earlier ones are in the data folder.")
        return job

    def _line(self, job: Job, call: Call) -> dict[str, Any]:
        return line(self.app, job, caller(call), self.app.queue.position(job))

    def _info(self, job: Job, call: Call) -> dict[str, Any]:
        cells = [{"id": cell.id, "axes": cell.axes} for cell in job.cells]
        return {**self._line(job, call), "cells": cells, "request": dump(job.request)}


async def _at_once(act: Callable[..., Any], *arguments: Any) -> Any:
    return act(*arguments)


def _stream(found: AsyncIterator[bytes]) -> Response:
    return StreamingResponse(
        found,
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )
