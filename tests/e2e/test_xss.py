"""Hostile strings wherever others can put one: no script runs, nothing loads from elsewhere, no text changes
the direction of its neighbours."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator

import httpx
import pytest
from playwright.sync_api import expect

from tests.conftest import Running, serve_all_along, wait_until
from tests.e2e.hostile import AUDIT, EVIL, LONG, NAME, NUL, QUICK, STRINGS, TURNED, write

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def site(tmp_path_factory, warm) -> Iterator[Running]:
    """The whole program among hostile files. `visit` of conftest.py opens this one here, and sees to scripts
    and requests."""
    folder = tmp_path_factory.mktemp("xss")
    flags, data = write(folder)
    with serve_all_along("--port", "0", *flags, data=data, start=warm.start) as running:
        yield running
    shutil.rmtree(folder)


@pytest.fixture
def api(site) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{site.url}/api/v1/", timeout=120) as client:
        yield client


@pytest.fixture
def look(request) -> Iterator[Callable]:
    """`look(user, where)` audits the page in its current state; the test fails in the end with all findings."""
    found = []

    def audit(user, where: str) -> None:
        found.extend(f"{where}: {fault}" for fault in user.page.evaluate(AUDIT))

    yield audit
    assert not found, "\n" + "\n".join(dict.fromkeys(found))


def made(api: httpx.Client, **request) -> str:
    """A finished job; its id."""
    job = api.post("jobs", json={**QUICK, **request}).raise_for_status().json()["id"]
    wait_until(lambda: api.get(f"jobs/{job}").json()["state"] in ("done", "failed"))
    return job


def watch(user, job: str) -> None:
    """The page shows a job of the queue."""
    user.open(job)
    user.wait("['done', 'failed'].includes(document.querySelector('.job').dataset.state)")


def test_what_a_checkpoint_and_an_extension_say(visit, look):
    user = visit()
    page = user.page
    look(user, "the page")
    for text in STRINGS:
        expect(page.locator("#guide")).to_contain_text(text)
    page.locator("#guide .example").first.click()
    user.shows("prompt", EVIL)
    page.locator("#extension-hostile > button").click()
    page.locator("#field-hostile-words [data-testid=block-info]").hover()
    look(user, "help of a control")
    expect(page.locator("#extension-hostile")).to_contain_text(STRINGS[0])
    page.locator("#field-hostile-choice input").click()
    page.get_by_role("option").nth(1).wait_for()
    look(user, "a list of choices")
    page.keyboard.press("Escape")
    page.locator(".models-chip").click()
    page.locator("#models-pop h3").first.wait_for(state="visible")
    look(user, "the checkpoint's details")
    expect(page.locator("#models-pop")).to_contain_text(STRINGS[0])
    expect(page.locator("#models-pop")).to_contain_text("refused <img")
    page.keyboard.press("Escape")
    page.locator("#field-model input").click()
    # The other dropdown gets the focus back as the popover closes, and its list may still be there.
    checkpoint = page.get_by_role("option").filter(has_text="· LLaDA ·").filter(has_text="<img")
    checkpoint.wait_for()
    look(user, "the list of checkpoints")
    checkpoint.click()
    user.wait("document.querySelector('#models-pop h3').textContent.startsWith('<img')")
    look(user, "another checkpoint")


def test_what_a_model_says_in_every_view_of_it(visit, look, api):
    user = visit()
    page = user.page
    job = made(
        api,
        prompt=f"{EVIL} {NUL} {LONG}",
        system=EVIL,
        seed=1,
        count=2,
        length=32,
        temperature=10,
        hostile={"words": EVIL},
    )
    watch(user, job)
    row = page.locator("article.row").first
    text = api.get(f"jobs/{job}").json()["result"]["parts"][0]["text"]
    assert sum(string in text for string in STRINGS) > 2, "the model is hostile"
    assert row.locator(".final").text_content() == text.lstrip()
    look(user, "a text")
    for name in ("Markdown", "Tokens", "Heat map", "Replay"):
        row.get_by_role("button", name=name, exact=True).click()
        if name == "Markdown":
            row.locator(".markdown > *").first.wait_for()
        user.drawn()
        look(user, name)
    row.get_by_role("button", name="Tokens", exact=True).click()
    for word in row.locator(".tokens .word").filter(has_text=re.compile(r"\w")).all()[:6]:
        word.hover()
        look(user, "a token's tip")
    row.locator("summary").click()
    expect(row.locator("dl")).to_contain_text(EVIL)
    look(user, "parameters")
    for place in (0, 1):
        page.locator("article.row").nth(place).get_by_role("button", name="More").click()
        look(user, "the menu")
        page.get_by_role("menuitem", name="Compare").click()
    page.locator("dialog.compare").wait_for()
    look(user, "two texts compared")
    page.keyboard.press("Escape")
    row.get_by_role("button", name="Send to controls").click()
    user.wait(f"document.querySelector('#field-prompt textarea').value.startsWith({json.dumps(STRINGS[0])})")
    watch(user, made(api, prompt=EVIL, hostile={"number": 9}))
    expect(page.locator(".row-error")).to_contain_text(STRINGS[0])
    look(user, "an error")
    watch(user, made(api, prompt=f"{EVIL} | {EVIL} | b", steps=1, prompt_matrix={"enabled": True}))
    look(user, "a table of texts")
    assert page.title() == "Text Diffusion WebUI"


def test_what_stands_in_the_history(visit, look):
    user = visit()
    page = user.page
    user.view("history")
    page.locator(".history-row").nth(6).wait_for()
    look(user, "the list")
    user.enter(page.locator(".history-search"), "img src x onerror <")
    user.wait("document.querySelector('.history-row mark')")
    look(user, "what was searched")
    user.enter(page.locator(".history-search"), "")
    for words in ("n0n", "n3n"):
        user.enter(page.locator(".history-search"), words)  # other tests' texts may stand above
        page.locator(".history-row").filter(has_text=words).locator(".history-prompt").click()
        page.locator(".history-pane .history-asked", has_text=words).wait_for()
        user.drawn()
        look(user, f"a saved text, {words}")
    user.enter(page.locator(".history-search"), "n0n")
    page.locator(".history-row").filter(has_text="n0n").locator(".history-prompt").click()
    pane = page.locator(".history-pane")
    pane.locator(".history-asked", has_text="n0n").wait_for()
    assert all(string.strip() in pane.locator(".final").text_content() for string in STRINGS)
    for name in ("Markdown", "Tokens", "Heat map", "Replay"):
        pane.get_by_role("button", name=name, exact=True).click()
        if name == "Markdown":
            pane.locator(".markdown > *").first.wait_for()
        user.drawn()
        look(user, f"a saved text as {name}")
    pane.locator("summary").first.click()
    look(user, "its parameters")
    pane.get_by_role("button", name="Delete").click()
    page.locator(".notice:not([hidden])").wait_for()
    look(user, "the way back")
    page.locator(".notice").get_by_role("button", name="Undo").click()
    user.enter(page.locator(".history-search"), "")
    page.locator(".history-row").nth(6).wait_for()
    assert page.title() == "Text Diffusion WebUI"


def test_queue_extensions_settings_and_presets(visit, look, api):
    user = visit()
    page = user.page
    made(api, prompt=f"{EVIL} {LONG}", hostile={"number": 9})
    made(api, prompt=f"{EVIL} {NUL}", model=NAME)
    user.view("queue")
    page.locator(".queue-item").nth(1).wait_for()
    page.locator(".queue-item", has_text=STRINGS[0]).first.wait_for()
    look(user, "queue")
    user.view("extensions")
    page.locator("tdw-extensions summary").first.click()
    page.locator("tdw-extensions summary").nth(1).click()
    look(user, "extensions")
    for string in STRINGS:
        expect(page.locator("tdw-extensions")).to_contain_text(string.strip())
    user.view("settings")
    page.locator("#setting-allowed_hosts").wait_for()
    user.until(lambda: page.locator("#setting-allowed_hosts").input_value().startswith(STRINGS[0]))
    look(user, "settings")
    user.view("write")
    page.locator("tdw-presets button").first.click()
    page.locator("tdw-presets .own li").first.wait_for()
    look(user, "presets")
    page.locator("tdw-presets .own li").first.locator("button").first.click()
    page.locator(".notice:not([hidden])").wait_for()
    look(user, "a preset was used")


def test_a_dropped_file_and_a_refusal(visit, look, site, tmp_path):
    user = visit()
    page = user.page
    saved = min((site.data / "history").glob("*/*.json"))
    prompt = json.loads(saved.read_text("utf-8"))["request"]["prompt"]
    for name, content, after in (
        (
            "a",
            saved.read_text("utf-8"),
            f"document.querySelector('#field-prompt textarea').value.startsWith('{prompt[:3]}')",
        ),
        ("b", EVIL, "document.querySelector('#alert').textContent.startsWith('b ')"),
        ("c", "[1]", "/^(?!b ).+/.test(document.querySelector('#alert').textContent)"),
    ):
        file = tmp_path / f"{name} {TURNED}.json"
        file.write_text(content, "utf-8")
        user.drop(file)
        user.wait(after)  # else what is typed below may be overwritten by what was dropped
        look(user, f"dropped {name}")
    user.view("write")
    user.type("length", EVIL[:60])
    page.keyboard.press("Control+Enter")
    page.locator("#alert:not([hidden])", has_text="not a whole number").wait_for()
    look(user, "a refusal")


def test_on_a_phone_in_the_dark(visit, look, api):
    user = visit(420, 860, has_touch=True, is_mobile=True, color_scheme="dark")
    watch(user, made(api, prompt=f"{EVIL} {LONG}", hostile={"words": EVIL}))
    look(user, "the page")
    user.page.locator("article.row").first.get_by_role("button", name="Tokens", exact=True).click()
    look(user, "tokens")
    shown = (".history-row", ".queue-item", "tdw-extensions .card", "#setting-allowed_hosts")
    for name, sign in zip(("history", "queue", "extensions", "settings"), shown, strict=True):
        user.view(name)
        user.page.locator(sign).first.wait_for()
        user.drawn()
        look(user, name)
