"""Who may call, and how much may be sent."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import re
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from webui.http.replies import failure
from webui.settings import Settings

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
ANY_ADDRESS = frozenset({"", "0.0.0.0", "::"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
HOST = re.compile(r"[a-z0-9.-]+")  # what a header may have of the names that a setting says
LINGER = 1.0  # seconds that a caller who sends too much gets to read the answer


def only_here(settings: Settings) -> bool:
    """Whether no other machine can reach a program with these settings."""
    return settings.host.lower() in LOOPBACK and not settings.allowed_hosts


class Guard:
    """Refuses what a local server must not serve: other host names, other origins, bodies that are too large.

    A web page elsewhere can make a browser call 127.0.0.1, by a form or by a DNS name of its own that points
    here. So the Host header has to name this machine or one of `allowed_hosts`, and a call that changes
    something must not come from another origin; nor is the page shown in a frame of another one, whose
    visitors would press buttons that they do not see. Bodies are read here; at most `max_body` bytes are
    kept, whatever Content-Length claims. Plain ASGI: what the app streams passes through as it comes.
    """

    def __init__(self, app: ASGIApp, settings: Settings):
        self.app, self.settings = app, settings
        self.allowed = {name.lower() for name in settings.allowed_hosts}
        self.hosts = LOOPBACK | {settings.host.lower()} | self.allowed
        named = sorted(name for name in self.allowed if HOST.fullmatch(name))
        self.frames = " ".join(["frame-ancestors 'self'", *named])

    async def __call__(self, scope: Scope, receive: Receive, reply: Send) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, reply)
        headers = Headers(scope=scope)

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                message.setdefault("headers", [])  # which a server may do without
                said = MutableHeaders(scope=message)
                said.append("content-security-policy", self.frames)
                said["x-content-type-options"] = "nosniff"
            await reply(message)

        reason = self._refusal(scope.get("method", "WEBSOCKET"), headers)
        if reason and scope["type"] == "websocket":
            return await send({"type": "websocket.close", "code": 1008})
        if reason:
            return await failure("forbidden", reason)(scope, receive, send)
        if scope["type"] == "http" and ("content-length" in headers or "transfer-encoding" in headers):
            body = await self._body(headers, receive)
            if body is None:
                return await self._too_large(scope, receive, send)
            if body[-1]["type"] == "http.disconnect":
                return None
            receive = _replay(body, receive)
        await self.app(scope, receive, send)

    def _refusal(self, method: str, headers: Headers) -> str | None:
        """Why this caller is refused, in a sentence, or None."""
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        if len(hosts) != 1 or not self._ours(hosts[0]):
            return "This host name is not served here; if it is yours, add it with --allowed-hosts."
        if method not in SAFE_METHODS and not all(self._same(origin, hosts[0]) for origin in origins):
            return (
                "A page of another origin may not do this; if it is this program behind a proxy, start the "
                "program with --allowed-hosts and the host name in the browser's address."
            )
        return None

    def _ours(self, host: str) -> bool:
        name = _name(host)
        # Bound to every address, any of them may be named: an attacker's DNS name is never an address.
        return name in self.hosts or (self.settings.host in ANY_ADDRESS and _address(name))

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
        """Answers, then reads and drops a little more: a connection closed while the caller still writes is
        reset, and the answer is lost."""

        async def hold(message: Message) -> None:
            await send({**message, "more_body": True} if message["type"] == "http.response.body" else message)

        large = f"The body is larger than {self.settings.max_body} bytes."
        await failure("too_large", large, headers={"Connection": "close"})(scope, receive, hold)
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
