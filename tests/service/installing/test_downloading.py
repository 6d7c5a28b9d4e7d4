"""Archives from a web server: so many bytes, so much time, no other protocol, and then as any archive."""

from __future__ import annotations

import io
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.third_party.repository import extension
from webui.service.installing import downloading, sources
from webui.service.installing.downloading import download
from webui.service.installing.installer import Installer
from webui.service.installing.sources import Source, fetch


@pytest.fixture
def server():
    """A web server; `answers` by path: (status, headers, body)."""
    answers = {}

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *arguments) -> None:
            pass

        def do_GET(self) -> None:
            status, headers, body = answers.get(self.path, (404, {}, b""))
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.answers, running.url = answers, f"http://127.0.0.1:{running.server_port}"
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def zipped(folder, top="letters-0.1.0/"):
    """A .zip of an extension's folder, as bytes."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path in folder.iterdir():
            archive.writestr(f"{top}{path.name}", path.read_bytes())
    return content.getvalue()


def test_one_is_added_and_updated_from_an_address(tmp_path, server):
    address = f"{server.url}/files/letters.zip"
    server.answers["/files/letters.zip"] = (200, {}, zipped(extension(tmp_path / "a")))
    installer = Installer(tmp_path / "data", "0.1.0")
    plan = installer.look(address)
    assert (plan.source.kind, plan.source.address, plan.name) == ("archive", address, "letters")
    first = installer.add(plan.id)
    assert installer.update("letters") is None
    server.answers["/files/letters.zip"] = (200, {}, zipped(extension(tmp_path / "a", version="0.2.0")))
    newer = installer.update("letters")
    assert newer is not None and newer.manifest.version == "0.2.0"
    assert newer.revision != first.current.revision
    installer.add(newer.id)
    assert installer.back("letters").current == first.current


def test_where_archives_may_come_from():
    for address in ("https://example.org/a.zip", "https://example.org/a.TAR.GZ", "http://localhost:1/a.tgz"):
        assert Source.of(address) == Source("archive", address)
    assert Source.of("https://example.org/a.git").kind == "git"
    for address, sentence in {
        "http://example.org/a.zip": "Addresses begin with",
        "http://127.0.0.1.example.org/a.zip": "Addresses begin with",
        "ftp://example.org/a.zip": "Addresses begin with",
        "https://me:secret@example.org/a.zip": "Leave user and password out",
        "https://me@example.org/a.zip": "Leave user and password out",
        "https://example.org/a.zip?token=secret": "no address",
    }.items():
        with pytest.raises(ValueError, match=sentence):
            Source.of(address)
    with pytest.raises(ValueError, match="Only a git repository has"):
        Source.of("https://example.org/a.zip", "main")


def test_what_is_no_answer_is_a_sentence(tmp_path, server):
    server.answers |= {
        "/short.zip": (200, {"Content-Length": "1000"}, b"x"),
        "/page.zip": (200, {}, b"<html>Sign in</html>"),
        "/away.zip": (302, {"Location": "http://example.org/a.zip"}, b""),
        "/file.zip": (302, {"Location": "file:///etc/passwd"}, b""),
        "/round.zip": (302, {"Location": "/round.zip"}, b""),
        "/up.zip": (200, {}, zipped(extension(tmp_path / "a"), "../")),
    }
    for number, (path, sentence) in enumerate(
        {
            "/missing.zip": "The server answered with status 404.",
            "/short.zip": "The download broke off",
            "/page.zip": "page.zip is neither a .zip nor a .tar archive.",
            "/away.zip": "sends on to an address that is not https",
            "/file.zip": "The server answered with status 302.",
            "/round.zip": "The server answered with status 302.",
            "/up.zip": "is no name that a file of an extension can have",
        }.items()
    ):
        target = tmp_path / str(number)
        target.mkdir()
        with pytest.raises(ValueError, match=sentence):
            fetch(Source.of(f"{server.url}{path}"), target)
        assert not list(target.iterdir())
    with pytest.raises(ValueError, match="cannot be reached"):
        fetch(Source.of("http://127.0.0.1:9/a.zip"), tmp_path)


def test_too_many_bytes_are_not_read_and_too_slow_ones_not_waited_for(tmp_path, server, monkeypatch):
    server.answers["/a.zip"] = (200, {}, b"x" * 5000)
    download(f"{server.url}/a.zip", tmp_path / "a", 5000)
    assert (tmp_path / "a").stat().st_size == 5000
    with pytest.raises(ValueError, match="more than 0 MB"):
        download(f"{server.url}/a.zip", tmp_path / "b", 4999)
    with pytest.raises(ValueError, match="takes too long"):
        download(f"{server.url}/a.zip", tmp_path / "c", 5000, seconds=-1)
    server.answers["/b.zip"] = (200, {}, zipped(extension(tmp_path / "letters")))
    (tmp_path / "target").mkdir()
    monkeypatch.setattr(sources, "MAX_BYTES", 100)
    with pytest.raises(ValueError, match="more than 0 MB"):
        fetch(Source.of(f"{server.url}/b.zip"), tmp_path / "target")


def test_a_server_that_falls_silent(tmp_path, server, monkeypatch):
    server.answers["/a.zip"] = (200, {"Content-Length": "10"}, b"x")
    silent = threading.Event()
    monkeypatch.setattr(server.RequestHandlerClass, "finish", lambda handler: silent.wait(20))
    monkeypatch.setattr(downloading, "SILENCE", 0.2)
    with pytest.raises(ValueError, match="did not answer within"):
        download(f"{server.url}/a.zip", tmp_path / "a", 100)
    silent.set()
