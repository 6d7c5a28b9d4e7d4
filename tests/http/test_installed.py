"""Extensions over HTTP: looked at, added, changed, removed; who may; and their settings."""

from __future__ import annotations

import textwrap

import pytest
from starlette.testclient import TestClient

from tests.third_party.repository import commit, extension
from webui.application import App
from webui.core.errors import Busy
from webui.http import api
from webui.settings import Settings

PATH = "/api/v1/extensions"
KEYED = """
    from webui import Extension, Options, field
    class Keyed(Extension):
        "Has a secret."
        class Settings(Options):
            key: str = field("", label="Key", help="Of a service.", secret=True)
            size: int = field(3, ge=1, label="Size", help="How much.")
        @classmethod
        def routes(cls):
            return {"size": lambda app, sent: {"size": cls.settings().size}, "fail": cls._fail}
        @classmethod
        def _fail(cls, app, sent):
            raise RuntimeError(f"refused with {cls.settings().key}")
"""


def started(tmp_path, base_url="http://127.0.0.1:7860", **settings):
    folder = tmp_path / "own" / "keyed"
    if not folder.exists():
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text(textwrap.dedent(KEYED), "utf-8")
    app = App(
        Settings(
            models=tmp_path,
            built_in=tmp_path / "none",
            extensions=(folder,),
            data=tmp_path / "data",
            **settings,
        )
    )
    return app, TestClient(api.build(app), base_url=base_url)


def named(reply) -> dict:
    assert reply.status_code == 200, reply.text
    return {one["name"]: one for one in reply.json()["extensions"]}


def test_one_is_looked_at_added_updated_gone_back_and_removed(tmp_path):
    folder = extension(tmp_path / "repository", version="0.1.0")
    first = commit(folder)
    _, there = started(tmp_path)
    plan = there.post(f"{PATH}/look", json={"address": str(folder)}).json()
    assert (plan["name"], plan["version"], plan["licence"], plan["revision"]) == (
        "letters",
        "0.1.0",
        "MIT",
        first,
    )
    assert plan["requirements"] == [] and plan["packages"] == {} and not named(there.get(PATH)).get("letters")
    one = named(there.post(f"{PATH}/add", json={"plan": plan["plan"]}))["letters"]
    assert (one["origin"], one["state"], one["revision"]) == ("installed", "restart", first)
    assert there.post(f"{PATH}/add", json={"plan": plan["plan"]}).status_code == 404, (
        "a plan is carried out once"
    )
    app, there = started(tmp_path)
    assert named(there.get(PATH))["letters"]["state"] == "loaded" and "letters" in app.registry.extensions
    assert there.post(f"{PATH}/look", json={"update": "letters"}).json()["plan"] == ""
    commit(extension(folder, version="0.2.0"))
    plan = there.post(f"{PATH}/look", json={"update": "letters"}).json()
    assert plan["instead"] == f"0.1.0 ({first[:12]})"
    one = named(there.post(f"{PATH}/add", json={"plan": plan["plan"]}))["letters"]
    assert (one["version"], one["state"], one["earlier"]) == ("0.2.0", "restart", [f"0.1.0 ({first[:12]})"])
    one = named(there.patch(f"{PATH}/letters", json={"back": True}))["letters"]
    assert (one["version"], one["pinned"]) == ("0.1.0", True)
    assert there.post(f"{PATH}/look", json={"update": "letters"}).status_code == 422
    one = named(there.patch(f"{PATH}/letters", json={"enabled": False, "pinned": False}))["letters"]
    assert (one["state"], one["pinned"]) == ("disabled", False)
    assert named(there.delete(f"{PATH}/letters"))["letters"]["state"] == "removed"
    assert there.delete(f"{PATH}/letters").status_code == 404
    app, there = started(tmp_path)
    assert "letters" not in named(there.get(PATH))


def test_a_built_in_one_is_turned_off_and_on(tmp_path):
    app, there = started(tmp_path)
    assert named(there.get(PATH))["keyed"]["enabled"] and not there.get(PATH).json()["outdated"]
    reply = there.patch(f"{PATH}/keyed", json={"enabled": False})
    assert (named(reply)["keyed"]["state"], reply.json()["outdated"]) == ("disabled", True)
    assert "keyed" in app.registry.extensions, "until the next start"
    app = App(Settings.read(data=tmp_path / "data", models=tmp_path, built_in=tmp_path / "own"))
    there = TestClient(api.build(app), base_url="http://127.0.0.1:7860")
    assert "keyed" not in app.registry.extensions and not there.get(PATH).json()["outdated"]
    assert named(there.get(PATH))["keyed"]["state"] == "disabled"
    reply = there.patch(f"{PATH}/keyed", json={"enabled": True})
    assert (named(reply)["keyed"]["state"], reply.json()["outdated"]) == ("restart", True)
    assert there.patch(f"{PATH}/nothing", json={"enabled": True}).status_code == 404


def test_what_comes_and_goes_without_a_restart(tmp_path):
    """One whose manifest says `restart` stays as it is loaded; the others change with the successor, which has the
    models of the App before it."""
    for name in ("loose", "fixed"):
        extension(tmp_path / "own" / name, name, more="restart = true\n" if name == "fixed" else "")
    app = App(Settings.read(data=tmp_path / "data", models=tmp_path, built_in=tmp_path / "own"))
    there = TestClient(api.build(app), base_url="http://127.0.0.1:7860")
    app.reload = lambda: None
    told = there.patch(f"{PATH}/loose", json={"enabled": False}).json()
    assert (told["soon"], told["outdated"]) == (True, False)
    told = there.patch(f"{PATH}/fixed", json={"enabled": False}).json()
    assert (told["soon"], told["outdated"]) == (True, True)
    assert {one["name"]: one["restart"] for one in told["extensions"]} == {"loose": False, "fixed": True}
    after = app.successor()
    assert list(after.registry.extensions) == ["fixed"] and after.checkpoints is app.checkpoints
    assert after.outdated and not after.soon and after.edition != app.edition
    assert app.queue.rest()
    after.take_over(app)
    with pytest.raises(Busy):
        app.queue.load(None)
    app.close()
    assert after.queue.idle and list(after.Request.model_fields)[-1] == "fixed"


def test_who_may_restart(tmp_path):
    for settings, served in (
        ({}, False),
        ({"host": "0.0.0.0"}, True),
        ({"allowed_hosts": ("my.host",)}, True),
    ):
        app, there = started(tmp_path, **settings)
        app.restart = (lambda: pytest.fail("restarted")) if served else None
        assert there.post("/api/v1/restart", json={"confirm": True}).status_code == 403
        assert there.get("/api/v1/settings").json()["restartable"] is False
    app, there = started(tmp_path)
    asked = []
    app.restart = lambda: asked.append("restart")
    assert there.get("/api/v1/settings").json()["restartable"] is True
    reply = there.post("/api/v1/restart", json={"confirm": True})
    for wrong in ({}, {"confirm": False}):
        assert there.post("/api/v1/restart", json=wrong).status_code == 422
    assert (reply.status_code, reply.json(), asked) == (202, {"jobs": 0}, ["restart"])
    assert (
        there.post(
            "/api/v1/restart", json={"confirm": True}, headers={"Origin": "https://evil.example"}
        ).status_code
        == 403
    )


def test_screenshots_are_shown_before_and_after_it_is_added(tmp_path):
    pictures = ["static/a.png", "static/fake.png", "../keyed.png", "static/gone.png", "extension.toml"]
    folder = extension(tmp_path / "letters", more=f"screenshots = {pictures}\n")
    (folder / "static").mkdir()
    picture = b"\x89PNG\r\n\x1a\n" + b"x" * 20
    (folder / "static" / "a.png").write_bytes(picture)
    (folder / "static" / "fake.png").write_bytes(b"<html>")
    _, there = started(tmp_path)
    plan = there.post(f"{PATH}/look", json={"address": str(folder)}).json()
    assert plan["screenshots"] == 1 and sum("screenshot" in note for note in plan["notes"]) == 4
    reply = there.get(f"{PATH}/plans/{plan['plan']}/screenshots/0")
    assert (reply.content, reply.headers["content-type"]) == (picture, "image/png")
    assert named(there.post(f"{PATH}/add", json={"plan": plan["plan"]}))["letters"]["screenshots"] == 1
    assert there.get(f"{PATH}/letters/screenshots/0").content == picture
    for path in (
        "letters/screenshots/1",
        "letters/screenshots/-1",
        "nothing/screenshots/0",
        "plans/x/screenshots/0",
    ):
        assert there.get(f"{PATH}/{path}").status_code == 404


CALLS = [
    ("post", "/look", {"address": "/tmp"}),
    ("post", "/add", {"plan": "x"}),
    ("patch", "/letters", {"enabled": True}),
    ("delete", "/letters", None),
    ("patch", "/keyed/settings", {"size": 4}),
]


@pytest.mark.parametrize("method, path, body", CALLS)
@pytest.mark.parametrize(
    "settings, sentence",
    [
        ({"host": "0.0.0.0"}, "Other machines can reach this program"),
        ({"host": "192.168.0.2"}, "Other machines can reach this program"),
        ({"allowed_hosts": ("my.host",)}, "Other machines can reach this program"),
        ({"add_extensions": False}, "The setting add_extensions is off"),
    ],
)
def test_nobody_may_where_others_could(tmp_path, method, path, body, settings, sentence):
    _, there = started(tmp_path, **settings)
    reply = there.request(method, f"{PATH}{path}", json=body)
    assert reply.status_code == 403 and reply.json()["error"]["message"].startswith(sentence)
    assert there.get(PATH).json()["refusal"].startswith(sentence)


@pytest.mark.parametrize("method, path, body", CALLS)
def test_a_page_of_another_origin_may_not(tmp_path, method, path, body):
    _, there = started(tmp_path)
    for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Host": "evil.example"}):
        assert there.request(method, f"{PATH}{path}", json=body, headers=headers).status_code == 403
    if body is not None:  # a form could send this without being asked first
        plain = {"Content-Type": "text/plain"}
        assert there.request(method, f"{PATH}{path}", content="{}", headers=plain).status_code == 415


def test_settings_of_an_extension_and_a_secret_that_never_comes_back(tmp_path, capfd):
    app, there = started(tmp_path)
    assert named(there.get(PATH))["keyed"]["settings"] is True
    own = there.get(f"{PATH}/keyed/settings").json()
    assert own["values"] == {"key": None, "size": 3} and own["set"] == []
    secret = "sk-1234-very-secret"
    own = there.patch(f"{PATH}/keyed/settings", json={"key": secret, "size": 7})
    assert own.json()["values"] == {"key": None, "size": 7} and own.json()["set"] == ["key"]
    assert there.post(f"{PATH}/keyed/size", json={}).json() == {"size": 7}, "at once"
    file = tmp_path / "data" / "private" / "extensions.json"
    assert secret in file.read_text()
    assert [path.stat().st_mode & 0o077 for path in (file, file.parent)] == [0, 0]
    failed = there.post(f"{PATH}/keyed/fail", json={})
    assert failed.status_code == 500 and failed.json()["error"]["code"] == "extension"
    (fault,) = named(there.get(PATH))["keyed"]["faults"]
    assert "RuntimeError" in fault and "_fail" in fault and "•••" in fault
    printed = capfd.readouterr().err
    assert "The extension keyed failed:" in printed and "RuntimeError" in printed
    app2, again = started(tmp_path)
    assert app2.registry.extensions["keyed"].settings().key == secret
    schema = again.get("/api/v1/schema").text
    for text in (
        own.text,
        failed.text,
        fault,
        printed,
        schema,
        again.get(PATH).text,
        again.get("/api/v1/settings").text,
    ):
        assert secret not in text
    for body in ({"size": 0}, {"nothing": 1}, {"size": "x"}, [1]):
        assert there.patch(f"{PATH}/keyed/settings", json=body).status_code == 422
    assert there.get(f"{PATH}/nobody/settings").status_code == 404
    assert app.registry.extensions["keyed"].settings().size == 7


def test_a_secret_among_options_is_refused(tmp_path):
    folder = tmp_path / "own" / "keyed"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(
        textwrap.dedent(KEYED).replace("class Settings(", "class Options("), "utf-8"
    )
    app, _ = started(tmp_path)
    assert "a secret belongs into class Settings" in app.registry.failed["keyed"]
