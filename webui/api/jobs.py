"""Jobs over HTTP: queue one, follow it by server-sent events, stop it, or wait for its text."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from fastapi import Request as Call
from fastapi import Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from starlette.exceptions import HTTPException

from webui.api.route import KNOWN, ROOT, SENT, Endpoint, dump, json_body
from webui.api.schemas import JobDetails, JobInfo, JobLine, Update
from webui.application import App
from webui.jobs import BROKEN, ENDED, Job
from webui.request import Result, validate
from webui.server import Reply, encode

POLL = 0.05  # seconds between two looks at a job: the most a watcher lags
HEARTBEAT = 15.0  # seconds of silence after which a comment tells proxies and browsers that the stream lives


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


class JobRoutes:
    """The endpoints of jobs, around one App."""

    def __init__(self, app: App):
        self.app = app

    def endpoints(self) -> list[Endpoint]:
        sent = (*SENT, 429)
        return [
            Endpoint("POST", "/jobs", self.create, JobInfo, sent, "Request", 201),
            Endpoint("GET", "/jobs", self.list, list[JobLine]),
            Endpoint("GET", "/jobs/{id}", self.get, JobDetails, KNOWN),
            Endpoint("DELETE", "/jobs/{id}", self.cancel, JobLine, KNOWN),
            Endpoint("GET", "/jobs/{id}/events", self.events, Update, KNOWN),
            Endpoint("POST", "/txt2txt", self.txt2txt, Result, (*sent, 409), "Request"),
        ]

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
        info = await run_in_threadpool(lambda: {**self._info(job), "result": dump(job.result)})
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
            return Reply(await run_in_threadpool(dump, job.result))
        error = job.error or "The job was cancelled before it began."
        raise HTTPException(409 if job.state != "failed" else 500 if error.startswith(BROKEN) else 422, error)

    async def _submit(self, call: Call) -> Job:
        body = await json_body(call)
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
        return {**self._line(job), "cells": cells, "request": dump(job.request)}
