"""Traps that a newcomer fell into: a fault without its field, commas, examples that stay, names that are said twice."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.e2e.test_axe import SIGNS

pytestmark = pytest.mark.e2e

VISIBLE = """() => [...document.querySelectorAll("button, summary")]
  .filter((node) => node.checkVisibility() && !node.closest(".job"))
  .map((node) => (node.getAttribute("aria-label") ?? node.textContent).trim())"""


def test_a_fault_marks_its_field_until_it_is_mended(visit):
    user = visit()
    page = user.page
    user.type("prompt", "a fox")
    length = page.locator("#field-length")
    user.type("length", "4000")
    expect(length.locator("input")).to_have_attribute("aria-invalid", "true")
    expect(page.locator("[data-fault]:not(#field-length, #field-prompt)")).to_have_count(0)
    page.locator("#generate[aria-disabled=true]").click(force=True)
    assert "4000" in user.complaint()
    page.locator("#field-length input").focus()
    page.keyboard.press("Control+A")
    page.keyboard.type("8")
    page.locator("#alert").wait_for(state="hidden")
    expect(page.locator("[data-fault], [aria-invalid]")).to_have_count(0)

    user.type("temperature", "hot")
    expect(page.locator("#field-temperature input")).to_have_attribute("aria-invalid", "true")
    user.type("temperature", "1")
    user.unfold("X/Y/Z grid")
    user.type("xyz_grid-x_field", "steps")
    page.keyboard.press("Tab")
    user.type("xyz_grid-x_values", "many")
    expect(page.locator("#extension-xyz_grid[data-fault]")).to_have_count(1)
    expect(page.locator("#field-temperature [aria-invalid]")).to_have_count(0)
    user.type("xyz_grid-x_values", "2, 4")
    expect(page.locator("[data-fault], [aria-invalid]")).to_have_count(0)
    expect(page.get_by_role("button", name="Generate 2 texts", exact=True)).to_be_visible()


def test_a_first_run_in_german(visit):
    """A decimal comma, examples that fold after the first run, the checkpoint in words, no word twice."""
    user = visit(locale="de-DE")
    page = user.page
    examples = page.locator("#guide .example")
    examples.first.click()
    user.shows("prompt", "A story about a fox")
    user.type("temperature", "0,7")
    page.keyboard.press("Control+Enter")
    user.done()
    page.locator(".job summary").filter(has_text="Parameter").or_(page.locator(".job summary")).first.click()
    expect(page.locator(".job dl").first).to_contain_text("0.7")
    expect(examples.first).to_be_hidden()
    page.locator("#guide .fold-examples").focus()
    page.keyboard.press("Enter")
    expect(examples.first).to_be_visible()
    page.reload()
    page.locator("#guide .fold-examples").wait_for()
    expect(examples.first).to_be_hidden()
    user.shows("temperature", "0,7")

    chip = page.locator(".models-chip")
    expect(chip.locator(".models-label")).to_have_text("40,1 K Parameter")
    chip.click()
    expect(page.locator("#models-pop .models-small")).to_contain_text("Demonstration")


def test_no_view_has_backticks_or_one_name_for_two_buttons(visit):
    user = visit()
    page = user.page
    user.type("prompt", "a | b")
    user.generate()
    user.done()
    for view in ("write", "history", "queue", "checkpoint_merger", "training", "extensions", "settings"):
        if view != "write":
            user.view(view)
            page.locator(SIGNS[view]).first.wait_for()
        user.drawn()
        assert "`" not in page.evaluate("document.body.innerText"), view
        if view == "write":
            names = [name for name in page.evaluate(VISIBLE) if name]
            assert sorted(set(names)) == sorted(names), [name for name in names if names.count(name) > 1]


BEHIND = """() => {
  const [one, bar] = [document.activeElement, document.querySelector("#bar")].map((node) => node.getBoundingClientRect());
  return !document.activeElement.closest("#bar") && one.bottom > bar.top && one.top < bar.bottom && one.left < bar.right;
}"""


@pytest.mark.parametrize(("width", "height"), [(1400, 700), (420, 800)])
def test_tab_never_leads_behind_generate(visit, width, height):
    user = visit(width, height)
    page = user.page
    page.locator("#field-prompt textarea").focus()
    scrolled = "document.querySelector('#desk-left').scrollTop + scrollY"
    for _ in range(60):
        before = page.evaluate(scrolled)
        page.keyboard.press("Tab")
        if page.evaluate("Boolean(document.activeElement.closest('#bar'))"):
            assert page.evaluate(scrolled) == before, "Generate is in sight: nothing scrolls for it"
        if page.evaluate("!document.activeElement.closest('#view-write')"):
            break
        user.drawn()
        assert not page.evaluate(BEHIND), page.evaluate("document.activeElement.textContent")
    else:
        raise AssertionError("the end of the controls was not reached")


def test_the_line_of_tokens_moves_nothing_and_the_queue_is_in_order_of_time(visit):
    user = visit()
    page = user.page
    page.locator("tdw-tokens:not(:empty)").wait_for()
    place = page.locator("#parameters")
    before = place.bounding_box()["y"]
    user.type("prompt", "some words")
    page.locator("tdw-tokens", has_text="tokens used").wait_for()
    user.wait("!document.querySelector('tdw-tokens').textContent.startsWith('3 ')")
    assert place.bounding_box()["y"] == before
    user.endlessly()
    for prompt in ("the first", "the second", "the third"):
        user.type("prompt", prompt)
        page.keyboard.press("Control+Enter")
        page.locator(".job-prompt", has_text=prompt).wait_for()
    user.view("queue")
    live = page.locator(".queue-now .queue-prompt")
    expect(live).to_have_text(["the first", "the second", "the third"])
    page.evaluate("window.tdw.interruptAll()")
    expect(live).to_have_count(0)
    user.view("write")
    user.wait("document.body.dataset.tdw === 'idle'")
    expect(page.locator(".job"), "those that never ran leave nothing").to_have_count(1)
