"""What can be asked for, over HTTP: checkpoints, samplers, extensions, and the schema of a request."""

from __future__ import annotations

from fastapi import Response

from webui.api.route import Endpoint
from webui.api.schemas import CheckpointInfo, Samplers, SchemaInfo
from webui.application import App
from webui.server import Reply


class CheckpointRoutes:
    """The endpoints of checkpoints and of what requests may name, around one App."""

    def __init__(self, app: App):
        self.app = app

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint("GET", "/checkpoints", self.checkpoints, list[CheckpointInfo]),
            Endpoint("GET", "/samplers", self.samplers, Samplers),
            Endpoint("GET", "/schema", self.schema, SchemaInfo),
        ]

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
