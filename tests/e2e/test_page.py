"""The page in a browser: writing, watching, interrupting, coming back; and what must never happen."""

from __future__ import annotations

import re

import httpx
import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import HOSTILE

pytestmark = pytest.mark.e2e


def test_noise_becomes_text(visit):
    user = visit()
    user.slowly(0.5)
    user.type("prompt", "A story about a fox")
    user.generate()
    user.wait("document.querySelectorAll('.tokens .mask').length > 10")
    user.wait("document.querySelectorAll('.tokens .word.fresh').length > 0")
    before = user.masks()
    user.wait(f"document.querySelectorAll('.tokens .mask').length < {before}")
    user.wait(r"/^\d+ % – Text Diffusion/.test(document.title)")
    user.done()
    expect(user.page).to_have_title("Text Diffusion WebUI")
    assert user.page.locator(".job-state").text_content() == "Done"
    (text,) = user.texts()
    assert text and user.masks() == 0
    result = httpx.get(
        f"{user.url}/api/v1/jobs/{user.page.evaluate('localStorage.getItem(`tdw.job`)')}"
    ).json()["result"]
    assert text == result["text"].lstrip(), "the page shows the text byte for byte"


def test_a_result_shows_tokens_parameters_and_its_run_again(visit):
    user = visit()
    user.type("prompt", "A fox")
    user.type("seed", "77")
    user.page.keyboard.press("Control+Enter")
    user.done()
    page = user.page
    page.get_by_role("button", name="Tokens").click()
    word = page.locator(".tokens .word").filter(has_text=re.compile(r"\w")).first
    word.hover()
    expect(page.locator(".tip:not([hidden])").first).to_contain_text(
        re.compile(r"\d+ % confidence, step \d+")
    )
    page.get_by_role("button", name="Replay").click()
    user.wait("document.querySelectorAll('.tokens .mask').length > 0")
    user.wait("document.querySelectorAll('.tokens .mask').length < 16")
    page.get_by_role("button", name="Stop").click()
    assert user.texts()
    page.locator(".job summary", has_text="Made with").click()
    expect(page.locator(".job dt")).not_to_have_count(0)
    listed = dict(
        zip(
            page.locator(".job dt").all_text_contents(),
            page.locator(".job dd").all_text_contents(),
            strict=True,
        )
    )
    assert (
        listed["Seed"] == "77"
        and listed["Denoising steps"] == "16preset"
        and "16 model calls" in listed["Generated"]
    )
    page.get_by_role("button", name="Random seed").click()
    user.wait("document.querySelector('#field-seed input').value === '-1'")
    page.get_by_role("button", name="Seed of the last text").click()
    user.wait("document.querySelector('#field-seed input').value === '77'")
    user.type("prompt", "Something else")
    user.type("steps", "3")
    page.get_by_role("button", name="Send to controls").click()
    user.wait("document.querySelector('#field-prompt textarea').value === 'A fox'")
    user.shows("seed", "77")
    user.shows("steps", "16")


def test_escape_interrupts_and_committed_tokens_stay(visit):
    user = visit()
    user.endlessly()
    user.type("prompt", "A fox")
    user.type("count", "2")
    user.page.keyboard.press("Control+Enter")
    user.wait("document.querySelectorAll('.tokens .word').length > 2")
    user.page.keyboard.press("Escape")
    user.done("cancelled")
    expect(user.page.locator(".job-state")).to_have_text("Interrupted")
    assert len(user.texts()) == 2 and all("…" in text for text in user.texts())
    expect(user.page.locator(".row-meta")).to_have_text(["unfinished", "unfinished"])
    expect(user.page.get_by_role("button", name="Interrupt"), "nothing is left to interrupt").to_have_count(0)


def test_a_reload_in_the_middle_shows_the_canvas_again(visit):
    user = visit()
    user.endlessly()
    user.type("prompt", "A fox that waits")
    user.generate()
    user.wait("document.querySelectorAll('.tokens .word').length > 2")
    user.page.reload()
    user.wait(
        "document.querySelectorAll('.tokens .word').length > 2 && document.querySelectorAll('.tokens "
        ".mask').length > 0"
    )
    assert user.page.locator(".tokens .fresh").count() < 3, (
        "what was committed before the reload is not highlighted"
    )
    user.wait("document.querySelector('#field-prompt textarea').value === 'A fox that waits'")
    user.shows("steps", "192")
    user.page.get_by_role("button", name="Interrupt").click()
    user.done("cancelled")
    user.page.reload()
    user.done("cancelled")
    assert len(user.texts()) == 1, "and an ended job is there after a reload, too"


def test_guidance_and_matrix_through_the_page(visit):
    user = visit()
    page = user.page
    user.type("prompt", "a fox | red | old")
    user.type("guidance-negative_prompt", "rain")
    user.type("guidance-scale", "2")
    user.unfold("Prompt matrix")
    page.get_by_role("checkbox", name="Prompt matrix").click()
    page.locator(".extension[data-changed]", has_text="Prompt matrix").wait_for()
    expect(page.locator(".extension[data-changed]")).to_have_count(1)
    user.generate()
    user.done()
    table = page.locator("table.cells")
    labels = table.locator("tbody th").all_text_contents()
    assert labels == ["− red", "+ red"]
    assert len(user.texts()) == 4 and all(user.texts())
    expect(table.locator("summary")).to_have_count(0)  # not before it is opened
    table.get_by_role("button", name="Open").first.click()
    table.locator("summary").first.click()
    expect(table.locator("dt")).not_to_have_count(0)
    listed = dict(
        zip(table.locator("dt").all_text_contents(), table.locator("dd").all_text_contents(), strict=True)
    )
    assert listed["Negative prompt"] == "rain" and listed["Guidance scale"] == "2"


def test_bad_input_is_a_sentence_and_loses_nothing(visit):
    user = visit()
    user.type("prompt", "A fox")
    user.type("length", "long")
    user.generate()
    user.page.locator("#alert:not([hidden])").wait_for()
    assert user.complaint() == "Length: this is not a whole number."
    assert (user.shown("prompt"), user.shown("length")) == ("A fox", "long")
    user.page.get_by_role("button", name="Dismiss").click()
    user.page.locator("#alert").wait_for(state="hidden")
    user.type("length", "8")
    user.unfold("Prompt matrix")
    user.page.get_by_role("checkbox", name="Prompt matrix").click()
    user.generate()
    user.page.locator("#alert:not([hidden])").wait_for()
    assert "|" in user.complaint()
    user.page.get_by_role("checkbox", name="Prompt matrix").click()
    user.generate()
    user.done()
    expect(user.page.locator("#alert")).to_be_hidden()


def test_a_run_that_fails_says_why_in_the_texts_place(visit):
    user = visit()
    user.unfold("Rehearsal")
    user.page.get_by_role("checkbox", name="Fail").click()
    user.generate()
    user.done("failed")
    expect(user.page.locator(".row-error")).to_contain_text("as rehearsed")
    expect(user.page.locator("#generate")).to_have_attribute("aria-disabled", "false")


def test_markup_is_text_everywhere(visit):
    user = visit()
    page = user.page
    page.get_by_role("button", name="A story about a fox").click()
    user.shows("prompt", "A story about a fox")
    page.locator("#guide .example").nth(1).click()
    user.shows("prompt", HOSTILE)
    page.locator("a.failed", has_text="broken could not be loaded").click()
    broken = page.locator(".card.failed", has_text="broken")
    broken.locator("summary").click()
    assert HOSTILE in broken.locator("pre").text_content(), "the traceback of what did not load"
    page.get_by_role("link", name="Write").click()
    user.type("prompt", f"{HOSTILE} ____ \u202eend")
    user.generate()
    user.done()
    assert HOSTILE in user.texts()[0]
    page.locator(".job summary", has_text="Made with").click()
    assert HOSTILE in page.locator(".job dl").text_content()
    expect(page.locator("tdw-canvas, #guide, tdw-extensions").locator("b, script, img")).to_have_count(0)


def test_on_a_phone(visit):
    user = visit(420, 860, has_touch=True, is_mobile=True, color_scheme="dark")
    page = user.page

    def on_screen(selector: str) -> bool:
        box = page.locator(selector).first.bounding_box()
        return (
            box["y"] >= 0
            and box["y"] + box["height"] <= 860
            and box["x"] >= 0
            and box["x"] + box["width"] <= 420
        )

    assert on_screen("#generate") and on_screen("#field-prompt")
    user.endlessly()
    user.type("prompt", "a | b")
    page.locator("#generate").tap()
    user.wait("document.querySelectorAll('.tokens .word').length > 1")
    user.wait("document.querySelector('.job-head').getBoundingClientRect().top < 300")
    user.until(lambda: on_screen(".job-head") and on_screen("#interrupt"))  # the canvas and what stops it
    page.locator("#interrupt").tap()
    user.done("cancelled")
    page.get_by_role("button", name="Prompt matrix").tap()
    page.get_by_role("checkbox", name="Prompt matrix").tap()
    user.type("steps", "x")
    page.locator("#generate").tap(force=True)
    page.locator("#alert:not([hidden])").wait_for()
    user.until(lambda: on_screen("#alert"))
    user.type("steps", "2")
    page.locator("#generate").tap()
    user.done(jobs=2)
    wide = page.evaluate("[document.documentElement.scrollWidth, document.body.scrollWidth]")
    assert max(wide) <= 420, "only tables scroll sideways, in their own box"


def test_on_a_phone_no_entry_of_the_more_menu_lies_behind_the_bar_with_generate(visit):
    user = visit(420, 860, has_touch=True, is_mobile=True)
    page = user.page
    page.locator("#generate").tap()
    user.done()
    button = page.locator(".row-actions").get_by_role("button", name="More")
    covered = """node => {
      const { left, top, width, height } = node.getBoundingClientRect();
      return !node.contains(document.elementFromPoint(left + width / 2, top + height - 3));
    }"""
    for top in (200, 420, 560, 700):
        button.evaluate(f"node => window.scrollBy(0, node.getBoundingClientRect().top - {top})")
        button.tap()
        items = page.get_by_role("menuitem")
        items.last.wait_for()
        user.until(lambda items=items: not items.last.evaluate(covered))
        assert not items.first.evaluate(covered), top
        page.keyboard.press("Escape")
        expect(items).to_have_count(0)


def test_another_checkpoint_brings_its_preset(visit):
    user = visit()
    user.type("steps", "9")
    user.choose("model", "other")
    user.wait("document.querySelector('#field-length input').value === '24'")
    user.shows("steps", "9")
    user.reset()
    user.wait("document.querySelector('#field-steps input').value === '6'")


def test_many_texts_are_drawn_compact(visit):
    user = visit()
    user.type("prompt", "A fox")
    user.type("count", "10")
    user.type("steps", "4")
    user.generate()
    user.done()
    expect(user.page.locator(".row.compact")).to_have_count(2)
    assert len(user.texts()) == 10
    user.page.get_by_role("button", name="Open").first.click()
    expect(user.page.locator(".row.compact")).to_have_count(1)
    user.page.locator(".row >> nth=9").scroll_into_view_if_needed()
    user.page.keyboard.press("Control+Enter")
    user.done(jobs=2)
    user.wait("document.querySelector('.job-head').getBoundingClientRect().top > 0")  # in view


def test_the_views_by_mouse_by_address_and_back(visit):
    user = visit()
    page = user.page
    user.type("prompt", "A fox that stays")
    for view, name in (
        ("history", "History"),
        ("queue", "Queue"),
        ("extensions", "Extensions"),
        ("settings", "Settings"),
    ):
        page.get_by_role("link", name=name).click()
        page.locator(f"#view-{view}").wait_for()
        expect(page.locator("#generate")).to_be_hidden()
        assert page.url.endswith(f"#{view}")
        expect(page.locator("#views [aria-current=page]")).to_have_attribute("data-view", view)
        expect(page.locator(".gradio-container [id^=view-].block:visible")).to_have_count(1)
    page.go_back()
    page.locator("#view-extensions").wait_for()
    page.keyboard.press("Control+Enter")
    page.locator("#generate").wait_for()
    user.shows("prompt", "A fox that stays")
    user.done()
    page.goto(f"{user.url}/#settings")
    page.reload()
    page.locator("#view-settings").wait_for()


def test_the_extensions_with_their_hooks_and_their_order(visit):
    page = visit(permissions=["clipboard-read", "clipboard-write"]).page
    page.get_by_role("link", name="Extensions").click()
    card = page.locator(".card", has_text="Guidance")
    expect(card.locator(".state")).to_contain_text("loaded")
    expect(card).to_contain_text("extensions/guidance")
    hooks = card.locator("tbody th").all_text_contents()
    assert "denoise" in hooks and all(
        " of " in turn for turn in card.locator("tbody td:nth-child(2)").all_text_contents()
    )
    broken = page.locator(".card.failed")
    expect(broken.locator(".state")).to_contain_text("not loaded")
    broken.locator("summary").click()
    broken.get_by_role("button", name="Copy the traceback").click()
    broken.get_by_role("button", name="Copied").wait_for()
    assert HOSTILE in page.evaluate("navigator.clipboard.readText()")


def test_a_job_knows_the_browser_it_came_from(visit):
    user = visit()
    user.type("prompt", "A fox")
    user.type("length", "8")
    user.generate()
    user.done()
    client = user.page.evaluate("localStorage.getItem('tdw.client')")
    jobs = httpx.get(f"{user.url}/api/v1/jobs", headers={"X-TDW-Client": client}, timeout=60).json()
    mine = user.page.evaluate("localStorage.getItem('tdw.job')")
    assert [job["client_is_you"] for job in jobs if job["id"] == mine] == [True]


SHIFTS = """() => new Promise((done) => {
  const total = (entries) => entries.filter((one) => !one.hadRecentInput).reduce((sum, one) => sum + one.value, 0);
  const observer = new PerformanceObserver((list) => done(total(list.getEntries())));
  observer.observe({ type: "layout-shift", buffered: true });
  setTimeout(() => done(0), 1000);
})"""


@pytest.mark.parametrize("width", [1400, 420])
def test_hardly_anything_moves_while_the_page_comes(visit, width):
    """The cumulative layout shift until controls, quick settings and the line of tokens are there."""
    page = visit(width=width, height=860).page
    page.locator("tdw-quick #field-temperature").wait_for()
    page.locator("#tokens", has_text="tokens used").wait_for()
    assert page.evaluate(SHIFTS) < 0.05, (
        "0.24 and 0.07 before the row of quick settings had its height at once"
    )


def test_few_requests_before_the_first_paint(browser, site):
    """At most 40 are wanted, the page itself among them; there are 37."""
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    page = context.new_page()
    page.goto(site.url)
    page.wait_for_function("performance.getEntriesByName('first-contentful-paint').length > 0")
    before = page.evaluate("""() => {
      const [paint] = performance.getEntriesByName('first-contentful-paint');
      return performance.getEntriesByType('resource').filter((one) => one.startTime < paint.startTime).map((one) => one.name);
    }""")
    context.close()
    assert 20 < len(before) + 1 <= 40, before
