"""Experiments over HTTP: jobs of several texts that are kept, resumed, given other values, deleted."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, ConfigDict

from webui.application import App
from webui.core.errors import NotFound
from webui.core.options import validate
from webui.http.api.dependencies import Client, Program, SubmitTurns, attempt, body, refusals
from webui.http.api.jobs import made
from webui.http.api.schemas import ExperimentInfo, JobInfo
from webui.http.replies import Reply
from webui.service.experiments import Better, Experiment
from webui.service.job import Writes


class Resumed(BaseModel):
    """How an experiment goes on. `request`: with other values than it had, null: as it was; without a seed it
    gets the experiment's. `writes`: what is computed: `missing` texts, only those that `failed`, or
    `nothing`."""

    model_config = ConfigDict(extra="forbid")
    request: dict[str, Any] | None = None
    writes: Writes = "missing"


class Exported(BaseModel):
    """The request of an exported experiment, as it stands in the file, and the seed that was drawn for its
    texts."""

    model_config = ConfigDict(extra="forbid")
    request: dict[str, Any]
    seed: int | None = None


class ExportedText(BaseModel):
    """A finished text of an exported experiment, as it stands in the file."""

    model_config = ConfigDict(extra="forbid")
    key: str
    cell: str
    bound: float | None = None
    result: dict[str, Any]


class ExportedTexts(BaseModel):
    """Some of its texts: as many as a body may hold."""

    model_config = ConfigDict(extra="forbid")
    texts: list[ExportedText]


class Vote(BaseModel):
    """Which of two cells of a job of the experiment is better: `a`, `b`, or `same`."""

    model_config = ConfigDict(extra="forbid")
    job: str
    a: str
    b: str
    better: Better


class Changed(BaseModel):
    """The experiment that keeps it."""

    id: str


class DeletedExperiment(BaseModel):
    """The experiment that was deleted; its texts are still in the history."""

    id: str


router = APIRouter(tags=["experiments"])


@router.get("/experiments", response_model=list[ExperimentInfo])
async def all_experiments(app: Program) -> Response:
    """Jobs of several texts that are kept, newest first: those that run, and those that can be resumed."""
    return Reply(await attempt(lambda: [_info(app, one) for one in app.experiments.all()]))


@router.get("/experiments/{id}", response_model=ExperimentInfo, responses=refusals(404, 422))
async def get(app: Program, id: str) -> Response:
    """An experiment: how many of its texts are done and failed."""
    return Reply(await attempt(lambda: _info(app, app.experiments.get(id))))


@router.post("/experiments", status_code=201, response_model=Changed, responses=refusals(422, 429))
async def restore(
    app: Program, turns: SubmitTurns, sent: Annotated[Exported, Depends(body(Exported))]
) -> Response:
    """A new experiment from an exported HTML file, whose texts are sent next. Nothing is queued: `resume`
    with the writes `nothing` shows it."""
    request = await turns.attempt(lambda: app.restore(app.Request.read(sent.request)[0], sent.seed))
    return Reply({"id": request}, 201)


@router.post(
    "/experiments/{id}/texts", status_code=201, response_model=Changed, responses=refusals(404, 422, 429)
)
async def add_texts(
    app: Program, turns: SubmitTurns, id: str, sent: Annotated[ExportedTexts, Depends(body(ExportedTexts))]
) -> Response:
    """Adds finished texts of the file, some at a time; they are in the history then."""
    texts = [one.model_dump() for one in sent.texts]
    await turns.attempt(lambda: app.experiments.take_in(id, texts))
    return Reply({"id": id}, 201)


@router.post(
    "/experiments/{id}/resume", status_code=201, response_model=JobInfo, responses=refusals(404, 422, 429)
)
async def resume(
    app: Program,
    turns: SubmitTurns,
    client: Client,
    id: str,
    sent: Annotated[Resumed, Depends(body(Resumed))],
) -> Response:
    """Queues a job that goes on with an experiment. Texts that are finished are in it at once, and are not
    computed again."""

    def submit() -> Any:
        request = (
            None if sent.request is None else validate(app.Request, json.dumps(sent.request), strict=True)
        )
        return app.resume(id, request, client, sent.writes)

    return await made(app, await turns.attempt(submit), client)


@router.post("/experiments/{id}/votes", status_code=201, response_model=Changed, responses=refusals(404, 422))
async def vote(app: Program, id: str, sent: Annotated[Vote, Depends(body(Vote))]) -> Response:
    """Keeps a vote. Tables and exports have its sums as the metrics `votes.share` and `votes.number`."""
    job = app.queue.get(sent.job)
    if job is None or job.experiment != id:
        raise NotFound("There is no such job of this experiment.")
    await attempt(lambda: app.experiments.vote(job, sent.a, sent.b, sent.better))
    return Reply({"id": id}, 201)


@router.delete("/experiments/{id}", response_model=DeletedExperiment, responses=refusals(404, 422, 429))
async def delete(app: Program, id: str) -> Response:
    """Deletes an experiment that does not run; its texts stay in the history."""
    await attempt(lambda: app.forget(id))
    return Reply({"id": id})


def _info(app: App, one: Experiment) -> dict[str, Any]:
    job = app.queue.works_on(one.id)
    return {**vars(one), "running": job and job.id}
