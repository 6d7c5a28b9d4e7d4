"""No file of the machine can be read through the page's own routes."""

from __future__ import annotations

import json
import re

import httpx
import pytest

pytestmark = pytest.mark.e2e


@pytest.fixture
def http(site):
    with httpx.Client(base_url=site.url, timeout=30) as client:
        yield client


@pytest.fixture
def secret(site):
    path = site.data.parent / "secret.txt"
    path.write_text("top secret")
    return path


def test_a_path_in_an_input_is_not_read(http, secret):
    """Gradio copies a file that an input names into its cache, which it serves; a handler that returns inputs
    tells where to. Each handler gets the file in one input of every kind, and in all of them at once."""
    config = http.get("/config").json()
    values = {c["id"]: c["props"].get("value") for c in config["components"]}
    kinds = {c["id"]: c["type"] for c in config["components"]}
    file = {"path": str(secret), "meta": {"_type": "gradio.FileData"}, "orig_name": "secret.txt"}
    tried = 0
    for event in config["dependencies"]:
        if not event["backend_fn"] or not event["inputs"]:
            continue
        one_of_each = {kinds[id]: [id] for id in event["inputs"]}
        for named in (*one_of_each.values(), event["inputs"]):
            data = [file if id in named else values.get(id) for id in event["inputs"]]
            call = {"data": data, "fn_index": event["id"], "session_hash": "x"}
            reply = http.post("/gradio_api/run/predict", json=call)
            tried += 1
            for copy in set(re.findall(r"[^\s'\"]+/secret\.txt", reply.text)):
                assert "top secret" not in http.get(f"/gradio_api/file={copy}").text, f"{call} reads {secret}"
    assert tried > 20


@pytest.mark.parametrize(
    "route",
    [
        "/gradio_api/file={}",
        "/file={}",
        "/ui/{}",
        "/ui/0/{}",
        "/ui/0/..%2F..%2F..{}",
        "/ui/..%2F0/..{}",
        "/static/{}",
    ],
)
def test_no_route_serves_a_path(http, secret, route):
    reply = http.get(route.format(secret))
    assert reply.status_code in (403, 404) and "top secret" not in reply.text


@pytest.mark.parametrize("name", ["page.py", "theme.py", "__init__.py", "..%2Fpage.py", "base", ".", ""])
def test_only_scripts_and_styles_are_assets(http, name):
    assert http.get(f"/ui/0/{name}").status_code == 404


def test_a_browser_asks_for_a_script_once(http):
    (script,) = re.findall(r'<script type="module" src="(ui/[0-9a-f]+/page.js)">', http.get("/").text)
    reply = http.get(f"/{script}")
    assert (
        reply.headers["content-type"].startswith("text/javascript")
        and "immutable" in reply.headers["cache-control"]
    )
    assert http.get("/ui/0/page.js").headers["cache-control"] == "no-cache", (
        "of a version that is not the page's"
    )


def test_all_styles_are_one_file(http):
    """The program's are one, the built-in extensions' another; a stranger's stay apart."""
    sheets = re.findall(r'<link rel="stylesheet" href="(ui/[0-9a-f]+/[^"]+)">', http.get("/").text)
    together = {one.split("/")[2]: http.get(f"/{one}") for one in sheets if one.count("/") == 2}
    assert set(together) == {"page.css", "own.css"}
    for reply in together.values():
        assert reply.headers["content-type"].startswith("text/css")
        assert "immutable" in reply.headers["cache-control"]
    program = together["page.css"].text
    assert all(part in program for part in ("--paper", "tdw-canvas", "tdw-history", "tdw-queue"))
    assert ".lora-cards" in together["own.css"].text and ".lora-cards" not in program


def test_the_page_names_no_other_origin_to_load_from(http):
    html = http.get("/").text
    loads = re.findall(r'<(?:script|link|img|iframe)[^>]+(?:src|href)="(https?:)?//[^"]+', html)
    assert not loads
    assert "fonts.g" not in json.dumps(http.get("/config").json())
