"""The live canvas: steady lines, tooltips, thumbnails, motion and colour preferences, remasking."""

from __future__ import annotations

import itertools
import re

import httpx
import pytest
from PIL import Image, ImageSequence
from playwright.sync_api import expect

pytestmark = pytest.mark.e2e
REMASKED = """() => {
  const look = () => (window.remasked ||= Boolean(document.querySelector(".tokens .mask.remasked")));
  new MutationObserver(look).observe(document.body, { subtree: true, childList: true, attributes: true });
}"""


def test_lines_and_words_while_it_writes(visit):
    user = visit()
    page = user.page
    user.endlessly()
    user.type("prompt", "A fox")
    user.generate()
    user.wait("document.querySelectorAll('.tokens .word').length > 8")
    user.wait("document.querySelector('.tokens .calm')")
    board = page.locator(".job .tokens").first
    assert board.evaluate("one => one.scrollWidth <= one.clientWidth + 1")
    assert board.locator(".mask").count() > 0
    expect(board.locator("br"), "lines are ended by us").not_to_have_count(0)
    expect(page.locator(".legend")).to_be_visible()
    expect(page.locator(".legend")).to_contain_text("just committed")
    classes = board.evaluate(
        "one => [...one.querySelectorAll('.word')].map(word => word.className).join(' ')"
    )
    assert re.search(r"confidence-\d", classes) and "calm" in classes
    height = board.bounding_box()["height"]
    page.locator("#field-seed input").first.focus()
    board.focus()
    page.keyboard.press("Home")
    expect(page.locator("tdw-canvas .tip")).to_contain_text(re.compile(r"\d+ % confidence, step \d+"))
    pointed = "one => [...one.querySelectorAll('.at')].findIndex(at => at.hasAttribute('data-here'))"
    first = board.evaluate(pointed)
    page.keyboard.press("ArrowRight")
    assert board.evaluate(pointed) > first >= 0
    assert board.bounding_box()["height"] >= height, "lines once taken stay, so that what is below stays"
    page.keyboard.press("Escape")
    user.done("cancelled")
    expect(page.locator(".legend")).to_be_hidden()


def test_many_texts_are_small_pictures_that_open(visit):
    user = visit()
    page = user.page
    user.type("prompt", "A fox")
    user.type("count", "11")
    user.type("steps", "4")
    user.generate()
    user.done()
    expect(page.locator(".gallery .thumb canvas")).to_have_count(3)
    painted = """one => {
      const { width, height } = one;
      return one.getContext("2d").getImageData(0, 0, width, height).data.some(value => value);
    }"""
    assert page.locator(".gallery .thumb canvas").evaluate_all(f"all => all.every({painted})")
    page.locator(".gallery .thumb").first.press("Enter")
    expect(page.locator(".gallery .thumb")).to_have_count(2)
    expect(page.locator(".gallery .row-tools")).to_have_count(1)
    page.locator(".gallery .compact .final").first.click()
    expect(page.locator(".gallery .thumb")).to_have_count(1)


def test_no_motion_where_none_is_wanted_and_other_colours(visit, site, request):
    request.addfinalizer(lambda: httpx.patch(f"{site.url}/api/v1/settings", json={"palette": "standard"}))
    user = visit(420, 860, has_touch=True, is_mobile=True, reduced_motion="reduce")
    page = user.page
    user.type("prompt", "A fox")
    user.endlessly()
    page.locator("#generate").tap()
    user.wait("document.querySelectorAll('.tokens .calm').length > 1")
    moving = page.evaluate("document.querySelector('tdw-canvas').getAnimations({ subtree: true }).length")
    assert moving == 0
    legend = page.locator(".legend")
    expect(legend.get_by_text("just committed"), "folded on a phone").to_be_hidden()
    legend.locator("summary").tap()
    expect(legend.get_by_text("just committed")).to_be_visible()
    word = page.locator(".tokens .word", has_text=re.compile(r"\w")).first
    word.tap()
    expect(page.locator("tdw-canvas .tip"), "a touch shows it, too").to_contain_text(
        re.compile(r"\d+ % confidence")
    )
    look = "getComputedStyle(document.querySelector('.legend .confidence-{0}')).{1}"
    low = page.evaluate(look.format(0, "color"))
    user.view("settings")
    page.locator("#setting-palette").select_option(label="Colour-blind safe")
    page.locator(".setting:has(#setting-palette) .saved", has_text="Saved").wait_for()
    user.view("write")
    user.wait(f"{look.format(0, 'color')} !== {low!r}")
    assert "dotted" in page.evaluate(look.format(0, "textDecoration"))
    assert "none" in page.evaluate(look.format(4, "textDecoration"))
    page.locator("#interrupt").tap()
    user.done("cancelled")
    assert page.evaluate("Math.max(document.documentElement.scrollWidth, document.body.scrollWidth)") <= 420
    small = "all => all.filter(one => one.offsetParent && one.getBoundingClientRect().height < 40).map(one => one.textContent)"
    assert page.locator(".row-tools :is(button, summary)").evaluate_all(small) == []


def test_remasked_tokens_are_shown_on_canvas_token_view_heat_map_replay_and_film(visit):
    user = visit()
    page = user.page
    user.slowly(0.3)
    user.unfold("Second look")
    user.type("second_look-step", "6")
    user.type("prompt", "A fox")
    page.evaluate(REMASKED)
    user.generate()
    user.done()
    assert page.evaluate("window.remasked"), "while it was written"
    job = httpx.get(f"{user.url}/api/v1/jobs/{page.evaluate('localStorage.getItem(`tdw.job`)')}").json()
    (part,) = job["result"]["parts"] or [job["result"]]
    remasked = [entry for entry in part["trace"] if entry[2] is None]
    assert len(remasked) >= 5 and len({entry[0] for entry in remasked}) == 1
    step = remasked[0][0]
    tools = page.locator(".job >> nth=0")
    tools.get_by_role("button", name="Tokens", exact=True).click()
    expect(user.page.locator(".tokens .word")).to_have_count(16)
    assert user.masks() == 0
    tools.get_by_role("button", name="Heat map", exact=True).click()
    tools.get_by_role("button", name="Step", exact=True).click()
    expect(page.locator(".tokens .word[data-number]")).not_to_have_count(0)
    numbers = page.locator(".tokens .word[data-number]").evaluate_all(
        "words => words.map((word) => Number(word.dataset.number))"
    )
    assert min(numbers) >= step, "every remasked position was committed again later"
    tools.get_by_role("button", name="Replay", exact=True).click()
    page.get_by_role("button", name="Pause").click()
    page.locator(".scrub").fill(str(step - 1))
    expect(page.locator(".player .step")).to_have_text(re.compile(f"step {step - 1} of"))
    before = user.masks()
    page.locator(".scrub").fill(str(step))
    expect(page.locator(".player .step")).to_have_text(re.compile(f"step {step} of"))
    assert user.masks() > before, "in the replay they are masked again"
    tools.get_by_role("button", name="More", exact=True).click()
    with page.expect_download() as film:
        page.get_by_role("menuitem", name="Save as GIF").click()
    pixels = []
    with Image.open(film.value.path()) as picture:
        for frame in ImageSequence.Iterator(picture):
            gray = frame.convert("L")
            pixels.append(sum(gray.histogram()[:100]))  # dark: letters
    assert any(later < earlier / 2 for earlier, later in itertools.pairwise(pixels)), "and in the film"


def test_a_bar_at_the_start_of_a_paragraph_is_not_indented(visit):
    spaces = visit().page.evaluate("""async () => {
      const page = document.querySelector("script[src$='/page.js']").src;
      const { cellsOf } = await import(new URL("canvas/lines.js", page));
      const known = ["One.", "\\n\\n", null, null].map((text) => [text, null, 1]);
      return cellsOf(known, (text) => 5 * text.length, 20).map(({ blank }) => blank);
    }""")
    assert spaces[2:] == [0, 5]
