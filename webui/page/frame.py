"""What is around the controls: the page's head with texts and settings, the navigation, the view of
extensions, the assets."""

from __future__ import annotations

import html
import json
import re
import zlib
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, HTTPException
from fastapi.responses import FileResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from webui.extension.assets import asset as asset_of
from webui.extension.extension import HOOKS, Tab
from webui.extension.registry import Registry
from webui.page.bundle import bundle
from webui.page.languages import embedded

STATIC = Path(__file__).resolve().parent / "static"
TITLE = "Text Diffusion WebUI"
VIEWS = ("write", "history", "queue", "extensions", "settings")
TABS = 3  # views that stand before those of extensions
LOOK = (
    "language",
    "theme",
    "palette",
    "quick_settings",
    "notify_after",
)  # settings that act in the browser
START, PAGE = "base/start.js", "base/page.js"  # before Gradio draws; after the page is parsed
STYLES = "page.css"  # all style sheets in one
SCRIPTS = "page.js"  # all scripts but START in one
PUBLIC = "base/public.js"  # what extensions' scripts import as "webui"
OWN = "own"  # the folder of the files of extensions
OWN_STYLES = "own.css"  # the style sheets of the built-in extensions in one
TYPES = MappingProxyType({".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"})
_NAMES_FILES = re.compile(r"@(?:import|charset|namespace)|(?:url|image-set)\((?!\s*[\"']?data:)")
BASE_STYLES = ("base/style.css", "canvas/canvas.css")  # the first of them


class Head:
    """Middleware that puts our own head into Gradio's page, before Gradio's scripts run.

    Plain ASGI; only the page itself is changed. The settings are read for every call, so that a change of
    theme or language takes effect with the next load of the page.
    """

    def __init__(self, app: ASGIApp, program: Any):
        self.app, self.program = app, program

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/" or scope["method"] != "GET":
            return await self.app(scope, receive, send)
        start: Message = {}
        body = b""

        async def held(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start":
                start = message
                return
            body += message.get("body", b"")
            if not message.get("more_body", False):
                page = body.replace(b"</head>", head(self.program).encode() + b"</head>", 1)
                headers = [(name, value) for name, value in start["headers"] if name != b"content-length"]
                await send(
                    {
                        **start,
                        "headers": [
                            *headers,
                            (b"content-length", b"%d" % len(page)),
                            (b"cache-control", b"no-cache"),
                        ],
                    }
                )
                await send({"type": "http.response.body", "body": page})

        await self.app(scope, receive, held)


def head(program: Any) -> str:
    """Styles, texts, settings and scripts. start.js runs before Gradio draws, page.js and its modules after
    the page is parsed, extensions' scripts last."""
    at = f"ui/{version(program.registry)}"
    joined = _joined(program.registry)
    own = [f"{at}/{OWN}/{name}" for name in _own_assets(program.registry) if name not in joined]
    linked = [*([f"{at}/{OWN_STYLES}"] if joined else []), *(name for name in own if name.endswith(".css"))]
    sheets = "".join(f'<link rel="stylesheet" href="{_url(name)}">' for name in linked)
    scripts = "".join(
        f'<script type="module" src="{_url(name)}"></script>' for name in own if name.endswith(".js")
    )
    look = {name: getattr(program.settings, name, None) for name in LOOK}
    return (
        f'<meta name="referrer" content="no-referrer"><meta name="color-scheme" content="light dark">'
        f'<meta name="tdw-views" content="{html.escape(" ".join(views(program.registry)))}">'
        f'<script type="importmap">{_json({"imports": {"webui": f"./{at}/{SCRIPTS}"}})}</script>'
        f'<link rel="stylesheet" href="{at}/{STYLES}">{sheets}'
        f"{embedded(look.get('language') or 'auto', program.registry.folders)}"
        f'<script type="application/json" id="tdw-look">{_json(look)}</script>'
        f'<script src="{at}/{START}"></script><script type="module" src="{at}/{SCRIPTS}"></script>'
        f"{scripts}"
    )


def serve_assets(server: FastAPI, registry: Registry) -> None:
    """Serves all scripts as one file, all style sheets as one, those of the built-in extensions as another,
    and extensions' files, at /ui/<version>/. A browser loads each version once."""

    @server.get("/ui/{asked}/{name:path}", include_in_schema=False)
    def asset(asked: str, name: str) -> Response:
        cached = "public, max-age=31536000, immutable" if asked == version(registry) else "no-cache"
        headers = {"Cache-Control": cached, "X-Content-Type-Options": "nosniff"}
        kind, _, inner = name.removeprefix(f"{OWN}/").partition("/")
        if name.startswith(f"{OWN}/") and kind in registry.extensions:
            file = asset_of(registry.extensions[kind].folder / "static", inner)
            if file is None:
                raise HTTPException(404, "There is no such file.")
            return FileResponse(file, media_type=TYPES[file.suffix], headers=headers)
        if name == STYLES:
            return Response(_stylesheet(), media_type="text/css", headers=headers)
        if name == OWN_STYLES:
            return Response(_own_stylesheet(registry), media_type="text/css", headers=headers)
        if name == SCRIPTS:
            return Response(bundled(), media_type="text/javascript", headers=headers)
        if name not in _assets(".js"):  # single ones are for tests and benchmarks
            raise HTTPException(404, "There is no such file.")
        return FileResponse(STATIC / name, media_type="text/javascript", headers=headers)


def version(registry: Registry) -> str:
    """A hash that changes with any script or style, extensions' too."""
    files = [STATIC / name for name in _assets(".js", ".css")]
    for kind in registry.chain("assets"):
        files += sorted(file for file in (kind.folder / "static").rglob("*") if file.is_file())
    stamps = [(str(file), (stat := file.stat()).st_mtime_ns, stat.st_size) for file in files]
    return f"{zlib.crc32(repr(stamps).encode()):08x}"


def _own_assets(registry: Registry) -> list[str]:
    """The files of extensions that the page loads, each as "extension/path", in the order of the hook."""
    return [f"{kind.name}/{name}" for kind in registry.chain("assets") for name in kind.assets()]


def _joined(registry: Registry) -> list[str]:
    """Those of `_own_assets` that are served as one: the style sheets of the built-in extensions, which are
    known to be whole. One that names a further file by a relative address stays where that is found."""
    built_in = {name for name, one in registry.origins.items() if one.origin == "built-in"}
    sheets = (name for name in _own_assets(registry) if name.endswith(".css"))
    return [
        name
        for name in sheets
        if name.partition("/")[0] in built_in and not _NAMES_FILES.search(_own_text(registry, name))
    ]


def _own_stylesheet(registry: Registry) -> str:
    return "\n".join(_own_text(registry, name) for name in _joined(registry))


def _own_text(registry: Registry, name: str) -> str:
    kind, _, inner = name.partition("/")
    return (registry.extensions[kind].folder / "static" / inner).read_text("utf-8", errors="replace")


def _url(path: str) -> str:
    """A path as it may stand in an attribute."""
    return html.escape(quote(path))


def _stylesheet() -> str:
    """All style sheets as one: a page waits for every sheet before it paints."""
    own = (name for name in _assets(".css") if name not in BASE_STYLES)
    return "\n".join((STATIC / name).read_text("utf-8") for name in (*BASE_STYLES, *own))


def bundled() -> str:
    """The scripts as one module, which exports what extensions may use."""
    sources = {name: (STATIC / name).read_text("utf-8") for name in _assets(".js") if name != START}
    return bundle(sources, PAGE, PUBLIC)


def _assets(*suffixes: str) -> list[str]:
    return sorted(
        file.relative_to(STATIC).as_posix() for file in STATIC.rglob("*") if file.suffix in suffixes
    )


def views(registry: Registry) -> dict[str, str]:
    """The views of the page in their order, each with the HTML that the navigation shows; those of extensions
    under their names."""
    own = {view: words(f"page.{view}") for view in VIEWS}
    tabs = {name: words(f"extension.{name}.tab", html.escape(tab.label)) for name, tab in tabs_of(registry)}
    names = [*VIEWS[:TABS], *tabs, *VIEWS[TABS:]]
    return {name: own[name] if name in own else tabs[name] for name in names}


def tabs_of(registry: Registry) -> list[tuple[str, Tab]]:
    """The views of extensions by the extensions' names, in the order of the hook. One that is called like a
    view of the page has none."""
    made = [(kind.name, kind.tab()) for kind in registry.chain("tab")]
    return [(name, tab) for name, tab in made if tab is not None and name not in VIEWS]


def navigation(registry: Registry) -> str:
    """The links to the views, with a place for the number of waiting jobs."""
    links = (
        f'<a href="#{view}" data-view="{view}">{label}<b class=count hidden></b></a>'
        for view, label in views(registry).items()
    )
    return f'<tdw-views id="views">{"".join(links)}</tdw-views><tdw-keys></tdw-keys>'


def words(key: str, otherwise: str = "") -> str:
    """An element that shows the text of a key in the page's language, or else the HTML given."""
    return f'<tdw-words key="{html.escape(key)}">{otherwise}</tdw-words>'


def extensions_view(registry: Any) -> str:
    """The view of the extensions with the data that extensions.js draws."""
    data: list[dict[str, Any]] = [
        {
            "name": name,
            "title": kind.title,
            "about": kind.about,
            "version": registry.versions[name],
            "hooks": [
                [hook, kind.order_of(hook), _place(registry, kind, hook)] for hook in HOOKS if kind.has(hook)
            ],
            "options": len(kind.Options.model_fields),
        }
        for name, kind in registry.extensions.items()
    ]
    data += [{"name": name, "error": trace} for name, trace in registry.failed.items()]
    return f'<tdw-extensions data-extensions="{html.escape(json.dumps(data))}"></tdw-extensions>'


def _place(registry: Any, kind: Any, hook: str) -> list[int]:
    """Its position in a hook's chain, from 1, and the length of the chain."""
    chain = registry.chain(hook)
    return [chain.index(kind) + 1, len(chain)]


def _json(value: Any) -> str:
    """JSON that cannot end the script element around it."""
    return json.dumps(value, ensure_ascii=False, default=str).replace("<", "\\u003c")
