"""The server process: its address, its end; and faults of our own, which never show more than a sentence."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import threading
from types import SimpleNamespace

import httpx
import pytest

from tests.conftest import serve, wait_until
from tests.http.conftest import SLOW, Client
from tests.http.test_queue import queue
from webui.core.request import Cell, Request
from webui.http import api, server
from webui.http.guard import Guard
from webui.service.queue import JobQueue
from webui.settings import Settings


def test_it_prints_one_line_and_nothing_else(server):
    assert server.line == f"Text Diffusion WebUI: http://127.0.0.1:{server.port}\n"
    assert httpx.get(f"{server.url}/api/v1/jobs").status_code == 200


def test_no_other_page_may_frame_it(server):
    for path in ("/api/v1/jobs", "/nothing", "/api/v1/checkpoints"):
        headers = httpx.get(f"{server.url}{path}").headers
        assert headers["content-security-policy"] == "frame-ancestors 'self'"
        assert headers["x-content-type-options"] == "nosniff"


def test_names_that_no_header_can_have_are_left_out_of_it():
    frames = Guard(None, Settings(allowed_hosts=("Here.example", "a b; script-src *", "ü\n"))).frames
    assert frames == "frame-ancestors 'self' here.example"


def test_it_stops_within_seconds_in_the_middle_of_everything(flags, tmp_path):
    """A job runs, one waits, a stream and a blocking call are open, a connection idles: all end, and the
    status is 0."""
    with (
        serve("--api", "--port", "0", *flags, data=tmp_path) as running,
        Client(base_url=f"{running.url}/api/v1/", timeout=60) as client,
    ):
        first = client.submit(**{**SLOW, "length": 250, "steps": 250, "rehearsal": {"seconds": 1}})
        client.submit(**SLOW)
        client.running(first)
        seen: list[bytes] = []

        def subscribe() -> None:
            with httpx.stream("GET", f"{running.url}/api/v1/jobs/{first}/events", timeout=60) as reply:
                seen.extend(reply.iter_bytes())

        subscription = threading.Thread(target=subscribe)
        subscription.start()
        blocked = socket.create_connection(("127.0.0.1", running.port))
        body = json.dumps(SLOW).encode()
        head = b"POST /api/v1/txt2txt HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        blocked.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        wait_until(lambda: seen and len(client.get("jobs").json()) == 3)
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(60) == 0, "the job alone would take four minutes"
        subscription.join(60)
        blocked.close()
        assert b'"state":"cancelled"' in b"".join(seen)  # the stream was ended, not cut
        assert running.process.stdout.read() == b"" and running.errors.read_text() == ""


def test_the_checkpoint_is_loaded_once_the_address_is_there(flags, tmp_path):
    """With progress that is told, in the background, and stopped by Ctrl+C without a word."""
    flags = [flag for flag in flags if flag != "--no-preload"]
    with (
        serve("--api", "--port", "0", *flags, data=tmp_path) as running,
        Client(base_url=f"{running.url}/api/v1/", timeout=60) as client,
        client.stream("GET", "jobs/events") as reply,
    ):
        told = []
        for update in queue(reply):
            told += [update["loading"]["done"]] if update["loading"] else []
            if update["loaded"]:
                break
        assert update["loaded"] == "storyteller" and update["jobs"] == []
        assert len(told) > 2 and told == sorted(told), "not one number from the beginning to the end"
    with serve("--api", "--port", "0", *flags, data=tmp_path) as running:
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(60) == 0 and running.errors.read_text() == ""


def test_ctrl_c_stops_it_without_a_word(flags, tmp_path):
    with serve("serve", "--api", "--port", "0", *flags, data=tmp_path) as running:
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(60) == 0
        assert running.process.stdout.read() == b"" and running.errors.read_text() == ""


def test_a_taken_port_moves_on_to_the_next(flags, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with serve("--api", "--port", str(port), *flags, data=tmp_path) as running:
            assert port < running.port <= port + 100
            assert httpx.get(f"{running.url}/api/v1/jobs").status_code == 200


def test_listen_says_why_there_is_no_socket(monkeypatch):
    with pytest.raises(ValueError, match=r"^The host 'nowhere.invalid' is not an address of this machine\.$"):
        server.listen("nowhere.invalid", 0)
    with pytest.raises(ValueError, match=r"^No port from 7860 to 7959 is free on 192\.0\.2\.1: .*\.$"):
        server.listen("192.0.2.1", 7860)  # an address of nobody


def test_two_servers_that_start_at_once_get_two_ports():
    first = server.listen("127.0.0.1", 0)
    second = server.listen("127.0.0.1", first.getsockname()[1])
    with first, second:
        assert first.getsockname() != second.getsockname()


@pytest.mark.parametrize(
    "host, url",
    [
        ("127.0.0.1", "http://127.0.0.1:"),
        ("0.0.0.0", "http://127.0.0.1:"),
        ("::1", "http://[::1]:"),
        ("localhost", "http://localhost:"),
    ],
)
def test_the_address_can_be_opened(host, url):
    try:
        listener = server.listen(host, 0)
    except ValueError:
        pytest.skip(f"this machine has no {host}")
    with listener:
        assert server.address(host, listener).startswith(url)


# -- in this process, around a made-up App -------------------------------------------------------------------


def app(run=lambda job: iter(()), **settings) -> SimpleNamespace:
    return SimpleNamespace(
        queue=JobQueue(run, lambda request: (Cell("0", request),)),
        Request=Request,
        settings=Settings(**settings),
    )


def call(app, method: str, path: str, base: str = "http://localhost", **keywords) -> httpx.Response:
    async def go() -> httpx.Response:
        transport = httpx.ASGITransport(api.build(app), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=base) as client:
            return await client.request(method, path, **keywords)

    return asyncio.run(go())


def test_a_fault_of_ours_shows_a_sentence_and_no_traceback():
    broken = app()
    broken.queue = None
    reply = call(broken, "GET", "/api/v1/jobs")
    assert reply.status_code == 500
    assert reply.json() == {
        "error": {"code": "internal", "message": "The program failed; the terminal it runs in shows where."}
    }


def test_a_job_that_breaks_the_program_is_an_internal_error(capsys):
    def run(job):
        raise ZeroDivisionError("somewhere")
        yield

    reply = call(app(run), "POST", "/api/v1/txt2txt", json={})
    assert reply.status_code == 500 and reply.json()["error"]["code"] == "internal"
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_half_surrogates_inside_never_break_a_reply():
    """No caller can send them, but a file's name can hold them."""
    odd = app()
    odd.samplers = odd.schedules = odd.confidences = lambda: {"a\ud800b": "c\udfff", "pair": "\ud83d\ude00"}
    reply = call(odd, "GET", "/api/v1/samplers")
    assert reply.json()["samplers"] == {"a\ufffdb": "c\ufffd", "pair": "😀"}
    job = odd.queue.submit(Request())
    assert job.wait(60)
    job.error = "\udc80"
    assert call(odd, "GET", f"/api/v1/jobs/{job.id}").json()["error"] == "\ufffd"
    assert "\ufffd" in call(odd, "GET", f"/api/v1/jobs/{job.id}/events").text


@pytest.mark.parametrize(
    "host, allowed, name, served",
    [
        ("127.0.0.1", (), "my.example", False),
        ("127.0.0.1", ("my.example",), "my.example", True),
        ("127.0.0.1", ("my.example",), "MY.example:80", True),
        ("127.0.0.1", ("my.example",), "not.my.example", False),
        ("192.168.1.5", (), "192.168.1.5:7860", True),
        ("192.168.1.5", (), "192.168.1.6", False),
        ("0.0.0.0", (), "192.168.1.6:7860", True),
        ("::", (), "[fe80::1]:7860", True),
        ("0.0.0.0", (), "evil.example", False),
    ],
)
def test_hosts_by_the_settings(host, allowed, name, served):
    reply = call(app(host=host, allowed_hosts=allowed), "GET", "/api/v1/jobs", headers={"host": name})
    assert reply.status_code == (200 if served else 403)


def test_an_allowed_host_may_act_through_a_proxy():
    headers = {"host": "127.0.0.1:7860", "origin": "https://my.example"}
    settings = {"allowed_hosts": ("my.example",)}
    assert call(app(**settings), "DELETE", "/api/v1/jobs/x", headers=headers).status_code == 404
    assert call(app(), "DELETE", "/api/v1/jobs/x", headers=headers).status_code == 403


def test_what_is_mounted_beside_the_api_is_guarded_and_not_buffered():
    """A page's own streams pass as they come; foreign callers and large bodies do not reach it."""
    page = api.build(app(max_body=2000))
    reached = []

    async def mounted(scope, receive, send):
        reached.append(await receive() if scope["method"] == "POST" else None)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for part in (b"a", b"b"):
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    page.mount("/", mounted)

    async def go(method: str, body: bytes, **headers: str) -> list:
        sent, given = [], iter([{"type": "http.request", "body": body, "more_body": False}])

        async def receive():
            return next(given)

        async def send(message):
            sent.append(message)

        pairs = {"host": "localhost", "content-length": str(len(body)), **headers}
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "path": "/x",
            "raw_path": b"/x",
            "query_string": b"",
            "root_path": "",
            "scheme": "http",
            "server": None,
            "client": None,
            "headers": [(name.encode(), value.encode()) for name, value in pairs.items()],
        }
        await page(scope, receive, send)
        return sent

    sent = asyncio.run(go("POST", b"hello"))
    assert [message.get("body") for message in sent[1:]] == [b"a", b"b", b""] and reached[0][
        "body"
    ] == b"hello"
    evil = {"host": "evil.example"}, {"origin": "http://evil.example"}
    for headers, body, status in ((evil[0], b"", 403), (evil[1], b"", 403), ({}, b"x" * 2001, 413)):
        assert asyncio.run(go("POST", body, **headers))[0]["status"] == status
    assert len(reached) == 1


def test_foreign_websockets_are_closed():
    sent = []

    async def go() -> None:
        async def send(message):
            sent.append(message)

        scope = {
            "type": "websocket",
            "path": "/",
            "headers": [(b"host", b"localhost"), (b"origin", b"http://evil.example")],
        }
        await api.build(app())(scope, None, send)

    asyncio.run(go())
    assert [message["type"] for message in sent] == ["websocket.close"]
