"""What can be asked for, over HTTP: checkpoints, samplers, extensions, and the schema of a request."""

from __future__ import annotations

from fastapi import Request as Call
from fastapi import Response
from fastapi.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from webui.application import App
from webui.core.options import validate
from webui.http.api.jobs import memory_of
from webui.http.api.route import KNOWN, SENT, Endpoint, json_body
from webui.http.api.schemas import CheckpointInfo, Memory, Prompt, Samplers, SchemaInfo, Tokens
from webui.http.server import Reply


class CheckpointRoutes:
    """The endpoints of checkpoints and of what requests may name, around one App."""

    def __init__(self, app: App):
        self.app = app

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint("GET", "/checkpoints", self.checkpoints, list[CheckpointInfo]),
            Endpoint("POST", "/checkpoints/unload", self.unload, Memory, (), None, 202),
            Endpoint("POST", "/checkpoints/{name:path}/load", self.load, Memory, (*KNOWN, 422), None, 202),
            Endpoint("POST", "/tokens", self.tokens, Tokens, SENT, Prompt.model_json_schema()),
            Endpoint("GET", "/samplers", self.samplers, Samplers),
            Endpoint("GET", "/schema", self.schema, SchemaInfo),
        ]

    def checkpoints(self) -> Response:
        """The checkpoints in the models folder, as it is now."""
        default, entries = self.app.settings.model, self.app.checkpoints.list()
        names = [name for name in CheckpointInfo.model_fields if name != "default"]
        return Reply(
            [{**{name: getattr(e, name) for name in names}, "default": e.name == default} for e in entries]
        )

    def load(self, name: str) -> Response:
        """Queues loading a checkpoint; GET /jobs/events tells how far it is, GET /checkpoints whether it
        failed."""
        if name not in {entry.name for entry in self.app.checkpoints.list()}:
            raise HTTPException(404, "There is no such checkpoint in the models folder.")
        try:
            self.app.checkpoints.entry(name)
        except ValueError as error:
            raise HTTPException(422, str(error)) from error
        self.app.queue.load(name)
        return Reply(memory_of(self.app), 202)

    def unload(self) -> Response:
        """Queues giving back the memory of the checkpoint that is loaded; what runs ends first."""
        self.app.queue.load(None)
        return Reply(memory_of(self.app), 202)

    async def tokens(self, call: Call) -> Response:
        """How many tokens a prompt takes. No weights are read for it."""
        body = await json_body(call)
        try:
            return Reply(await run_in_threadpool(self._count, body))
        except ValueError as error:
            raise HTTPException(422, str(error)) from error

    def _count(self, body: bytes) -> dict[str, int]:
        asked = validate(Prompt, body, strict=True)
        count = self.app.checkpoints.count(asked.model, asked.text, asked.system, asked.template)
        return {"tokens": count.text, "prompt_tokens": count.prompt, "max_length": count.limit}

    def samplers(self) -> Response:
        """The samplers, schedules and confidences a request may name."""
        app = self.app
        return Reply(
            {"samplers": app.samplers(), "schedules": app.schedules(), "confidences": app.confidences()}
        )

    def schema(self) -> Response:
        """What a request may hold, and the extensions it comes from."""
        registry = self.app.registry
        loaded = [
            {"name": name, "title": extension.title, "about": extension.about, "error": None}
            for name, extension in registry.extensions.items()
        ]
        failed = [
            {"name": name, "title": name, "about": "", "error": error}
            for name, error in registry.failed.items()
        ]
        return Reply({"request": self.app.Request.model_json_schema(), "extensions": loaded + failed})
