"""Prompts while they are typed: underlines and their explanations, completions, the preview; by mouse and keyboard."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.e2e

AREA = "#field-prompt textarea"
SPANS = """() => [...document.querySelectorAll('#field-prompt .prompt-mirror span')].map(one => [one.textContent, one.dataset.effect])"""
# how far the mirror's text is from that of the text area, in height and width
OFF = """() => { const area = document.querySelector('#field-prompt textarea'), text = document.querySelector('#field-prompt .prompt-mirror > div');
    return [text.scrollHeight - Math.max(area.scrollHeight, area.clientHeight), text.clientWidth - area.clientWidth] }"""


def marked(user, *wanted: list[str]) -> None:
    """Waits until these texts, and only these, are underlined, each with what it does."""
    user.wait(
        f"JSON.stringify(({SPANS})()) === {json.dumps(json.dumps(wanted, ensure_ascii=False, separators=(',', ':')))}"
    )


def over(page, text: str) -> None:
    """Moves the mouse onto an underlined text."""
    box = page.locator("#field-prompt .prompt-mirror span", has_text=text).first.bounding_box()
    page.mouse.move(box["x"] + 5, box["y"] + box["height"] / 2)


def test_an_explanation_covers_no_line_of_the_prompt(visit):
    """On a phone the mark stands in the second of three lines; the explanation, by mouse and by cursor, beside all of
    them."""
    user = visit(width=420, height=860)
    page = user.page
    user.type(
        "prompt", "A story about a small dragon who went on a long journey {red|blue} " + "and came home " * 4
    )
    marked(user, ["{red|blue}", "acts"])
    over(page, "{red|")
    tip = page.locator(".prompt-tip", has_text="One of these 2 is drawn by the seed.")
    apart = "([a, b]) => a.y + a.height <= b.y || b.y + b.height <= a.y"
    lines = page.locator(AREA).evaluate(
        "area => area.clientHeight / parseFloat(getComputedStyle(area).lineHeight)"
    )
    assert lines > 3
    assert page.evaluate(apart, [tip.bounding_box(), page.locator(AREA).bounding_box()])
    page.mouse.move(5, 700)
    tip.wait_for(state="detached")
    for _ in range(60):
        page.keyboard.press("ArrowLeft")
    tip.wait_for()
    assert page.evaluate(apart, [tip.bounding_box(), page.locator(AREA).bounding_box()])


def test_what_acts_is_underlined_and_explained_by_mouse_and_keyboard(visit):
    user = visit()
    page = user.page
    page.locator("#settle").wait_for(state="hidden")  # once the page knows the controls' values
    before = page.locator("#generate").bounding_box()
    user.type("prompt", "猫😀 {red|<b>blue</b>} <style:nope> <img:x>")
    three = (["{red|<b>blue</b>}", "acts"], ["<style:nope>", "refused"], ["<img:x>", "literal"])
    marked(user, *three)
    over(page, "{red|")
    page.locator(".prompt-tip", has_text="One of these 2 is drawn by the seed.").wait_for()
    over(page, "<style:nope>")
    page.locator(".prompt-tip[data-effect=refused]", has_text="Column 22: there is no style nope.").wait_for()
    page.mouse.move(700, 600)
    page.locator(".prompt-tip").wait_for(state="detached")
    page.keyboard.press("Home")
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    page.locator(".prompt-tip[role=status]", has_text="One of these 2").wait_for()
    page.keyboard.press("Escape")
    page.locator(".prompt-tip").wait_for(state="detached")
    assert page.locator("#generate").bounding_box() == before, "nothing has moved"
    page.keyboard.press("End")
    page.keyboard.type(" and {a|b}")
    marked(user, *three, ["{a|b}", "acts"])
    user.type("prompt", "plain words")
    marked(user)


def test_the_underlines_lie_where_the_text_is(visit):
    for width in (1400, 420):
        user = visit(width=width)
        user.page.locator(AREA).click()
        user.page.keyboard.insert_text("word " * 90 + "{red|blue} " + "langeswort" * 12 + " {a|b}")
        marked(user, ["{red|blue}", "acts"], ["{a|b}", "acts"])
        user.until(lambda user=user: all(abs(pixels) <= 1 for pixels in user.page.evaluate(OFF)))
        at = "(one) => document.querySelector('#field-prompt ' + one).scrollTop"
        user.wait(f"(at => at[0] > 0 && at[0] === at[1])(['textarea', '.prompt-mirror'].map({at}))")


def test_completions_by_keyboard_and_mouse(visit):
    user = visit()
    page = user.page
    box = page.locator(AREA)
    user.type("prompt", "a [[")
    options = page.get_by_role("option")
    options.first.wait_for()
    expect(options.first).to_have_text(re.compile(r"^\[\[\.\.\.\]\]"))
    expect(box).to_have_attribute("aria-activedescendant", "completion-0")
    page.keyboard.press("ArrowDown")
    expect(box).to_have_attribute("aria-activedescendant", "completion-1")
    page.keyboard.press("Enter")
    expect(box).to_have_value("a [[...20]]")
    page.keyboard.press("Control+Z")
    expect(box).to_have_value("a [[")
    page.keyboard.press("End")
    page.keyboard.type(".")
    options.first.wait_for()
    page.keyboard.press("Escape")
    options.first.wait_for(state="detached")
    expect(page.locator(f"{AREA}:focus")).to_have_count(1)
    page.keyboard.type(".")
    options.nth(1).click()
    expect(box).to_have_value("a [[...20]]")
    expect(page.locator(f"{AREA}:focus")).to_have_count(1)
    page.keyboard.type(" plain")
    page.keyboard.press("Tab")
    expect(box).to_have_value("a [[...20]] plain")
    expect(page.locator(f"{AREA}:focus")).to_have_count(0)


def test_the_preview_shows_what_the_model_is_given(visit):
    user = visit()
    page = user.page
    page.get_by_role("button", name="Preview").focus()
    user.type("prompt", "a {red|<b>blue</b>} cat")
    user.unfold("Wildcards")
    page.get_by_role("checkbox", name="Combinatorial").click()
    page.get_by_role("button", name="Preview").press("Enter")
    panel = page.locator(".preview:popover-open")
    panel.get_by_role("heading", name="What the model is given for 2 texts").wait_for()
    assert [item.locator("p").first.text_content() for item in panel.locator("li").all()] == [
        "a red cat",
        "a <b>blue</b> cat",
    ]
    page.keyboard.press("Escape")
    user.type("prompt", "a <style:nope>{a|b}")
    page.get_by_role("button", name="Preview").click()
    panel.locator(".refused", has_text="Styles: column 3: there is no style nope.").first.wait_for()


def test_styles_are_saved_used_and_deleted(visit):
    user = visit()
    page = user.page
    user.type("prompt", "an old <b>fable</b> of {prompt}")
    page.get_by_role("button", name="Styles", exact=True).last.click()
    panel = page.locator(".styles:popover-open")
    panel.get_by_role("textbox", name="Name of the style").click()
    page.keyboard.type("a:b")
    page.keyboard.press("Enter")
    panel.get_by_role("alert").filter(has_text="without <, >, : and commas").wait_for()
    user.enter(panel.get_by_role("textbox", name="Name of the style"), "fable")
    page.keyboard.press("Enter")
    page.locator(".notice", has_text="Style fable saved.").wait_for()
    panel.get_by_role("checkbox", name="fable").press("Space")
    page.get_by_role("button", name="Styles (1)").wait_for()
    page.keyboard.press("Escape")
    user.type("prompt", "a cat")
    page.get_by_role("button", name="Preview").click()
    page.locator(".preview:popover-open li p", has_text="an old <b>fable</b> of a cat").first.wait_for()
    page.keyboard.press("Escape")
    user.type("prompt", "<style:f")
    page.get_by_role("option", name="<style:fable>").click()
    marked(user, ["<style:fable>", "acts"])
    page.get_by_role("button", name="Styles (1)").click()
    panel.get_by_role("checkbox", name="fable").press("Space")
    page.get_by_role("button", name="Styles (1)").wait_for(state="detached")
    panel.get_by_role("button", name="Delete fable").click()
    panel.get_by_text("None saved yet.").wait_for()
    marked(user, ["<style:fable>", "acts"])
    page.keyboard.press("Escape")
    page.locator(AREA).click()
    page.keyboard.type(" ")
    user.wait("document.querySelector('#field-prompt .prompt-mirror span')?.dataset.effect === 'refused'")


def test_ctrl_up_and_down_change_a_weight(visit):
    user = visit()
    page = user.page
    box = page.locator(AREA)

    def press(*keys: str) -> str:
        for key in keys:
            page.keyboard.press(key)
        return box.input_value()

    up, down = "Control+ArrowUp", "Control+ArrowDown"
    user.type("prompt", "a red dragon")
    assert press(up) == "a red (dragon:1.1)"
    assert press(up, up) == "a red (dragon:1.3)"
    assert press(down, down, down) == "a red dragon"
    assert press(down) == "a red (dragon:0.9)"
    assert press(*[down] * 12) == "a red (dragon:0)"
    assert press("Control+Z", "Control+Z") == "a red (dragon:0.2)"
    user.type("prompt", "a red dragon")
    press(*["Shift+ArrowLeft"] * 10)
    assert press(up) == "a (red dragon:1.1)"
    assert press(up) == "a (red dragon:1.2)", "the words stay selected"
    assert press(down, down) == "a red dragon"
    user.type("prompt", "((a:1.2) b:2)")
    assert press("Home", "ArrowRight", "ArrowRight", up) == "((a:1.3) b:2)"
    assert press("End", "ArrowLeft", down) == "((a:1.3) b:1.9)"
    user.type("prompt", "R2")
    assert press(up) == "R2", "a digit before the colon is no weight"
    user.type("prompt", "a 😀 cat naps")
    press(*["Shift+ArrowLeft"] * 6)  # from within a word
    assert press(up, up) == "a 😀 (cat naps:1.2)", "whole words, which stay selected"
    assert press(*["Control+Z"] * 2) == "a 😀 cat naps"
    for closed in (
        "a <style:fable>",
        "a <lora:bard:0.8>",
        "a ____",
        "a [[...20]]",
        "a [[name:...3]]",
        "```a cat```",
    ):
        user.type("prompt", closed)
        page.keyboard.press("Escape")  # closes a list of completions, which may lie over the field
        assert press("ArrowLeft", "ArrowLeft", "ArrowLeft", up, down) == closed, "brackets would break it"
        page.keyboard.press("Escape")
    user.type("prompt", "a (b c) d")
    press("Home", *["Shift+ArrowRight"] * 4)
    assert press(up) == "a (b c) d", "the selection cuts a bracket off"
    user.type("prompt", "")
    assert press(up) == ""
