"""The exchange of the whole program for one with other extensions, and what it leaves in memory."""

from __future__ import annotations

import asyncio
import gc
import weakref

from fastapi import FastAPI

from tests.conftest import ROOT
from webui.application import App
from webui.http import api
from webui.http.live import Live
from webui.page.page import mount
from webui.settings import Settings

PLAIN = "from webui import Extension\nclass Plain(Extension):\n    'Does nothing.'\n"


async def served(tmp_path):
    """A Live that serves API and page, the Apps that it built as weak references, and its task."""
    built = []

    def build(app: App) -> FastAPI:
        built.append(weakref.ref(app))
        http = api.build(app)
        mount(app, http)
        return http

    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "__init__.py").write_text(PLAIN, "utf-8")
    settings = Settings(
        built_in=ROOT / "extensions", extensions=(tmp_path / "plain",), data=tmp_path / "data"
    )
    live, asked, begun = Live(App(settings), build), asyncio.Queue(), asyncio.Event()

    async def send(message: dict) -> None:
        begun.set()

    asked.put_nowait({})
    task = asyncio.create_task(live({"type": "lifespan"}, asked.get, send))
    await begun.wait()
    return live, built, lambda: (asked.put_nowait({}), task)[1]


def turned(app: App, on: bool) -> None:
    app.change({"disabled": [] if on else ["plain"]})


def alive(built: list) -> list:
    return [app for one in built if (app := one()) is not None]


async def until(condition) -> None:
    while not condition():
        await asyncio.sleep(0.05)


def test_no_app_of_the_past_stays_in_memory(tmp_path):
    async def scenario() -> None:
        live, built, stop = await served(tmp_path)
        for number, on in enumerate((False, True, False), 2):
            turned(live.app, on)
            live.reload()
            await until(lambda number=number: len(built) == number and not live.app.soon)
            assert ("plain" in live.app.registry.extensions) is on
        await asyncio.wait_for(until(lambda: gc.collect() + 1 and len(alive(built)) == 1), 120)
        live.app.close()
        await stop()

    asyncio.run(scenario())


def test_an_app_that_could_not_take_over_is_kept_for_the_next_time(tmp_path):
    async def scenario() -> None:
        live, built, stop = await served(tmp_path)
        turned(live.app, False)
        first, rest = live.app, live.app.queue.rest
        live.app.queue.rest = lambda: False  # work has come
        for _ in range(3):
            await asyncio.to_thread(live._exchange_now)
        assert live.app is first and len(built) == 2
        first.registry.operator.stored = lambda: {"plain": {"size": 2}}  # it would be built otherwise
        await asyncio.to_thread(live._exchange_now)
        assert live.app is first and len(built) == 3
        first.queue.rest = rest
        await asyncio.to_thread(live._exchange_now)
        assert live.app is not first and len(built) == 3 and "plain" not in live.app.registry.extensions
        live.app.close()
        await stop()

    asyncio.run(scenario())
