"""The socket, and the life of the server."""

from __future__ import annotations

import contextlib
import logging
import signal
import socket
import sys
from collections.abc import Callable, Iterator

import uvicorn
from starlette.types import ASGIApp

from webui.http.guard import ANY_ADDRESS

PORTS = 100  # how many ports after the wanted one are tried
GRACE = 1  # seconds that open connections get when the server stops


def listen(host: str, port: int) -> socket.socket:
    """A listening socket on `port` or the next free one (0: any). ValueError says why there is none."""
    try:
        family, *_, address = socket.getaddrinfo(
            host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise ValueError(f"The host {host!r} is not an address of this machine.") from error
    reason: OSError | None = None
    for candidate in range(port, min(port + PORTS, 65536) if port else 1):
        server = socket.socket(family, socket.SOCK_STREAM)
        try:
            if sys.platform != "win32":  # where it lets two programs share a port
                server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind((address[0], candidate, *address[2:]))
            server.listen(2048)
            return server
        except OSError as error:
            server.close()
            reason = error
    last = min(port + PORTS, 65536) - 1
    raise ValueError(f"No port from {port} to {last} is free on {host}: {reason.strerror if reason else ''}.")


def address(host: str, server: socket.socket) -> str:
    """The URL to open on this machine."""
    name = "127.0.0.1" if host in ANY_ADDRESS else f"[{host}]" if ":" in host else host
    return f"http://{name}:{server.getsockname()[1]}"


class Server(uvicorn.Server):
    """uvicorn without its log. Calls `ready` once it serves, and before it shuts down `stop`, which has to
    end the streams: open connections get GRACE seconds."""

    def __init__(self, app: ASGIApp, ready: Callable[[], None], stop: Callable[[], None]):
        super().__init__(
            uvicorn.Config(
                app, log_level="error", access_log=False, lifespan="on", timeout_graceful_shutdown=GRACE
            )
        )
        self.ready, self.stop = ready, stop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self.ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.stop()
        # Otherwise it reports every browser that is still open as an error.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn's, without raising the signal again at the end: the App is still to be closed."""
        before = {
            number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
