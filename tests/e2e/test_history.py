"""The history in a browser: ten thousand saved texts and some real ones, searched, read, marked, deleted and
brought back."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect

from tests.conftest import ROOT, Running, serve_all_along
from tests.e2e.conftest import HOSTILE, PROFILE, User, load
from tests.tiny_checkpoints import llada

pytestmark = pytest.mark.e2e

MANY = 10_000
STEP = 20 * 60  # seconds between two of them
WORDS = ("fox", "moon", "river", "lantern", "castle", "winter", "apple", "sailor", "clock", "garden")
ODD = f"{HOSTILE} [link](javascript:document.title='owned') \u202eevil\u2066 \u05d0\u05d1"
QUICK = {"length": 8, "steps": 2, "template": "raw"}
BOUND = 60  # rows in the document, whatever the number of texts


def stored(index: int, newest: float) -> dict:
    """A saved result as its file has it. Its prompt names it (n17n) and ten of a kind (q1q); every hundredth
    has a heron."""
    at = newest - index * STEP
    word = WORDS[index % 10]
    text = f" Text {index} tells of the {word}." + (" A heron came by." if index % 100 == 7 else "")
    request = {
        "prompt": f"A story about a {word}, n{index}n, q{index // 10}q",
        "seed": index,
        "model": "storyteller",
        "length": 8,
        "steps": 4,
    }
    checkpoint = "other" if index % 10 == 3 else "storyteller"
    return {
        "id": f"{int(at * 1e6):016x}{index % 65536:04x}",
        "text": text,
        "complete": True,
        "request": request,
        "statistics": {"forwards": 4, "tokens": 8, "prompt_tokens": 5, "seconds": 0.5},
        "provenance": {
            "extensions": {},
            "program": "0.1.0",
            "checkpoint": checkpoint,
            "fingerprint": "0123456789ab",
            "family": "llada",
            "device": "cpu",
            "dtype": "float32",
            "torch": "2",
            "job": f"job{index // 4}",
            "cell": "0",
            "created": time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(at)),
        },
    }


def special(index: int, result: dict) -> dict:
    """Some of them are odd: hostile, of an extension that is not here, failed."""
    if index == 41:
        result.update(text=ODD)
        result["request"]["prompt"] = f"hostile {ODD}"
    if index == 42:
        result["request"] |= {"prompt": "orphan", "tone": {"warmth": 0.5}}
    if index == 43:
        result.update(text="", complete=False, error=f"It failed. {HOSTILE}")
        result["request"]["prompt"] = "failure"
    if index == 44:
        result["request"] |= {"prompt": "guided", "guidance": {"negative_prompt": "a fox", "scale": 2.0}}
    return result


def write(folder: Path) -> None:
    newest = time.time() - 3 * 3600
    for index in range(MANY):
        result = special(index, stored(index, newest))
        day = folder / result["provenance"]["created"][:10]
        day.mkdir(parents=True, exist_ok=True)
        (day / f"{result['id']}.json").write_text(json.dumps(result), "utf-8")


@pytest.fixture(scope="module")
def site(tmp_path_factory, warm) -> Iterator[Running]:
    """The whole program with ten thousand texts in its data folder. `visit` of conftest.py opens this one
    here."""
    folder = tmp_path_factory.mktemp("history")
    checkpoint = llada(folder / "models" / "checkpoints" / "storyteller")
    (checkpoint / "profile.json").write_text(json.dumps(PROFILE), "utf-8")
    for path in (ROOT / "extensions").glob("*/__init__.py"):
        link = folder / "extensions" / path.parent.name
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(path.parent)
    write(folder / "data" / "history")
    flags = ["--models", str(folder / "models"), "--built-in", str(folder / "extensions"), "--threads", "1"]
    with serve_all_along("--port", "0", *flags, data=folder / "data", start=warm.start) as running:
        load(running)
        yield running
    shutil.rmtree(folder)


@pytest.fixture
def api(site) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{site.url}/api/v1/", timeout=120) as client:
        yield client


class Reader:
    """What a person does in the history, and what they see there."""

    def __init__(self, user: User):
        self.user, self.page = user, user.page
        self.rows = self.page.locator(".history-row")
        self.pane = self.page.locator(".history-pane")
        self.count = self.page.locator(".history-count")

    def come(self) -> Reader:
        self.page.locator("#views a[data-view=history]").click()
        return self.ready()

    def ready(self) -> Reader:
        self.rows.first.wait_for()
        return self

    def again(self) -> Reader:
        """Reloads the page."""
        self.page.reload()
        return self.ready()

    def counted(self, words: str) -> None:
        """Waits for this text above the list."""
        self.user.wait(f"document.querySelector('.history-count').textContent === {json.dumps(words)}")

    def found(self, number: int) -> None:
        """Until this many are found."""
        self.user.wait(f"document.querySelector('.history-count').textContent.startsWith('{number} of ')")

    def search(self, words: str, found: str | None = None) -> Reader:
        self.user.enter(self.page.locator(".history-search"), words)
        if found:
            self.counted(found)
        return self

    def filter(self, label: str):
        return self.page.locator("tdw-history").get_by_label(label, exact=True)

    def row(self, words: str):
        return self.rows.filter(has_text=words)

    def open(self, words: str):
        """Opens a text by mouse; the pane once it shows it."""
        self.row(words).locator(".history-text").click()
        self.pane.locator(".tdw-result").wait_for()
        expect(self.pane, "another one may have been open").to_contain_text(words.strip())
        return self.pane

    def key(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def focused(self, text: str) -> None:
        """Waits until the row with this text has the focus."""
        self.user.until(lambda: self.active() == text)

    def listed(self, texts: list[str]) -> None:
        """Waits until the list begins with these texts."""
        self.user.until(lambda: self.texts()[: len(texts)] == texts)

    def active(self) -> str:
        """The text of the row that has the focus."""
        return self.page.evaluate(
            "document.activeElement.querySelector?.('.history-text')?.textContent ?? ''"
        )

    def texts(self) -> list[str]:
        """The beginnings of the rows in the document, from the top."""
        return self.page.locator(".history-row .history-text").all_text_contents()

    def undo(self) -> None:
        self.page.get_by_role("button", name="Undo").click()

    def total(self) -> int:
        return int(self.page.locator(".history-list").get_attribute("aria-rowcount"))


@pytest.fixture
def read(visit) -> Callable[..., Reader]:
    """`read(...)` opens the page and goes to the history."""
    return lambda *size, **options: Reader(visit(*size, **options)).come()


def number(api: httpx.Client, **filters) -> int:
    return api.get("history", params={"limit": 1, **filters}).json()["total"]


def test_a_real_run_appears_replays_and_can_be_used_again(visit):
    user = visit()
    user.type("prompt", "A badger that really ran")
    user.type("seed", "77")
    user.generate()
    user.done()
    (text,) = user.texts()
    reader = Reader(user).come()
    first = reader.rows.first
    expect(first).to_contain_text("A badger that really ran")
    expect(first).to_contain_text("seed 77")
    pane = reader.open("A badger that really ran")
    expect(pane.locator(".final")).to_have_text(text)
    pane.get_by_role("button", name="Replay").click()
    user.wait("document.querySelectorAll('.history-pane .tokens .mask').length > 0")
    user.wait("document.querySelectorAll('.history-pane .tokens .mask').length === 0")
    pane.locator("summary", has_text="Made with").click()
    expect(pane.locator("dl").last).to_contain_text("77")
    pane.get_by_role("button", name="Send to controls").click()
    user.wait("document.body.dataset.view === 'write'")
    user.wait("document.querySelector('#field-seed input').value === '77'")
    user.shows("prompt", "A badger that really ran")


def test_search_and_filters_stay_after_a_reload(read, api):
    all_texts = number(api)
    reader = read()
    page = reader.page
    reader.counted(f"{all_texts:,} texts")
    reader.key("/")
    page.keyboard.type("HERON n107n")
    reader.counted(f"1 of {all_texts:,}")
    expect(reader.rows.first).to_contain_text("Text 107 ")
    expect(page.locator("mark")).to_have_text(["n107n", re.compile("heron", re.IGNORECASE)])
    reader.user.wait("location.hash.includes('search=HERON+n107n')")
    reader.search("heron", f"100 of {all_texts:,}")
    reader.filter("Checkpoint").select_option("other")
    reader.counted(f"0 of {all_texts:,}")
    expect(page.get_by_role("heading", name="No matches")).to_be_visible()
    page.locator(".history-blank").get_by_role("button", name="Clear filters").click()
    reader.counted(f"{all_texts:,} texts")
    reader.filter("Checkpoint").select_option("other")
    reader.counted(f"{number(api, checkpoint='other'):,} of {all_texts:,}")
    reader.filter("Checkpoint").select_option("")
    reader.filter("Extension").select_option("guidance")
    reader.counted(f"1 of {all_texts:,}")
    expect(reader.rows.first).to_contain_text("guided")
    page.get_by_role("button", name="Clear filters").click()
    page.get_by_role("button", name="Dates").click()
    since, until = (time.strftime("%Y-%m-%d", time.gmtime(time.time() - 86400 * ago)) for ago in (9, 5))
    for label, day in (("From", since), ("To", until)):
        reader.filter(label).press_sequentially(
            f"{day[5:7]}{day[8:]}{day[:4]}"
        )  # as an English browser takes a date
    found = number(api, since=since, until=until)
    assert 250 < found <= 5 * 72
    reader.counted(f"{found} of {all_texts:,}")
    reader.search("fox")
    reader.counted(f"{number(api, since=since, until=until, search='fox')} of {all_texts:,}")
    reader.again()
    reader.counted(f"{number(api, since=since, until=until, search='fox')} of {all_texts:,}")
    expect(page.locator(".history-search")).to_have_value("fox")
    expect(reader.filter("From")).to_have_value(since)
    page.locator("#views a[data-view=write]").click()
    page.locator("#generate").wait_for()
    reader.come()
    reader.user.wait("location.hash.includes('search=fox')")
    expect(page.locator(".history-search"), "another view loses nothing").to_have_value("fox")


def test_the_newest_search_wins(read, api):
    reader = read()
    held = []
    reader.page.route(lambda url: url.endswith("search=her&limit=50"), lambda route: held.append(route))
    reader.page.locator(".history-search").press_sequentially("her")
    reader.user.wait("location.hash.includes('search=her')")
    reader.user.until(lambda: held)  # the first request is sent
    reader.page.locator(".history-search").press_sequentially("on n207n")
    reader.found(1)
    with suppress(Exception):  # the page has given it up
        held[0].continue_()
    number(api)  # a request that is answered after the one that was held
    expect(reader.rows).to_have_count(1)
    expect(reader.rows).to_contain_text("207")


def test_a_favourite_survives_a_reload(read, api):
    reader = read()
    page = reader.page
    reader.search("n512n")
    reader.found(1)
    reader.rows.first.hover()
    reader.rows.first.get_by_role("button", name="Favourite").click()
    reader.search("n513n")
    reader.user.wait("document.querySelector('.history-row')?.textContent.includes('Text 513')")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("s")
    reader.user.until(lambda: number(api, favourite=True) == 2)
    reader.user.enter(page.locator(".history-search"), "")
    page.locator(".history-chips").get_by_role("button", name="Favourites").click()
    reader.found(2)
    reader.user.wait("location.hash.includes('favourite=1')")
    reader.again()
    reader.found(2)
    pane = reader.open("Text 512 ")
    star = pane.get_by_role("button", name="Favourite")
    expect(star).to_have_attribute("aria-pressed", "true")
    star.click()
    expect(reader.row("Text 512 ").get_by_role("button", name="Favourite")).to_have_attribute(
        "aria-pressed", "false"
    )
    reader.row("Text 513 ").locator("[type=checkbox]").click()
    page.locator(".history-line").get_by_role("button", name="Remove from favourites").click()
    reader.user.until(lambda: number(api, favourite=True) == 0)
    page.reload()
    page.get_by_role("heading", name="No matches").wait_for()


def test_one_is_deleted_by_key_and_comes_back(read):
    reader = read()
    reader.search("q60q")
    reader.found(10)
    before = reader.texts()
    reader.key("ArrowDown", "ArrowDown", "ArrowDown", "ArrowUp")
    reader.focused(before[1])  # the first ArrowDown goes from the box to the list
    reader.key("Delete")
    reader.found(9)
    reader.focused(before[2])  # the next one is active, and keeps the focus
    reader.page.get_by_text("1 text deleted").wait_for()
    reader.undo()
    reader.found(10)
    reader.listed(before)
    reader.again()
    reader.found(10)
    reader.listed(before)


def test_several_are_selected_deleted_and_come_back(read, api):
    reader = read()
    page = reader.page
    before = reader.texts()
    total = number(api)
    reader.rows.nth(1).locator("[type=checkbox]").click()
    reader.rows.nth(4).locator("[type=checkbox]").click(modifiers=["Shift"])
    reader.counted("4 selected")
    reader.rows.nth(3).locator(".history-text").click(modifiers=["Control"])
    reader.counted("3 selected")
    reader.key("ArrowUp", "Space", "Shift+ArrowDown")
    page.get_by_role("button", name="Deselect").click()
    reader.rows.nth(0).locator("[type=checkbox]").click()
    reader.key("Shift+ArrowDown", "Shift+ArrowDown")
    reader.counted("3 selected")
    page.locator(".history-line").get_by_role("button", name="Delete", exact=True).click()
    reader.counted(f"{total - 3:,} texts")
    reader.listed(before[3:4])
    page.get_by_text("3 texts deleted").wait_for()
    assert number(api) == total - 3
    reader.undo()
    reader.counted(f"{total:,} texts")
    reader.listed(before[:5])
    reader.again()
    reader.listed(before[:5])


def test_all_are_deleted_and_come_back(read, api, request):
    total = number(api)
    reader = read()
    page = reader.page
    reader.open("Text 2 ")
    page.get_by_role("button", name="Delete all").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("heading")).to_have_text(f"Delete all {total:,} saved texts?")
    dialog.get_by_role("button", name="Keep them").click()
    assert number(api) == total
    page.get_by_role("button", name="Delete all").click()
    request.addfinalizer(
        lambda: number(api) == total or api.post("history/restore")
    )  # whatever happens, for the others
    dialog.get_by_role("button", name=f"Delete {total:,} texts").click()
    page.get_by_role("heading", name="No saved texts yet").wait_for()
    page.get_by_text(f"{total:,} texts deleted").wait_for()
    expect(reader.pane.locator(".tdw-result")).to_have_count(0)
    assert number(api) == 0
    page.locator(".history-blank").get_by_role("button", name=f"Restore {total:,} deleted texts").wait_for()
    reader.undo()
    reader.counted(f"{total:,} texts")
    reader.user.until(lambda: number(api) == total)


def test_ten_thousand_are_scrolled_by_keyboard_and_wheel(read, api):
    total = number(api)
    reader = read()
    page = reader.page
    bounded = f"document.querySelectorAll('.history-row').length < {BOUND}"
    reader.key("/", "ArrowDown")
    first = reader.texts()[0]
    reader.focused(first)
    reader.key("PageDown")
    reader.user.until(lambda: reader.active() not in ("", first))
    reader.key("PageUp")
    reader.focused(first)
    reader.key("End")
    reader.user.wait(f"document.activeElement.getAttribute('aria-rowindex') === '{total}'")
    reader.user.until(lambda: f"Text {MANY - 1} " in reader.active())
    assert page.evaluate(bounded)
    in_sight = "document.querySelector('.history-row:focus').getBoundingClientRect().bottom <= 901"
    reader.user.wait(in_sight)
    reader.key("ArrowUp")
    reader.user.until(lambda: f"Text {MANY - 2} " in reader.active())
    reader.key("Enter")
    reader.pane.locator(".tdw-result").wait_for()
    expect(reader.pane).to_contain_text(f"Text {MANY - 2} ")
    reader.key("Home")
    reader.focused(first)
    assert page.evaluate(bounded)


def test_ten_thousand_are_scrolled_by_wheel_also_far_at_once(read):
    reader = read()
    page = reader.page
    seen = "[...document.querySelectorAll('.history-row')].filter(row => Math.abs(row.getBoundingClientRect().top - 500) < 300)"
    index = f"Number({seen}.at(-1)?.getAttribute('aria-rowindex') ?? 0)"
    reader.rows.nth(1).hover()
    for _ in range(20):
        page.mouse.wheel(0, 1500)
    reader.user.wait(f"{index} > 200")
    page.mouse.wheel(0, 500_000)  # past all that is loaded
    reader.user.wait(f"{index} > 3500")
    page.mouse.wheel(0, 2_000_000)
    reader.user.wait(f"{index} === {reader.total()}")
    expect(reader.rows.last).to_contain_text(f"Text {MANY - 1} ")
    assert page.locator(".history-row").count() < BOUND
    page.mouse.wheel(0, -2_000_000)
    reader.user.wait("document.querySelector('.history-row')?.getAttribute('aria-rowindex') === '1'")
    assert page.locator(".history-row").count() < BOUND


def test_markup_and_direction_marks_are_text(read):
    reader = read()
    page = reader.page
    reader.search("hostile")
    reader.found(1)
    assert ODD in reader.texts()[0]
    pane = reader.open("hostile")
    assert (
        ODD in pane.locator(".final").text_content() and ODD in pane.locator(".history-asked").text_content()
    )
    expect(page.locator("tdw-history").locator("b:not(.history-failed), script, img, a")).to_have_count(0)
    for place in (".history-text", ".history-asked", ".history-prompt"):
        assert page.locator(place).first.evaluate("node => getComputedStyle(node).unicodeBidi") == "isolate"
    reader.search("failure")
    reader.user.wait("document.querySelector('.history-row')?.textContent.includes('failed')")
    pane = reader.open("failure")
    expect(page.locator("tdw-history").locator("script, img")).to_have_count(0)
    expect(pane).to_contain_text(HOSTILE)


def test_fields_of_missing_extensions_are_named(read):
    reader = read()
    reader.search("orphan")
    reader.found(1)
    note = reader.open("orphan").locator(".history-note").text_content()
    assert "tone" in note and "kept" in note


def test_the_download_is_the_saved_file(read, site, api):
    reader = read()
    reader.search("orphan")
    reader.found(1)
    pane = reader.open("orphan")
    with reader.page.expect_download() as waiting:
        pane.get_by_role("button", name="Download").click()
    saved = json.loads(Path(waiting.value.path()).read_text("utf-8"))
    (file,) = site.data.glob(f"history/*/{saved['id']}.json")
    assert waiting.value.suggested_filename == file.name
    written = json.loads(file.read_text("utf-8"))
    assert all(saved[name] == written[name] for name in ("text", "complete", "provenance"))
    restored = api.post("restore", json=saved).json()
    assert restored["request"]["prompt"] == "orphan" and "warmth" in json.dumps(restored), (
        "unknown fields are kept"
    )


def test_new_texts_wait_in_a_pill(read, api):
    reader = read()
    page = reader.page
    reader.key("/", "ArrowDown", "PageDown", "PageDown")
    place = page.locator(".history-row:focus").bounding_box()
    api.post("txt2txt", json={**QUICK, "prompt": "An otter", "count": 3}).raise_for_status()
    pill = page.get_by_role("button", name="3 new texts")
    pill.wait_for()
    assert page.locator(".history-row:focus").bounding_box() == place, "what is read does not move"
    pill.click()
    reader.user.wait("document.activeElement.textContent.includes('An otter')")
    expect(reader.page.locator(".history-pill")).to_be_hidden()
    page.locator("#views a[data-view=write]").click()
    page.locator("#generate").wait_for()
    api.post("txt2txt", json={**QUICK, "prompt": "A stoat"}).raise_for_status()
    reader.come()
    reader.user.wait("document.querySelector('.history-row').textContent.includes('A stoat')")


def test_two_are_compared(read):
    reader = read()
    page = reader.page
    reader.search("q70q")
    reader.found(10)
    reader.key("ArrowDown", "Space", "ArrowDown")
    expect(page.get_by_role("button", name="Compare", exact=True), "two are needed").to_have_count(0)
    reader.key("Space")
    one, two = (reader.texts()[index] for index in (0, 1))
    page.get_by_role("button", name="Compare", exact=True).click()
    dialog = page.get_by_role("dialog")
    expect(dialog.locator(".text")).to_have_count(2)
    sides = dialog.locator(".text").all_text_contents()
    assert {side.strip() for side in sides} == {one.strip(), two.strip()}
    expect(dialog.locator("del")).not_to_have_count(0)
    expect(dialog.locator("ins")).not_to_have_count(0)


def test_it_says_when_history_is_off(read, api):
    api.patch("settings", json={"keep_history": False}).raise_for_status()
    try:
        reader = read()
        reader.page.get_by_text("History is switched off in the settings").wait_for()
        total = number(api)
        api.post("txt2txt", json={**QUICK, "prompt": "Gone"}).raise_for_status()
        assert number(api) == total
    finally:
        api.patch("settings", json={"keep_history": True}).raise_for_status()


def test_on_a_phone_a_text_is_a_sheet(read):
    reader = read(420, 860, has_touch=True, is_mobile=True, color_scheme="dark", locale="de-DE")
    page = reader.page
    expect(page.get_by_role("button", name="Favoriten")).to_be_visible()
    expect(reader.count).to_have_text(re.compile(r"^[\d.]+ Texte"))
    small = """[...document.querySelectorAll('tdw-history :is(button, select, input:not([type=checkbox]))')]
        .filter(node => node.checkVisibility() && Math.min(node.offsetHeight, node.offsetWidth) < 39.5)
        .map(node => node.outerHTML)"""
    assert page.evaluate(small) == []
    reader.row("Text 1 ").locator(".history-text").tap()
    reader.pane.locator(".tdw-result").wait_for()
    expect(page.locator(".history-list")).to_be_hidden()
    assert page.evaluate(small.replace("tdw-history", ".history-bar")) == []
    reader.pane.get_by_role("button", name="Zurück").tap()
    reader.user.wait("document.querySelector('.history-list').checkVisibility({visibilityProperty: true})")
    reader.row("Text 2 ").locator(".history-text").tap()
    reader.pane.locator(".tdw-result").wait_for()
    page.go_back()
    reader.user.wait("document.querySelector('.history-list').checkVisibility({visibilityProperty: true})")
    assert page.evaluate("document.body.dataset.view") == "history", "Back closes the sheet, not the view"
    assert page.evaluate("Math.max(document.documentElement.scrollWidth, document.body.scrollWidth)") <= 420
