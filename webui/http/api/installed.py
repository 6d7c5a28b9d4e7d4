"""Extensions over HTTP: what is there, and adding, updating, pinning and removing those of third parties."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, ConfigDict, Field

from webui.application import App
from webui.core.errors import Forbidden, Refusal
from webui.http.api.dependencies import Program, attempt, body, refusals
from webui.http.guard import LOOPBACK
from webui.http.replies import Reply
from webui.service.installing.installer import Plan
from webui.service.installing.lock import Locked
from webui.settings import Settings


class ExtensionInfo(BaseModel):
    """An extension. `origin`: built-in, folder, installed; `state`: loaded, failed, disabled, or restart
    for one that the next start loads. `revision`, `address`, `pinned`, `earlier` are of installed ones.
    `faults`: tracebacks of hooks that failed since the start, the newest first; `error`: the traceback of
    one that did not load; `settings`: whether it has some."""

    name: str
    title: str
    about: str
    origin: str
    state: str
    version: str
    revision: str
    address: str
    licence: str
    home: str
    enabled: bool
    pinned: bool
    earlier: list[str]
    error: str
    faults: list[str]
    settings: bool


class ExtensionsInfo(BaseModel):
    """`refusal`: why extensions cannot be added or changed here; empty if they can."""

    extensions: list[ExtensionInfo]
    refusal: str


class OwnSettingsInfo(BaseModel):
    """The settings of an extension: `schema`: JSON Schema; `values`: by name, null for secrets; `set`:
    secrets that have a value."""

    schema_: dict[str, Any] = Field(alias="schema")
    values: dict[str, Any]
    set: list[str]


class LookBody(BaseModel):
    """Either an address, with a branch, tag or commit of it, or the name of an installed one to update."""

    model_config = ConfigDict(extra="forbid")
    address: str = Field("", max_length=1000)
    ref: str = Field("", max_length=200)
    update: str = Field("", max_length=60)


class PlanInfo(BaseModel):
    """What adding would do. `plan`: names it, for the call that carries it out; empty if there is nothing
    to do. `packages`: those that would be installed beside it; `instead`: the version that it replaces."""

    plan: str
    name: str
    version: str
    instead: str
    description: str
    licence: str
    home: str
    address: str
    revision: str
    requirements: list[str]
    packages: dict[str, str]
    notes: list[str]


class AddBody(BaseModel):
    model_config = ConfigDict(extra="forbid")
    plan: str = Field(max_length=64)


class ChangeBody(BaseModel):
    """`back`: go back to the version before."""

    model_config = ConfigDict(extra="forbid")
    enabled: bool | None = None
    pinned: bool | None = None
    back: bool = False


router = APIRouter(tags=["extensions"])


@router.get("/extensions", response_model=ExtensionsInfo)
async def listed(app: Program) -> Response:
    """All extensions, those that did not load included."""
    return Reply(await attempt(lambda: _listed(app)))


@router.post("/extensions/look", response_model=PlanInfo, responses=refusals(404, 429))
async def look(app: Program, sent: Annotated[LookBody, Depends(body(LookBody))]) -> Response:
    """Fetches an extension and says what adding it would do. None of its code runs."""
    _permitted(app)

    def work() -> dict[str, Any]:
        if sent.update:
            return _plan(app.installer.update(sent.update))
        return _plan(app.installer.look(sent.address, sent.ref))

    return Reply(await attempt(work))


@router.post("/extensions/add", response_model=ExtensionsInfo, responses=refusals(404, 429))
async def add(app: Program, sent: Annotated[AddBody, Depends(body(AddBody))]) -> Response:
    """Carries out a plan. The extension's code runs from the next start on."""
    _permitted(app)
    await attempt(lambda: app.installer.add(sent.plan))
    return Reply(await attempt(lambda: _listed(app)))


@router.patch("/extensions/{name}", response_model=ExtensionsInfo, responses=refusals(404, 429))
async def change(app: Program, name: str, sent: Annotated[ChangeBody, Depends(body(ChangeBody))]) -> Response:
    """Enables, disables, pins or releases an installed extension, or goes back to the version before."""
    _permitted(app)

    def work() -> dict[str, Any]:
        if sent.back:
            app.installer.back(name)
        app.installer.change(name, enabled=sent.enabled, pinned=sent.pinned)
        return _listed(app)

    return Reply(await attempt(work))


@router.delete("/extensions/{name}", response_model=ExtensionsInfo, responses=refusals(404, 429))
async def remove(app: Program, name: str) -> Response:
    """Removes an installed extension. Packages that came with it stay."""
    _permitted(app)
    await attempt(lambda: app.installer.remove(name))
    return Reply(await attempt(lambda: _listed(app)))


@router.get("/extensions/{name}/settings", response_model=OwnSettingsInfo, responses=refusals(404))
async def own_settings(app: Program, name: str) -> Response:
    """The settings of an extension, without its secrets."""
    return Reply(await attempt(lambda: _own(app, name)))


@router.patch("/extensions/{name}/settings", response_model=OwnSettingsInfo, responses=refusals(404))
async def change_own(app: Program, name: str, sent: Annotated[bytes, Depends(body())]) -> Response:
    """Changes settings of an extension; they take effect at once."""
    _permitted(app)

    def work() -> dict[str, Any]:
        try:
            changes = json.loads(sent)
        except (ValueError, RecursionError):
            changes = None
        if not isinstance(changes, dict):
            raise Refusal("Send the settings to change as a JSON object.")
        app.registry.operator.change(name, changes)
        return _own(app, name)

    return Reply(await attempt(work))


def _own(app: App, name: str) -> dict[str, Any]:
    operator = app.registry.operator
    return {
        "schema": operator.schema(name),
        "values": operator.shown(name),
        "set": operator.secrets_set(name),
    }


def refusal(settings: Settings) -> str:
    """Why nobody may add extensions over HTTP, in a sentence, or "". Whoever may can run any code."""
    if settings.host.lower() not in LOOPBACK or settings.allowed_hosts:
        return (
            "Other machines can reach this program, so extensions are added on its own machine only: "
            "python app.py extensions add."
        )
    if not settings.add_extensions:
        return "The setting add_extensions is off; extensions are added by python app.py extensions add."
    return ""


def _permitted(app: App) -> None:
    if sentence := refusal(app.settings):
        raise Forbidden(sentence)


def _listed(app: App) -> dict[str, Any]:
    registry, locked = app.registry, app.installer.lock().extensions
    names = [*registry.failed, *registry.extensions, *locked]
    return {
        "extensions": [_one(app, name, locked.get(name)) for name in dict.fromkeys(names)],
        "refusal": refusal(app.settings),
    }


def _one(app: App, name: str, locked: Locked | None) -> dict[str, Any]:
    registry = app.registry
    kind, found, error = (
        registry.extensions.get(name),
        registry.origins.get(name),
        registry.failed.get(name, ""),
    )
    manifest = registry.manifests.get(name)
    state = "failed" if error else "loaded" if kind else "restart"
    if locked is not None and found is not None and found.revision != locked.current.revision:
        state = "restart"
    if locked is not None and not locked.enabled:
        state = "disabled"
    if locked is None and found is not None and found.origin == "installed":
        state = "removed"
    return {
        "name": name,
        "title": kind.title if kind else name,
        "about": kind.about if kind else manifest.description if manifest else "",
        "origin": "installed" if locked else found.origin if found else "folder",
        "state": state,
        "version": locked.current.version if locked else registry.versions.get(name, ""),
        "revision": locked.current.revision if locked else "",
        "address": locked.address if locked else "",
        "licence": manifest.licence if manifest else "",
        "home": manifest.home if manifest else "",
        "enabled": locked.enabled if locked else True,
        "pinned": locked.pinned if locked else False,
        "earlier": [f"{one.version} ({one.revision[:12]})" for one in locked.earlier] if locked else [],
        "error": error,
        "faults": list(registry.faults.of(name)),
        "settings": bool(kind and kind.Settings.model_fields),
    }


def _plan(plan: Plan | None) -> dict[str, Any]:
    if plan is None:
        texts = (
            "plan",
            "name",
            "version",
            "instead",
            "description",
            "licence",
            "home",
            "address",
            "revision",
        )
        return {**dict.fromkeys(texts, ""), "requirements": [], "packages": {}, "notes": []}
    before = plan.instead.current if plan.instead else None
    return {
        "plan": plan.id,
        "name": plan.name,
        "version": plan.manifest.version,
        "instead": f"{before.version} ({before.revision[:12]})" if before else "",
        "description": plan.manifest.description,
        "licence": plan.manifest.licence,
        "home": plan.manifest.home,
        "address": plan.source.address,
        "revision": plan.revision,
        "requirements": list(plan.manifest.requirements),
        "packages": dict(plan.packages),
        "notes": list(plan.notes),
    }
