"""The controls beyond Generate: presets, quick settings, the token counter, marks, help, the keyboard."""

from __future__ import annotations

import re
import signal

import httpx
import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.e2e

HOSTILE = "<img src=x onerror=\"document.title='owned'\"> \u202eevil"


@pytest.fixture
def http(site):
    with httpx.Client(base_url=f"{site.url}/api/v1", timeout=60) as client:
        yield client
        for preset in client.get("/presets").json():
            client.delete(f"/presets/{preset['name']}")


def panel(page):
    return page.locator(".sheet.presets:popover-open")


def open_presets(page):
    page.locator("tdw-presets > button").click()
    panel(page).get_by_role("textbox", name="Name").wait_for()
    return panel(page)


def test_a_named_preset_is_saved_used_updated_and_deleted(visit, http):
    user = visit()
    page = user.page
    user.type("prompt", "A fox")
    user.type("steps", "7")
    user.unfold("Prompt matrix")
    page.get_by_role("checkbox", name="Prompt matrix").click()
    page.locator(".extension[data-changed]", has_text="Prompt matrix").wait_for()
    user.enter(open_presets(page).get_by_role("textbox", name="Name"), "quick")
    page.keyboard.press("Enter")
    page.locator(".notice", has_text="Preset quick saved").wait_for()
    (preset,) = http.get("/presets").json()
    assert (
        preset["name"] == "quick"
        and preset["request"]["steps"] == 7
        and preset["request"]["prompt_matrix"]["enabled"]
    )
    assert not {"prompt", "seed", "model"} & set(preset["request"])

    user.reset()
    user.wait("document.querySelector('#field-steps input').value === '16'")
    user.type("prompt", "A bear")
    page.get_by_role("checkbox", name="Prompt matrix").click()
    open_presets(page).get_by_role("button", name="quick", exact=True).click()
    user.wait("document.querySelector('#field-steps input').value === '7'")
    user.shows("prompt", "A bear")
    expect(page.get_by_role("checkbox", name="Prompt matrix")).to_be_checked()

    user.type("steps", "5")
    user.wait("document.querySelector('tdw-presets').hasAttribute('data-touched')")
    open_presets(page).get_by_role("button", name="Update quick").click()
    page.locator(".notice", has_text="Preset quick updated").wait_for()
    assert http.get("/presets").json()[0]["request"]["steps"] == 5
    open_presets(page).get_by_role("button", name="Delete quick").click()
    page.locator(".notice", has_text="Preset quick deleted").wait_for()
    assert http.get("/presets").json() == []
    page.locator(".notice").get_by_role("button", name="Undo").click()
    user.until(lambda: [preset["name"] for preset in http.get("/presets").json()] == ["quick"])


def test_using_a_preset_can_be_undone_and_the_checkpoints_is_apart(visit, http):
    http.put("/presets/other", json={"request": {"steps": 3, "gone": {"x": 1}}}).raise_for_status()
    user = visit()
    page = user.page
    user.type("steps", "11")
    user.type("length", "8")
    sheet = open_presets(page)
    expect(sheet.locator("h3")).to_have_text(["From the checkpoint", "Saved"])
    sheet.get_by_role("button", name="other", exact=True).click()
    user.wait("document.querySelector('#field-steps input').value === '3'")
    user.shows("length", "8")
    page.locator("tdw-unknown", has_text="gone").wait_for()
    page.locator(".notice").get_by_role("button", name="Undo").click()
    user.wait("document.querySelector('#field-steps input').value === '11'")
    open_presets(page).get_by_role("button", name="hasty", exact=True).click()  # the checkpoint's too
    user.wait("document.querySelector('#field-steps input').value === '4'")
    user.shows("length", "8")
    open_presets(page).get_by_role("button", name="Checkpoint's preset").click()
    user.wait("document.querySelector('#field-steps input').value === '16'")
    user.shows("length", "16")


def test_a_presets_name_is_text(visit, http):
    user = visit()
    sheet = open_presets(user.page)
    user.enter(sheet.get_by_role("textbox", name="Name"), "<b>bold</b>")
    user.page.keyboard.press("Enter")
    user.page.locator(".notice:not([hidden])").or_(user.page.locator("#alert:not([hidden])")).first.wait_for()
    expect(user.page.locator("tdw-presets b, .notice b, #alert b")).to_have_count(0)


def test_quick_settings_stand_on_top_and_act(visit):
    user = visit()
    page = user.page
    page.locator("tdw-quick #field-temperature").wait_for()
    boxes = [
        page.locator(place).bounding_box()["y"]
        for place in ("#field-temperature", "#field-prompt", "#field-steps")
    ]
    assert boxes == sorted(boxes)
    user.type("count", "2")
    user.type("length", "8")
    user.generate()
    user.done()
    assert len(user.texts()) == 2


def test_on_a_phone_quick_settings_leave_generate_in_sight(visit):
    user = visit(420, 860, has_touch=True, is_mobile=True)
    user.page.locator("tdw-quick #field-temperature").wait_for()
    box = user.page.locator("#generate").bounding_box()
    assert 0 <= box["y"] and box["y"] + box["height"] <= 860
    assert user.page.evaluate("document.documentElement.scrollWidth") <= 420


def test_tokens_are_counted_against_the_models_length(visit):
    user = visit()
    page = user.page
    page.locator("tdw-tokens", has_text=re.compile(r"\d+ of 64 tokens")).or_(
        page.locator("tdw-tokens:not(:empty)")
    ).first.wait_for()
    before = page.locator("tdw-tokens").text_content()
    user.type("prompt", "A story about a fox and a bear and a fox")
    user.wait(f"document.querySelector('tdw-tokens').textContent !== {before!r}")
    user.type("length", "4000")
    page.locator("tdw-tokens[data-over=true]").wait_for()
    expect(page.locator("tdw-tokens")).to_contain_text("an answer of 4000 does not fit")
    user.type("length", "4")
    page.locator("tdw-tokens[data-over=false]").wait_for()
    expect(page.locator("tdw-tokens")).to_contain_text("left for the answer")


def test_the_negative_prompt_is_counted_and_new_words_are_said(visit, site):
    lexicon = site.data.parent / "models" / "checkpoints" / "other" / "lexicon.txt"
    lexicon.write_text("a story about fox and hero\n", "utf-8")
    user = visit()
    try:
        user.choose("model", "other")
        line = user.page.locator("tdw-tokens")
        height = user.page.locator("#tokens").bounding_box()["height"]
        user.type("prompt", "A story about a quark and (qubits:1.5) <lora:zzz:1>")
        line.locator(".new-words", has_text="New to this checkpoint: quark, qubits.").wait_for()
        assert user.page.locator("#tokens").bounding_box()["height"] >= height > 40, (
            "its line was there before"
        )
        user.type("guidance-negative_prompt", "")
        user.page.keyboard.insert_text("rain and rain and rain " * 10)
        user.wait("/Negative prompt \\d+, \\d+ left/.test(document.querySelector('tdw-tokens').textContent)")

        def longer_one_leaves_room() -> bool:
            """For the answer; the count follows what is typed."""
            told = line.text_content()
            used, negative, left = map(int, re.findall(r"(\d+)(?= of|,| left)", told)[:3])
            return negative > used and left == max(0, int(re.search(r"of (\d+) tokens", told)[1]) - negative)

        user.until(longer_one_leaves_room)
    finally:
        lexicon.unlink()


def test_what_differs_from_the_preset_is_marked(visit):
    user = visit()
    page = user.page
    page.locator("#field-steps[data-standard]").wait_for()
    expect(page.locator("#parameters [data-changed]")).to_have_count(0)
    user.type("steps", "9")
    page.locator("#field-steps[data-changed]").wait_for()
    page.locator("#field-steps [data-testid=block-info]").hover()
    expect(page.locator("#help")).to_contain_text("the preset is: 16")
    user.type("steps", "16")
    page.locator("#field-steps:not([data-changed])").wait_for()


COVERED = """() => {
    const tip = document.querySelector('#help');
    if (tip.hidden || tip.matches('.unseen')) return [];
    const box = tip.getBoundingClientRect();
    return [...document.querySelectorAll('input:not([type=hidden]), textarea, select')].filter((field) => {
        const { left, right, top, bottom } = field.getBoundingClientRect();
        return field.checkVisibility() && left < box.right && right > box.left && top < box.bottom && bottom > box.top;
    }).map((field) => field.closest('[id]')?.id);
}"""


@pytest.mark.parametrize("width", [1400, 420])
def test_help_by_keyboard_covers_no_field(visit, width):
    page = visit(width=width).page
    page.locator("#field-prompt textarea").click()
    shown = 0
    for _ in range(14):
        page.keyboard.press("Tab")
        assert page.evaluate(COVERED) == []
        shown += page.locator("#help:not([hidden])").count()
    assert shown, "help is shown by keyboard where there is room"


def test_help_on_hover_by_tab_and_by_touch(visit):
    user = visit()
    page = user.page
    help = page.locator("#help:not([hidden])")
    page.locator("#field-steps [data-testid=block-info]").hover()
    expect(help).to_contain_text("Model calls for the whole answer")
    page.locator("#field-steps input").click()
    page.keyboard.press("Tab")
    page.wait_for_function(
        "!document.querySelector('#help').hidden && document.activeElement.getAttribute('aria-describedby')"
    )
    assert "tokens" in help.text_content().lower()
    page.keyboard.press("Escape")
    page.locator("#help").wait_for(state="hidden")
    phone = visit(420, 860, has_touch=True, is_mobile=True).page
    phone.locator("#field-steps [data-testid=block-info]").tap()
    expect(phone.locator("#help:not([hidden])")).to_contain_text("Model calls")


def test_escape_closes_what_is_open_before_it_interrupts(visit):
    user = visit()
    page = user.page
    page.locator("#canvas").click()
    page.keyboard.press("?")
    keys = page.locator(".sheet.keys:popover-open")
    keys.wait_for()
    expect(keys).to_contain_text("Enter")
    page.keyboard.press("Escape")
    keys.wait_for(state="hidden")
    user.endlessly()
    user.type("prompt", "A fox")
    page.keyboard.press("Control+Enter")
    user.wait("document.body.dataset.tdw === 'running'")
    page.locator("tdw-keys button").click()
    keys.wait_for()
    page.keyboard.press("Escape")
    keys.wait_for(state="hidden")
    assert page.evaluate("document.body.dataset.tdw") == "running"
    page.keyboard.press("Escape")
    user.done("cancelled")


def test_what_was_typed_outlives_a_reload(visit):
    user = visit()
    user.type("prompt", "Half a thought")
    user.type("steps", "13")
    user.page.reload()
    user.wait("document.querySelector('#field-prompt textarea')?.value === 'Half a thought'")
    user.wait("document.querySelector('#field-steps input').value === '13'")


@pytest.mark.parametrize("busy", [False, True], ids=["write", "presets"])
def test_an_answer_that_fails_is_said_and_the_page_goes_on(visit, busy):
    """A response 500 of Gradio (here 422, which the fixture allows): Generate and Save can be pressed again."""
    user = visit()
    page = user.page
    user.type("prompt", "a")
    user.type("length", "8")
    said = page.locator("#alert", has_text="could not answer")
    page.route("**/gradio_api/run/**", lambda route: route.fulfill(status=422, json={"error": None}))
    if busy:
        user.enter(open_presets(page).get_by_role("textbox", name="Name"), "quick")
        page.keyboard.press("Enter")
    else:
        page.keyboard.press("Control+Enter")
    said.wait_for()
    page.unroute("**/gradio_api/run/**")
    if busy:
        page.keyboard.press("Enter")
        page.locator(".notice", has_text="Preset quick saved").wait_for()
    else:
        page.keyboard.press("Control+Enter")
        user.done()


def test_no_press_is_lost_while_the_server_does_not_answer(visit, site):
    """A call that did not get through stops nothing; what is pressed while an answer is awaited is sent after it, a
    double click once."""
    user = visit()
    page = user.page
    lost: list[str] = []
    page.route("**/gradio_api/run/**", lambda route: (lost.append(route.request.url), route.abort()))
    user.type("length", "8")
    user.type("prompt", "a")
    user.until(lambda: lost)
    page.unroute("**/gradio_api/run/**")
    site.process.send_signal(signal.SIGSTOP)
    try:
        page.keyboard.press("Control+Enter")
        user.wait("document.body.dataset.tdw === 'sending'")
        page.locator("#generate").dblclick()
        page.keyboard.press("Control+Enter")
    finally:
        site.process.send_signal(signal.SIGCONT)
    user.done(jobs=3)
