"""Extensions of third parties on the page: looked at, added, pinned, disabled, removed; and a failing hook."""

from __future__ import annotations

import httpx
import pytest

from tests.third_party.repository import commit, extension

pytestmark = pytest.mark.e2e


@pytest.fixture
def http(site):
    with httpx.Client(base_url=f"{site.url}/api/v1", timeout=60) as client:
        yield client
        client.delete("/extensions/letters")


def look(user, address: str) -> None:
    page = user.page
    user.view("extensions")
    page.get_by_label("Address").fill(address)
    page.get_by_role("button", name="Look at it").click()


def test_one_is_looked_at_added_and_removed(visit, http, tmp_path):
    folder = extension(tmp_path / "repository")
    text = (folder / "extension.toml").read_text("utf-8")
    hostile = "<img src=x onerror=document.title='owned'>"
    (folder / "extension.toml").write_text(text.replace("Counts letters.", hostile), "utf-8")
    revision = commit(folder)
    user = visit()
    page = user.page
    look(user, str(tmp_path / "nothing"))
    page.locator(".adder .fault", has_text="is no git address").wait_for()
    look(user, str(folder))
    plan = page.locator(".card.plan")
    told = plan.text_content()
    for part in (
        "letters",
        "0.1.0",
        hostile,
        "Licence: MIT.",
        "No requirements.",
        revision[:12],
        "with your rights",
    ):
        assert part in told
    plan.get_by_role("button", name="Cancel").click()
    assert not http.get("/extensions").json()["extensions"][0]["name"] == "letters"
    look(user, str(folder))
    page.get_by_role("button", name="Add it").click()
    card = page.locator("article.card", has=page.locator("h3", has_text="letters"))
    card.locator(".state", has_text="loaded").wait_for()
    user.wait("document.querySelector('#extension-letters') && document.querySelector('tdw-canvas')?.jobs")
    card.get_by_role("button", name="Pin").click()
    card.get_by_role("button", name="Release").wait_for()
    _write_with_it(user)
    user.view("extensions")
    card.get_by_role("button", name="Remove").click()
    page.locator("dialog").get_by_role("button", name="Remove").click()
    page.locator(".restart-bar", has_text="as soon as no job runs").wait_for()
    user.view("write")
    assert user.masks() and page.locator("#extension-letters").count(), (
        "the job goes on with what it began with"
    )
    page.keyboard.press("Escape")
    user.wait("!document.querySelector('#extension-letters') && document.querySelector('tdw-canvas')?.jobs")
    user.wait("document.querySelectorAll('.job').length === 2")
    user.shows("prompt", "A fox")
    assert "letters" not in [one["name"] for one in http.get("/extensions").json()["extensions"]]


def _write_with_it(user) -> None:
    """A text with the extension that was just added, without a restart; then one that does not end by itself."""
    user.view("write")
    user.type("prompt", "A fox")
    user.unfold("Letters")
    user.page.get_by_label("Count letters").check()
    user.generate()
    user.done()
    user.page.locator(".job summary", has_text="Made with").click()
    user.page.locator(".job").get_by_text("0.1.0").first.wait_for()
    user.endlessly()
    user.generate()
    user.wait("document.body.dataset.tdw === 'running' && document.querySelector('.job .tokens .mask')")
