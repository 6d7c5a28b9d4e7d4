"""Extensions over HTTP: what is there, and adding, updating, pinning and removing those of third parties."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, ConfigDict, Field

from webui.application import App
from webui.core.errors import Forbidden, NotFound, Refusal
from webui.extension.manifest import Manifest
from webui.http.api.dependencies import Program, attempt, body, refusals
from webui.http.guard import only_here
from webui.http.replies import Reply
from webui.service.installing.installer import Plan
from webui.service.installing.lock import Locked
from webui.settings import Settings


class ExtensionInfo(BaseModel):
    """An extension.

    `origin`: built-in, folder, installed; `state`: loaded, failed, disabled, removed, soon for one that
    changes as soon as nothing runs, or restart for one that the next start changes. `revision`, `address`,
    `pinned`, `earlier` are of installed ones. `faults`: tracebacks of hooks that failed since the start, the
    newest first; `error`: the traceback of one that did not load; `settings`: whether it has some;
    `screenshots`: how many pictures it brings; `restart`: whether it comes and goes only with a restart, as
    its manifest says.
    """

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
    screenshots: int
    restart: bool


class ExtensionsInfo(BaseModel):
    """`refusal`: why extensions cannot be added or changed here; empty if they can. `outdated`: whether
    something waits for a restart; `soon`: whether the extensions change as soon as nothing runs."""

    extensions: list[ExtensionInfo]
    refusal: str
    outdated: bool
    soon: bool


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
    screenshots: int


class AddBody(BaseModel):
    model_config = ConfigDict(extra="forbid")
    plan: str = Field(max_length=64)


class ChangeBody(BaseModel):
    """`back`: go back to the version before."""

    model_config = ConfigDict(extra="forbid")
    enabled: bool | None = None
    pinned: bool | None = None
    back: bool = False


TYPES = MappingProxyType(
    {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp"}
)

router = APIRouter(tags=["extensions"])


@router.get("/extensions", response_model=ExtensionsInfo)
async def listed(app: Program) -> Response:
    """All extensions, those that did not load included. What the command line changed takes effect then."""
    return Reply(await attempt(lambda: _changed(app)))


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
    """Carries out a plan. The extension's code runs as soon as no job runs or waits, or from the next start
    on."""
    _permitted(app)
    await attempt(lambda: app.installer.add(sent.plan))
    return Reply(await attempt(lambda: _changed(app)))


@router.patch("/extensions/{name}", response_model=ExtensionsInfo, responses=refusals(404, 429))
async def change(app: Program, name: str, sent: Annotated[ChangeBody, Depends(body(ChangeBody))]) -> Response:
    """Enables or disables an extension; pins or releases an installed one, or goes back to the version
    before."""
    _permitted(app)

    def work() -> dict[str, Any]:
        installed = name in app.installer.lock().extensions
        if sent.back:
            app.installer.back(name)
        if sent.enabled is not None and not installed and name in _names(app):
            off = {*app.written.disabled} - {name} | (set() if sent.enabled else {name})
            app.change({"disabled": sorted(off)})
        if installed or sent.enabled is None or name not in _names(app):
            app.installer.change(name, enabled=sent.enabled, pinned=sent.pinned)
        return _changed(app)

    return Reply(await attempt(work))


@router.delete("/extensions/{name}", response_model=ExtensionsInfo, responses=refusals(404, 429))
async def remove(app: Program, name: str) -> Response:
    """Removes an installed extension. Packages that came with it stay."""
    _permitted(app)
    await attempt(lambda: app.installer.remove(name))
    return Reply(await attempt(lambda: _changed(app)))


@router.get("/extensions/{name}/screenshots/{number}", response_class=Response, responses=refusals(404))
async def screenshot(app: Program, name: str, number: int) -> Response:
    """A picture that an extension brings, from 0."""
    return await _picture(lambda: _pictures(app, name), number)


@router.get("/extensions/plans/{plan}/screenshots/{number}", response_class=Response, responses=refusals(404))
async def planned_screenshot(app: Program, plan: str, number: int) -> Response:
    """A picture of one that was looked at and is not added yet."""
    return await _picture(lambda: app.installer.plan(plan).pictures, number)


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
    if not only_here(settings):
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
    locked = app.installer.lock().extensions
    return {
        "extensions": [_one(app, name, locked.get(name)) for name in _names(app)],
        "refusal": refusal(app.settings),
        "outdated": app.outdated,
        "soon": app.soon,
    }


def _changed(app: App) -> dict[str, Any]:
    """The list; what was changed takes effect as soon as it can."""
    listed = _listed(app)
    if app.reload is not None:
        app.reload()
    return listed


def _names(app: App) -> list[str]:
    """Those that loaded, that did not, that are installed or disabled."""
    registry, locked = app.registry, app.installer.lock().extensions
    there = [*registry.failed, *registry.extensions, *locked, *app.settings.disabled, *app.written.disabled]
    return list(dict.fromkeys(there))


def _one(app: App, name: str, locked: Locked | None) -> dict[str, Any]:
    registry = app.registry
    kind, found, error = (
        registry.extensions.get(name),
        registry.origins.get(name),
        registry.failed.get(name, ""),
    )
    manifest = _manifest(app, name)[0]
    later = "soon" if app.soon and not (manifest and manifest.restart) else "restart"
    state = "failed" if error else "loaded" if kind else later
    if locked is not None and found is not None and found.revision != locked.current.revision:
        state = later
    off = name in app.written.disabled
    if off or (locked is not None and not locked.enabled):
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
        "enabled": not off and (locked is None or locked.enabled),
        "pinned": locked.pinned if locked else False,
        "earlier": [f"{one.version} ({one.revision[:12]})" for one in locked.earlier] if locked else [],
        "error": error,
        "faults": list(registry.faults.of(name)),
        "settings": bool(kind and kind.Settings.model_fields),
        "screenshots": len(_pictures(app, name)),
        "restart": bool(manifest and manifest.restart),
    }


def _manifest(app: App, name: str) -> tuple[Manifest | None, Path]:
    """What an extension says about itself, and its folder: as it is loaded, or else as it is installed."""
    if found := app.registry.origins.get(name):
        return app.registry.manifests.get(name), found.folder
    lock = app.installer.lock()
    if (locked := lock.extensions.get(name)) is None:
        return None, Path()
    folder = lock.folder(name, locked.current)
    try:
        return Manifest.read(folder), folder
    except (OSError, ValueError):  # it was damaged since
        return None, folder


def _pictures(app: App, name: str) -> Sequence[Path]:
    manifest, folder = _manifest(app, name)
    return manifest.pictures(folder)[0] if manifest else ()


async def _picture(listed: Callable[[], Sequence[Path]], number: int) -> Response:
    def work() -> Response:
        pictures = listed()
        if not 0 <= number < len(pictures):
            raise NotFound("There is no such screenshot.")
        content, kind = pictures[number].read_bytes(), TYPES[pictures[number].suffix.lower()]
        return Response(content, media_type=kind, headers={"X-Content-Type-Options": "nosniff"})

    return await attempt(work)


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
        return {**dict.fromkeys(texts, ""), "requirements": [], "packages": {}, "notes": [], "screenshots": 0}
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
        "screenshots": len(plan.pictures),
    }
