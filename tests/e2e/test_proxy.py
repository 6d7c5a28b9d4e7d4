"""Behind a reverse proxy, under a path that the server does not know."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

from tests.e2e.conftest import User

pytestmark = pytest.mark.e2e
PATH = "/tools/text"
HOP = ("connection", "transfer-encoding", "keep-alive")


@contextmanager
def proxy(upstream: str, host: str | None = None) -> Iterator[str]:
    """A reverse proxy that serves `upstream` under PATH and hands answers on as they come. `host`: what it
    says as the Host; None: what the browser said."""
    target = urlsplit(upstream)

    class Handler(BaseHTTPRequestHandler):
        def pass_on(self) -> None:
            if not self.path.startswith(f"{PATH}/"):
                return self.send_error(404)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP}
            headers["Host"] = host or headers["Host"]
            there = HTTPConnection(target.hostname, target.port, timeout=60)
            try:
                there.request(self.command, self.path.removeprefix(PATH), body, headers)
                answer = there.getresponse()
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in HOP:
                        self.send_header(name, value)
                self.end_headers()
                while part := answer.read1():
                    self.wfile.write(part)
                    self.wfile.flush()
            except OSError:
                pass  # the browser has left
            finally:
                there.close()

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = do_HEAD = pass_on

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def page(profiles, site) -> Iterator:
    with profiles.take(site.url, {}) as profile:
        yield profile.context.new_page()


def test_everything_works_under_a_path(page, site):
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    with proxy(site.url) as front:
        user = User(page, f"{front}{PATH}/").come()
        user.type("prompt", "A fox")
        page.keyboard.press("Control+Enter")
        user.done()
        assert user.texts()[0]
        user.view("history")
        page.locator(".history-prompt", has_text="A fox").first.click()
        page.locator(".history-asked").wait_for()
        user.view("settings")
        page.locator("#setting-theme").wait_for()
        page.goto("about:blank")
    # A script for pages within frames, which Gradio asks for by an absolute path; the page does not need it.
    asked = [url for url in asked if "iframeResizer" not in url]
    outside = [url for url in asked if not url.startswith((f"{front}{PATH}/", "data:", "blob:", "about:"))]
    assert outside == []


def test_where_the_proxy_changes_the_host_the_page_says_what_to_set(page, site):
    with proxy(site.url, host=urlsplit(site.url).netloc) as front:
        user = User(page, f"{front}{PATH}/").come()
        user.type("prompt", "A fox")
        user.generate()
        page.locator("#alert", has_text="--allowed-hosts").wait_for()
        page.goto("about:blank")
