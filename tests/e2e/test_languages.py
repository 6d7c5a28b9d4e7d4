"""The page in German: no English word of ours is left in any view."""

from __future__ import annotations

import httpx
import pytest
from playwright.sync_api import expect

from tests.extensions.rehearsal import Rehearsal
from tests.extensions.second_look import SecondLook
from webui.page.languages import languages

pytestmark = pytest.mark.e2e

VIEWS = {  # with what is there once the view has all that it shows
    "write": "#generate",
    "history": "tdw-history :is(.history-row, .history-blank)",
    "queue": ".queue-page",
    "extensions": "tdw-extensions .card",
    "settings": "tdw-settings form .setting",
}
UNTRANSLATED = {  # extensions of the tests, without texts of their own
    text
    for kind in (Rehearsal, SecondLook)
    for info in kind.Options.model_fields.values()
    for text in (kind.__name__, kind.title, kind.about, kind.__doc__, info.title, info.description)
}
SEEN = """() => {
  const lines = document.body.innerText.split("\\n");
  const attributes = ["aria-label", "placeholder", "title"];
  const all = [...document.querySelectorAll(attributes.map((name) => `[${name}]`).join())];
  const seen = all.filter((node) => node.checkVisibility());
  const named = seen.flatMap((node) => attributes.map((name) => node.getAttribute(name) ?? ""));
  return [...lines, ...named].map((line) => line.trim());
}"""


def english(site) -> set[str]:
    """What the page would say in English: its words, and what fields, extensions and settings declare."""
    words = languages()
    declared = {text for key, text in words["en"].items() if text != words["de"].get(key) and "{" not in text}
    schema = httpx.get(f"{site.url}/api/v1/schema", timeout=60).json()["request"]
    for part in [schema, *schema.get("$defs", {}).values()]:
        declared |= {
            field.get(name, "")
            for field in part.get("properties", {}).values()
            for name in ("title", "description")
        }
    settings = httpx.get(f"{site.url}/api/v1/settings", timeout=60).json()["schema"]["properties"]
    declared |= {field.get("description", "") for field in settings.values()}
    german = set(words["de"].values())
    same = {"AND", "Form", "LoRA"}  # the same word in German, in an extension's own languages/
    return {text for text in declared if len(text) > 2 and text not in german} - UNTRANSLATED - same


def test_no_english_word_is_left(visit, site):
    user = visit(locale="de-DE")
    page = user.page
    page.locator("tdw-tokens:not(:empty)").wait_for()
    for button in page.locator(".fold > button").all():
        button.click()
    foreign = english(site)
    for view, sign in VIEWS.items():
        user.view(view)
        page.locator(sign).first.wait_for()
        user.drawn()
        left = {line for line in page.evaluate(SEEN) if line in foreign}
        assert not left, f"in {view}: {left}"


def test_a_text_is_made_in_german_too(visit):
    user = visit(locale="de-DE")
    user.type("prompt", "A fox")
    user.type("length", "8")
    user.page.get_by_role("button", name="Erzeugen").click()
    user.done()
    expect(user.page.locator("html")).to_have_attribute("lang", "de")
    assert user.texts()


def test_another_language_of_the_browser_gets_english(visit):
    user = visit(locale="fr-FR")
    expect(user.page.get_by_role("button", name="Generate")).to_be_visible()
    expect(user.page.locator("html")).to_have_attribute("lang", "en")
