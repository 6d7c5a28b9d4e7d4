"""The server goes away and comes back: the page says so, keeps everything, and goes on."""

from __future__ import annotations

import json

import pytest

from tests.conftest import serve
from tests.e2e.conftest import PATIENCE, PROFILE, User
from tests.tiny_checkpoints import llada

pytestmark = pytest.mark.e2e


def test_the_page_outlives_its_server(browser, tmp_path):
    checkpoint = llada(tmp_path / "models" / "checkpoints" / "storyteller")
    (checkpoint / "profile.json").write_text(json.dumps(PROFILE), "utf-8")
    flags = ["--models", str(tmp_path / "models"), "--threads", "1", "--no-preload"]
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    context.set_default_timeout(PATIENCE)
    try:
        with serve("--port", "0", *flags, data=tmp_path / "data", timeout=240) as running:
            user, port = User(context.new_page(), running.url).come(), running.port
            user.type("prompt", "A fox that stays")
            user.type("length", "8")
            user.generate()
            user.done()
        page = user.page
        page.locator(".away", has_text="does not answer").wait_for()
        page.keyboard.press("Control+Enter")
        assert "does not answer" in user.complaint()
        assert user.texts() and user.shown("prompt") == "A fox that stays"
        with serve("--port", str(port), *flags, data=tmp_path / "data", timeout=240) as again:
            assert again.port == port
            page.locator(".away").wait_for(state="hidden")
            page.locator("#alert").wait_for(state="hidden")
            page.keyboard.press("Control+Enter")
            user.done(jobs=2)
            assert user.shown("length") == "8"
    finally:
        context.close()
