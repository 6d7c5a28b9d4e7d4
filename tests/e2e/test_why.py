"""Why a text came out like this: what else was likely at each position, and the same seed without something."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.e2e


def test_a_chosen_token_shows_what_else_was_likely(visit):
    """By mouse: the text is made again with what was not kept. By keyboard, then: word by word, and in a replay."""
    user = visit()
    page = user.page
    user.type("prompt", "A fox")
    user.type("seed", "5")
    user.generate()
    user.done()
    row = page.locator(".job").first
    text = user.texts()
    row.get_by_role("button", name="Tokens").click()
    row.locator(".tokens .word:not(:empty)").nth(2).click()
    panel = row.locator(".alternatives")
    expect(panel).to_contain_text("were not kept")
    panel.get_by_role("button", name="Make it again with them").click()
    user.done(jobs=2)
    row = page.locator(".job").first
    assert user.texts() == text, "the same seed, the same text"
    expect(page.locator(".chips"), "the controls are as they were").not_to_contain_text("Alternatives")

    row.get_by_role("button", name="Tokens").focus()
    page.keyboard.press("Enter")
    board = row.locator(".tokens")
    board.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    panel = row.locator(".alternatives")
    panel.locator("li").first.wait_for()
    shares = [float(share.split()[0]) for share in panel.locator(".share").all_text_contents()]
    assert 5 <= len(shares) <= 6 and shares[:5] == sorted(shares[:5], reverse=True)
    expect(panel.locator("li[aria-current]"), "the committed token is among them").to_have_count(1)
    chosen = panel.locator("li[aria-current] bdi").text_content().strip("“”")
    assert re.search(re.escape(chosen.strip()), text[0])
    panel.get_by_role("button", name="Close").press("Escape")
    expect(panel).to_have_count(0)
    expect(board).to_be_focused()

    row.get_by_role("button", name="Replay").click()
    row.get_by_role("button", name="Pause").click()
    row.get_by_role("slider").press("End")
    row.locator(".tokens .word:not(:empty)").nth(1).click()
    user.until(lambda: row.locator(".alternatives li").count() >= 5)


def changed(user) -> list[str]:
    user.wait("document.querySelector('.changed:not([hidden]) section + section')")
    return user.page.locator(".job >> nth=0").locator(".changed header").all_text_contents()


def test_the_same_seed_with_and_without_a_weight_or_a_setting(visit):
    """By keyboard from the menu of a text, by mouse from below the prompts; texts and table stay in reach."""
    user = visit()
    page = user.page
    user.type("prompt", "a (fox:5) ran")
    user.type("seed", "9")
    user.type("temperature", "0.2")
    user.generate()
    user.done()
    row = page.locator(".job").first
    text = user.texts()[0]
    row.get_by_role("button", name="More").press("ArrowDown")
    page.get_by_role("menuitem", name="With and without…").press("Enter")
    dialog = page.locator("dialog.why")
    dialog.get_by_role("button", name="(fox:5)").press("Enter")
    user.done(jobs=2)
    first, second = changed(user)
    assert first.startswith("Without nothing") and second.startswith("Without (fox:5)")
    job = page.locator(".job").first
    sections = job.locator(".changed section .text")
    expect(sections.nth(0), "with it is the text that was asked about").to_have_text(text)
    marked = sections.nth(1).locator("del, ins").count()
    assert marked or "no word changed" in second
    user.shows("prompt", "a (fox:5) ran")
    job.get_by_role("button", name="Texts").click()
    expect(job.locator(".final:not([hidden])")).to_have_count(2)

    page.get_by_role("button", name="With and without…").click()
    dialog.get_by_role("button", name="(fox:5)").wait_for()
    expect(dialog).to_contain_text("0.2")
    dialog.get_by_role("button", name="Temperature").click()
    user.done(jobs=3)
    assert changed(user)[1].startswith("Without temperature")
    page.get_by_role("button", name="With and without…").click()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
