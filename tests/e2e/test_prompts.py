"""Prompts while they are typed: underlines and their explanations, completions, the preview; by mouse and keyboard."""

from __future__ import annotations

import pytest

from tests.conftest import wait_until

pytestmark = pytest.mark.e2e

AREA = "#field-prompt textarea"
SPANS = """() => [...document.querySelectorAll('#field-prompt .prompt-mirror span')].map(one => [one.textContent, one.dataset.effect])"""
# how far the mirror's text is from that of the text area, in height and width
OFF = """() => { const area = document.querySelector('#field-prompt textarea'), text = document.querySelector('#field-prompt .prompt-mirror > div');
    return [text.scrollHeight - Math.max(area.scrollHeight, area.clientHeight), text.clientWidth - area.clientWidth] }"""


def marked(user, count: int) -> list:
    user.wait(f"document.querySelectorAll('#field-prompt .prompt-mirror span').length === {count}")
    return user.page.evaluate(SPANS)


def over(page, text: str) -> None:
    """Moves the mouse onto an underlined text."""
    box = page.locator("#field-prompt .prompt-mirror span", has_text=text).first.bounding_box()
    page.mouse.move(box["x"] + 5, box["y"] + box["height"] / 2)


def test_what_acts_is_underlined_and_explained_by_mouse_and_keyboard(visit):
    user = visit()
    page = user.page
    page.locator("#settle").wait_for(state="hidden")  # once the page knows the controls' values
    before = page.locator("#generate").bounding_box()
    user.type("prompt", "猫😀 {red|<b>blue</b>} <style:nope> <img:x>")
    assert marked(user, 3) == [
        ["{red|<b>blue</b>}", "acts"],
        ["<style:nope>", "refused"],
        ["<img:x>", "literal"],
    ]
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
    assert marked(user, 4)[3] == ["{a|b}", "acts"]
    user.type("prompt", "plain words")
    assert marked(user, 0) == []


def test_the_underlines_lie_where_the_text_is(visit):
    for width in (1400, 420):
        user = visit(width=width)
        user.page.locator(AREA).click()
        user.page.keyboard.insert_text("word " * 90 + "{red|blue} " + "langeswort" * 12 + " {a|b}")
        marked(user, 2)
        off = user.page.evaluate(OFF)
        assert all(abs(pixels) <= 1 for pixels in off), off
        at = user.page.evaluate(
            "() => ['textarea', '.prompt-mirror'].map(one => document.querySelector('#field-prompt ' + one).scrollTop)"
        )
        assert at[0] > 0 and at[0] == at[1]


def test_completions_by_keyboard_and_mouse(visit):
    user = visit()
    page = user.page
    box = page.locator(AREA)
    user.type("prompt", "a [[")
    options = page.get_by_role("option")
    options.first.wait_for()
    assert options.first.text_content().startswith("[[...]]")
    assert box.get_attribute("aria-activedescendant") == "completion-0"
    page.keyboard.press("ArrowDown")
    assert box.get_attribute("aria-activedescendant") == "completion-1"
    page.keyboard.press("Enter")
    assert box.input_value() == "a [[...20]]"
    page.keyboard.press("Control+Z")
    assert box.input_value() == "a [["
    page.keyboard.press("End")
    page.keyboard.type(".")
    options.first.wait_for()
    page.keyboard.press("Escape")
    options.first.wait_for(state="detached")
    assert page.locator(f"{AREA}:focus").count() == 1
    page.keyboard.type(".")
    options.nth(1).click()
    assert box.input_value() == "a [[...20]]" and page.locator(f"{AREA}:focus").count() == 1
    page.keyboard.type(" plain")
    page.keyboard.press("Tab")
    assert box.input_value() == "a [[...20]] plain" and page.locator(f"{AREA}:focus").count() == 0


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
    panel.locator(".refused", has_text="styles: column 3: there is no style nope.").first.wait_for()


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
    wait_until(lambda: marked(user, 1) == [["<style:fable>", "acts"]])  # not what was typed before
    page.get_by_role("button", name="Styles (1)").click()
    panel.get_by_role("checkbox", name="fable").press("Space")
    page.get_by_role("button", name="Styles (1)").wait_for(state="detached")
    panel.get_by_role("button", name="Delete fable").click()
    panel.get_by_text("None saved yet.").wait_for()
    assert marked(user, 1) == [["<style:fable>", "acts"]]
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
    user.type("prompt", "")
    assert press(up) == ""
