"""A small server that speaks the Hugging Face Hub's protocol, as far as downloads need it. Never imports webui."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """repositories   name: its folder
    card              what the card of every repository says
    cut               file names that break off after this many bytes, once
    changed           file names whose contents are others than announced
    hold              while it is cleared, files other than config.json wait
    asked             (method, path, first byte) of every request for a file
    """

    url: str = ""
    repositories: dict[str, Path] = field(default_factory=dict)
    card: Mapping[str, object] = field(default_factory=lambda: {"license": "mit"})
    cut: dict[str, int] = field(default_factory=dict)
    changed: dict[str, bytes] = field(default_factory=dict)
    hold: threading.Event = field(default_factory=threading.Event)
    asked: list[tuple[str, str, int]] = field(default_factory=list)


@contextmanager
def serve_hub() -> Iterator[Hub]:
    """A running server."""
    hub = Hub()
    hub.hold.set()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *arguments) -> None:
            pass

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            if found := re.fullmatch(r"/api/models/(.+)/revision/([^/]+)", path):
                return self.info(*found.groups())
            if found := re.fullmatch(r"/(.+)/resolve/([^/]+)/([^/]+)", path):
                return self.file(*found.groups())
            self.reply(404, b"", {})

        def info(self, name: str, revision: str) -> None:
            folder = hub.repositories.get(name)
            if folder is None:
                return self.reply(404, b"{}", {"X-Error-Code": "RepoNotFound"})
            if revision not in ("main", "v1", COMMIT):
                return self.reply(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
            siblings = [sibling(file) for file in sorted(folder.iterdir())]
            body = {"id": name, "sha": COMMIT, "siblings": siblings, "cardData": hub.card, "tags": []}
            self.reply(200, json.dumps(body).encode(), {"Content-Type": "application/json"})

        def file(self, name: str, revision: str, file: str) -> None:
            folder = hub.repositories.get(name)
            if folder is None or not (folder / file).is_file():
                return self.reply(404, b"", {"X-Error-Code": "EntryNotFound"})
            if file != "config.json":
                hub.hold.wait(60)
            data = (folder / file).read_bytes()
            sent = hub.changed.get(file, data)
            first = int(
                re.sub(r"\D", "", self.headers.get("Range", "").partition("=")[2].partition("-")[0]) or 0
            )
            hub.asked.append((self.command, file, first))
            headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{hashlib.sha256(data).hexdigest()}"'}
            headers |= {"Accept-Ranges": "bytes"}
            if first:
                headers["Content-Range"] = f"bytes {first}-{len(data) - 1}/{len(data)}"
            self.reply(
                206 if first else 200,
                sent[first:],
                headers,
                None if first else hub.cut.pop(file, None) if self.command == "GET" else None,
            )

        def reply(self, status: int, body: bytes, headers: dict[str, str], cut: int | None = None) -> None:
            self.send_response(status)
            for key, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body if cut is None else body[:cut])
            if cut is not None:
                self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def sibling(file: Path) -> dict:
    """What the server says of a file; of weights their hash too."""
    size = file.stat().st_size
    said: dict = {"rfilename": file.name, "size": size}
    if file.suffix == ".safetensors":
        said["lfs"] = {
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
            "size": size,
            "pointerSize": 130,
        }
    return said
