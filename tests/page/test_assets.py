"""Scripts and style sheets of extensions: served from their own folder `static/` alone, their paths escaped."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from webui.application import App
from webui.page.frame import head, navigation, serve_assets, tabs_of, version, views
from webui.settings import Settings

ODD = "a&b 'c' \"d\" <e>.js"
BRINGS = """
from webui import Extension
class {title}(Extension):
    "Brings files."
    @classmethod
    def assets(cls):
        return {names!r}
"""


def extension(folder: Path, name: str, names: tuple) -> Path:
    """An extension whose `assets` are these; its folder `static/`."""
    static = folder / name / "static"
    static.mkdir(parents=True)
    source = BRINGS.format(title=name.title(), names=names)
    (folder / name / "__init__.py").write_text(source, "utf-8")
    return static


@pytest.fixture
def folder(tmp_path) -> Path:
    """Extensions: one with files and a link that leads out, and those whose assets cannot be used."""
    folder = tmp_path / "extensions"
    static = extension(folder, "brings", ("own.js", "more/own.css", ODD))
    (static / "more").mkdir()
    for name in ("own.js", "more/own.css", "more/beside.js", "secret.txt", ODD):
        (static / name).write_text(f"/* {name} */", "utf-8")
    (folder / "brings" / "outside.js").write_text("/* outside */", "utf-8")
    (static / "link.js").symlink_to(folder / "brings" / "outside.js")
    extension(folder, "leaves", ("../__init__.js",))
    extension(folder, "links", ("link.js",)).joinpath("link.js").symlink_to(folder / "brings" / "outside.js")
    extension(folder, "lacks", ("none.js",))
    extension(folder, "types", ("own.html",)).joinpath("own.html").write_text("<b>", "utf-8")
    extension(folder, "numbers", (1,))
    return folder


@pytest.fixture
def app(folder, tmp_path):
    app = App(Settings(built_in=folder, data=tmp_path / "data"))
    yield app
    app.close()


@pytest.fixture
def client(app):
    server = FastAPI()
    serve_assets(server, app.registry)
    return TestClient(server)


def test_an_extension_whose_assets_cannot_be_used_is_left_out(app):
    assert sorted(app.registry.extensions) == ["brings"]
    for name in ("leaves", "links", "lacks"):
        assert "there is no file" in app.registry.failed[name]
    for name in ("types", "numbers"):
        assert "neither a script (.js) nor a style sheet (.css)" in app.registry.failed[name]


def test_the_page_loads_them_by_escaped_paths(app, client):
    text = head(app)
    found = re.findall(r'(?:src|href)="([^"]*/own/[^"]*)"', text)
    assert len(found) == 2 and "<e>" not in text, "scripts"
    found += re.findall(r'href="([^"]*/own.css)"', text)
    assert len(found) == 3
    for url in found:
        reply = client.get(html.unescape(url))
        assert reply.status_code == 200 and "immutable" in reply.headers["cache-control"]
    assert reply.headers["content-type"].startswith("text/css") and reply.text == "/* more/own.css */"


def test_which_style_sheets_are_served_as_one(folder, tmp_path):
    """Those of built-in extensions; a stranger's may be broken, and one with relative addresses has to stay where
    it is."""
    static = folder / "brings" / "static" / "more"
    app = App(Settings(built_in=tmp_path / "none", extensions=(folder,), data=tmp_path / "data"))
    assert 'own/brings/more/own.css"' in head(app) and "/own.css" not in head(app).replace("more/own.css", "")
    app.close()
    (static / "own.css").write_text(".one { background: url(beside.svg) }", "utf-8")
    app = App(Settings(built_in=folder, data=tmp_path / "data"))
    assert 'own/brings/more/own.css"' in head(app)
    app.close()


@pytest.mark.parametrize(
    "name, status",
    [
        ("more/beside.js", 200),
        ("secret.txt", 404),
        ("link.js", 404),
        ("../__init__.py", 404),
        ("..%2f__init__.py", 404),
        ("%2e%2e/outside.js", 404),
        ("more/../own.js", 200),
        ("more", 404),
        ("", 404),
        ("a" * 5000 + ".js", 404),
        ("%00.js", 404),
    ],
)
def test_only_files_of_the_own_folder_are_served(client, name, status):
    assert client.get(f"/ui/x/own/brings/{name}").status_code == status


def test_a_file_of_an_extension_that_is_not_here(client):
    assert client.get("/ui/x/own/nobody/own.js").status_code == 404


def test_another_version_when_a_file_changes(app, folder):
    before = version(app.registry)
    (folder / "brings" / "static" / "more" / "beside.js").write_text("/* changed */", "utf-8")
    assert version(app.registry) != before


VIEW = """
from webui import Extension, Tab
class {title}(Extension):
    "Has a view."
    order = {order}
    @classmethod
    def tab(cls):
        return Tab({element!r}, {label!r})
"""


def with_tabs(folder: Path, tmp_path: Path, *tabs: tuple) -> App:
    for order, (name, element, label) in enumerate(tabs):
        (folder / name).mkdir(parents=True)
        source = VIEW.format(title=name.title(), element=element, label=label, order=order)
        (folder / name / "__init__.py").write_text(source, "utf-8")
    return App(Settings(built_in=folder, data=tmp_path / "data"))


def test_views_of_extensions_stand_between_those_of_the_page(tmp_path):
    tabs = (("zoo", "my-zoo", "Zoo <b>"), ("apes", "my-apes", "Apes"), ("queue", "my-queue", "Queue"))
    app = with_tabs(tmp_path / "extensions", tmp_path, *tabs)
    try:
        assert list(views(app.registry)) == [
            "write",
            "history",
            "queue",
            "zoo",
            "apes",
            "extensions",
            "settings",
        ]
        text = navigation(app.registry)
        assert 'href="#zoo" data-view="zoo"' in text and "Zoo &lt;b&gt;" in text and "<b>" not in text
        assert [name for name, _ in tabs_of(app.registry)] == ["zoo", "apes"], "queue is the page's own"
        assert 'content="write history queue zoo apes extensions settings"' in head(app)
    finally:
        app.close()


@pytest.mark.parametrize("element", ["zoo", "tdw-zoo", "my-zoo onclick", "<b>", "", 1])
def test_a_view_whose_element_has_no_right_name(tmp_path, element):
    app = with_tabs(tmp_path / "extensions", tmp_path, ("zoo", element, "Zoo"))
    try:
        assert "is no name of a custom element" in app.registry.failed["zoo"]
    finally:
        app.close()
