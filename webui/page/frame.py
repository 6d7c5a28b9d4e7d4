"""What stands around the controls: the page's head with its words and settings, the views beside the desk,
the assets."""

from __future__ import annotations

import html
import json
import sys
import zlib
from pathlib import Path
from typing import Any

from fastapi import FastAPI, HTTPException
from fastapi.responses import FileResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from webui.extension.extension import HOOKS
from webui.page.languages import embedded

STATIC = Path(__file__).resolve().parent / "static"
TITLE = "Text Diffusion WebUI"
ASSETS = {".js": "text/javascript", ".css": "text/css"}
VIEWS = ("write", "history", "queue", "extensions", "settings")
LOOK = (
    "language",
    "theme",
    "palette",
    "quick_settings",
    "notify_after",
)  # settings that the browser acts upon
START, PAGE = "base/start.js", "base/page.js"  # before Gradio draws; once the page is read
BASE_STYLES = ("base/style.css", "canvas/canvas.css")  # the others come after these


class Head:
    """Puts our own head into Gradio's page, before its scripts run: it builds its head, title and language
    only later.

    Plain ASGI. Only the page itself is changed; what else passes is not looked at. The settings are read for
    every call, so that a change of theme or language acts with the next look at the page.
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
                kept = [(name, value) for name, value in start["headers"] if name != b"content-length"]
                await send(
                    {
                        **start,
                        "headers": [
                            *kept,
                            (b"content-length", b"%d" % len(page)),
                            (b"cache-control", b"no-cache"),
                        ],
                    }
                )
                await send({"type": "http.response.body", "body": page})

        await self.app(scope, receive, held)


def head(program: Any) -> str:
    """Styles, words, settings and scripts. start.js runs before Gradio draws, page.js and its modules after
    the page is read."""
    at = f"ui/{version()}"
    look = {name: getattr(program.settings, name, None) for name in LOOK}
    styles = [*BASE_STYLES, *(name for name in _assets(".css") if name not in BASE_STYLES)]
    links = "".join(f'<link rel="stylesheet" href="{at}/{name}">' for name in styles)
    modules = "".join(
        f'<link rel="modulepreload" href="{at}/{name}">' for name in _assets(".js") if name != START
    )
    return (
        f'<meta name="referrer" content="no-referrer"><meta name="color-scheme" content="light dark">{links}'
        f"{embedded(look.get('language') or 'auto', program.settings.extensions)}"
        f'<script type="application/json" id="tdw-look">{_json(look)}</script>'
        f'<script src="{at}/{START}"></script>{modules}<script type="module" src="{at}/{PAGE}"></script>'
    )


def serve_assets(server: FastAPI) -> None:
    """The scripts and styles of this folder, at /ui/<version>/: a browser asks for each version of a file
    once."""

    @server.get("/ui/{asked}/{name:path}", include_in_schema=False)
    def asset(asked: str, name: str) -> FileResponse:
        file = STATIC / name
        if name not in _assets(*ASSETS):
            raise HTTPException(404, "There is no such file.")
        kept = "public, max-age=31536000, immutable" if asked == version() else "no-cache"
        return FileResponse(file, media_type=ASSETS[file.suffix], headers={"Cache-Control": kept})


def version() -> str:
    """Changes whenever a script or style does."""
    files = [(name, (stat := (STATIC / name).stat()).st_mtime_ns, stat.st_size) for name in _assets(*ASSETS)]
    return f"{zlib.crc32(repr(files).encode()):08x}"


def _assets(*suffixes: str) -> list[str]:
    return sorted(
        file.relative_to(STATIC).as_posix() for file in STATIC.rglob("*") if file.suffix in suffixes
    )


def navigation() -> str:
    """The links between the views, and a place for the number of waiting jobs."""
    links = (
        f'<a href="#{view}" data-view="{view}">{words(f"page.{view}")}<b class=count hidden></b></a>'
        for view in VIEWS
    )
    return f'<tdw-views id="views">{"".join(links)}</tdw-views><tdw-keys></tdw-keys>'


def words(key: str, otherwise: str = "") -> str:
    """An element that shows the words of a key in the reader's language; without words for it, the HTML
    given."""
    return f'<tdw-words key="{html.escape(key)}">{otherwise}</tdw-words>'


def extensions_view(registry: Any) -> str:
    """The view of the extensions with what there is to tell of each: extensions.js draws it."""
    told: list[dict[str, Any]] = [
        {
            "name": name,
            "title": kind.title,
            "about": kind.about,
            "version": str(getattr(sys.modules.get(kind.__module__), "__version__", "")),
            "hooks": [
                [hook, kind.order_of(hook), _place(registry, kind, hook)] for hook in HOOKS if kind.has(hook)
            ],
            "options": len(kind.Options.model_fields),
        }
        for name, kind in registry.extensions.items()
    ]
    told += [{"name": name, "error": trace} for name, trace in registry.failed.items()]
    return f'<tdw-extensions data-extensions="{html.escape(json.dumps(told))}"></tdw-extensions>'


def _place(registry: Any, kind: Any, hook: str) -> list[int]:
    """Which one of how many it is in a hook's chain, from 1."""
    chain = registry.chain(hook)
    return [chain.index(kind) + 1, len(chain)]


def _json(value: Any) -> str:
    """JSON that cannot end the script element it stands in."""
    return json.dumps(value, ensure_ascii=False, default=str).replace("<", "\\u003c")
