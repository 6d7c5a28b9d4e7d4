"""The settings as a form made from their schema: saved at once, refused in a sentence; and deleting the
history."""

from __future__ import annotations

import re

import httpx
import pytest
from playwright.sync_api import expect

from tests.conftest import wait_until

pytestmark = pytest.mark.e2e

LOOKS = ("model", "theme", "palette", "language", "quick_settings", "notify_after", "keep_history")


@pytest.fixture
def http(site):
    """The API; the settings are as before at the end."""
    with httpx.Client(base_url=f"{site.url}/api/v1", timeout=60) as client:
        before = client.get("/settings").json()["values"]
        yield client
        client.patch("/settings", json={name: before[name] for name in LOOKS}).raise_for_status()


def settings(user):
    user.page.get_by_role("link", name="Settings").click()
    user.page.locator("tdw-settings form .setting").first.wait_for()
    return user.page


def saved(page, name: str) -> None:
    page.locator(f".setting:has(#setting-{name}) .saved", has_text="Saved").wait_for()


def test_every_setting_has_a_control_made_from_the_schema(visit, http):
    answer = http.get("/settings").json()
    page = settings(visit())
    for name, value in answer["values"].items():
        field = page.locator(f"#setting-{name}")
        expect(field, name).to_have_count(1)
        assert field.is_enabled() == (name in answer["changeable"]), name
        assert page.locator(f"label[for=setting-{name}]").text_content().strip()
        assert page.locator(f".setting:has(#setting-{name}) .help").text_content().strip()
        if isinstance(value, bool):
            assert field.is_checked() == value
        elif isinstance(value, int | str) and field.evaluate("node => node.tagName") == "INPUT":
            expect(field).to_have_value(str(value))
    expect(page.locator("tdw-settings")).to_contain_text(answer["file"])
    for name in answer["restart"]:
        if name in answer["changeable"]:
            expect(page.locator(f".setting:has(#setting-{name}) .help")).to_contain_text("restart")


def test_theme_and_palette_act_at_once_and_stay(visit, http):
    user = visit(color_scheme="light")
    page = settings(user)
    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    page.locator("#setting-theme").select_option(label="Dark")
    saved(page, "theme")
    user.wait(f"{paper} !== {light!r}")
    page.locator("#setting-palette").select_option(label="Colour-blind safe")
    saved(page, "palette")
    expect(page.locator("html")).to_have_attribute("data-palette", "colour-blind")
    assert http.get("/settings").json()["values"]["theme"] == "dark"
    page.reload()
    page.wait_for_selector("#generate", state="attached")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    expect(page.locator("body")).to_have_class(re.compile(r"\bdark\b"))
    user.wait(f"{paper} !== {light!r}")


def test_language_acts_at_once_and_what_was_typed_stays(visit, http):
    user = visit()
    user.type("prompt", "Half a thought")
    page = settings(user)
    with page.expect_navigation():
        page.locator("#setting-language").select_option(label="Deutsch")
    page.get_by_role("link", name="Einstellungen").wait_for()
    page.get_by_role("link", name="Schreiben").click()
    page.get_by_role("button", name="Erzeugen").wait_for()
    user.wait("document.querySelector('#field-prompt textarea')?.value === 'Half a thought'")
    expect(page.locator("html")).to_have_attribute("lang", "de")


def test_quick_settings_act_at_once(visit, http):
    user = visit()
    page = settings(user)
    picker = page.locator(".picker")
    for name in picker.locator("li bdi").all_text_contents():
        picker.get_by_role("button", name=f"Take {name} away").click()
    wait_until(lambda: http.get("/settings").json()["values"]["quick_settings"] == [])
    for name in ("Denoising steps", "Words: Strength", "Length"):
        picker.locator("select").select_option(label=name)
    picker.get_by_role("button", name="Move Length up").press("Enter")
    picker.get_by_role("button", name="Take Length away").press("Enter")
    paths = ["steps", "logit_bias.strength"]
    user.wait("document.querySelectorAll('.picker li').length === 2")
    wait_until(lambda: http.get("/settings").json()["values"]["quick_settings"] == paths)
    page.get_by_role("link", name="Write").click()
    expect(page.locator("tdw-quick #field-steps")).to_be_visible()
    expect(page.locator("tdw-quick #field-logit_bias-strength")).to_be_visible()
    expect(
        page.locator(".grid #field-temperature"), "what was on top is in its usual place again"
    ).to_be_visible()
    user.type("steps", "4")
    user.generate()
    user.done()
    page.locator(".job").first.wait_for()


def test_the_default_checkpoint_is_chosen_from_those_that_are_there(visit, http):
    page = settings(visit())
    choices = page.locator("#setting-model option")
    expect(choices).to_have_count(2)
    assert sorted(choices.all_text_contents()) == ["other", "storyteller"]
    page.locator("#setting-model").select_option(label="other")
    saved(page, "model")
    assert http.get("/settings").json()["values"]["model"] == "other"


def test_a_wrong_value_is_a_sentence_beside_its_field(visit, http):
    user = visit()
    page = settings(user)
    user.enter(page.locator("#setting-notify_after"), "-5")
    page.keyboard.press("Enter")
    fault = page.locator(".setting:has(#setting-notify_after) .fault:not([hidden])")
    fault.wait_for()
    expect(page.locator("#setting-notify_after")).to_have_value("-5")
    assert fault.text_content().endswith(".")
    assert http.get("/settings").json()["values"]["notify_after"] != -5
    user.enter(page.locator("#setting-notify_after"), "30")
    page.keyboard.press("Enter")
    saved(page, "notify_after")
    expect(fault).to_have_count(0)
    assert http.get("/settings").json()["values"]["notify_after"] == 30


def test_a_switch_is_worked_by_the_keyboard(visit, http):
    page = settings(visit())
    page.locator("#setting-keep_history").focus()
    page.keyboard.press("Space")
    saved(page, "keep_history")
    assert http.get("/settings").json()["values"]["keep_history"] is False


def test_deleting_the_history_asks_first_and_can_be_undone(visit, http):
    http.post("/txt2txt", json={"prompt": "A fox", "length": 8, "steps": 2, "count": 2}).raise_for_status()
    everything = http.get("/history", params={"limit": 1}).json()["all"]
    assert everything
    page = settings(visit())
    delete = page.get_by_role("button", name="Delete all history")
    delete.click()
    page.get_by_role("button", name="Keep them").click()
    assert http.get("/history", params={"limit": 1}).json()["all"] == everything
    delete.click()
    page.get_by_role("button", name="Delete all", exact=True).click()
    page.locator(".notice", has_text=f"{everything} texts deleted").wait_for()
    assert http.get("/history", params={"limit": 1}).json()["all"] == 0
    with page.expect_response("**/api/v1/history/restore"):
        page.locator(".notice").get_by_role("button", name="Undo").click()
    assert http.get("/history", params={"limit": 1}).json()["all"] == everything


def test_on_a_phone_the_form_fits(visit, http):
    user = visit(420, 860, has_touch=True, is_mobile=True, color_scheme="dark")
    user.page.get_by_role("link", name="Settings").tap()
    user.page.locator("tdw-settings form .setting").first.wait_for()
    assert user.page.evaluate("document.documentElement.scrollWidth") <= 420
