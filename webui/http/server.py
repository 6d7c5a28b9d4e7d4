"""The border to the network: replies as JSON, who may call, how much may be sent, the socket, the server's
life."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import logging
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from webui.core.options import sentence
from webui.settings import Settings

HERE = frozenset({"localhost", "127.0.0.1", "::1"})
ANYWHERE = frozenset({"", "0.0.0.0", "::"})
READS = frozenset({"GET", "HEAD", "OPTIONS"})
CODES = {
    403: "forbidden",
    404: "not_found",
    413: "too_large",
    429: "busy",
    500: "internal",
}  # every other one: invalid
PORTS = 100  # how many ports after the wanted one are tried
GRACE = 1  # seconds that open connections get when the server stops
LINGER = 1.0  # seconds that a caller who sends too much gets to notice


def encode(content: Any) -> bytes:
    """JSON in UTF-8. Half surrogate pairs, which file names can hold but UTF-8 cannot, become U+FFFD."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=str)
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


class Reply(JSONResponse):
    """A JSON response of our own encoding."""

    def render(self, content: Any) -> bytes:
        return encode(content)


def failure(status: int, message: str, headers: dict[str, str] | None = None) -> Reply:
    """The one shape of every error. `message` is a sentence, cut at 500 characters: names in it may be the
    caller's."""
    message = message if len(message) <= 500 else message[:500] + "..."
    return Reply({"error": {"code": CODES.get(status, "invalid"), "message": message}}, status, headers)


def explain(app: FastAPI) -> None:
    """Gives every error of `app` that shape."""
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _broken)


async def _refused(call: Request, error: HTTPException) -> Reply:
    told = {
        404: f"There is nothing at {call.url.path}.",
        405: f"{call.method} is not possible at {call.url.path}.",
    }
    plain = error.detail in ("Not Found", "Method Not Allowed")  # starlette's own words
    return failure(error.status_code, told[error.status_code] if plain else error.detail, error.headers)


async def _invalid(call: Request, error: RequestValidationError) -> Reply:
    return failure(422, " ".join(sentence(fault) for fault in error.errors()))


async def _broken(call: Request, error: Exception) -> Reply:
    # starlette raises the error again, and uvicorn prints it
    return failure(500, "The program failed; the terminal it runs in shows where.")


class Guard:
    """Refuses what a local server must not serve: foreign host names, foreign pages, bodies too large.

    A web page elsewhere can make a browser call 127.0.0.1, by a form or by a DNS name of its own that it
    points here. So the Host header has to name this machine or one of `allowed_hosts`, and what changes
    something must not come from another origin. Bodies are read here, at most `max_body` bytes are kept,
    whatever Content-Length claims. Plain ASGI: what the app streams is not touched.
    """

    def __init__(self, app: ASGIApp, settings: Settings):
        self.app, self.settings = app, settings
        self.allowed = {name.lower() for name in settings.allowed_hosts}
        self.hosts = HERE | {settings.host.lower()} | self.allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        headers = Headers(scope=scope)
        stranger = self._stranger(scope.get("method", "WEBSOCKET"), headers)
        if stranger and scope["type"] == "websocket":
            return await send({"type": "websocket.close", "code": 1008})
        if stranger:
            return await failure(403, stranger)(scope, receive, send)
        if scope["type"] == "http" and ("content-length" in headers or "transfer-encoding" in headers):
            body = await self._body(headers, receive)
            if body is None:
                return await self._too_large(scope, receive, send)
            if body[-1]["type"] == "http.disconnect":
                return None
            receive = _replay(body, receive)
        await self.app(scope, receive, send)

    def _stranger(self, method: str, headers: Headers) -> str | None:
        """Why this caller is refused, in a sentence, or None."""
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        if len(hosts) != 1 or not self._ours(hosts[0]):
            return "This host name is not served here; name it with --allowed-hosts if it is yours."
        if method not in READS and not all(self._same(origin, hosts[0]) for origin in origins):
            return "A page of another origin may not do this."
        return None

    def _ours(self, host: str) -> bool:
        name = _name(host)
        # Bound to every address, any of them may be named: an attacker's DNS name is never an address.
        return name in self.hosts or (self.settings.host in ANYWHERE and _address(name))

    def _same(self, origin: str, host: str) -> bool:
        try:
            parts = urlsplit(origin)
            return parts.netloc.lower() == host.lower() or (parts.hostname or "") in self.allowed
        except ValueError:
            return False

    async def _body(self, headers: Headers, receive: Receive) -> list[Message] | None:
        """The messages of the body, or None if it is too large; a caller who hangs up ends it."""
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self.settings.max_body:
            return None
        messages, size = [], 0
        while True:
            messages.append(await receive())
            size += len(messages[-1].get("body", b""))
            if size > self.settings.max_body:
                return None
            if not messages[-1].get("more_body", False):
                return messages

    async def _too_large(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers, then drops a little more: a connection closed while the caller still writes is reset, the
        answer lost."""

        async def hold(message: Message) -> None:
            await send({**message, "more_body": True} if message["type"] == "http.response.body" else message)

        large = f"The body is larger than {self.settings.max_body} bytes."
        await failure(413, large, {"Connection": "close"})(scope, receive, hold)
        left = self.settings.max_body
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER):
                while left > 0 and (message := await receive()).get("more_body", False):
                    left -= len(message.get("body", b""))
        await send({"type": "http.response.body", "body": b""})


def _replay(messages: list[Message], receive: Receive) -> Receive:
    """A `receive` that gives these messages first."""
    waiting = iter(messages)

    async def again() -> Message:
        return next(waiting, None) or await receive()

    return again


def _name(host: str) -> str:
    """The host of a Host header, without port and brackets, in lower case."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return name.lower().rstrip(".")


def _address(name: str) -> bool:
    try:
        return bool(ipaddress.ip_address(name))
    except ValueError:
        return False


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
            if sys.platform != "win32":  # there it would let two programs share a port
                server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind((address[0], candidate, *address[2:]))
            server.listen(2048)
            return server
        except OSError as error:
            server.close()
            reason = error
    last = min(port + PORTS, 65536) - 1
    raise ValueError(
        f"No port from {port} to {last} can be had on {host}: {reason.strerror if reason else ''}."
    )


def address(host: str, server: socket.socket) -> str:
    """The URL a person on this machine opens."""
    name = "127.0.0.1" if host in ANYWHERE else f"[{host}]" if ":" in host else host
    return f"http://{name}:{server.getsockname()[1]}"


class Server(uvicorn.Server):
    """uvicorn, quiet, that says when it is `ready`, and stops in seconds: `stop` ends what would keep streams
    open."""

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
        # It would tell as an error that a browser was still open.
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
