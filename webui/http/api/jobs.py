"""Jobs over HTTP: queue one, follow it by server-sent events, stop it, or wait for its text."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from fastapi import Request as Call
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from webui.application import App
from webui.core.errors import NotFound
from webui.core.options import validate
from webui.core.result import Result
from webui.http.api.dependencies import (
    ROOT,
    Client,
    Program,
    SubmitTurns,
    TypingTurns,
    attempt,
    body,
    dump,
    refusals,
)
from webui.http.api.downloads import shown
from webui.http.api.prompts import while_wanted
from webui.http.api.schemas import (
    EstimateInfo,
    JobDetails,
    JobInfo,
    JobLine,
    QueueUpdate,
    TableInfo,
    Update,
)
from webui.http.replies import Reply, encode, failure
from webui.service.estimate import CONFIRMED
from webui.service.exports import FORMATS
from webui.service.job import ENDED, Job

POLL = 0.05  # seconds between two looks at a job: the most that a subscriber lags
LIST_POLL = 0.25  # ... at all jobs
FEW = 16  # cells whose differences are read and written faster than another thread is asked to
PROMPT = 120  # characters of a prompt in the list
TABLE_SECONDS = 60.0  # that extensions' metrics of all texts of a job may take
HEARTBEAT = 15.0  # seconds of silence after which a comment keeps proxies from closing the stream

router = APIRouter(tags=["jobs"])


async def _submitted(app: Program, turns: SubmitTurns, client: Client, sent: Sent) -> Job:
    return await turns.attempt(
        lambda: app.queue.submit(lambda: validate(app.Request, sent, strict=True), client)
    )


async def _known(app: Program, id: str) -> Job:
    job = app.queue.get(id)
    if job is None:
        raise NotFound("There is no such job; results of earlier ones are in the data folder.")
    return job


Sent = Annotated[bytes, Depends(body("Request"))]
Known = Annotated[Job, Depends(_known)]
Submitted = Annotated[Job, Depends(_submitted)]


@router.post("/jobs", status_code=201, response_model=JobInfo, responses=refusals(429))
async def create(app: Program, client: Client, job: Submitted) -> Response:
    """Queues a request. Its texts are made when the jobs before it are done. The header X-TDW-Client says
    whose job it is."""
    return await made(app, job, client)


@router.post("/jobs/estimate", response_model=EstimateInfo, responses=refusals(429))
async def estimate(
    app: Program, turns: SubmitTurns, sent: Annotated[bytes, Depends(body("Request"))]
) -> Response:
    """What a request would cost: texts, model calls, and seconds by what was measured. Nothing is queued."""
    found = await turns.attempt(lambda: app.estimate(validate(app.Request, sent, strict=True)))
    return Reply({**vars(found), "confirm": found.texts > CONFIRMED})


@router.get("/jobs", response_model=list[JobLine], responses=refusals(422))
async def all_jobs(app: Program, client: Client) -> Response:
    """The jobs that are known, oldest first. Older results are in the data folder."""
    positions = app.queue.positions()
    return Reply([line(app, job, client, positions.get(job.id, 0)) for job in app.queue.all()])


@router.get("/jobs/events", response_model=QueueUpdate, responses=refusals(422))
async def all_events(app: Program, client: Client) -> Response:
    """Server-sent events of the type `queue`, each with a QueueUpdate as its data, as long as the caller
    listens."""
    return _stream(queue_events(app, client))


@router.get("/jobs/{id}", response_model=JobDetails, responses=refusals(404, 422))
async def get(app: Program, client: Client, job: Known) -> Response:
    """A job, with its result once there is one."""
    return Reply(await run_in_threadpool(lambda: {**_info(app, job, client), "result": dump(job.result)}))


@router.delete("/jobs/{id}", response_model=JobLine, responses=refusals(404, 422))
async def cancel(app: Program, client: Client, job: Known) -> Response:
    """Stops a job before its next model call. What is committed by then is its result, `complete` false."""
    await run_in_threadpool(job.cancel)
    return Reply(line(app, job, client, app.queue.position(job)))


@router.post("/jobs/{id}/abandon", response_model=JobLine, responses=refusals(404, 422))
async def abandon(app: Program, client: Client, job: Known) -> Response:
    """Ends a job that does not react to being cancelled, because a hook or a library call in it does not
    return. It fails with the code `abandoned`, without a result; the jobs behind it go on in another thread,
    which loads its own model. One that waits is cancelled, one that has ended stays as it is."""
    await run_in_threadpool(app.queue.abandon, job)
    return Reply(line(app, job, client, app.queue.position(job)))


@router.get("/jobs/{id}/table", response_model=TableInfo, responses=refusals(404, 422, 429))
async def table(app: Program, turns: TypingTurns, call: Call, job: Known) -> Response:
    """The job as a table, as far as it is: axes and metrics of each cell. The texts are in its events."""
    found = await while_wanted(app, call, turns, lambda: app.tables.of(job), TABLE_SECONDS)
    rows = [
        {
            "cell": row.cell,
            "axes": dict(row.axes),
            "metrics": dict(row.metrics),
            "done": row.result is not None,
            "error": row.error,
        }
        for row in found.rows
    ]
    shown = {"axes": found.axes, "metrics": found.metrics, "rows": rows, "failed": dict(found.failed)}
    shown["scoring"] = job.scoring
    return await run_in_threadpool(Reply, shown)


@router.post("/jobs/{id}/bounds", response_model=JobLine, responses=refusals(404, 422))
async def bounds(app: Program, client: Client, job: Known) -> Response:
    """Begins to compute the bound of every finished text under the checkpoint that wrote it, in bits per
    byte: the column `bound` of its table. It costs model calls, and jobs that are queued meanwhile come
    between."""
    await attempt(lambda: app.bounds.begin(job))
    return Reply(line(app, job, client, app.queue.position(job)))


@router.delete("/jobs/{id}/bounds", response_model=JobLine, responses=refusals(404, 422))
async def stop_bounds(app: Program, client: Client, job: Known) -> Response:
    """Stops computing bounds; those that are known stay."""
    app.bounds.stop(job)
    return Reply(line(app, job, client, app.queue.position(job)))


@router.get(
    "/jobs/{id}/export/{format}",
    responses={
        **refusals(404, 422, 429),
        200: {"content": {format.media: {} for format in FORMATS.values()}},
    },
)
async def export(app: Program, turns: TypingTurns, call: Call, job: Known, format: str) -> Response:
    """The job's table as a file: `html` (with the request in it), `csv`, `jsonl`, `markdown`."""
    if format not in FORMATS:
        raise NotFound(f"There is no format of this name. There are: {', '.join(FORMATS)}.")
    text = await while_wanted(app, call, turns, lambda: app.export(job, format), TABLE_SECONDS)
    named = f'attachment; filename="texts-{job.id}.{FORMATS[format].ending}"'
    media = f"{FORMATS[format].media}; charset=utf-8"
    return Response(text, media_type=media, headers={"Content-Disposition": named})


@router.post("/jobs/{id}/retry", status_code=201, response_model=JobInfo, responses=refusals(404, 422, 429))
async def retry(app: Program, turns: SubmitTurns, client: Client, job: Known) -> Response:
    """Queues the request of a job again, as a new job of the caller; a random seed is drawn again."""
    return await made(app, await turns.attempt(lambda: app.queue.submit(job.request, client)), client)


@router.get("/jobs/{id}/events", response_model=Update, responses=refusals(404, 422))
async def job_events(app: Program, client: Client, job: Known) -> Response:
    """Server-sent events of the type `update`, each with an Update as its data, until the job has ended."""
    return _stream(events(app, job, client))


@router.post("/txt2txt", response_model=Result, responses=refusals(409, 429))
async def txt2txt(call: Call, job: Submitted) -> Response:
    """Queues a request and answers with its result. Hanging up cancels it."""
    try:
        while job.state not in ENDED:
            if await call.is_disconnected():
                break
            await asyncio.sleep(POLL)
    finally:
        job.cancel()  # does nothing to a job that has ended
    if job.result is not None and job.state != "failed":
        return Reply(await run_in_threadpool(dump, job.result))
    return failure(job.code or "cancelled", job.error or "The job was cancelled before it began.")


async def events(app: App, job: Job, client: str | None = None) -> AsyncIterator[bytes]:
    """A job as server-sent events: a snapshot, then merged differences, until its end.

    However slowly they are taken, they make no backlog, and no thread waits for them.
    """
    subscription, version, position, silent = job.subscribe(), 0, -1, 0.0
    # a snapshot of a thousand cells takes a while
    aside = run_in_threadpool if len(job.cells) > FEW else _at_once
    with app.queue.watched(client):
        while True:
            ahead = app.queue.position(job)
            if job.version > version or ahead != position:
                update = await aside(subscription.read)
                if update is None:
                    update = {**(job.since(job.version - 1) or {}), "cells": {}}
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

    Each connection remembers only what it sent, so that a reader however slow gets one merged difference.
    """
    sent: dict[str, tuple] = {}
    before: dict[str, Any] | None = None
    silent = 0.0
    with app.queue.watched(client):
        while not app.queue.closed:
            positions, known = app.queue.positions(), {job.id: job for job in app.queue.all()}
            marks = {id: (job.version, positions.get(id, 0)) for id, job in known.items()}
            changed = [known[id] for id, mark in marks.items() if sent.get(id) != mark]
            gone = [id for id in sent if id not in known]
            memory = {
                **memory_of(app),
                "checkpoints": app.checkpoints.version,
                "edition": app.edition,
                "downloads": [shown(one) for one in app.downloads.all()],
            }
            if changed or gone or memory != before:
                sent, before, silent = marks, memory, 0.0
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
    yield b"retry: 100\n\n"  # another App serves now


def memory_of(app: App) -> dict[str, Any]:
    """What is loaded, what is being loaded, what waits to be, and threads that hang."""
    loading = app.queue.loading
    return {
        "loaded": app.checkpoints.loaded,
        "loading": loading and {"checkpoint": loading.checkpoint, "done": round(loading.done, 3)},
        "wanted": app.queue.wanted,
        "stuck": app.queue.stuck,
    }


def line(app: App, job: Job, client: str | None, position: int) -> dict[str, Any]:
    """A job in the list, as this client sees it."""
    models = dict.fromkeys(cell.request.model or app.settings.model for cell in job.cells)
    prompt = job.request.prompt[: 2 * PROMPT].strip()
    return {
        **job.line(),
        "position": position,
        "created": job.created,
        "texts": len(job.cells),
        "checkpoint": ", ".join(models),
        "prompt": prompt if len(prompt) <= PROMPT else prompt[:PROMPT] + "…",
        "client_is_you": client is not None and job.client == client,
    }


def _info(app: App, job: Job, client: str | None) -> dict[str, Any]:
    cells = [{"id": cell.id, "axes": cell.axes} for cell in job.cells]
    own = line(app, job, client, app.queue.position(job))
    return {**own, "cells": cells, "request": dump(job.request)}


async def made(app: App, job: Job, client: str | None) -> Response:
    """The answer to a new job; written in a thread, because a request may be a megabyte."""
    headers = {"Location": f"{ROOT}/jobs/{job.id}"}
    return await run_in_threadpool(lambda: Reply(_info(app, job, client), 201, headers))


async def _at_once(act: Callable[..., Any], *arguments: Any) -> Any:
    return act(*arguments)


def _stream(found: AsyncIterator[bytes]) -> Response:
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(found, media_type="text/event-stream", headers=headers)
