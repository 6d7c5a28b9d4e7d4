"""Why a text came out like this: what else was likely at each position, and the same seed without something."""

from __future__ import annotations

import re

import pytest

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
    assert "were not kept" in panel.text_content()
    panel.get_by_role("button", name="Make it again with them").click()
    user.done(jobs=2)
    row = page.locator(".job").first
    assert user.texts() == text, "the same seed, the same text"
    assert "Alternatives" not in page.locator(".chips").text_content(), "the controls are as they were"

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
    assert panel.locator("li[aria-current]").count() == 1, "the committed token is among them"
    chosen = panel.locator("li[aria-current] bdi").text_content().strip("“”")
    assert re.search(re.escape(chosen.strip()), text[0])
    panel.get_by_role("button", name="Close").press("Escape")
    assert panel.count() == 0 and board.evaluate("one => one === document.activeElement")

    row.get_by_role("button", name="Replay").click()
    row.get_by_role("button", name="Pause").click()
    row.get_by_role("slider").press("End")
    row.locator(".tokens .word:not(:empty)").nth(1).click()
    assert row.locator(".alternatives li").count() >= 5
