"""What is on the canvas stays there: after a reload, after a restart of the server, and from a saved file."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.e2e
FORGOTTEN = """
    const board = JSON.parse(localStorage.getItem("tdw.board"));
    localStorage.setItem("tdw.board", JSON.stringify(board.map(([id, results]) => [id + "gone", results])));
"""  # as after a restart, when the server knows no job any more


def shown(user) -> list[list[str]]:
    """The finished texts of every job, the newest job first."""
    jobs = user.page.locator(".job").all()
    return [job.locator(".final").all_text_contents() for job in jobs]


def test_every_text_is_there_after_a_reload_and_a_restart_and_from_a_file(visit, tmp_path):
    user = visit()
    page = user.page
    user.type("prompt", "A fox")
    page.keyboard.press("Control+Enter")
    user.done()
    user.type("prompt", "A bear")
    user.type("count", "2")
    page.keyboard.press("Control+Enter")
    user.done(jobs=2)
    before = shown(user)
    assert [len(texts) for texts in before] == [2, 1]
    with page.expect_download() as download:
        row = page.locator(".job").nth(1)
        row.get_by_role("button", name="More").press("ArrowDown")
        page.get_by_role("menuitem", name="Save as JSON").press("Enter")
    file = tmp_path / "fox.json"
    file.write_bytes(download.value.path().read_bytes())

    page.reload()
    user.done(jobs=2)
    user.wait("document.querySelectorAll('.final:not(:empty)').length === 3")
    expect(page.locator(".job-prompt")).to_have_text(["A bear", "A fox"])
    assert shown(user) == before
    page.evaluate(FORGOTTEN)
    page.reload()
    user.done(jobs=2)
    user.wait("document.querySelectorAll('.final:not(:empty)').length === 3")
    assert shown(user) == before, "they come from the history"
    page.locator(".job").nth(1).get_by_role("button", name="Replay").click()
    page.locator(".job").nth(1).get_by_role("button", name="Stop").click()

    stored = json.loads(file.read_text("utf-8"))
    stored["id"] += "0"
    file.write_text(json.dumps(stored), "utf-8")
    user.drop(file)
    user.done(jobs=3)
    assert shown(user) == [before[1], *before]
    page.set_viewport_size({"width": 420, "height": 860})
    last = page.locator(".job").nth(1).locator(".job-views button").last.bounding_box()
    assert last["x"] + last["width"] <= 420, "every view of a job can be reached on a phone"
    page.set_viewport_size({"width": 1400, "height": 900})
    user.wait("document.querySelector('#field-prompt textarea').value === 'A fox'")
    stored["request"]["prompt"] = "A wolf"
    file.write_text(json.dumps({**stored, "trace": [7], "pieces": {"a": 1}, "axes": 3}), "utf-8")
    user.drop(file)
    user.shows("prompt", "A wolf")
    assert len(shown(user)) == 3, "its parameters are restored, a text that cannot be read is not shown"


def test_watch_it_settle_commits_all_over_the_canvas_and_says_its_price(visit):
    user = visit()
    page = user.page
    button = page.get_by_role("button", name="Watch it settle")
    expect(button, "the preset's block is the whole canvas already").to_be_hidden()
    user.type("block_length", "4")
    button.wait_for()
    user.type("prompt", "A fox")
    button.press("Enter")
    page.locator(".notice", has_text="all over the canvas instead of in blocks of 4").wait_for()
    expect(page.locator(".notice")).to_contain_text("16 model calls")
    user.done()
    page.locator("summary", has_text="Made with").last.click()
    made = page.locator(".job dl > div", has=page.get_by_text("Block length", exact=True))
    assert made.locator("dd").text_content().startswith("16")
    user.shows("block_length", "4")
