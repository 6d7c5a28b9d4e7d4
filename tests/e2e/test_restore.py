"""A saved file dropped on the page, or its JSON pasted, restores every parameter; anything else is one
sentence."""

from __future__ import annotations

import json

import httpx
import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import HOSTILE

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def saved(site) -> dict:
    """A finished text as the program stores it."""
    request = {
        "prompt": "A fox",
        "seed": 5,
        "steps": 6,
        "length": 8,
        "temperature": 0.5,
        "logit_bias": {"more": "fox", "strength": 4.0},
    }
    return httpx.post(f"{site.url}/api/v1/txt2txt", json=request, timeout=120).raise_for_status().json()


def paste(page, text: str) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate("text => navigator.clipboard.writeText(text)", text)
    page.keyboard.press("Control+V")


def as_saved(user) -> None:
    user.wait("document.querySelector('#field-prompt textarea').value === 'A fox'")
    user.wait("document.querySelector('#field-steps input').value === '6'")
    for field, value in (("seed", "5"), ("length", "8"), ("temperature", "0.5")):
        user.shows(field, value)
    if not user.page.locator("#field-logit_bias-more").count():
        user.page.locator("#extension-logit_bias > button").click()
    user.shows("logit_bias-more", "fox")


def test_a_dropped_file_restores_every_parameter_and_can_be_undone(visit, saved, tmp_path):
    file = tmp_path / "text.json"
    file.write_text(json.dumps(saved), "utf-8")
    user = visit()
    user.type("prompt", "Something of mine")
    user.type("steps", "3")
    user.drop(file)
    as_saved(user)
    expect(user.page.locator(".drop-here")).to_be_hidden()
    user.page.locator(".notice").get_by_role("button", name="Undo").click()
    user.wait("document.querySelector('#field-prompt textarea').value === 'Something of mine'")
    user.shows("steps", "3")


def test_a_file_dropped_before_the_controls_are_drawn(visit, saved, tmp_path):
    file = tmp_path / "text.json"
    file.write_text(json.dumps(saved), "utf-8")
    user = visit()
    user.type("prompt", "Something of mine")
    user.page.reload(wait_until="domcontentloaded")
    user.wait("window.tdw")
    user.drop(file)
    as_saved(user)


def test_the_same_by_the_button(visit, saved, tmp_path):
    file = tmp_path / "text.json"
    file.write_text(json.dumps(saved), "utf-8")
    user = visit()
    with user.page.expect_file_chooser() as chooser:
        user.page.get_by_role("button", name="Restore from a file").click()
    chooser.value.set_files(file)
    as_saved(user)


def test_pasted_json_restores_and_the_text_is_the_same_again(visit, saved):
    user = visit()
    user.page.locator("#canvas").click()
    paste(user.page, json.dumps(saved, indent=1))
    as_saved(user)
    user.done()  # the saved text is shown
    user.generate()
    user.done(jobs=2)
    assert user.texts() == [saved["text"].lstrip()]


def test_pasted_into_the_prompt_it_is_offered(visit, saved):
    user = visit()
    user.type("prompt", "mine ")
    paste(user.page, json.dumps(saved["request"]))
    user.until(lambda: '"seed"' in user.shown("prompt"))  # it is pasted as text, too
    user.page.locator(".notice").get_by_role("button", name="Restore", exact=True).click()
    as_saved(user)


def test_an_ordinary_paste_is_ordinary(visit):
    user = visit()
    user.page.locator("#field-prompt textarea").click()
    paste(user.page, "{ a fox }")
    user.shows("prompt", "{ a fox }")
    expect(user.page.locator("#alert")).to_be_hidden()
    expect(user.page.locator(".notice")).to_be_hidden()


def test_fields_of_missing_extensions_are_kept_and_sent(visit, saved, tmp_path):
    file = tmp_path / "text.json"
    request = {**saved["request"], "gone": {"strength": 2, "words": ["<b>x</b>"]}}
    file.write_text(json.dumps({**saved, "request": request}), "utf-8")
    user = visit()
    user.drop(file)
    as_saved(user)
    user.page.locator("tdw-unknown", has_text="gone").wait_for()
    expect(user.page.locator(".notice")).to_contain_text("gone")
    user.done()  # the saved text is shown
    user.generate()
    user.done(jobs=2)
    job = user.page.evaluate("localStorage.getItem('tdw.job')")
    made = httpx.get(f"{user.url}/api/v1/jobs/{job}", timeout=60).json()["request"]
    assert made["unknown"] == {"gone": request["gone"]}
    user.page.locator("tdw-unknown").get_by_role("button", name="Discard").click()
    user.wait("!document.querySelector('tdw-unknown').firstChild")


def test_a_missing_sampler_is_named(visit, saved, tmp_path):
    file = tmp_path / "text.json"
    file.write_text(json.dumps({**saved, "request": {**saved["request"], "sampler": "lost"}}), "utf-8")
    user = visit()
    user.drop(file)
    user.page.locator(".notice", has_text="Sampler: “lost” is not available here; choose another.").wait_for()
    as_saved(user)


def test_anything_else_is_one_sentence_and_loses_nothing(visit, tmp_path):
    user = visit()
    user.type("prompt", "Something of mine")
    for name, content in (
        ("notes.txt", "not JSON"),
        (f"{HOSTILE[:30].replace('/', '')}.json", "{"),
        ("list.json", "[1, 2]"),
        ("bad.json", '{"request": {"steps": "x"}}'),
    ):
        file = tmp_path / name
        file.write_text(content, "utf-8")
        user.drop(file)
        user.page.locator("#alert:not([hidden])").wait_for()
        assert user.complaint().endswith("."), name
        expect(user.page.locator("#alert b, #alert img")).to_have_count(0)
        user.shows("prompt", "Something of mine")
        user.page.get_by_role("button", name="Dismiss").click()
        user.page.locator("#alert").wait_for(state="hidden")


def test_a_draft_of_an_earlier_version_is_read_with_the_former_names(visit):
    draft = {
        "paths": json.dumps(["prompt", "negative_prompt.text", "gone.x"]),
        "values": ["A fox", "rain", 1],
    }
    user = visit()
    user.page.add_init_script(f"sessionStorage.setItem('tdw.draft', JSON.stringify({json.dumps(draft)}))")
    user.page.reload()
    user.wait("document.querySelector('#field-prompt textarea')?.value === 'A fox'")
    user.shows("guidance-negative_prompt", "rain")


def test_a_text_that_continues_a_canvas_is_restored_with_it(visit, site, tmp_path):
    request = {"prompt": "A fox", "seed": 5, "steps": 6, "length": 8, "temperature": 0.5}
    result = httpx.post(f"{site.url}/api/v1/txt2txt", json=request, timeout=120).raise_for_status().json()
    (made,) = result["parts"] or [result]
    file = tmp_path / "text.json"
    canvas = {"trace": made["trace"], "step": 2}
    file.write_text(json.dumps({**result, "request": {**result["request"], "canvas": canvas}}), "utf-8")
    user = visit()
    user.drop(file)
    user.page.locator("tdw-unknown", has_text="Continues a saved canvas").wait_for()
    user.done()  # the saved text is shown
    user.generate()
    user.done(jobs=2)
    job = user.page.evaluate("localStorage.getItem('tdw.job')")
    again = httpx.get(f"{user.url}/api/v1/jobs/{job}", timeout=60).json()["request"]
    assert again["canvas"]["step"] == 2 and len(again["canvas"]["trace"]) == len(made["trace"])
    assert user.texts() == [made["text"].lstrip()]
    user.page.locator("tdw-unknown").get_by_role("button", name="Discard").click()
    user.wait("!document.querySelector('tdw-unknown').firstChild")


def test_a_saved_text_of_what_is_gone_is_refused_in_a_sentence(visit, saved, tmp_path):
    """Its checkpoint and its sampler are no choices of the dropdowns any more."""
    user = visit()
    for change, words in (({"model": "gone"}, "no checkpoint 'gone'"), ({"sampler": "gone"}, "no 'gone'")):
        file = tmp_path / "text.json"
        file.write_text(json.dumps({**saved, "request": {**saved["request"], **change}}), "utf-8")
        user.drop(file)
        user.wait(f"document.querySelector('#field-{next(iter(change))} input').value === 'gone'")
        user.page.keyboard.press("Control+Enter")
        user.page.locator("#alert", has_text=words).wait_for()
        user.page.reload()
        user.come()
