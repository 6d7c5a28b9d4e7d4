"""What can be asked for, over HTTP: checkpoints, samplers, extensions, and the schema of a request."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from webui.core.errors import NotFound
from webui.http.api.dependencies import Program, SubmitTurns, attempt, body, refusals
from webui.http.api.jobs import memory_of
from webui.http.api.schemas import CheckpointInfo, Memory, Prompt, Samplers, SchemaInfo, Tokens
from webui.http.replies import Reply

NEW_WORDS = 100  # that are named

router = APIRouter(tags=["checkpoints"])


@router.get("/checkpoints", response_model=list[CheckpointInfo])
def checkpoints(app: Program) -> Response:
    """The checkpoints in the models folder, as it is now."""
    default, entries = app.settings.model, app.checkpoints.list()
    names = [name for name in CheckpointInfo.model_fields if name not in ("default", "refused", "cautions")]
    return Reply(
        [
            {
                **{name: getattr(e, name) for name in names},
                "default": e.name == default,
                "refused": dict(e.capabilities.refused),
                "cautions": dict(e.capabilities.cautions),
            }
            for e in entries
        ]
    )


@router.post("/checkpoints/unload", status_code=202, response_model=Memory)
async def unload(app: Program) -> Response:
    """Queues unloading the checkpoint in memory, after the jobs that are queued already."""
    app.queue.load(None)
    return Reply(memory_of(app), 202)


@router.post("/checkpoints/abandon", status_code=202, response_model=Memory, responses=refusals(404))
async def abandon(app: Program) -> Response:
    """Gives up loading a checkpoint, even if reading it does not return: another thread goes on with the
    queue. A job that loads one is abandoned by itself."""
    if not await attempt(app.queue.abandon_loading):
        raise NotFound("No checkpoint is being loaded by itself.")
    return Reply(memory_of(app), 202)


@router.post(
    "/checkpoints/{name:path}/load", status_code=202, response_model=Memory, responses=refusals(404, 422)
)
async def load(app: Program, name: str) -> Response:
    """Queues loading a checkpoint; its progress is in GET /jobs/events, a failure in GET /checkpoints."""

    def check() -> None:
        if name not in {entry.name for entry in app.checkpoints.list()}:
            raise NotFound("There is no such checkpoint in the models folder.")
        app.checkpoints.entry(name)

    await attempt(check)
    app.queue.load(name)
    return Reply(memory_of(app), 202)


@router.post("/tokens", response_model=Tokens)
async def tokens(
    app: Program, turns: SubmitTurns, prompt: Annotated[Prompt, Depends(body(Prompt))]
) -> Response:
    """How many tokens a prompt takes, and which of its words are new to the checkpoint, if it says which it
    knows (lexicon.txt). No weights are read for it."""
    count, new = await turns.attempt(
        lambda: (
            app.checkpoints.count(prompt.model, prompt.text, prompt.system, prompt.template),
            app.checkpoints.new_words(prompt.model, prompt.text),
        )
    )
    told = {"tokens": count.text, "prompt_tokens": count.prompt, "max_length": count.limit}
    return Reply({**told, "new_words": new[:NEW_WORDS]})


@router.get("/samplers", response_model=Samplers)
def samplers(app: Program) -> Response:
    """The samplers, schedules and confidences a request may name."""
    named = {"samplers": app.samplers(), "schedules": app.schedules(), "confidences": app.confidences()}
    return Reply({part: dict(names) for part, names in named.items()})


@router.get("/schema", response_model=SchemaInfo)
def schema(app: Program) -> Response:
    """What a request may hold, and the extensions it comes from."""
    loaded = [
        {"name": name, "title": extension.title, "about": extension.about, "error": None}
        for name, extension in app.registry.extensions.items()
    ]
    failed = [
        {"name": name, "title": name, "about": "", "error": error}
        for name, error in app.registry.failed.items()
    ]
    return Reply({"request": app.Request.model_json_schema(), "extensions": loaded + failed})
