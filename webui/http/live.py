"""The program on HTTP, and its exchange for one with other extensions while it serves.

Nothing of a running App changes: what a job, a table or a call began with stays as it is until it ends. Once
nothing runs, another App is built beside it, with the models that are in memory, and takes its place; the
old one then refuses what comes too late. Pages notice by `edition` in GET /jobs/events and load themselves
anew. Of the old one nothing stays in memory.
"""

from __future__ import annotations

import asyncio
import importlib
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from fastapi.dependencies import models as fastapi_caches
from starlette.types import Receive, Scope, Send

from webui.application import App

POLL = 0.25  # seconds between two looks at whether the queue is idle


class Live:
    """An ASGI application: `build(app)` for the App that serves now."""

    def __init__(self, app: App, build: Callable[[App], FastAPI]):
        self.app = app
        app.reload = self.reload
        self._build, self._http = build, build(app)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._life: _Life | None = None
        self._next: _Next | None = None  # built, but work came before it could take over
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self._serve(receive, send)
        await self._http(scope, receive, send)

    def reload(self) -> None:
        """Has the extensions as they are wanted, as soon as nothing runs. Returns at once."""
        with self._lock:
            if self._thread is None and self._loop is not None:
                self._thread = threading.Thread(target=self._exchange, name="extensions", daemon=True)
                self._thread.start()

    async def _serve(self, receive: Receive, send: Send) -> None:
        await receive()
        self._loop = asyncio.get_running_loop()
        self._life = await _Life.of(self._http)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        for life in filter(None, (self._life, self._next and self._next.life)):
            await life.end()
        await send({"type": "lifespan.shutdown.complete"})

    def _exchange(self) -> None:
        pause = threading.Event()
        while True:
            with self._lock:
                if not self.app.soon:
                    self._thread = None
                    return
            if self.app.queue.idle:
                try:
                    self._exchange_now()
                except Exception:  # the program goes on as it was, until a restart
                    traceback.print_exc()
                    with self._lock:
                        self._thread = None
                    return
            else:
                pause.wait(POLL)

    def _exchange_now(self) -> None:
        """Builds the next App and lets it take over, unless work came meanwhile: then it is kept for the next
        time, as long as it would be built alike."""
        made, self._next = self._next, None
        if made is not None and made.origin != self.app.origin:
            self._end(made.life)
            made = None
        made = made or self._built()
        before, last = self.app, self._life
        if not before.queue.rest():
            self._next = made
            return
        self.app, self._http, self._life = made.app, made.http, made.life
        made.app.take_over(before)
        if last is not None:
            self._end(last)
        _clear_caches()

    def _built(self) -> _Next:
        assert self._loop is not None
        importlib.invalidate_caches()  # packages may have come
        origin, app = self.app.origin, self.app.successor()
        http = self._build(app)
        life = asyncio.run_coroutine_threadsafe(_Life.of(http), self._loop).result()
        return _Next(app, http, life, origin)

    def _end(self, life: _Life) -> None:
        assert self._loop is not None
        asyncio.run_coroutine_threadsafe(life.end(), self._loop).result()


def _clear_caches() -> None:
    """Forgets the functions that FastAPI keeps of each application, and with them its App."""
    for function in vars(fastapi_caches).values():
        if hasattr(function, "cache_clear"):
            function.cache_clear()


class _Life:
    """The lifespan of an application, which begins and ends in one task."""

    def __init__(self) -> None:
        self._ready, self._over = asyncio.Event(), asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @classmethod
    async def of(cls, http: FastAPI) -> _Life:
        life = cls()
        life._task = asyncio.create_task(life._run(http))
        ready = asyncio.create_task(life._ready.wait())
        await asyncio.wait((life._task, ready), return_when=asyncio.FIRST_COMPLETED)
        if not life._ready.is_set():
            ready.cancel()
            await life._task  # raises why it did not begin
        return life

    async def end(self) -> None:
        self._over.set()
        if self._task is not None:
            await self._task

    async def _run(self, http: FastAPI) -> None:
        async with http.router.lifespan_context(http):
            self._ready.set()
            await self._over.wait()


@dataclass(frozen=True)
class _Next:
    """An App that is to take over. origin: `App.origin` of the one before, when this one was built."""

    app: App
    http: FastAPI
    life: _Life
    origin: Any
