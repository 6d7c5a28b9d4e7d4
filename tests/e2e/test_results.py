"""Finished texts: views, replay, menu, comparison, files; and what hostile text does in each of them:
nothing."""

from __future__ import annotations

import io
import json
import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from PIL import GifImagePlugin
from playwright.sync_api import expect

from tests.e2e.conftest import HOSTILE, User

pytestmark = pytest.mark.e2e
OVERRIDES = "\u202eright to left\u202c zero\u200bwidth"


def saved(seed: int, pieces: list[str], trace: list[list] | None = None, **fields: Any) -> dict[str, Any]:
    """A result as the history stores it; each piece is committed in a step of its own unless a trace is
    given."""
    trace = trace or [
        [step + 1, step, step, piece, 0.1 + 0.8 * step / len(pieces)] for step, piece in enumerate(pieces)
    ]
    return {
        "id": f"{int(time.time() * 1e6):016x}{seed:04x}",
        "text": "".join(pieces),
        "complete": True,
        "preset": [],
        "axes": [],
        "pieces": pieces,
        "trace": trace,
        "request": {"prompt": f"A fox, {seed}", "seed": seed, "steps": len(pieces)},
        "error": None,
        "notes": [],
        "parts": [],
        "statistics": {"forwards": len(pieces), "tokens": len(pieces), "prompt_tokens": 2, "seconds": 1.5},
        "provenance": {
            "program": "0",
            "torch": "2",
            "checkpoint": "story/teller",
            "fingerprint": "f",
            "family": "LLaDA",
            "device": "cpu",
            "dtype": "fp32",
            "job": "",
            "cell": "",
            "created": time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime()),
        },
        **fields,
    }


@pytest.fixture
def keep(site) -> Callable:
    """`keep(result)` puts a result among the saved texts, as a file; its seed."""

    def write(result: dict[str, Any]) -> int:
        place = site.data / "history" / result["provenance"]["created"][:10] / f"{result['id']}.json"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps(result), "utf-8")
        return result["request"]["seed"]

    return write


def show(user: User, seed: int):
    """Opens the newest saved text of this seed in the history."""
    user.view("history")
    user.page.locator(".history-prompt", has_text=re.compile(rf"^A fox, {seed}\b")).first.click()
    user.page.locator(".history-asked", has_text=f"A fox, {seed}").wait_for()
    return user.page.locator(".history-pane .tdw-result")


def more(place, item: str) -> None:
    """Chooses from a result's menu by the keyboard."""
    place.get_by_role("button", name="More").press("ArrowDown")
    place.get_by_role("menuitem", name=item).press("Enter")


def at(place, step: str | re.Pattern) -> None:
    """Waits until the replay stands at a step."""
    expect(place.locator(".player .step")).to_have_text(step)


def test_heat_map_by_confidence_step_and_order(visit, keep):
    user = visit()
    trace = [[1, 2, 2, " ran", 0.95], [2, 0, 0, "Fox", 0.2], [2, 3, 3, ".", 0.7], [3, 1, 1, " too", 0.5]]
    place = show(user, keep(saved(21, ["Fox", " too", " ran", "."], trace)))
    place.get_by_role("button", name="Heat map").click()
    words = place.locator(".tokens .word")
    expect(words).to_have_text(["Fox", "too", "ran", "."])
    assert words.evaluate_all("all => all.map(one => one.dataset.level)") == ["1", "2", "4", "3"]
    low, high = (words.nth(i).evaluate("one => getComputedStyle(one).backgroundColor") for i in (0, 2))
    assert low != high
    place.get_by_role("button", name="Order").click()
    assert words.evaluate_all("all => all.map(one => one.dataset.number)") == ["3", "4", "1", "2"]
    expect(place.locator(".heat-scale")).to_have_text("firstlast (4)")
    place.get_by_role("button", name="Step").click()
    assert words.evaluate_all("all => all.map(one => one.dataset.number)") == ["2", "3", "1", "2"]
    words.nth(2).hover()
    expect(place.locator(".tip")).to_have_text("“ ran”95 % confidence, step 1, committed as number 1")
    place.get_by_role("button", name="Plain").click()
    expect(place.locator(".final")).to_have_text("Fox too ran.")
    expect(place.locator(".tokens")).to_be_hidden()
    place.locator("summary", has_text="Made with").click()
    expect(place.locator("summary")).to_contain_text("4 tokens · 4 model calls · 1.0 per call · 2.7 tokens/s")


def test_replay_plays_pauses_and_goes_to_any_step(visit, keep):
    user = visit()
    trace = [
        [1, 0, 0, "Fox", 0.9],
        [2, 1, 1, " ran", 0.5],
        [3, 1, None, "", None],
        [4, 1, 5, " sat", 0.9],
        [5, 2, 2, ".", 0.9],
    ]
    place = show(user, keep(saved(22, ["Fox", " sat", "."], trace)))
    place.get_by_role("button", name="Replay").click()
    place.get_by_role("button", name="Pause").click()
    bar = place.get_by_role("slider")
    bar.focus()
    user.page.keyboard.press("Home")
    expect(place.locator(".tokens .mask")).to_have_count(3)
    at(place, "step 0 of 5")
    user.page.keyboard.press("ArrowRight")
    user.page.keyboard.press("ArrowRight")
    expect(place.locator(".tokens .word")).to_have_text(["Fox", "ran"])
    at(place, "step 2 of 5")
    expect(place.locator(".tokens .fresh")).to_have_text(["ran"])
    user.page.keyboard.press("ArrowRight")
    expect(place.locator(".tokens .mask.remasked"), "what was remasked is masked again").to_have_count(1)
    user.page.keyboard.press("End")
    expect(place.locator(".tokens .word")).to_have_text(["Fox", "sat", "."])
    box = bar.bounding_box()
    user.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    at(place, re.compile("step [23] of 5"))
    place.get_by_role("combobox").select_option("4")
    place.get_by_role("button", name="Play", exact=True).click()
    user.wait("document.querySelector('.history-pane .player .step').textContent === 'step 5 of 5'")
    place.get_by_role("button", name="Play", exact=True).wait_for()
    place.get_by_role("button", name="Stop").click()
    expect(place.locator(".final")).to_be_visible()
    expect(place.locator(".player")).to_have_count(0)


def test_what_was_written_comes_back_from_the_menu(visit):
    user = visit()
    page = user.page
    user.type("prompt", "A fox")
    user.type("seed", "77")
    page.keyboard.press("Control+Enter")
    user.done()
    text = user.texts()[0]
    row = page.locator(".job").first
    user.type("steps", "3")
    more(row, "Send to controls and edit")
    user.wait(
        "document.querySelector('#field-steps input').value === '16' && "
        "document.activeElement.closest('#parameters')"
    )
    user.shows("seed", "77")
    more(row, "Send with a random seed")
    user.wait("document.querySelector('#field-seed input').value === '-1'")
    more(row, "Send to Prompt")
    user.wait("document.querySelector('#field-prompt textarea').value.length > 10")
    user.shows("prompt", text.strip())
    page.keyboard.press("Escape")
    row.get_by_role("button", name="More").click()
    page.keyboard.press("Escape")
    expect(row.get_by_role("menuitem"), "the menu closes").to_have_count(0)
    expect(row.get_by_role("button", name="More")).to_be_focused()
    with page.expect_download() as download:
        more(row, "Save as JSON")
    whole = json.loads(download.value.path().read_text("utf-8"))
    assert download.value.suggested_filename == "storyteller-77.json"
    assert len(whole["trace"]) >= 16 and whole["request"]["prompt"] == "A fox", (
        "the trace is fetched for the file"
    )
    with page.expect_download() as download:
        more(row, "Save as text")
    assert download.value.path().read_text("utf-8").lstrip() == text


def test_the_film_is_a_gif_of_every_step(visit, keep):
    user = visit()
    pieces = ["Once", " there", " was", " a", " fox", ".", "\n\n", "It", " slept", "."]
    place = show(user, keep(saved(27, pieces)))
    with user.page.expect_download() as download:
        more(place, "Save as GIF")
    assert download.value.suggested_filename == "story-teller-27.gif"
    film = GifImagePlugin.GifImageFile(io.BytesIO(download.value.path().read_bytes()))
    assert film.info["loop"] == 0 and film.n_frames == len(pieces) + 2, (
        "noise, every step, and the finished text"
    )
    frames, durations = [], []
    for frame in range(film.n_frames):
        film.seek(frame)
        frames.append(film.convert("L"))
        durations.append(film.info["duration"])
    dark = [sum(frame.histogram()[:90]) for frame in frames]
    assert dark[0] == 0, "the first frame is noise: bars, no ink"
    assert dark[-1] > 300 and frames[-1].tobytes() != frames[0].tobytes()
    assert durations[-1] == 2000 and len(set(durations[1:-1])) == 1
    width = place.locator(".final").evaluate("one => one.clientWidth")
    assert frames[0].width == width + 56, "as wide as on the page"


@pytest.mark.parametrize("width", [1400, 420])
def test_two_texts_are_compared_word_by_word(visit, keep, width):
    user = visit(width)
    page = user.page
    told = saved(11, ["The", " red", " fox", " ran", "."])
    told["axes"] = [["sampler", "threshold", "sampler threshold"]]
    first = keep(told)
    second = keep(saved(12, ["The", " old", " fox", " ran", " home", "."]))
    more(show(user, first), "Compare…")
    expect(page.get_by_text("on a second text")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    more(page.locator(".history-pane"), "Compare…")
    if width < 900:
        page.locator(".history-back").click()
    more(show(user, second), "Compare…")
    dialog = page.get_by_role("dialog")
    expect(dialog.locator("section .text")).to_have_text(
        [
            "The red fox ran.",
            "The old fox ran home.",
        ]
    )
    expect(dialog.locator("h3").first).to_contain_text("Sampler: All that are confident enough (threshold)")
    expect(dialog.locator("section del")).to_have_text(["red"])
    expect(dialog.locator("section ins")).to_have_text(["old", " home"])
    left, right = (dialog.locator("section").nth(i).bounding_box() for i in (0, 1))
    assert (left["y"] == right["y"]) if width > 900 else (left["y"] + left["height"] <= right["y"])
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_word_differences(visit):
    user = visit()
    pieces = user.page.evaluate("""async () => {
      const { diff } = await import(new URL("results/diff.js", document.querySelector("script[src$='/page.js']").src));
      const long = Array.from({ length: 900 }, (_, i) => `w${i}`).join(" ");
      const pairs = [["", ""], ["", "new"], ["same", "same"], ["a b c", "x y z"], ["a b c d", "a c b d"]];
      return [...pairs, [long, `x ${long} y`]].map(([a, b]) => [a, b, diff(a, b)]);
    }""")
    for before, after, found in pieces:
        assert "".join(text for kind, text in found if kind != "new") == before
        assert "".join(text for kind, text in found if kind != "gone") == after
    assert [found for _, _, found in pieces[:4]] == [
        [],
        [["new", "new"]],
        [["same", "same"]],
        [["gone", "a b c"], ["new", "x y z"]],
    ]
    assert len(pieces[-1][2]) == 3


def test_hostile_text_is_text_in_every_view(visit, keep):
    user = visit()
    page = user.page
    text = f"{HOSTILE} [x](javascript:alert(1)) ![i](http://elsewhere.example/i.png) <style>*{{display:none}}</style> {OVERRIDES}"
    pieces = re.findall(r"\s*\S+", text)
    request = {"prompt": f"A fox, 13 {text}", "seed": 13, "system": HOSTILE}
    notes = {
        "notes": [HOSTILE],
        "error": f"{HOSTILE} {OVERRIDES}",
        "axes": [["prompt", 1, f"{OVERRIDES} {HOSTILE}"]],
    }
    other = keep(saved(14, ["A", " fox"]))
    place = show(user, keep(saved(13, pieces, request=request, **notes)))
    assert place.locator(".final").text_content() == text
    for view in ("Tokens", "Heat map", "Markdown"):
        place.get_by_role("button", name=view, exact=True).click()
        if view == "Markdown":
            place.locator(".markdown :is(p, .row-error)").first.wait_for()
            continue
        assert place.locator(".tokens").text_content() == text
    expect(place.locator(".markdown .row-error")).to_have_count(0)
    expect(place.locator("script, img, style, iframe, [onerror], [href^='javascript:']")).to_have_count(0)
    assert "<img src=x" in place.locator(".markdown").text_content()
    place.locator("summary", has_text="Made with").click()
    assert (
        HOSTILE in place.locator("dl").text_content() and HOSTILE in place.locator(".row-note").text_content()
    )
    place.get_by_role("button", name="Tokens", exact=True).click()
    place.locator(".tokens .word", has_text="zero").hover()
    assert "\\u{200b}" in place.locator(".tip").text_content(), "what cannot be seen is written out"
    isolated = "all => all.every(one => getComputedStyle(one).unicodeBidi === 'isolate')"
    assert place.locator(".final, .tokens .word, bdi").evaluate_all(isolated)
    tools = place.locator(".row-tools").bounding_box()
    assert tools["height"] > 20, "a style in the text styles nothing"
    more(place, "Compare…")
    more(show(user, other), "Compare…")
    assert page.get_by_role("dialog").locator("section .text").first.text_content() == text
    page.keyboard.press("Escape")


def test_the_note_of_infill_stands_below_its_text(visit):
    user = visit()
    user.type("prompt", "A fox [[...4]] ran.")
    user.generate()
    user.done()
    note = user.page.locator(".job .row-note").text_content()
    assert note.startswith("Infill took the prompt as a text with a gap") and "\\[[...4]]" in note
    (text,) = user.texts()
    assert text.startswith("A fox") and text.endswith(" ran.")


def test_what_extensions_add_to_a_result_is_among_its_parameters(visit, keep):
    user = visit()
    extras = {"judge": {"score": 0.75, "word": "<b>good</b>"}}
    place = show(user, keep(saved(31, ["A", " fox"], extras=extras)))
    place.locator("summary").click()
    expect(place.locator("dt")).not_to_have_count(0)
    names, values = place.locator("dt").all_text_contents(), place.locator("dd").all_text_contents()
    listed = dict(zip(names, values, strict=True))
    assert (listed["judge: score"], listed["judge: word"]) == ("0.75", "<b>good</b>")


def test_a_script_of_an_extension_adds_an_entry_to_the_menu(visit, keep):
    user = visit()
    user.page.evaluate(
        """async () => (await import("webui")).addResultAction((request, result) => ["Count",
            () => (document.title = `${result.text.length} ${request.prompt}`)])"""
    )
    more(show(user, keep(saved(32, ["A", " fox"]))), "Count")
    user.wait("document.title === '5 A fox, 32'")
