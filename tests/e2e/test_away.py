"""The server goes away and comes back: the page says so, keeps everything, and goes on."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import expect

from tests.conftest import serve
from tests.e2e.conftest import PATIENCE, PROFILE, User, load
from tests.tiny_checkpoints import llada

pytestmark = pytest.mark.e2e


def _without(user: User, running, name: str) -> None:
    """Turns an extension off, which takes no restart, and then restarts the program from the page: it comes back with
    what was on it."""
    page = user.page
    user.view("extensions")
    card = page.locator("article.card", has_text=f"extensions/{name}")
    card.get_by_role("button", name="Disable").click()
    drawn = "window.tdw && document.querySelector('tdw-canvas')?.jobs"
    user.wait(f"!document.querySelector('#extension-{name}') && {drawn}")
    page.locator("article.card", has_text=f"extensions/{name}").locator(".state.disabled").wait_for()
    expect(page.locator(".restart-bar")).to_have_count(0)
    user.view("settings")
    page.locator("#setting-device").select_option("cpu")
    page.locator(".restart-bar").get_by_role("button", name="Restart now").click()
    page.wait_for_function(  # the program starts again, which takes a minute on a busy machine
        f"!document.querySelector('.restart-bar') && {drawn}", timeout=4 * PATIENCE, polling=100
    )
    assert running.process.poll() is None, "the same process serves again"
    user.view("write")
    user.wait("document.querySelectorAll('.job').length === 2")
    user.shows("prompt", "A fox that stays")
    user.view("settings")
    page.locator(".switches label", has_text="Loopback").locator("input").check()
    user.wait(f"document.querySelector('#extension-{name}') && {drawn}")


def test_the_page_outlives_its_server(browser, tmp_path, warm):
    checkpoint = llada(tmp_path / "models" / "checkpoints" / "storyteller")
    (checkpoint / "profile.json").write_text(json.dumps(PROFILE), "utf-8")
    flags = ["--models", str(tmp_path / "models"), "--threads", "1", "--no-preload"]
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    context.set_default_timeout(PATIENCE)
    try:
        with serve("--port", "0", *flags, data=tmp_path / "data", timeout=240, start=warm.start) as running:
            user, port = User(context.new_page(), running.url).come(), running.port
            load(running)
            user.type("prompt", "A fox that stays")
            user.type("length", "8")
            user.generate()
            user.done()
        page = user.page
        page.locator(".away", has_text="does not answer").wait_for()
        page.keyboard.press("Control+Enter")
        assert "does not answer" in user.complaint()
        user.shows("prompt", "A fox that stays")
        assert user.texts()
        with serve(
            "--port", str(port), *flags, data=tmp_path / "data", timeout=240, start=warm.start
        ) as again:
            assert again.port == port
            page.locator(".away").wait_for(state="hidden")
            page.locator("#alert").wait_for(state="hidden")
            load(again)
            page.keyboard.press("Control+Enter")
            user.done(jobs=2)
            user.shows("length", "8")
            _without(user, again, "loopback")
    finally:
        context.close()
