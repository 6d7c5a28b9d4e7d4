"""The command `serve`: page and API on one port."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from webui.application import App

if TYPE_CHECKING:
    from fastapi import FastAPI


def serve(app: App, parsed: argparse.Namespace) -> int:
    """Serves until it is stopped; returns the exit status. `parsed.again` is the port if the program is to
    start anew then."""
    from webui.http import api, server
    from webui.http.live import Live

    def build(app: App) -> FastAPI:
        http = api.build(app)
        if not parsed.api:
            from webui.page.page import mount

            mount(app, http)
        return http

    app.history.sweep()
    live = Live(app, build)
    listener = server.listen(app.settings.host, app.settings.port)
    url = server.address(app.settings.host, listener)

    def ready() -> None:
        print(f"Text Diffusion WebUI: {url}", flush=True)
        app.preload()

    def stop() -> None:
        for job in live.app.queue.all():
            job.cancel()

    running = server.Server(live, ready, stop)

    def restart() -> None:
        parsed.again = listener.getsockname()[1]
        running.should_exit = True

    app.restart = restart
    running.run([listener])
    return 0
