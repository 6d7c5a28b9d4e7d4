"""Accessibility of every view by axe-core (WCAG 2.1 A and AA), light and dark, and the skip link."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

VIEWS = ("write", "text", "history", "queue", "checkpoint_merger", "training", "extensions", "settings")
SIGNS = {  # what is there once the view has all that it shows
    "history": ".history-row",
    "queue": ".queue-item",
    "checkpoint_merger": "#view-checkpoint_merger button",
    "training": "#view-training button",
    "extensions": "tdw-extensions .card",
    "settings": "tdw-settings form .setting",
}
RUN = {  # the dark theme changes colours alone
    "light": "axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa']})",
    "dark": "axe.run(document, {runOnly: {type: 'rule', values: ['color-contrast', 'link-in-text-block']}})",
}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing(visit, theme):
    package = find_spec("axe_playwright_python")
    if package is None or package.origin is None:
        pytest.skip(
            "axe-playwright-python, which holds axe-core, is not installed; ./webui.sh test fetches it"
        )
    script = Path(package.origin).with_name("axe.min.js").read_text("utf-8")
    user = visit(color_scheme=theme)
    page = user.page
    for view in VIEWS:
        if view == "text":
            user.type("prompt", "a | b")
            user.generate()
            user.done()
            page.locator(".hints p").wait_for()
        elif view != "write":
            user.view(view)
        page.locator(SIGNS.get(view, "#generate")).first.wait_for()
        user.drawn()  # what appears slowly has its last colour
        page.evaluate("script => void (window.axe ?? (0, eval)(script))", script)
        found = [
            (one["id"], [node["target"] for node in one["nodes"]])
            for one in page.evaluate(RUN[theme])["violations"]
        ]
        assert not found, f"{view}: {found}"


def test_the_first_stop_of_tab_leads_to_the_texts(visit):
    user = visit()
    page = user.page
    page.locator("h1").click()
    page.evaluate("document.activeElement.blur()")
    page.locator(".skip").focus()
    user.wait("document.querySelector('.skip').getBoundingClientRect().top >= 0")
    page.keyboard.press("Enter")
    user.wait("document.activeElement.id === 'desk-right'")
