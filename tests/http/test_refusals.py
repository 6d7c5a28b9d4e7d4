"""What the API refuses: with which status, always in the one shape, always with one sentence; and that
nothing crashes it."""

from __future__ import annotations

import contextlib
import gzip
import json
import re
import socket

import httpx
import pytest

from tests.http.conftest import QUICK

SECRET = "Xyzzy-the-input"  # errors never repeat what was sent
CODES = {403: "forbidden", 404: "not_found", 413: "too_large", 429: "busy", 500: "internal"}


def refused(reply: httpx.Response, status: int) -> str:
    """Checks shape, status and code of an error; its message."""
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/json"
    assert "access-control-allow-origin" not in reply.headers
    body = reply.json()
    assert list(body) == ["error"] and sorted(body["error"]) == ["code", "message"]
    assert body["error"]["code"] == CODES.get(status, "invalid")
    message = body["error"]["message"]
    assert re.fullmatch(r"\S.*[.]", message) and "Traceback" not in message and len(message) <= 510
    return message


BODIES = {
    "nothing": (b"", "JSON"),
    "no JSON": (b"prompt=hello", "JSON"),
    "cut short": (b'{"prompt": "a', "JSON"),
    "two values": (b"{} {}", "JSON"),
    "NaN": (b'{"temperature": NaN}', "temperature"),
    "Infinity": (b'{"temperature": Infinity}', "temperature"),
    "-Infinity": (b'{"guidance": {"scale": -Infinity}}', "guidance.scale"),
    "1e999": (b'{"temperature": 1e999}', "temperature"),
    "NaN for a whole number": (b'{"steps": NaN}', "steps"),
    "NaN in an unknown field": (b'{"other": NaN}', "'other'"),
    "a half surrogate": (b'{"prompt": "\\ud800"}', "JSON"),
    "the other half": (b'{"prompt": "a\\udc00b"}', "JSON"),
    "a half surrogate in an option": (b'{"guidance": {"negative_prompt": "\\udfff"}}', "JSON"),
    "a half surrogate as a name": (b'{"\\ud800": 1}', "JSON"),
    "a half surrogate in bytes": (b'{"prompt": "\xed\xa0\x80"}', "JSON"),
    "Latin-1": ('{"prompt": "é"}'.encode("latin-1"), "JSON"),
    "UTF-16": ('{"prompt": "a"}'.encode("utf-16"), "JSON"),
    "a list": (b'[{"prompt": "a"}]', "object"),
    "a text": (b'"prompt"', "object"),
    "null": (b"null", "object"),
    "a number": (b"7", "object"),
    "an unknown field": (b'{"stepz": 5}', "'stepz'"),
    "an unknown option": (b'{"guidance": {"weight": 5}}', "'guidance.weight'"),
    "an unknown extension": (b'{"gone": {}}', "'gone'"),
    "a text for a number": (b'{"steps": "5"}', "steps"),
    "a number for a text": (b'{"prompt": 5}', "prompt"),
    "a fraction for a whole number": (b'{"steps": 5.5}', "steps"),
    "true for a number": (b'{"steps": true}', "steps"),
    "1 for true": (b'{"prompt_matrix": {"enabled": 1}}', "prompt_matrix.enabled"),
    "a list for options": (b'{"guidance": []}', "guidance"),
    "null for options": (b'{"guidance": null}', "guidance"),
    "too small": (b'{"steps": 0}', "steps"),
    "too large": (b'{"count": 257}', "count"),
    "a huge number": (b'{"seed": 1' + b"0" * 4000 + b"}", "seed"),
    "a number of too many digits": (b'{"seed": 1' + b"0" * 9000 + b"}", "JSON"),
    "a long prompt": (b'{"prompt": "' + b"a" * 100_001 + b'"}', "prompt"),
    "not one of the values": (b'{"end_of_text": "Xyzzy-the-input"}', "end_of_text"),
    "an unknown sampler": (b'{"sampler": "nope"}', "sampler"),
    "an unknown checkpoint": (b'{"model": "../../etc"}', "checkpoint"),
    "deep lists": (b"[" * 200_000, "JSON"),
    "deep objects": (b'{"a":' * 100_000, "JSON"),
    "deep in an option": (b'{"guidance": ' + b'{"a":' * 5_000 + b"1" + b"}" * 5_001, "JSON"),
    "a very long name": (b'{"' + b"n" * 500_000 + b'": 1}', "no field"),
}


@pytest.mark.parametrize("path", ["jobs", "txt2txt"])
@pytest.mark.parametrize("body, words", BODIES.values(), ids=BODIES)
def test_wrong_bodies(client, path, body, words):
    message = refused(client.post(path, content=body, headers={"content-type": "application/json"}), 422)
    assert words in message and SECRET not in message


def test_several_faults_are_all_told(client):
    message = refused(client.post("jobs", json={"steps": "a", "stepz": 1, "guidance": {"scale": "x"}}), 422)
    assert all(path in message for path in ("steps:", "'stepz'", "guidance.scale:"))


def test_odd_texts_are_no_faults(client):
    for prompt in (
        "\x00\x01\x1b[31m",
        "\ufeff\ufffe\uffff",
        "😀\u202e\u0301",
        "\ue000",
        "<|mdm_mask|><|eot_id|>",
        "{% raw %}",
    ):
        assert client.post("txt2txt", json={**QUICK, "prompt": prompt}).status_code == 200, prompt


def test_a_refused_request_makes_no_job(client):
    before = len(client.get("jobs").json())
    client.post("jobs", json={"steps": 0})
    client.post("txt2txt", json={"stepz": 0})
    assert len(client.get("jobs").json()) == before


KINDS = [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "json"]


@pytest.mark.parametrize("kind", KINDS)
def test_other_content_types(client, kind):
    headers = {} if kind is None else {"content-type": kind}
    assert "application/json" in refused(
        client.post("jobs", content=json.dumps(QUICK).encode(), headers=headers), 415
    )


def test_compressed_bodies(client):
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    refused(client.post("jobs", content=gzip.compress(b"{}"), headers=headers), 415)


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "Application/JSON"])
def test_json_by_its_other_names(client, kind):
    assert (
        client.post("jobs", content=json.dumps(QUICK).encode(), headers={"content-type": kind}).status_code
        == 201
    )


PATHS = [
    "",
    "nope",
    "jobs/",
    "jobs/x/y",
    "openapi.json/",
    "docs",
    "%ed%a0%80",
    "../../etc/passwd",
    "a%0d%0ab",
]


@pytest.mark.parametrize("path", PATHS)
def test_unknown_paths(client, path):
    refused(client.get(path), 404)


def test_unknown_paths_outside_the_api(server):
    for path in ("/", "/docs", "/redoc", "/openapi.json", "/api", "/api/v1", "/api/v2/jobs", "/favicon.ico"):
        refused(httpx.get(server.url + path), 404)


@pytest.mark.parametrize(
    "call", ["PUT jobs", "DELETE jobs", "GET txt2txt", "POST schema", "POST jobs/x", "PATCH jobs/x"]
)
def test_other_methods(client, call):
    method, path = call.split()
    reply = client.request(method, path)
    assert method in refused(reply, 405) and reply.headers["allow"]


# -- size ----------------------------------------------------------------------------------------------------

LIMIT = 1 << 20


def test_a_body_at_the_limit_is_read(client):
    body = json.dumps(QUICK).encode().ljust(LIMIT)
    assert client.post("jobs", content=body, headers={"content-type": "application/json"}).status_code == 201


@pytest.mark.parametrize("path", ["jobs", "txt2txt", "schema", "nope"])
def test_a_body_over_the_limit(client, path):
    assert "1048576" in refused(client.post(path, content=b" " * (LIMIT + 1)), 413)


def test_a_chunked_body_over_the_limit(client):
    assert "1048576" in refused(client.post("jobs", content=(b"x" * 65536 for _ in range(17))), 413)


def test_a_chunked_body_is_read(client):
    chunks = (json.dumps(QUICK)[k : k + 3].encode() for k in range(0, 80, 3))
    assert (
        client.post("jobs", content=chunks, headers={"content-type": "application/json"}).status_code == 201
    )


def raw(server, *parts: bytes) -> bytes:
    """Sends bytes as they are; what the server answered until it closed, or nothing more came for two
    seconds."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=2) as connection:
        reply = b""
        with contextlib.suppress(OSError):
            for part in parts:
                connection.sendall(part)
        with contextlib.suppress(OSError):
            while chunk := connection.recv(65536):
                reply += chunk
        return reply


HEAD = b"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


def test_an_announced_body_is_refused_before_it_comes(server):
    assert raw(server, HEAD + b"Content-Length: 99999999999\r\n\r\n").startswith(b"HTTP/1.1 413")


def test_an_endless_body_is_not_read_on(server):
    """The client would send for ever; it is answered after the limit and the connection is closed."""
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    reply = raw(server, HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *[chunk] * 64)
    assert reply.startswith(b"HTTP/1.1 413") and b"connection: close" in reply.lower()


@pytest.mark.parametrize("length", [b"-1", b"1e3", b"0x10", b"5, 6", b"\xb2"])
def test_lengths_that_are_none(client, server, length):
    assert raw(server, HEAD + b"Content-Length: " + length + b"\r\n\r\n{}").startswith(b"HTTP/1.1 4")
    assert client.get("jobs").status_code == 200


def test_a_caller_who_hangs_up_within_the_body(client, server):
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(HEAD + b"Content-Length: 1000\r\n\r\n{")
    assert client.get("jobs").status_code == 200


# -- who -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1", "127.0.0.1:80", "[::1]", "[::1]:7860", "localhost."]
)
def test_hosts_that_are_this_machine(client, host):
    assert client.get("jobs", headers={"host": host}).status_code == 200


STRANGERS = [
    "evil.example",
    "evil.example:7860",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "evil.example#localhost",
    "localhost@evil.example",
    "192.168.1.5",
    "0.0.0.0",
    "[::2]",
    "",
    "[",
    "127.0.0.2",
]


@pytest.mark.parametrize("host", STRANGERS)
def test_hosts_that_are_not(client, host):
    for method, path in (("GET", "jobs"), ("POST", "jobs"), ("GET", "openapi.json"), ("GET", "../..")):
        refused(client.request(method, path, headers={"host": host}), 403)


def test_no_host_and_two_hosts(server):
    assert raw(server, b"GET /api/v1/jobs HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 403")
    two = b"GET /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n"
    assert raw(server, two).startswith(b"HTTP/1.1 4")


ORIGINS = [
    "http://evil.example",
    "https://evil.example:7860",
    "null",
    "",
    "http://localhost:1",
    "file://",
    "http://[",
    "x",
]


@pytest.mark.parametrize("origin", ORIGINS)
def test_other_origins_may_not_act(client, server, origin):
    headers = {"origin": origin}
    refused(client.post("jobs", json=QUICK, headers=headers), 403)
    refused(client.post("txt2txt", json=QUICK, headers=headers), 403)
    refused(client.delete("jobs/x", headers=headers), 403)
    assert "access-control-allow-origin" not in client.get("jobs", headers=headers).headers


def test_other_origins_get_no_leave_to_try(client):
    headers = {"origin": "http://evil.example", "access-control-request-method": "POST"}
    reply = client.options("jobs", headers=headers)
    assert refused(reply, 405) and not [name for name in reply.headers if name.startswith("access-control")]


def test_our_own_page_may_act(client, server):
    assert client.post("jobs", json=QUICK, headers={"origin": server.url}).status_code == 201
    own = {"origin": "http://localhost:9", "host": "localhost:9"}  # through a tunnel, for instance
    assert client.post("jobs", json=QUICK, headers=own).status_code == 201


def test_the_server_is_well_after_all_this(client, server):
    assert client.post("txt2txt", json=QUICK).status_code == 200
    ours = re.sub(r"The extension rehearsal failed:\nTraceback", "", server.errors.read_text())
    assert "Traceback" not in ours, "but those of a test's extension"


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": "once upon a time " * 40},
        {"length": 300},
        {"length": 8, "guidance": {"scale": 2.0, "negative_prompt": "once upon a time " * 40}},
    ],
    ids=["prompt", "length", "negative prompt"],
)
def test_a_request_that_cannot_fit_the_checkpoint(client, fields):
    for path in ("jobs", "txt2txt"):
        message = refused(client.post(path, json={**QUICK, "prompt": "a", **fields}), 422)
        assert re.search(r"takes \d+ tokens", message)
