"""Generate and what stands with it: always in reach, how many texts, the queue of this page, what acts unseen."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.e2e


def test_generate_is_in_reach_counts_queues_and_repeats(visit):
    user = visit()
    page = user.page
    user.endlessly()
    page.locator("#desk-left").evaluate("node => node.scrollTo(0, node.scrollHeight)")
    box = page.locator("#generate").bounding_box()
    assert box["y"] > 0 and box["y"] + box["height"] <= 900, "beside the last extension, too"
    user.type("prompt", "the first")
    user.type("count", "2")
    page.get_by_role("button", name="Generate 2 texts", exact=True).click()
    user.wait("document.querySelector('.job')?.dataset.state === 'running'")
    user.type("prompt", "the second")
    page.keyboard.press("Control+Enter")
    user.wait("document.querySelectorAll('.job').length === 2")
    page.locator(".job >> nth=0", has_text="Waiting").wait_for()
    user.type("prompt", "the third")
    user.generate()
    page.locator(".job >> nth=2").locator(".tokens .word").first.wait_for()  # the first goes on
    page.locator("#interrupt").click()
    user.wait("document.querySelectorAll('.job')[2].dataset.state === 'cancelled'")
    user.wait("document.querySelectorAll('.job')[1].dataset.state === 'running'")
    page.get_by_role("button", name="All 2").click()
    user.wait("document.body.dataset.tdw === 'idle'")
    expect(page.locator(".job"), "a job that never ran leaves nothing").to_have_count(2)

    user.type("rehearsal-seconds", "0")
    user.type("count", "1")
    user.type("block_length", "8")
    user.type("steps", "8")
    user.type("length", "8")
    page.get_by_role("button", name="Repeat forever").click()
    user.generate()
    user.wait("document.querySelectorAll('.job').length >= 4")
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Repeat forever")).to_have_attribute("aria-pressed", "false")
    user.wait("document.body.dataset.tdw === 'idle'")


def test_nothing_acts_unseen(visit):
    """Chips of settings in folds, constructs that are off, the reason why nothing can be made, Reset."""
    user = visit()
    page = user.page
    chips = page.locator(".chips .chip")
    user.type("prompt", "a fox | red")
    hint = page.locator(".hints p", has_text="“|” is text while Prompt matrix is off.")
    hint.get_by_role("button", name="Turn on").click()
    chips.filter(has_text="Prompt matrix").wait_for()
    page.get_by_role("button", name="Generate 2 texts", exact=True).wait_for()
    hint.wait_for(state="hidden")
    page.get_by_role("button", name="Prompt matrix 1 changed").click()
    box = page.get_by_role("checkbox", name="Prompt matrix")
    box.focus()
    page.keyboard.press("Control+Enter")
    user.done()
    expect(box, "Ctrl+Enter changes no control").to_be_checked()

    user.unfold("Words")
    user.type("logit_bias-never", "bear")
    chips.filter(has_text="Never: bear").wait_for()
    expect(page.locator("#extension-logit_bias .block[data-changed]")).to_have_count(1)
    chips.filter(has_text="Prompt matrix").get_by_role("button").focus()
    page.keyboard.press("Enter")
    chips.filter(has_text="Prompt matrix").wait_for(state="detached")
    expect(box).not_to_be_checked()

    user.type("prompt", "a fox")
    user.type("length", "4000")
    page.locator(".hints .reason", has_text="4000").wait_for()
    page.locator("#generate[aria-disabled=true]").click(force=True)
    assert "4000" in user.complaint()
    user.type("length", "8")
    page.locator("#alert").wait_for(state="hidden")

    page.locator("#reset").click()
    listed = page.locator("dialog.ask .changes").text_content()
    assert "Never" in listed and "bear" in listed and "Length" in listed
    page.locator("dialog.ask").get_by_role("button", name="Reset").click()
    chips.first.wait_for(state="detached")
    user.wait("document.querySelector('#field-length input').value === '16'")
    user.shows("logit_bias-never", "")
    user.shows("prompt", "a fox")
    page.locator(".notice").get_by_role("button", name="Undo").click()
    chips.filter(has_text="Never: bear").wait_for()


def test_a_result_says_what_it_is_and_goes_back_as_it_was_asked(visit):
    """Prompt and seed on top, marked infill, hidden actions, earlier prompts, folded examples, presets kept."""
    user = visit()
    page = user.page
    user.choose("model", "other")
    user.wait("document.querySelector('#field-length input').value === '24'")
    page.locator("#guide").wait_for(state="attached")
    user.type("prompt", "the fox ____ home")
    user.type("seed", "5")
    page.keyboard.press("Control+Enter")
    user.done()
    head = page.locator(".job-head")
    expect(head.locator(".job-prompt")).to_have_text("the fox ____ home")
    expect(head.locator(".job-meta")).to_contain_text("seed 5")
    expect(page.locator(".final .filled")).to_have_count(1)

    actions = page.locator(".row-actions")
    page.mouse.move(5, 5)
    user.wait("getComputedStyle(document.querySelector('.row-actions')).opacity === '0'")
    actions.get_by_role("button", name="Copy").focus()
    user.wait("getComputedStyle(document.querySelector('.row-actions')).opacity === '1'")

    user.type("prompt", "a hen")
    page.keyboard.press("Control+Enter")
    user.done(jobs=2)
    page.locator("#field-prompt textarea").click()
    page.keyboard.press("Alt+ArrowUp")
    user.shows("prompt", "the fox ____ home")
    page.keyboard.press("Alt+ArrowDown")
    user.shows("prompt", "a hen")

    page.locator(".job >> nth=0").get_by_role("button", name="Send to controls").click()
    user.wait("document.querySelector('#field-seed input').value !== '-1'")
    user.wait("!document.querySelector('#field-block_length').hasAttribute('data-changed')")
    expect(page.locator(".chips .chip"), "what was the preset's stays the preset's").to_have_count(0)

    for place in (0, 1):
        page.locator(".job").nth(place).get_by_role("button", name="More").click()
        page.get_by_role("menuitem", name="Compare").click()
    fields = page.locator("dialog.compare .compare-fields").text_content()
    assert "Prompt" in fields and "a hen" in fields and "Denoising steps" not in fields
