"""Everything that depends on this one version of Gradio: attributes it does not document, in one place.

requirements.txt pins the version named here. Another version may ignore an attribute silently, and
`has_launched` decides whether files can be read through the page: so another version is refused.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import gradio as gr
from fastapi import FastAPI

VERSION = "6.31.0"
# Seconds between two polls of Gradio's queue, which no event of the page uses. At Gradio's own 0.001 s an
# idle server keeps a core busy.
POLL = 0.05


def check_version(installed: str = gr.__version__) -> None:
    """ValueError if another version of Gradio is installed than the page was written for."""
    if installed != VERSION:
        raise ValueError(
            f"The page needs gradio {VERSION}, but {installed} is installed; "
            "run `pip install -r requirements.txt`, or start with --api to serve the API alone."
        )


def mount(server: FastAPI, demo: gr.Blocks, **options: Any) -> None:
    """Serves `demo` at / of `server`; `options` go to `mount_gradio_app`. ValueError: see check_version.

    Gradio's queue ends with `server`: left alone, it polls on and holds the page, and with it the App.

    `has_launched`: without it Gradio copies any file path that a component's value names into its cache and
    serves it; `launch` sets it, `mount_gradio_app` does not.
    """
    check_version()
    gr.mount_gradio_app(server, demo, path="/", **options)
    demo.has_launched = True
    queue = demo._queue
    queue.sleep_when_free = queue.progress_update_sleep_when_free = POLL
    inner = server.router.lifespan_context

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Any]:
        async with inner(app) as state:
            try:
                yield state
            finally:
                queue.close()

    server.router.lifespan_context = lifespan
